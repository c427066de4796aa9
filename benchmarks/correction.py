"""Measure how much of the champion's optimism BBC-CV removes, under `exhaustive` and a ladder.

    python -m benchmarks.correction [MATRIX.npz ...] [--matrices 40] [--json]

Searches are replayed on matrices generated like the recorded ones, whose truth is known. They are
also replayed on the recorded matrices with their labels dealt anew to the clips. Then no
configuration knows anything, and predictions are still as alike between configurations and rungs
as in real trainings. Errors are in points of UF1 over the truth of the chosen configuration.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table
from threadpoolctl import threadpool_limits

from benchmarks.replay.cluster import simulate
from benchmarks.replay.generator import calibrate, generate
from benchmarks.replay.margins import fit
from benchmarks.replay.matrix import Matrix, load
from benchmarks.replay.predictions import OBJECTIVE, Drawn, Recorded, rung_names
from benchmarks.replay.strategies import Scheduled
from benchmarks.search_cost import MATRICES
from dianet_ray.progress import Progress
from dianet_ray.protocol.correction import Choices
from dianet_ray.protocol.ladder import EXHAUSTIVE, Ladder, default_ladder
from dianet_ray.protocol.metrics import scores
from dianet_ray.protocol.predictions import classify, subject_confusions

WAVE_SIZE = 8
POINTS = 100
STRATEGIES = {"exhaustive": EXHAUSTIVE, "ladder": default_ladder(26)}


@dataclass(frozen=True, slots=True)
class Errors:
    """How far three scores of one search are above the truth.

    `naive` is the champion's own score, `loso_alone` corrects for the choice in LOSO alone, and
    `corrected` for that in all rungs. `covered`: the corrected interval holds the truth.
    """

    naive: float
    loso_alone: float
    corrected: float
    covered: bool


def measure(matrix: Matrix, ladder: Ladder, order: Sequence[int], seed: int) -> Errors:
    """Search a matrix in an order, and correct the champion's score."""
    drawn = Drawn(Recorded(matrix), tuple(order))
    strategy = Scheduled(drawn, ladder, WAVE_SIZE)
    simulate(strategy, drawn.seconds(ladder), 1)
    champion = strategy.champion()
    assert champion is not None
    rungs = [
        {number: _counts(matrix, name, order[number]) for number in strategy.complete(rung)}
        for rung, name in enumerate(rung_names(ladder))
    ]
    truth = float(matrix.truth[order[champion]])
    score = float(scores(rungs[-1][champion].sum(axis=(0, 1)))[OBJECTIVE])
    alone, found = (
        Choices(one, OBJECTIVE, seed=seed).score()[OBJECTIVE] for one in (rungs[-1:], rungs)
    )
    return Errors(
        naive=score - truth,
        loso_alone=alone.estimate - truth,
        corrected=found.estimate - truth,
        covered=found.ci95[0] <= truth <= found.ci95[1],
    )


def without_signal(matrix: Matrix, seed: int) -> Matrix:
    """Deal the labels anew; the truth is the score of predictions that know nothing of labels."""
    labels = np.array([clip.label for clip in matrix.clips])
    dealt = np.random.default_rng(seed).permutation(labels)
    n_classes = len(matrix.classes)
    predicted = classify(matrix.rungs["loso"].probabilities)
    shares = np.stack([(predicted == label).mean(axis=-1) for label in range(n_classes)], axis=-1)
    guessed = np.bincount(labels, minlength=n_classes)[:, None] * shares[..., None, :]
    clips = tuple(
        replace(clip, label=int(label)) for clip, label in zip(matrix.clips, dealt, strict=True)
    )
    return replace(matrix, clips=clips, fresh=scores(guessed)[OBJECTIVE])


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("paths", metavar="MATRIX.npz", type=Path, nargs="*")
    parser.add_argument("--matrices", type=int, default=40, help="per recorded matrix and kind")
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    paths = asked.paths or sorted(MATRICES.glob("*.npz"))
    recorded = [matrix for path in paths for matrix in load(path)]
    found: dict[tuple[str, str], list[Errors]] = {}
    with (
        threadpool_limits(1),
        Progress("corrections", 2 * asked.matrices * len(recorded), unit="matrices") as progress,
    ):
        for kind, matrix, seed in _matrices(recorded, asked.matrices):
            order = np.random.default_rng(seed).permutation(matrix.n_configs).tolist()
            for name, ladder in STRATEGIES.items():
                errors = measure(matrix, ladder, order, seed)
                found.setdefault((kind, name), []).append(errors)
            progress.advance()
    rows = [_row(kind, name, errors) for (kind, name), errors in found.items()]
    if asked.json:
        print(json.dumps({"corrections": rows}, indent=1))
    else:
        Console().print(_table(rows))


def _matrices(recorded: list[Matrix], n: int) -> Iterator[tuple[str, Matrix, int]]:
    for matrix in recorded:
        fitted = calibrate(fit(matrix))
        n_subjects = len({clip.subject for clip in matrix.clips})
        for seed in range(n):
            yield "no signal", without_signal(matrix, seed), seed
            made = generate(
                fitted, n_subjects=n_subjects, n_configs=matrix.n_configs, seed=1000 + seed
            )
            yield "signal", made, seed


def _counts(matrix: Matrix, rung: str, row: int) -> np.ndarray:
    points = classify(matrix.rungs[rung].probabilities[row])
    return np.stack(
        [subject_confusions(matrix.clips, one, len(matrix.classes))[1] for one in points]
    )


def _row(kind: str, name: str, errors: list[Errors]) -> dict[str, Any]:
    columns = {
        key: POINTS * np.array([getattr(one, key) for one in errors])
        for key in ("naive", "loso_alone", "corrected")
    }
    return {
        "labels": kind,
        "strategy": name,
        "n": len(errors),
        **{key: float(values.mean()) for key, values in columns.items()},
        "se": {
            key: float(values.std(ddof=1) / len(errors) ** 0.5) for key, values in columns.items()
        },
        "covered": float(np.mean([one.covered for one in errors])),
    }


def _table(rows: list[dict[str, Any]]) -> Table:
    table = Table(title="Points of UF1 over the truth of the chosen configuration")
    for column in ("labels", "strategy", "score", "BBC-CV of LOSO alone", "corrected", "covered"):
        table.add_column(column)
    for row in rows:
        cells = [f"{row[key]:+.2f} ± {se:.2f}" for key, se in row["se"].items()]
        table.add_row(row["labels"], row["strategy"], *cells, f"{row['covered']:.2f}")
    return table


if __name__ == "__main__":
    main()
