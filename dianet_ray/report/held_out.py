"""The champion's held-out predictions as a CSV file, one row per clip."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from pathlib import Path

from dianet_ray.errors import InputError
from dianet_ray.protocol.predictions import classify
from dianet_ray.protocol.standing import Standing
from dianet_ray.storage import files


def write_predictions(standing: Standing, path: Path) -> None:
    """Write the champion's held-out class probabilities as CSV, whole or not at all.

    Raises:
        InputError: no configuration is complete, or the file cannot be written.
    """
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(_rows(standing))
    with files.writing(path):
        files.make_folder(path.parent)
        files.put(path, text.getvalue().encode())


def _rows(standing: Standing) -> Iterator[list[str]]:
    study, winner = standing.study, standing.champion()
    if winner is None:
        raise InputError(
            "--predictions needs a complete configuration: none of the "
            f"{len(study.configurations)} configurations of {study.name} is complete, after "
            f"{len(study.trainings)} trainings"
        )
    # From the LOSO rung: each row comes from the one network that never saw the clip's subject.
    probabilities = standing.pooled(winner.number)
    columns = [f"probability_{name}" for name in study.classes]
    yield ["clip_id", "subject", "label", "predicted", *columns]
    for clip, index, row in zip(study.clips, classify(probabilities), probabilities, strict=True):
        label, predicted = study.classes[clip.label], study.classes[index]
        # The text of a float32 is the shortest one that reads back as the same number.
        yield [clip.clip_id, clip.subject, label, predicted, *map(str, row)]
