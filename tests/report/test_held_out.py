import csv
import dataclasses

import numpy as np
import pytest

from dianet_ray.errors import InputError
from dianet_ray.protocol.standing import standing_of
from dianet_ray.report.held_out import write_predictions
from tests.support.reports import report_of
from tests.support.studies import make_study


@pytest.fixture(scope="module")
def study():
    return make_study(n_subjects=8, n_configs=3)


def test_the_rows_are_the_champions_held_out_predictions(study, tmp_path):
    path = tmp_path / "made" / "predictions.csv"
    decided = standing_of(study)
    write_predictions(decided, path)
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    columns = [f"probability_{name}" for name in study.classes]
    assert list(rows[0]) == ["clip_id", "subject", "label", "predicted", *columns]
    assert [row["clip_id"] for row in rows] == [clip.clip_id for clip in study.clips]
    written = [[float(row[column]) for column in columns] for row in rows]
    probabilities = study.pooled(decided.champion().number)
    assert np.array_equal(np.array(written, dtype=np.float32), probabilities)
    right = np.mean([row["label"] == row["predicted"] for row in rows])
    assert right == pytest.approx(report_of(study).champion.accuracy)
    assert list(path.parent.iterdir()) == [path]


def test_without_a_champion_they_are_refused_and_nothing_is_written(study, tmp_path):
    unfinished = dataclasses.replace(
        study, trainings={key: t for key, t in study.trainings.items() if key[2] < 2}
    )
    rule = "needs a complete configuration: none of the 3 configurations of demo-study .* 6 train"
    with pytest.raises(InputError, match=rule) as caught:
        write_predictions(standing_of(unfinished), tmp_path / "predictions.csv")
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_cannot_be_written_is_refused_by_name(study, tmp_path):
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").write_text("old")
    for path in (tmp_path / "folder", tmp_path / "file" / "below"):
        with pytest.raises(InputError, match=f"cannot be written: {path}"):
            write_predictions(standing_of(study), path)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["file", "folder"]
    assert (tmp_path / "file").read_text() == "old"
