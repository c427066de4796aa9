"""The record of a training."""

import numpy as np
import pytest

from dianet_ray.artefacts import from_json, to_json
from dianet_ray.errors import InputError
from dianet_ray.protocol.results import Training, TrainingResult

RESULT = TrainingResult("ok", 10.0, 12.5, probabilities=np.float32([[0.1, 0.9], [0.7, 0.3]]))
TRAINING = Training(3, "abc", rung=1, fold=2, attempt=1, result=RESULT)


def test_a_training_reads_back_to_the_bit():
    again = from_json(Training, to_json(TRAINING), "")
    assert again.probabilities.dtype == np.float32
    assert (again.probabilities == RESULT.probabilities).all()
    assert (again.key, again.outcome, again.seconds) == ((3, 1, 2), "ok", 2.5)


@pytest.mark.parametrize("text", ["[0.5, 0.5]", "[[[0.5]]]", "0.5"])
def test_probabilities_have_a_row_per_clip(text):
    written = to_json(TrainingResult("ok", 0.0, 1.0)).replace(
        '"probabilities":null', f'"probabilities":{text}'
    )
    assert text in written
    with pytest.raises(InputError, match="probabilities"):
        from_json(TrainingResult, written, "")
