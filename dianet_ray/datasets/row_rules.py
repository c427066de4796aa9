"""What is wrong with a row by itself, before its frames are looked at, and what becomes of it."""

from __future__ import annotations

from dataclasses import replace

from dianet_ray.artefacts import CORRECTED, LEFT_OUT
from dianet_ray.datasets.annotations import Annotation, ApexRule
from dianet_ray.datasets.manifest import Row
from dianet_ray.datasets.numbering import Interval

MAX_SECONDS = 5.0
"""Longest clip, where the frame rate is known. A micro-expression lasts about half a second."""

MAX_FOLDER_SECONDS = 1.0
"""Longest clip whose span is that of its folder: a longer folder holds a recording."""


def left_out(row: Row, reason: str) -> Row:
    """Leave a clip out; `reason` is `kind: detail`."""
    return replace(row, state=LEFT_OUT, reason=reason)


def corrected(row: Row, reason: str) -> Row:
    """Mark a row as corrected; what was corrected before is kept."""
    reason = f"{row.reason}; {reason}" if row.reason else reason
    return replace(row, state=CORRECTED, reason=reason)


def missing_name(one: Annotation) -> str:
    """Say that subject, file name or label is empty."""
    if not (one.subject and one.filename):
        return f"no name: subject {one.subject!r}, file name {one.filename!r}"
    return "" if one.label else "no label: the emotion is empty"


def impossible(interval: Interval, fps: float | None, *, whole_folder: bool = False) -> str:
    """Say what is wrong with onset and offset, whatever the frames are."""
    onset, offset = interval
    if onset > offset:
        return f"onset after offset: {onset} > {offset}"
    n_frames = offset - onset + 1
    # CAS(ME)^3 has offsets that make clips of 24 seconds: typing errors in the sheet.
    limit = MAX_FOLDER_SECONDS if whole_folder else MAX_SECONDS
    if fps and n_frames > limit * fps:
        seconds = n_frames / fps
        return f"too long: {n_frames} frames are {seconds:.1f} s, more than {limit:g} s"
    return ""


def without_apex(row: Row, reason: str, rule: ApexRule, interval: Interval) -> Row:
    """Apply the apex rule to a clip without a usable apex; `reason` says what is wrong with it."""
    onset, offset = interval
    if rule == "annotated":
        return left_out(row, reason)
    if offset - onset < 2:
        return left_out(row, f"{reason}, and there is no frame between")
    if rule == "spot":
        # The frames tell when they are decoded. docs/decisions.md: Apex spotting
        return corrected(replace(row, apex=None, apex_from="spot"), reason)
    middle = (onset + offset) // 2
    reason += f", took the midpoint {middle}"
    return corrected(replace(row, apex=middle, apex_from="midpoint"), reason)
