"""Records of a training as hypothesis draws them, and how records are compared."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from dianet_ray.artefacts import LoggedStep
from dianet_ray.protocol.results import Point, Seen, TrainingResult, Weights, WorkerEnvironment

numbers = st.integers(0, 10**9)
floats = st.floats(allow_nan=False, allow_infinity=False)
names = st.text(max_size=8)

weights = st.builds(Weights, path=names, n_bytes=numbers, sha256=names)
environments = st.builds(
    WorkerEnvironment, device=names, torch=names, threads=numbers, block=numbers, host=names
)
probabilities = arrays.arrays(
    np.float32,
    arrays.array_shapes(min_dims=2, max_dims=2, max_side=4),
    elements=st.floats(0, 1, width=32),
)
points = st.builds(Point, steps=numbers, probabilities=probabilities, weights=st.none() | weights)
logged_steps = st.builds(
    LoggedStep, step=numbers, loss=floats, accuracy=floats, learning_rate=floats
)
results = st.builds(
    TrainingResult,
    outcome=st.sampled_from(["ok", "failed", "lost"]),
    started_at=floats,
    finished_at=floats,
    points=st.lists(points, max_size=3).map(tuple),
    history=st.lists(logged_steps, max_size=3).map(tuple),
    error=st.text(),
    environment=st.none() | environments,
    seen=st.none() | st.builds(Seen, trained=names, tested=names),
)


def assert_same(found: Any, wanted: Any) -> None:
    """Require equal records of equal types; `==` does not compare the arrays that they hold.

    1, 1.0 and True are equal and differ in meaning, so types are compared all the way down.
    """
    assert type(found) is type(wanted), f"{found!r} is no {type(wanted)}"
    if isinstance(wanted, np.ndarray):
        np.testing.assert_array_equal(found, wanted, strict=True)
    elif dataclasses.is_dataclass(wanted):
        for field in dataclasses.fields(wanted):
            assert_same(getattr(found, field.name), getattr(wanted, field.name))
    elif isinstance(wanted, tuple | list):
        assert len(found) == len(wanted)
        for one, other in zip(found, wanted, strict=True):
            assert_same(one, other)
    elif isinstance(wanted, dict):
        assert list(found) == list(wanted)
        assert_same(list(found.values()), list(wanted.values()))
    else:
        assert found == wanted
