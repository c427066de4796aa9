"""The summary of a data set on a terminal: about one screen, however large the data set is."""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Callable, Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from dianet_ray.artefacts import LEFT_OUT
from dianet_ray.datasets.contradictions import ADVICE
from dianet_ray.datasets.label_sets import plain_label
from dianet_ray.datasets.manifest import NO_ROW, mostly_left_out, remedies_text
from dianet_ray.datasets.published import missing_text, part_text
from dianet_ray.datasets.summary import DuplicateClips, Summary

Say = Callable[[str], None]

_JSON = "--json lists"
_LISTED = 2  # clips per kind of reason
_NUMBERINGS = {
    "clip_relative": "the sheet counts frames from the first file of each clip's folder",
    "renumbered": "the sheet's frame numbers are not those of the files: a clip's first file is "
    "its onset",
}
_FIND_APEX = (
    "to use such clips, --apex spot estimates the apex, --apex midpoint takes the middle frame"
)
_ADVICE = {
    "missing apex": _FIND_APEX,
    "impossible apex": _FIND_APEX,
    "frames missing": "the numbers are of files that the folder of the clip lacks; with "
    "--fill-gaps N the nearest frame stands in for up to N in a row",
    "duplicate rows": "nothing says which of the rows is right: keep one per clip",
}
"""What to do about a reason for which clips are left out, by its kind."""
_PHASES = {"onset_apex": "onset to apex", "apex_offset": "apex to offset", "whole_clip": "clip"}


def render(summary: Summary, console: Console) -> None:
    """Print a summary."""
    # Labels and paths are the user's: nothing in them is markup.
    say = functools.partial(
        console.print, markup=False, emoji=False, highlight=False, soft_wrap=True
    )
    _say_sources(summary, say)
    states = ", ".join(f"{n} {_words(state)}" for state, n in summary.states.items())
    say(f"clips   {summary.n_clips}: {states}")
    _say_mostly_left_out(summary, say)
    _say_frames(summary, say)
    console.print(_class_table(summary))
    if chosen := summary.class_set:
        counts = ", ".join(f"{name} {n}" for name, n in chosen.classes.items())
        verb = "has another label" if chosen.n_outside == 1 else "have other labels"
        say(f"classes {chosen.name}: {counts}; {_count(chosen.n_outside, 'clip')} {verb}")
    _say_published(summary, say)
    _say_reasons(summary, say)
    conflicts = [f"{one.clip}: {one}" for one in summary.contradictions]
    what = "labels that the clips' own names contradict"
    _say_some(say, what, conflicts, listed_by=_JSON, advice=ADVICE)
    if said := remedies_text(summary.remedies):
        say(f"{said}; {_JSON} which")
    alike = "clips that move almost alike, check whether they are copies"
    _say_some(say, alike, [_pair(one) for one in summary.duplicates], listed_by=_JSON)
    overlaps = list(map(str, summary.overlaps))
    _say_some(say, "clips that share frames", overlaps, listed_by=_JSON)
    unused = "corrections that changed nothing"
    _say_some(say, unused, summary.unused_corrections, listed_by=_JSON)
    for source in summary.parts:
        for sentence in source.unconfirmed:
            say(f"unconfirmed for {source.dataset}: {sentence}")


def _say_sources(summary: Summary, say: Say) -> None:
    for source in summary.parts:
        sheet = f"sheet {source.sheet} of" if source.sheet else "folders below"
        read_as = f", read as {source.encoding}" if source.encoding else ""
        say(f"{source.dataset}: {sheet} {source.annotations}{read_as}")
        for note in source.notes:
            say(f"  {note}")
        if source.numbering != "file_numbers":
            say(
                f"  {_NUMBERINGS[source.numbering]}; "
                f"clips that have all their frames this way: {source.n_fitting}"
            )


def _say_mostly_left_out(summary: Summary, say: Say) -> None:
    kinds = {kind: len(clips) for kind, clips in summary.reasons[LEFT_OUT].items()}
    n_without_row = kinds.pop(NO_ROW.removesuffix(": "), 0)
    said = mostly_left_out(sum(kinds.values()), summary.n_clips - n_without_row)
    if said:
        commonest = max(kinds, key=lambda kind: kinds[kind])
        say(f"{said}; {commonest}: {kinds[commonest]}")


def _say_frames(summary: Summary, say: Say) -> None:
    sizes = list(summary.frame_sizes)
    n_more = len(sizes) - _LISTED
    more = f" and {_count(n_more, 'other size')}" if n_more > 0 else ""
    shown = (", ".join(sizes[:_LISTED]) or "unknown size") + more
    note = "a few of each clip were decoded, prepare reads all"
    say(f"frames  {summary.n_frames} of {shown}; {note}")
    lengths = [
        f"{_PHASES[phase]} {found.min} to {found.max}, median {found.median:g}"
        for phase, found in summary.phases.items()
    ]
    say(f"lengths {'; '.join(lengths) or 'none'} (frames)")


def _class_table(summary: Summary) -> Table:
    table = Table("label", "clips", "subjects")
    clips_of: Counter[str] = Counter()
    for label, n_clips in summary.classes.items():
        clips_of[plain_label(label)] += n_clips
    subjects = summary.subjects.values()
    shown = [{plain_label(label) for label in counts} for counts in subjects]
    for name, n_clips in clips_of.most_common():
        table.add_row(Text(name), str(n_clips), str(sum(name in labels for labels in shown)))
    table.add_section()
    each = [sum(counts.values()) for counts in subjects] or [0]
    table.add_row(
        f"{_count(len(subjects), 'subject')}, {_range(min(each), max(each))} each",
        str(sum(summary.classes.values())),
        str(len(subjects)),
    )
    return table


def _say_published(summary: Summary, say: Say) -> None:
    for part in summary.published:
        say(f"published list of {summary.dataset}: {part_text(part)}")
        missing = [missing_text(clip) for clip in part.missing]
        _say_some(say, f"missing of {part.dataset}", missing, listed_by=_JSON)


def _say_reasons(summary: Summary, say: Say) -> None:
    for state, kinds in summary.reasons.items():
        for kind, clips in kinds.items():
            listed = [f"{one.clip}: {one.detail}" for one in clips]
            advice = _advice(kind, summary) if state == LEFT_OUT else ""
            _say_some(say, f"{_words(state)}: {kind}", listed, advice=advice)


def _advice(kind: str, summary: Summary) -> str:
    # Here and not in the reason, which is part of the manifest's hash.
    if kind == "no frame folder":
        places = ", ".join(part.frames for part in summary.parts)
        # The clip is named with its subject, which is no part of the path that a table gives.
        what = "the table's clip is a path" if summary.dataset == "table" else "looked"
        return f"{what} below {places}"
    advice = _ADVICE.get(kind, "")
    # Where an apex is estimated already, what is left cannot be helped by it.
    is_open = any(part.apex == "annotated" for part in summary.parts)
    return advice if is_open or advice != _FIND_APEX else ""


def _say_some(
    say: Say,
    what: str,
    items: Sequence[str],
    *,
    listed_by: str = "--manifest and --json list",
    advice: str = "",
) -> None:
    """Say how many there are, and name the first few and what lists all of them."""
    tail = f"; {advice}" if advice else ""
    if len(items) == 1:
        say(f"{what} (1): {items[0]}{tail}")
    elif items:
        n_more = len(items) - _LISTED
        end = f", and {n_more} more ({listed_by} all)" if n_more > 0 else ""
        say("\n  ".join([f"{what} ({len(items)}){tail}", *items[:_LISTED]]) + end)


def _pair(one: DuplicateClips) -> str:
    leak = ""
    if one.across_subjects:
        leak = ", two subjects: if they are copies, one is tested on what the other has taught"
    return f"{one.clips[0]} and {one.clips[1]} (similarity {one.correlation}{leak})"


def _range(low: int, high: int) -> str:
    """Write numbers of clips.

    >>> _range(1, 1), _range(1, 3)
    ('1 clip', '1 to 3 clips')
    """
    return _count(low, "clip") if low == high else f"{low} to {high} clips"


def _words(name: str) -> str:
    return name.replace("_", " ")


def _count(n: int, noun: str) -> str:
    """Write a number and its noun.

    >>> _count(1, "clip"), _count(2, "clip")
    ('1 clip', '2 clips')
    """
    return f"{n} {noun}" if n == 1 else f"{n} {noun}s"
