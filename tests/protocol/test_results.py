"""The result of a training: nothing is lost on the way to the ledger, and damage is named."""

import json

import numpy as np
import pytest
from hypothesis import given

from dianet_ray.artefacts import LoggedStep, from_json, to_json, to_plain
from dianet_ray.errors import InputError
from dianet_ray.protocol.results import (
    Point,
    Training,
    TrainingResult,
    Weights,
    WorkerEnvironment,
)
from tests.support.records import assert_same, environments, results, weights

RESULT = TrainingResult(
    outcome="ok",
    started_at=1.5,
    finished_at=4.0,
    points=(
        Point(10, np.array([[0.2, 0.8], [0.5, 0.5]], dtype=np.float32)),
        Point(
            20,
            np.array([[0.1, 0.9], [0.75, 0.25]], dtype=np.float32),
            Weights("weights/a-20/fold-000.safetensors", 1000, "0" * 64),
        ),
    ),
    history=(LoggedStep(step=10, loss=1.1, accuracy=0.4, learning_rate=1e-3),),
    environment=WorkerEnvironment(device="cpu", torch="2.13.0", threads=1, block=1, host="here"),
)
TRAINING = Training(number=3, config_id="a", rung=1, fold=0, attempt=2, result=RESULT)


@given(results)
def test_a_result_comes_back_from_its_json_to_the_bit(result):
    assert_same(from_json(TrainingResult, to_json(result), "a result"), result)


@given(weights)
def test_weights_come_back_from_their_json(record):
    assert_same(from_json(Weights, to_json(record), "weights"), record)


@given(environments)
def test_a_worker_s_environment_comes_back_from_its_json(record):
    assert_same(from_json(WorkerEnvironment, to_json(record), "an environment"), record)


@given(results)
def test_a_training_comes_back_from_its_json(result):
    training = Training(number=3, config_id="a", rung=1, fold=0, attempt=2, result=result)
    assert_same(from_json(Training, to_json(training), "a training"), training)


@pytest.mark.parametrize("place", ["points.1.weights", "points.0", "environment", "history.0"])
def test_an_unknown_key_within_a_result_is_refused_with_its_place(place):
    plain = inner = to_plain(RESULT)
    for name in place.split("."):
        inner = inner[int(name) if name.isdecimal() else name]
    inner["misspelt"] = 1
    with pytest.raises(InputError, match=rf"a result is damaged: .*{place}.misspelt"):
        from_json(TrainingResult, json.dumps(plain), "a result")


@pytest.mark.parametrize("values", [{}, [[{}]], [1.0], [[[1.0]]], [[1.0], [1.0, 2.0]], "a"])
def test_probabilities_that_are_no_rows_of_numbers_are_refused_in_one_line(values):
    plain = to_plain(RESULT)
    plain["points"][0]["probabilities"] = values
    with pytest.raises(InputError, match=r"damaged: points\.0\.probabilities: got ") as error:
        from_json(TrainingResult, json.dumps(plain), "a result")
    assert "\n" not in str(error.value)


def test_a_training_is_named_by_number_rung_and_fold_and_shows_its_result():
    assert TRAINING.key == (3, 1, 0)
    assert (TRAINING.outcome, TRAINING.seconds) == ("ok", 2.5)
    assert TRAINING.points is RESULT.points
    assert TRAINING.at(10) is RESULT.points[0]
