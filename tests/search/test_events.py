"""Every record of the core comes back from its JSON as it was; an unknown key is refused."""

import dataclasses
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dianet_ray.artefacts import Duplicate, from_json, to_json, to_plain
from dianet_ray.errors import InputError
from dianet_ray.options import SearchOptions
from dianet_ray.protocol.ladder import Rung
from dianet_ray.protocol.results import Training, Weights
from dianet_ray.protocol.study import (
    Asked,
    EndOfDrawing,
    Identity,
)
from dianet_ray.search.events import (
    Answer,
    BlockSized,
    DrawingEnded,
    Ended,
    EventLine,
    Member,
    Order,
    Refusal,
    Results,
    Started,
    TrainingEnded,
    Unfit,
    Waiting,
    WaveDrawn,
    WeightsMade,
    WorkersChanged,
    answer_of,
    order_of,
)
from dianet_ray.search.study_file import StudyFile
from dianet_ray.settings import Choice, Range, Settings, SpaceIdentity
from tests.support.records import assert_same, floats, names, numbers, results, weights
from tests.support.studies import DRIVER, LADDER, laddered

STUDY = laddered(n_configs=2)
SPACE = SpaceIdentity(
    sampler="grid",
    fixed={"flip": True, "heads": 1, "dropout": 0.0, "fusion": "concat"},
    search={"erasing": Choice((0.0, 0.25)), "steps": Range(100, 300, step=50)},
    constraints=("heads divides embedding",),
    first_settings=(Settings(steps=100), Settings(fusion="concat")),
    around={"erasing": 0.0, "steps": 200},
)
IDENTITY = dataclasses.replace(STUDY.identity, space=SPACE)
ORIGIN = dataclasses.replace(
    STUDY.origin,
    dropped_labels={"fear": "one subject shows it"},
    duplicates=(Duplicate("a", "b", 0.99, across_subjects=True),),
)
TRAINING = STUDY.trainings[0, 1, 0]
END = EndOfDrawing(16, "--max-hours", Asked(configs=32, max_hours=1.5))
ORDER = Order(
    rung=1,
    members=(Member(3, "abc", Settings(heads=2), 4), Member(5, "xyz", Settings(), 0)),
    steps=0.5,
    attempt=2,
    silence_s=600.0,
    avoid=("node-a", "node-b"),
)
EVENTS = (
    Started(1.0, 2, 32, dataclasses.replace(DRIVER, options=SearchOptions(keep_weights="all"))),
    WorkersChanged(2.0, 5),
    WaveDrawn(3.0, 1, (Settings(), Settings(steps=7))),
    TrainingEnded(TRAINING),
    WeightsMade(5.0, 3, 4, (Weights("weights/a-9/fold-004.safetensors", 10, "0" * 64),)),
    DrawingEnded(6.0, END),
    BlockSized(6.5, 13),
    Ended(7.0, "interrupted"),
)
RECORDS = (
    *(EventLine(event) for event in EVENTS),
    *EVENTS,
    ORDER,
    Answer(Results((TRAINING.result, dataclasses.replace(TRAINING.result, is_crash=True)))),
    Answer(Unfit("CUDA out of memory", is_memory=True)),
    Answer(Refusal("node-a", "no space left on the device")),
    Refusal("node-a", "no space left on the device"),
    Answer(Waiting("node-a", "no space left on the device")),
    dataclasses.replace(TRAINING, block=((3, 4), (5, 0))),
    TRAINING,
    TRAINING.result,
    IDENTITY,
    ORIGIN,
    SPACE,
    *SPACE.search.values(),
    *LADDER,
    DRIVER,
    END,
    END.asked,
    StudyFile(
        format=4,
        identity=IDENTITY,
        origin=ORIGIN,
        classes=STUDY.classes,
        clips=STUDY.clips,
        rungs=tuple(tuple(fold.test_subjects for fold in folds) for folds in STUDY.rungs),
    ),
)
each_record = pytest.mark.parametrize(
    "record", RECORDS, ids=[f"{type(record).__name__}-{i}" for i, record in enumerate(RECORDS)]
)


@each_record
def test_a_record_comes_back_from_its_json_as_it_was(record):
    assert_same(from_json(type(record), to_json(record), "it"), record)


@each_record
def test_a_record_is_plain_json_without_nan(record):
    plain = to_plain(record)
    assert json.loads(json.dumps(plain, allow_nan=False)) == plain
    assert json.loads(to_json(record)) == plain


@each_record
def test_an_unknown_key_of_a_record_is_refused(record):
    plain = {**to_plain(record), "misspelt": 1}
    with pytest.raises(InputError, match=r"study\.json is damaged: .*misspelt"):
        from_json(type(record), json.dumps(plain), "study.json")


@each_record
def test_a_missing_key_of_a_record_is_refused(record):
    needed = [
        field.name
        for field in dataclasses.fields(record)
        if field.default is field.default_factory is dataclasses.MISSING
    ]
    for name in needed:
        plain = {key: value for key, value in to_plain(record).items() if key != name}
        with pytest.raises(InputError, match=rf"it is damaged: .*{name}"):
            from_json(type(record), json.dumps(plain), "it")


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: event.kind)
def test_damage_within_an_event_is_named_in_that_event(event):
    plain = to_plain(EventLine(event))
    plain["event"]["misspelt"] = 1
    with pytest.raises(InputError, match=rf"unknown key event\.{event.kind}\.misspelt"):
        from_json(EventLine, json.dumps(plain), "line 7")


def test_an_event_of_an_unknown_kind_is_refused_by_its_name():
    with pytest.raises(InputError, match=r"line 7 is damaged: event: got .*'kind': 'restart'"):
        from_json(EventLine, '{"event": {"kind": "restart", "at": 1.0}}', "line 7")


settings = st.builds(
    Settings,
    learning_rate=st.floats(1e-9, 1.0),
    dropout=st.floats(0, 0.99),
    heads=st.sampled_from([1, 2, 4]),
    flip=st.booleans(),
    steps=st.integers(1, 10**6),
)
trainings = st.builds(
    Training,
    number=numbers,
    config_id=names,
    rung=numbers,
    fold=numbers,
    attempt=numbers,
    result=results,
)
ends = st.builds(
    EndOfDrawing,
    n_configs=numbers,
    reason=st.text(),
    asked=st.builds(
        Asked, configs=numbers, max_trainings=st.none() | numbers, max_hours=st.none() | floats
    ),
)
events = st.one_of(
    st.builds(WorkersChanged, at=floats, n_workers=numbers),
    st.builds(
        WaveDrawn, at=floats, wave=numbers, settings=st.lists(settings, max_size=3).map(tuple)
    ),
    st.builds(TrainingEnded, training=trainings),
    st.builds(
        WeightsMade,
        at=floats,
        number=numbers,
        fold=numbers,
        weights=st.lists(weights, max_size=3).map(tuple),
    ),
    st.builds(DrawingEnded, at=floats, end=ends),
    st.builds(
        Ended, at=floats, reason=st.sampled_from(["done", "interrupted", "stopped", "error"])
    ),
)
orders = st.builds(
    Order,
    rung=numbers,
    members=st.lists(
        st.builds(Member, number=numbers, config_id=names, settings=settings, fold=numbers),
        min_size=1,
        max_size=3,
    ).map(tuple),
    steps=floats,
    attempt=numbers,
    silence_s=floats,
    avoid=st.lists(names, max_size=2).map(tuple),
)
rungs = st.builds(
    Rung,
    groups=st.none() | st.integers(2, 9),
    steps=floats,
    keep=floats,
    drop=st.sampled_from(["none", "bootstrap"]),
)


@given(events)
def test_any_event_is_one_line_of_a_ledger_and_comes_back(event):
    line = to_json(EventLine(event))
    assert "\n" not in line
    assert_same(from_json(EventLine, line, "a line").event, event)


@given(orders)
def test_an_order_reaches_the_worker_as_it_was(order):
    found = order_of(order.config())
    assert_same(found, order)


@given(results)
def test_an_answer_reaches_the_searcher_as_it_was(result):
    answer = Results((result, result))
    assert_same(answer_of(Answer(answer).report()), answer)


@given(st.builds(Refusal, node_id=names, problem=st.text()))
def test_a_refusal_reaches_the_searcher_as_it_was(refusal):
    assert_same(answer_of(Answer(refusal).report()), refusal)


@given(st.lists(rungs, min_size=1, max_size=3).map(tuple), numbers)
def test_an_identity_keeps_its_ladder_and_seed(ladder, seed):
    identity = dataclasses.replace(IDENTITY, ladder=ladder, seed=seed)
    assert_same(from_json(Identity, to_json(identity), "an identity"), identity)


def test_a_trial_that_tune_makes_up_has_no_order_and_a_dead_worker_no_answer():
    assert order_of({}) is None
    assert answer_of(None) is None
    assert answer_of({"done": True}) is None
