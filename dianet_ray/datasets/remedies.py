"""Which flags would make clips usable that are left out: the rules applied again with each."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

from dianet_ray.artefacts import LEFT_OUT
from dianet_ray.datasets.annotations import ApexRule, Loaded, Rules
from dianet_ray.datasets.corrections import PUBLISHED, Corrected, correct, read_corrections
from dianet_ray.datasets.manifest import Row
from dianet_ray.errors import InputError

Judge = Callable[[Rules, Corrected], Sequence[Row]]
"""Applies all rules to the clips of one source; no folder is listed again."""

_APEX_RULES: tuple[ApexRule, ...] = ("midpoint", "spot")
_FILL_GAPS = "--fill-gaps"
_GAPS = (1, 2, 5, 10)  # the least of these that suffices is named


def find_remedies(
    loaded: Loaded, judge: Judge, rules: Rules, corrected: Corrected
) -> dict[str, tuple[str, ...]]:
    """Name the flags that would make a clip usable, each of them alone, by clip_id.

    Args:
        loaded: the source.
        judge: applies the rules to it.
        rules: those in force; `apex` is set.
        corrected: its annotations with the corrections in force.
    """
    rows = judge(rules, corrected)
    flags: dict[str, list[str]] = {row.clip_id: [] for row in rows if row.state == LEFT_OUT}
    for flag, judged in _with_other_flags(loaded, judge, rules, corrected) if flags else ():
        for row in judged:
            if row.state != LEFT_OUT and row.clip_id in flags:
                flags[row.clip_id].append(flag)
    least = {clip_id: _with_least_gap(found) for clip_id, found in flags.items()}
    return {clip_id: found for clip_id, found in least.items() if found}


def _with_least_gap(flags: Sequence[str]) -> tuple[str, ...]:
    """Keep of the flags that fill gaps the first one, which fills least."""
    gaps = [flag for flag in flags if flag.startswith(_FILL_GAPS)]
    return tuple(flag for flag in flags if flag not in gaps[1:])


def _with_other_flags(
    loaded: Loaded, judge: Judge, rules: Rules, corrected: Corrected
) -> Iterator[tuple[str, Sequence[Row]]]:
    """Judge the clips again, as if one more flag had been given."""
    if published := _published(loaded):
        yield f"--corrections {PUBLISHED}", judge(rules, published)
    if rules.apex == "annotated":
        for rule in _APEX_RULES:
            yield f"--apex {rule}", judge(replace(rules, apex=rule), corrected)
    for n in _GAPS:
        if n > rules.fill_gaps:
            yield f"{_FILL_GAPS} {n}", judge(replace(rules, fill_gaps=n), corrected)


def _published(loaded: Loaded) -> Corrected | None:
    corrections = read_corrections(PUBLISHED, [loaded.dataset])
    try:
        return correct(loaded.annotations, corrections) if corrections else None
    except InputError:
        return None  # the sheet names a clip twice: the flag would be refused
