"""Measure how honest the corrected score of a champion is: its bias, its intervals, its verdict.

    python -m benchmarks.honesty [MATRIX.npz ...] [--searches 300] [--subjects 12,26,68]
        [--workers 2] [--kept FILE] [--json]

Searches of 64 configurations are played with the product's decisions on people of whom the truth
is known, exhaustively and with the default ladder, by each metric. Half of the people are drawn
like the recorded matrices (`replay.generator`). The other half know an answer or guess it, which
has nothing to do with that generator. Each is also played without signal: the labels of the first
are dealt anew to the clips, and the second guess alone. As with the shipped spaces, a search keeps
the settings that it began with unless others are clearly ahead; a quarter of the others is better.
Errors are in points over the truth of the configuration that was chosen. With `--kept`, searches
are kept in a file, and the same command goes on from there.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, replace
from functools import cache
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from rich.console import Console
from rich.table import Table
from threadpoolctl import threadpool_limits

from benchmarks.replay.generator import calibrate
from benchmarks.replay.margins import Fitted, fit
from benchmarks.replay.matrix import load
from benchmarks.replay.people import (
    Case,
    People,
    begun,
    knowing_or_guessing,
    ladder_of,
    like_recorded,
)
from benchmarks.search_cost import MATRICES
from dianet_ray.artefacts import METRICS
from dianet_ray.progress import Progress
from dianet_ray.protocol.comparison import Basis, Comparison
from dianet_ray.protocol.correction import Choices, Tally
from dianet_ray.protocol.decisions import FIRST, Decisions
from dianet_ray.protocol.folds import Fold
from dianet_ray.protocol.ladder import Ladder
from dianet_ray.protocol.metrics import scores
from dianet_ray.protocol.permutation import p_values
from dianet_ray.protocol.predictions import chance, classify, shares, subject_confusions
from dianet_ray.report.champion import is_above

WAVE_SIZE = 8
POINTS, WIDTH = 100, 130


@dataclass(frozen=True, slots=True)
class Outcome:
    """How far scores are above the truth, and what the corrected interval says."""

    case: Case
    naive: float
    corrected: float
    width: float
    is_covered: bool
    is_above_chance: bool


class Searched(NamedTuple):
    """What finished each rung, at one point, by number; and the champion."""

    rungs: list[dict[int, Tally]]
    champion: int


def search(
    people: People, ladder: Ladder, metric: str, seed: int, *, keeps_first: bool = False
) -> Searched:
    """Search with the product's decisions; the first settings may be kept as the champion."""

    @cache  # a comparison remembers by the identity of the arrays
    def probabilities(number: int, rung: int, fold: int) -> tuple[np.ndarray, ...]:
        tested = list(people.rungs[rung][fold].test_clips)
        return (people.predicted[rung][number][tested],)

    rungs = people.rungs
    basis = Basis(ladder, rungs, people.clips, metric, seed)
    decisions = Decisions(
        ladder,
        [len(folds) for folds in rungs],
        Comparison(basis, predictions=probabilities, names=str),
    )
    for wave in range(len(people.predicted[0]) // WAVE_SIZE):
        decisions.draw(wave, WAVE_SIZE)
        _train(decisions, rungs)
    decisions.end_drawing()
    _train(decisions, rungs)
    finished = [
        sorted(entry.number for entry in decisions.complete(rung)) for rung in range(len(ladder))
    ]
    rungs_of = [
        {number: _tally(people, people.predicted[rung][number]) for number in numbers}
        for rung, numbers in enumerate(finished)
    ]
    champion = decisions.best()
    assert champion is not None
    if keeps_first:
        ahead = [number for number in finished[-1] if decisions.is_ahead(number, FIRST)]
        totals = {number: decisions.total(number, len(ladder) - 1) for number in ahead}
        champion = max(ahead, key=totals.__getitem__, default=FIRST)
    return Searched(rungs_of, champion)


def _train(decisions: Decisions, rungs: Sequence[Sequence[Fold]]) -> None:
    """Finish whatever is in a rung, the lowest first."""
    for rung, folds in enumerate(rungs):
        for entry in decisions.entries(rung):
            for fold in range(len(folds)):
                if entry.needs(fold):
                    decisions.finished(entry.number, rung, fold, "ok")


def _tally(people: People, predicted: np.ndarray) -> Tally:
    """Count predictions by subject, at one point."""
    return Tally(
        *(
            subject_confusions(people.clips, kind(predicted), people.n_classes)[1][None]
            for kind in (classify, shares)
        )
    )


def measure(case: Case) -> Outcome:
    """Search once, and correct the champion's score."""
    with threadpool_limits(1):
        if case.source == "recorded":
            made = _fitted()
            people = like_recorded(made[case.seed % len(made)], case)
        else:
            people = knowing_or_guessing(case)
        people = begun(people, case.metric)
        rungs, champion = search(people, ladder_of(case), case.metric, case.seed, keeps_first=True)
        found = Choices(rungs, case.metric, first=FIRST, seed=case.seed).score()[case.metric]
        labels = np.array([clip.label for clip in people.clips])
        level = chance(
            labels,
            classify(people.predicted[-1][champion]),
            folds=people.rungs[-1],
            n_classes=people.n_classes,
        )[case.metric]
        p = p_values(
            [people.predicted[0][number][None] for number in rungs[0]],
            labels,
            np.unique([clip.subject for clip in people.clips], return_inverse=True)[1],
            objective=case.metric,
            seed=case.seed,
        )
        level = replace(level, p=p[case.metric] if p else None)
    truth = float(people.truth[case.metric][champion])
    score = float(scores(rungs[-1][champion].hard.sum(axis=(0, 1)))[case.metric])
    low, high = found.ci95
    return Outcome(
        case,
        naive=score - truth,
        corrected=found.estimate - truth,
        width=high - low,
        is_covered=low <= truth <= high,
        is_above_chance=is_above(found.ci95, level),
    )


_PATHS: list[Path] = []


def _begin(paths: Sequence[Path]) -> None:
    """Tell a worker where the matrices are."""
    _PATHS[:] = paths


@cache
def _fitted() -> list[Fitted]:
    """Fit the generator to each recorded matrix, once per worker."""
    return [calibrate(fit(matrix)) for path in _PATHS for matrix in load(path)]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("paths", metavar="MATRIX.npz", type=Path, nargs="*")
    parser.add_argument("--searches", type=int, default=300, help="of each row of the table")
    parser.add_argument("--subjects", default="12,26,68")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--kept", metavar="FILE", type=Path)
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    paths = asked.paths or sorted(MATRICES.glob("*.npz"))
    if not paths:
        raise SystemExit(f"no matrices in {MATRICES}: record one with benchmarks.replay.record")
    rows = list(
        product(
            ("signal", "noise"),
            map(int, asked.subjects.split(",")),
            ("exhaustive", "ladder"),
            METRICS,
        )
    )
    half = max(2, asked.searches // 2)
    cases = [
        Case(source, *row, seed)
        for seed in range(half)
        for row in rows
        for source in ("recorded", "guessing")
    ]
    found = play(cases, paths, n_workers=asked.workers, kept=asked.kept)
    summed = [_row(found, *row) for row in rows]
    if asked.json:
        print(json.dumps({"honesty": summed}, indent=1))
    else:
        Console(width=WIDTH).print(_table(summed))


def play(
    cases: Sequence[Case], paths: Sequence[Path], *, n_workers: int, kept: Path | None = None
) -> list[Outcome]:
    """Search as often as there are cases, but for searches that are kept in a file."""
    known = {one.case: one for one in _read(kept)}
    found = [known[case] for case in cases if case in known]
    with (
        ProcessPoolExecutor(n_workers, initializer=_begin, initargs=(paths,)) as pool,
        Progress("honesty", len(cases), unit="searches") as progress,
    ):
        progress.skip(len(found))
        left = [case for case in cases if case not in known]
        for outcome in pool.map(measure, left, chunksize=8):
            found.append(outcome)
            _write(kept, outcome)
            progress.advance()
    return found


def _read(path: Path | None) -> list[Outcome]:
    """Read the searches that are kept, a line each."""
    if path is None or not path.exists():
        return []
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    return [Outcome(**row | {"case": Case(*row["case"])}) for row in rows]


def _write(path: Path | None, outcome: Outcome) -> None:
    """Keep a search."""
    if path is not None:
        with path.open("a") as file:
            file.write(json.dumps(asdict(outcome)) + "\n")


def _row(
    found: Iterable[Outcome], labels: str, n_subjects: int, strategy: str, metric: str
) -> dict[str, Any]:
    wanted = labels, n_subjects, strategy, metric
    mine = [one for one in found if one.case[1:5] == wanted]
    row: dict[str, Any] = {
        "labels": labels,
        "subjects": n_subjects,
        "strategy": strategy,
        "metric": metric,
        "n": len(mine),
        "covered": float(np.mean([one.is_covered for one in mine])),
        "above_chance": float(np.mean([one.is_above_chance for one in mine])),
    }
    for key in ("naive", "corrected", "width"):
        row[key] = POINTS * float(np.mean([getattr(one, key) for one in mine]))
    errors = [one.corrected for one in mine]
    row["se"] = POINTS * float(np.std(errors, ddof=1) / len(errors) ** 0.5)
    for source in ("recorded", "guessing"):
        some = [one.corrected for one in mine if one.case.source == source]
        row[source] = POINTS * float(np.mean(some))
    return row


def _table(rows: Sequence[dict[str, Any]]) -> Table:
    table = Table(title="Points over the truth of the chosen configuration, and intervals")
    for column in (
        "labels",
        "subjects",
        "strategy",
        "metric",
        "score",
        "corrected",
        "like recorded",
    ):
        table.add_column(column)
    for column in ("guessing", "covered", "width", "above chance"):
        table.add_column(column)
    for row in rows:
        table.add_row(
            row["labels"],
            str(row["subjects"]),
            row["strategy"],
            row["metric"],
            f"{row['naive']:+.1f}",
            f"{row['corrected']:+.1f} ± {row['se']:.1f}",
            f"{row['recorded']:+.1f}",
            f"{row['guessing']:+.1f}",
            f"{row['covered']:.2f}",
            f"{row['width']:.0f}",
            f"{row['above_chance']:.3f}",
        )
    return table


if __name__ == "__main__":
    main()
