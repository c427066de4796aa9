"""What `validate` says of a data set: what is there, what is left out, and what looks wrong.

A few frames of every clip are decoded, so that files which do not open, frames of changing size,
clips without a face and frames that occur twice are found before `prepare` reads them all.
"""

from __future__ import annotations

import functools
import os
import statistics
from collections import Counter, defaultdict
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table
from rich.text import Text

from dianet_ray.artefacts import CORRECTED, LEFT_OUT, USED, Crop, Duplicate
from dianet_ray.datasets.label_sets import COMMONEST, NAMED, LabelSet, plain_label
from dianet_ray.datasets.manifest import UNREADABLE, Manifest, Row, with_crop
from dianet_ray.imaging.clip_images import choose_box
from dianet_ray.imaging.duplicates import find_duplicates, signature, signature_frames, small
from dianet_ray.imaging.frames import FrameError, UnfitError, read_frames
from dianet_ray.progress import Progress

_LISTED = 2  # clips per kind of oddity on the terminal; the files list all


@dataclass(frozen=True, slots=True)
class Inspected:
    """A manifest whose clips were looked at; `sizes` counts clips by `WIDTHxHEIGHT`."""

    manifest: Manifest
    sizes: dict[str, int]
    duplicates: tuple[Duplicate, ...]


@dataclass(frozen=True, slots=True)
class _Seen:
    row: Row
    size: str = ""
    signature: NDArray[np.float16] | None = None


def inspect(manifest: Manifest, *, crop: Crop, progress: Progress) -> Inspected:
    """Decode a few frames of every clip that no rule left out; threads share the work."""
    cv2.setNumThreads(1)
    n_threads = os.cpu_count() or 1
    usable = list(manifest.usable())
    seen: dict[str, _Seen] = {}
    with ThreadPoolExecutor(n_threads) as pool:
        for found in pool.map(functools.partial(_look, manifest, crop=crop), usable):
            seen[found.row.clip_id] = found
            progress.advance()
    rows = tuple(seen[row.clip_id].row if row.state != LEFT_OUT else row for row in manifest.rows)
    return Inspected(
        replace(manifest, rows=rows),
        dict(Counter(s.size for s in seen.values() if s.size).most_common()),
        tuple(find_duplicates(*_columns(list(seen.values())))),
    )


def _columns(seen: Sequence[_Seen]) -> tuple[list[str], list[str], list[NDArray[np.float16]]]:
    marked = [(s.row.clip_id, s.row.subject, s.signature) for s in seen if s.signature is not None]
    return [m[0] for m in marked], [m[1] for m in marked], [m[2] for m in marked]


def _look(manifest: Manifest, row: Row, *, crop: Crop) -> _Seen:
    onset, offset = row.onset or 0, row.offset or 0  # numbers, or a rule had left the clip out
    try:
        frames = list(read_frames(manifest.frames(row), signature_frames(onset, offset)))
        sizes = {f"{frame.shape[1]}x{frame.shape[0]}" for frame in frames}
        if len(sizes) > 1:
            raise FrameError(f"frames of changing size: {' and '.join(sorted(sizes))}")
        box, note = choose_box(frames[0], crop)
    except UnfitError as error:
        return _Seen(replace(row, state=LEFT_OUT, reason=str(error)))
    except FrameError as error:
        reason = UNREADABLE + str(error).replace(f"{manifest.root}/", "")
        return _Seen(replace(row, state=LEFT_OUT, reason=reason))
    row = with_crop(row, "" if box is None else box.text(), note)
    return _Seen(row, sizes.pop(), signature([small(frame) for frame in frames]))


def summarise(inspected: Inspected, manifest_hash: str) -> dict[str, Any]:
    """Sum a data set up.

    Returns:
        A JSON-able dict; classes, subjects, frames and phases count the clips that are not left
        out, the commonest class first; phases are numbers of frames, both ends included.
    """
    manifest = inspected.manifest
    usable = manifest.usable()
    classes = Counter(row.label for row in usable)
    states = Counter(row.state for row in manifest.rows)
    by_subject: dict[str, Counter[str]] = defaultdict(Counter)
    for row in usable:
        by_subject[row.subject][row.label] += 1
    return {
        "dataset": manifest.dataset,
        "root": str(manifest.root),
        "parts": [
            {
                "dataset": part.dataset,
                "annotations": str(part.sheet.path),
                "sheet": part.sheet.name,
                "sha256": part.sheet.sha256,
                "frames": str(part.frames_root),
                "numbering": part.numbering,
                "n_fitting": part.n_fitting,
                "apex": part.apex,
                "unconfirmed": list(part.unconfirmed),
            }
            for part in manifest.parts
        ],
        "manifest_hash": manifest_hash,
        "n_clips": len(manifest.rows),
        "states": {state: states[state] for state in (USED, CORRECTED, LEFT_OUT)},
        "classes": dict(sorted(classes.items(), key=lambda item: (-item[1], item[0]))),
        "class_set": _class_set(manifest.dataset, usable),
        "subjects": {name: dict(sorted(n.items())) for name, n in sorted(by_subject.items())},
        "n_frames": sum(row.n_frames for row in usable),
        "frame_sizes": inspected.sizes,
        "phases": _phases(usable),
        "reasons": _reasons(manifest),
        "unused_corrections": list(manifest.unused),
        "duplicates": [
            {
                "clips": [found.first, found.second],
                "correlation": found.correlation,
                "across_subjects": found.across_subjects,
            }
            for found in inspected.duplicates
        ],
    }


def _class_set(dataset: str, usable: Sequence[Row]) -> dict[str, Any] | None:
    """Count the clips of the classes that `search` takes when none are named."""
    if dataset not in COMMONEST:
        return None
    chosen = LabelSet(COMMONEST[dataset], NAMED[COMMONEST[dataset]])
    counts = Counter(chosen.class_of(row.label, row.subject) for row in usable)
    return {
        "name": chosen.name,
        "classes": {name: counts[name] for name in chosen.classes},
        "n_outside": counts[None],
    }


def _phases(usable: Sequence[Row]) -> dict[str, dict[str, float]]:
    known = [row for row in usable if row.apex is not None]
    lengths = {
        "onset_apex": [(r.apex or 0) - (r.onset or 0) + 1 for r in known],
        "apex_offset": [(r.offset or 0) - (r.apex or 0) + 1 for r in known],
        "whole_clip": [r.n_frames for r in usable],
    }
    return {
        phase: {"min": min(found), "median": statistics.median(found), "max": max(found)}
        for phase, found in lengths.items()
        if found
    }


def _reasons(manifest: Manifest) -> dict[str, dict[str, list[dict[str, str]]]]:
    """List clips by state and kind of reason."""
    reasons: dict[str, dict[str, list[dict[str, str]]]] = {LEFT_OUT: {}, CORRECTED: {}}
    for row in manifest.rows:
        if row.state != USED:
            kind, _, detail = row.reason.partition(": ")
            found = reasons[row.state].setdefault(kind, [])
            found.append({"clip": row.clip_id, "detail": detail})
    return reasons


def render(summary: dict[str, Any], console: Console) -> None:
    """Print a summary for people, on about one screen."""
    say = functools.partial(
        console.print, markup=False, emoji=False, highlight=False, soft_wrap=True
    )
    _render_parts(summary, say)
    states = ", ".join(f"{n} {state.replace('_', ' ')}" for state, n in summary["states"].items())
    say(f"clips   {summary['n_clips']}: {states}")
    _render_frames(summary, say)
    console.print(_class_table(summary))
    if chosen := summary["class_set"]:
        counts = ", ".join(f"{name} {n}" for name, n in chosen["classes"].items())
        say(f"classes {chosen['name']}: {counts}; {chosen['n_outside']} clips have other labels")
    _render_reasons(summary, say)
    if doubled := summary["duplicates"]:
        _list_some(say, "the same frames under two names", [_pair(found) for found in doubled])
    if unused := summary["unused_corrections"]:
        _list_some(say, "corrections that changed nothing", unused)
    for part in summary["parts"]:
        for sentence in part["unconfirmed"]:
            say(f"unconfirmed of {part['dataset']}'s layout: {sentence}")


def _render_parts(summary: dict[str, Any], say: Any) -> None:
    for part in summary["parts"]:
        say(f"{part['dataset']}: sheet {part['sheet']} of {part['annotations']}")
        if part["numbering"] != "file_numbers":
            say(
                f"  the sheet's frame numbers are {part['numbering'].replace('_', ' ')}: "
                f"{part['n_fitting']} clips have all their frames that way"
            )


def _render_reasons(summary: dict[str, Any], say: Any) -> None:
    for state, kinds in summary["reasons"].items():
        for kind, found in kinds.items():
            listed = [f"{item['clip']}: {item['detail']}" for item in found]
            _list_some(say, f"{state.replace('_', ' ')}: {kind}", listed)


def _pair(found: dict[str, Any]) -> str:
    leak = ", two subjects: a fold would test what it trained on" * found["across_subjects"]
    return f"{found['clips'][0]} and {found['clips'][1]} ({found['correlation']}{leak})"


def _list_some(say: Any, what: str, items: Sequence[str]) -> None:
    if len(items) == 1:
        say(f"{what} (1): {items[0]}")
        return
    more = len(items) - _LISTED
    end = f", and {more} more (--manifest and --json list all)" if more > 0 else ""
    say("\n  ".join([f"{what} ({len(items)})", *items[:_LISTED]]) + end)


def _render_frames(summary: dict[str, Any], say: Any) -> None:
    sizes = list(summary["frame_sizes"])
    shown = ", ".join(sizes[:_LISTED]) + (
        f" and {len(sizes) - _LISTED} other sizes" if len(sizes) > _LISTED else ""
    )
    said = "a few of each clip were decoded, prepare reads all"
    say(f"frames  {summary['n_frames']} of {shown or 'unknown size'}; {said}")
    named = {"onset_apex": "onset to apex", "apex_offset": "apex to offset", "whole_clip": "clip"}
    lengths = [
        f"{named[phase]} {found['min']} to {found['max']}, median {found['median']:g}"
        for phase, found in summary["phases"].items()
    ]
    say(f"lengths {'; '.join(lengths) or 'none'} (frames)")


def _class_table(summary: dict[str, Any]) -> Table:
    subjects = summary["subjects"]
    table = Table("label", "clips", "subjects")
    clips_of: Counter[str] = Counter()
    for label, n_clips in summary["classes"].items():
        clips_of[plain_label(label)] += n_clips
    shown = [{plain_label(label) for label in counts} for counts in subjects.values()]
    for name, n_clips in clips_of.most_common():
        table.add_row(Text(name), str(n_clips), str(sum(name in labels for labels in shown)))
    table.add_section()
    each = [sum(counts.values()) for counts in subjects.values()] or [0]
    table.add_row(
        f"{len(subjects)} subjects, {min(each)} to {max(each)} clips each",
        str(sum(summary["classes"].values())),
        str(len(subjects)),
    )
    return table
