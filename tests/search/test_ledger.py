"""The ledger: whole parts, one writer, everything read back as it was written."""

import json
from dataclasses import replace

import numpy as np
import pytest

from dianet_ray.artefacts import LoggedStep, weights_path
from dianet_ray.errors import InputError
from dianet_ray.protocol import leaks
from dianet_ray.protocol.ladder import EXHAUSTIVE, Rung
from dianet_ray.protocol.results import Point, Training, TrainingResult, Weights
from dianet_ray.search import ledger as ledgers
from dianet_ray.search.events import Ended, Started, TrainingEnded, WaveDrawn, WorkersChanged
from dianet_ray.search.ledger import Ledger, read_events
from dianet_ray.search.study_file import load_study, write_study
from dianet_ray.settings import config_id
from dianet_ray.storage import files
from tests.support.fake_search import fake_plan
from tests.support.play import play
from tests.support.records import assert_same
from tests.support.studies import DRIVER


def event(n=0):
    return WorkersChanged(1.0, n)


def new_study(path, **options):
    plan = fake_plan(path, **options)
    write_study(path, plan.study)
    return plan


def test_what_is_flushed_is_read_back_in_order(place):
    ledger = Ledger(place)
    for i in range(3):
        ledger.append(event(i))
        ledger.flush()
    resumed = Ledger(place)
    resumed.append(event(3))
    assert [found.n_workers for found in resumed.flush()] == [3]
    assert [found.n_workers for found in read_events(place)] == [0, 1, 2, 3]


def test_records_wait_for_a_flush_and_are_due_by_number_or_time(tmp_path, monkeypatch):
    ledger = Ledger(tmp_path)
    ledger.append(event())
    assert not ledger.is_due
    assert list(read_events(tmp_path)) == []
    for _ in range(ledgers.FLUSH_AFTER_N - 1):
        assert not ledger.is_due
        ledger.append(event())
    assert ledger.is_due
    ledger.flush()
    ledger.append(event(), is_urgent=True)
    assert ledger.is_due
    ledger.flush()
    monkeypatch.setattr(ledgers, "FLUSH_AFTER_S", 0.0)
    ledger.append(event())
    assert ledger.is_due


def test_a_second_writer_never_replaces_a_part(place):
    first, second = Ledger(place), Ledger(place)
    first.append(event(1))
    first.flush()
    second.append(event(2))
    with pytest.raises(InputError, match="one driver"):
        second.flush()
    assert [found.n_workers for found in read_events(place)] == [1]


def test_a_flush_waits_for_a_storage_that_is_away_and_loses_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(files, "RETRY_S", 0.0)
    ledger, heard = Ledger(tmp_path), []
    away = tmp_path / "away"
    (tmp_path / "ledger").rename(away)

    def wait(error):
        heard.append(error)
        if len(heard) == 3:
            away.rename(tmp_path / "ledger")

    ledger.on_wait = wait
    ledger.append(event())
    assert len(ledger.flush()) == 1
    assert len(heard) == 3
    assert len(list(read_events(tmp_path))) == 1


def test_a_flush_that_is_given_up_keeps_its_records(tmp_path):
    ledger = Ledger(tmp_path)
    (tmp_path / "ledger").rename(tmp_path / "away")

    def give_up(error):
        raise error

    ledger.on_wait = give_up
    ledger.append(event())
    with pytest.raises(OSError, match="No such file"):
        ledger.flush()
    (tmp_path / "away").rename(tmp_path / "ledger")
    assert len(ledger.flush()) == 1


def test_a_part_whose_writing_was_not_answered_is_settled_before_the_next(place, monkeypatch):
    """It is there, though the writer gave up; what came after belongs into another part."""
    ledger, real = Ledger(place), files._create

    def unanswered(path, content):
        real(path, content)
        raise OSError("connection lost")

    def give_up(error):
        raise error

    ledger.on_wait = give_up
    ledger.append(event(0))
    with monkeypatch.context() as patch:
        patch.setattr(files, "_create", unanswered)
        with pytest.raises(OSError, match="connection lost"):
            ledger.flush()
    ledger.append(event(1))
    assert [found.n_workers for found in ledger.flush()] == [0, 1]
    assert [found.n_workers for found in read_events(place)] == [0, 1]


@pytest.mark.parametrize(
    ("path", "config_id"),
    [
        ("../../../etc/passwd", "c0"),
        ("/etc/passwd", "c0"),
        ("weights/c0-9/../../x.safetensors", "c0"),
        ("weights/../fold-000.safetensors", ".."),
        ("weights/c0-9/fold-001.safetensors", "c0"),
        ("weights/c0-8/fold-000.safetensors", "c0"),
    ],
)
def test_a_ledger_that_leads_out_of_its_study_is_refused(tmp_path, path, config_id):
    """A study may come from somebody else, and its files are read, copied and deleted."""
    new_study(tmp_path)
    point = Point(9, np.ones((1, 3), dtype=np.float32), Weights(path, 1, ""))
    result = TrainingResult("ok", 0.0, 1.0, (point,))
    ledger = Ledger(tmp_path)
    ledger.append(TrainingEnded(Training(0, config_id, 0, 0, 1, result)))
    ledger.flush()
    with pytest.raises(InputError, match="names weights inside its study"):
        load_study(tmp_path)


def test_a_killed_write_leaves_no_part(tmp_path, monkeypatch):
    def killed(*args):
        raise KeyboardInterrupt

    ledger = Ledger(tmp_path)
    ledger.append(event())
    monkeypatch.setattr(files.os, "link", killed)
    with pytest.raises(KeyboardInterrupt):
        ledger.flush()
    assert list(read_events(tmp_path)) == []


@pytest.mark.parametrize("damage", ["{", '{"kind": 1}\n{"ki'])
def test_a_damaged_part_is_named(tmp_path, damage):
    ledger = Ledger(tmp_path)
    ledger.append(event())
    ledger.flush()
    part = tmp_path / "ledger" / "000001.jsonl"
    part.write_text(damage)
    with pytest.raises(InputError, match=r"000001\.jsonl"):
        list(read_events(tmp_path))


def test_a_missing_part_is_named(tmp_path):
    ledger = Ledger(tmp_path)
    for _ in range(3):
        ledger.append(event())
        ledger.flush()
    (tmp_path / "ledger" / "000002.jsonl").unlink()
    with pytest.raises(InputError, match="no 000002 before"):
        list(read_events(tmp_path))


def test_a_training_reads_back_to_the_bit(tmp_path):
    plan = new_study(tmp_path)
    settings = plan.space.settings({"learning_rate": 0.001, "dropout": 0.1})
    name = config_id(settings)
    n_clips = len(plan.study.folds[1].test_clips)
    probabilities = np.random.default_rng(0).dirichlet([1, 1, 1], n_clips).astype(np.float32)
    point = Point(9, probabilities, Weights(weights_path(name, 9, 1), 3, "ab"))
    history = (LoggedStep(step=1, loss=2.0, accuracy=1 / 3, learning_rate=1e-3),)
    result = TrainingResult(
        "ok", 10.0, 11.5, (point,), history, seen=leaks.expected(plan.study, 0, 1)
    )
    ledger = Ledger(tmp_path)
    ledger.append(WaveDrawn(1.0, 0, (settings,)))
    ledger.append(TrainingEnded(Training(0, name, 0, 1, 2, result)))
    ledger.flush()
    found = load_study(tmp_path).trainings[0, 0, 1]
    assert_same(found.result, result)
    assert (found.attempt, found.seconds) == (2, 1.5)


@pytest.mark.parametrize("ladder", [EXHAUSTIVE, (Rung(3, keep=0.25), Rung())])
def test_a_study_reads_back_with_its_clips_classes_and_folds(tmp_path, ladder):
    plan = new_study(tmp_path, ladder=ladder)
    found = load_study(tmp_path)
    assert (found.clips, found.classes, found.rungs) == (
        plan.study.clips,
        plan.study.classes,
        plan.study.rungs,
    )
    assert (found.identity, found.origin) == (plan.study.identity, plan.study.origin)


def test_a_span_ends_with_its_stop_or_its_last_training(tmp_path):
    plan = new_study(tmp_path)
    settings = plan.space.settings({"learning_rate": 0.001, "dropout": 0.1})

    def failed(fold, at):
        result = TrainingResult("failed", 0.0, at)
        return TrainingEnded(Training(0, config_id(settings), 0, fold, 1, result))

    ledger = Ledger(tmp_path)
    for one in (
        WaveDrawn(9.0, 0, (settings,)),
        Started(10.0, 2, 1, DRIVER),
        Ended(20.0, "done"),
        WaveDrawn(95.0, 0, ()),
        Started(100.0, 1, 1, DRIVER),
        failed(0, at=130.0),
        failed(1, at=129.0),
        WaveDrawn(999.0, 1, ()),
    ):
        ledger.append(one)
    ledger.flush()
    spans = load_study(tmp_path).spans
    assert [(s.started_at, s.stopped_at) for s in spans] == [(10.0, 20.0), (100.0, 130.0)]


@pytest.mark.parametrize(
    ("text", "words"), [("[]", "format"), ('{"format": 99}', "format"), ("{", "damaged")]
)
def test_a_folder_that_is_no_study_is_one_line(tmp_path, text, words):
    (tmp_path / "study.json").write_text(text)
    with pytest.raises(InputError, match=words):
        load_study(tmp_path)
    with pytest.raises(InputError, match="none in"):
        load_study(tmp_path / "other")


def predicting(change):
    """Change the probabilities of a training, (clips, classes)."""

    def changed(training):
        (first, *rest) = training.points
        other = replace(first, probabilities=change(first.probabilities))
        return replace(training, result=replace(training.result, points=(other, *rest)))

    return changed


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda one: replace(one, number=7), "it was never drawn"),
        (lambda one: replace(one, rung=-1), "there is no such fold"),
        (lambda one: replace(one, fold=99), "there is no such fold"),
        (lambda one: replace(one, result=replace(one.result, points=())), "no predictions"),
        (predicting(lambda p: p[:, :2]), "probabilities must be"),
        (predicting(lambda p: 5 * p), "must add up to 1"),
        (predicting(lambda p: p * np.float32("nan")), "must add up to 1"),
        (predicting(lambda p: p + np.float32([1, -1, 0])), "must add up to 1"),
    ],
)
def test_a_training_that_cannot_be_one_of_its_study_is_damage(tmp_path, change, says):
    play(fake_plan(tmp_path, n_subjects=2, n_configs=1))
    training = change(load_study(tmp_path).trainings[0, 0, 0])
    ledger = Ledger(tmp_path)
    ledger.append(TrainingEnded(training))
    ledger.flush()
    with pytest.raises(InputError, match=says) as error:
        load_study(tmp_path)
    assert "is damaged: configuration " in str(error.value)
    assert "\n" not in str(error.value)


def test_settings_that_were_edited_are_damage(tmp_path):
    play(fake_plan(tmp_path, n_subjects=2, n_configs=1))
    for part in (tmp_path / "ledger").iterdir():
        part.write_text(part.read_text().replace('"dropout":0.', '"dropout":0.0'))
    with pytest.raises(InputError, match="its settings have another id"):
        load_study(tmp_path)


@pytest.mark.parametrize(
    ("key", "change", "says"),
    [
        ("classes", lambda found: found[:-1], "a clip has none of"),
        ("rungs", lambda found: found * 2, "2 rungs of folds for a ladder of 1"),
    ],
)
def test_a_study_whose_parts_do_not_fit_together_is_damaged(tmp_path, key, change, says):
    new_study(tmp_path)
    file = tmp_path / "study.json"
    content = json.loads(file.read_text())
    file.write_text(json.dumps({**content, key: change(content[key])}))
    with pytest.raises(InputError, match=says):
        load_study(tmp_path)
