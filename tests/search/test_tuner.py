"""The search on Ray Tune: the same decisions as the searcher alone, on real workers."""

import os
import signal
import threading
import time
from dataclasses import replace

import pytest
import ray
import torch

from dianet_ray.cluster.connection import Bundle, Cluster
from dianet_ray.errors import Stopped, StudyFailed
from dianet_ray.protocol.ladder import Rung
from dianet_ray.protocol.standing import standing_of
from dianet_ray.search.driver import Driver
from dianet_ray.search.ledger import read_events
from dianet_ray.search.study_file import load_study
from dianet_ray.search.trial import FoldTrial, assigned_device
from dianet_ray.search.workers import resources
from dianet_ray.storage import files
from tests.support.fake_search import WORKER, FakeTrial, fake_images, fake_plan, run_plan
from tests.support.play import decisions, play

pytestmark = [pytest.mark.ray]
LADDER = (Rung(2, keep=0.25), Rung())
TWO = Cluster("local", (Bundle(2, 2),))


def tune(plan, trial=FakeTrial):
    return run_plan(plan, fake_images(plan), trial)


class SuicidalTrial(FakeTrial):
    """Kills its worker the first time that configuration 1 meets fold 0."""

    def train_block(self, order):
        if (order.only.number, order.only.fold, order.attempt) == (1, 0, 1):
            os.kill(os.getpid(), signal.SIGKILL)
        return super().train_block(order)


class HangingTrial(FakeTrial):
    """Stays silent for ever in its first attempt, with a short limit."""

    def train_block(self, order):
        from dianet_ray.search.trial import watch

        if order.attempt == 1:
            watch(0.5)
            time.sleep(100)
        return super().train_block(order)


class SteadyTrial(FakeTrial):
    """Takes a tenth of a second, so that 160 trainings outlast any signal."""

    def train_block(self, order):
        time.sleep(0.1)
        return super().train_block(order)


class SlowTrial(FakeTrial):
    """Takes so long that all but the first training are in flight at a second interrupt."""

    def train_block(self, order):
        if (order.only.number, order.only.fold) != (0, 0):
            time.sleep(10)
        return super().train_block(order)


class NamedTrial(FakeTrial):
    """Says which process it is."""

    def train_block(self, order):
        made = super().train_block(order)
        environment = replace(WORKER, host=str(os.getpid()))
        (result,) = made.results
        return replace(made, results=(replace(result, environment=environment),))


def test_a_worker_that_starts_later_is_not_killed_by_one_that_is_free(ray_local, tmp_path):
    """Trainings are shorter than the start of an actor, and one actor is up before the other.

    There are so many that the second actor is up before they end on a busy machine, too.
    """
    plan = fake_plan(tmp_path, n_subjects=6, n_configs=64, wave_size=8, gpus_per_trial=0.0)
    searcher = tune(plan, NamedTrial)
    pids = [t.result.environment.host for t in searcher.study.trainings.values()]
    assert len(set(pids)) == 2
    assert min(pids.count(pid) for pid in set(pids)) >= 10


def test_a_search_on_workers_decides_as_the_searcher_alone(ray_local, tmp_path):
    sizes = {"n_subjects": 3, "n_configs": 14, "wave_size": 4, "gpus_per_trial": 0.0}
    play(fake_plan(tmp_path / "alone", **sizes), n_workers=1)
    tune(fake_plan(tmp_path / "study", **sizes))
    on_workers, alone = load_study(tmp_path / "study"), load_study(tmp_path / "alone")
    assert decisions(on_workers) == decisions(alone)
    assert [*read_events(tmp_path / "study")][-1].reason == "done"
    assert not [n for n in files.names(tmp_path / "study") if n.startswith(".")]
    weights = [path.name for path in (tmp_path / "study" / "weights").iterdir()]
    assert len(weights) == 3, "only the best three keep their weights"


def test_a_search_in_blocks_on_workers_decides_as_the_searcher_alone(ray_local, tmp_path):
    sizes = {"n_subjects": 5, "n_configs": 9, "wave_size": 3, "ladder": LADDER}
    play(fake_plan(tmp_path / "alone", **sizes), n_workers=1)
    tune(fake_plan(tmp_path / "study", gpus_per_trial=0.0, folds_per_trial=4, **sizes))
    on_workers, alone = load_study(tmp_path / "study"), load_study(tmp_path / "alone")
    assert decisions(on_workers) == decisions(alone)
    assert on_workers.block == 4
    blocks = {training.block for training in on_workers.trainings.values()}
    assert {len(block) for block in blocks} >= {4}


def test_a_search_in_an_object_store_decides_as_on_files(ray_local, s3, tmp_path):
    sizes = {"n_subjects": 3, "n_configs": 5, "gpus_per_trial": 0.0, "keep_weights": 2}
    play(fake_plan(tmp_path / "study", **sizes), n_workers=1)
    tune(fake_plan(s3 / "study", **sizes))
    assert decisions(load_study(s3 / "study")) == decisions(load_study(tmp_path / "study"))
    assert len(files.names(s3 / "study" / "weights")) == 2


def test_no_credential_of_the_driver_is_written_down(ray_local, tmp_path, monkeypatch):
    """A study may be shared with colleagues; credentials stay with the driver."""
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "hunter2")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "hunter2")
    tune(fake_plan(tmp_path / "study", n_subjects=2, n_configs=1, gpus_per_trial=0.0))
    files = [path for path in (tmp_path / "study").rglob("*") if path.is_file()]
    assert len(files) > 3
    assert [path for path in files if b"hunter2" in path.read_bytes()] == []


def test_a_killed_worker_costs_one_training_and_no_decision(ray_local, tmp_path, caplog):
    sizes = {"n_subjects": 3, "n_configs": 2, "gpus_per_trial": 0.0}
    play(fake_plan(tmp_path / "alone", **sizes), n_workers=1)
    tune(fake_plan(tmp_path / "study", **sizes), SuicidalTrial)
    study = load_study(tmp_path / "study")
    assert decisions(study) == decisions(load_study(tmp_path / "alone"))
    assert study.trainings[1, 0, 0].attempt == 2
    assert "configuration 1, fold 0: its worker was lost (attempt 1 of 3)" in caplog.text


class UnmountingTrial(FakeTrial):
    """Takes the folder of the weights away when configuration 1 has been trained on fold 0."""

    def train_block(self, order):
        made, weights = super().train_block(order), self._material.study_path / "weights"
        if (order.only.number, order.only.fold) == (1, 0):
            weights.rename(weights.parent / "away")
            weights.touch()
        return made


def test_a_worker_that_waits_for_the_storage_is_told_of_until_it_is_back(
    ray_local, tmp_path, monkeypatch, caplog, capsys
):
    monkeypatch.setattr("dianet_ray.search.storage_wait.AGAIN_S", 0.5)
    monkeypatch.setattr("dianet_ray.progress.PLAIN_EVERY_S", 0.5)
    plan = fake_plan(tmp_path, n_subjects=2, n_configs=3, gpus_per_trial=0.0, max_workers=1)

    def mount():
        deadline = time.monotonic() + 60
        while caplog.text.count("cannot be written") < 2 and time.monotonic() < deadline:
            time.sleep(0.1)
        (tmp_path / "weights").unlink()
        (tmp_path / "away").rename(tmp_path / "weights")

    helper = threading.Thread(target=mount)
    helper.start()
    tune(plan, UnmountingTrial)
    helper.join()
    told = [line for line in caplog.messages if "written" in line]
    assert told[0].startswith(f"{tmp_path} cannot be written: ")
    assert "1 worker waits since 0 s, up to 10 min" in told[0]
    assert "1 worker waits since" in told[1]
    assert told[-1] == f"{tmp_path} can be written again"
    assert "; 1 worker waits for the storage (" in capsys.readouterr().err
    study = load_study(tmp_path)
    assert standing_of(study).states() == ["complete"] * 3
    assert {training.attempt for training in study.trainings.values()} == {1}


class AbortingTrial(FakeTrial):
    """Ends its process with a signal, as a fault in a native library does, for some settings."""

    def train_block(self, order):
        if order.only.settings.dropout < 0.3:
            os.abort()
        return super().train_block(order)


def test_settings_that_kill_every_worker_fail_with_the_signal_and_the_settings(
    ray_local, tmp_path, caplog
):
    sizes = {"n_subjects": 2, "n_configs": 3, "gpus_per_trial": 0.0}
    tune(fake_plan(tmp_path, max_workers=1, **sizes), AbortingTrial)
    standing = standing_of(load_study(tmp_path))
    kills = [c.settings.dropout < 0.3 for c in standing.study.configurations]
    assert 0 < sum(kills) < 3
    assert [state == "failed" for state in standing.states()] == kills
    for failure in standing.failures():
        settings = standing.study.configurations[failure.number].settings
        assert failure.is_crash
        assert "(ended by SIGABRT); settings: " in failure.reason
        assert f"dropout: {settings.dropout}" in failure.reason
        assert failure.reason in caplog.text
    assert "SYSTEM_ERROR" not in caplog.text, "Ray's paragraph is no line for a user"


def test_a_silent_worker_is_lost_and_its_training_tried_again(ray_local, tmp_path):
    plan = fake_plan(tmp_path, n_subjects=2, n_configs=1, gpus_per_trial=0.0)
    tune(plan, HangingTrial)
    study = load_study(tmp_path)
    assert standing_of(study).state(0) == "complete"
    assert {training.attempt for training in study.of(0)} == {2}


def test_the_first_interrupt_finishes_what_is_in_flight(ray_local, tmp_path, monkeypatch):
    monkeypatch.setenv("FAKE_SECONDS", "0")
    plan = fake_plan(tmp_path, n_subjects=4, n_configs=40, gpus_per_trial=0.0)
    searcher = interrupted(plan, signal.SIGINT)
    assert not searcher.live
    study = load_study(tmp_path)
    assert 0 < len(study.trainings) < 160
    assert [*read_events(tmp_path)][-1].kind == "stop"


class EndlessLater(FakeTrial):
    """Leaves a file when it starts; a training that starts after the interruption never ends."""

    def train_block(self, order):
        study = self._material.study_path
        if (study / "interrupted").exists():
            time.sleep(1000)
        (study / f"started-{order.only.number}-{order.only.fold}").write_text(str(time.time()))
        time.sleep(2)
        return super().train_block(order)


def test_the_first_interrupt_does_not_wait_for_trainings_that_are_only_queued(
    ray_local, tmp_path, monkeypatch
):
    """A cluster that may grow gets more trials than fit; a worker that is freed may take one."""
    monkeypatch.setattr("dianet_ray.search.workers.Workers.n_asked_for", lambda workers: 4)
    plan = fake_plan(tmp_path, n_subjects=4, n_configs=40, gpus_per_trial=0.0)
    interrupted_at = []

    def interrupt(driver, *signal, real=Driver.interrupt):
        interrupted_at.append(time.time())
        real(driver, *signal)
        # A training may have been handed out already and begin a moment later.
        threading.Timer(0.7, (tmp_path / "interrupted").touch).start()

    monkeypatch.setattr("dianet_ray.search.driver.Driver.interrupt", interrupt)
    interrupted(plan, signal.SIGINT, trial=EndlessLater)
    before = [
        tuple(map(int, path.name.split("-")[1:]))
        for path in tmp_path.glob("started-*")
        if float(path.read_text()) < interrupted_at[0]
    ]
    assert len(before) > 1
    done = {(number, fold) for number, _, fold in load_study(tmp_path).trainings}
    assert set(before) <= done


def test_a_sigterm_leaves_at_once_with_a_durable_ledger(ray_local, tmp_path):
    plan = fake_plan(tmp_path, n_subjects=4, n_configs=40, gpus_per_trial=0.0)
    with pytest.raises(Stopped):
        interrupted(plan, signal.SIGTERM)
    study = load_study(tmp_path)
    assert 0 < len(study.trainings) < 160
    assert [*read_events(tmp_path)][-1].kind == "stop"


def test_a_second_interrupt_leaves_at_once(ray_local, tmp_path):
    plan = fake_plan(tmp_path, n_subjects=4, n_configs=40, gpus_per_trial=0.0)
    with pytest.raises(Stopped):
        interrupted(plan, signal.SIGINT, signal.SIGINT, trial=SlowTrial)
    assert [*read_events(tmp_path)][-1].reason == "stopped"


def interrupted(plan, *numbers, trial=SteadyTrial):
    """Send this process signals as soon as the ledger holds a training."""

    def send():
        while not any(event.kind == "training" for event in read_events(plan.path)):
            time.sleep(0.05)
        for number in numbers:
            os.kill(os.getpid(), number)
            time.sleep(0.5)  # two that arrive within one call into Ray would be handled as one

    threading.Thread(target=send, daemon=True).start()
    return tune(plan, trial)


def test_a_gpu_that_torch_cannot_see_ends_the_study_with_one_line(ray_local, tmp_path):
    if torch.cuda.is_available():
        pytest.fail("this test describes a machine without a GPU")
    plan = fake_plan(tmp_path, n_subjects=2, n_configs=2, gpus_per_trial=1.0)
    with pytest.raises(StudyFailed, match=r"node .* was given a GPU by Ray .* torch .* cannot"):
        tune(plan, FoldTrial)


def test_a_trial_takes_the_gpu_that_ray_assigned_and_only_then(ray_local):
    def choose():
        torch.cuda.is_available = lambda: True  # as on any node of a GPU cluster
        return assigned_device()

    assert ray.get(ray.remote(num_gpus=0.5)(choose).remote()) == "cuda:0"
    assert ray.get(ray.remote(num_gpus=0)(choose).remote()) == "cpu"


def test_auto_takes_a_whole_gpu_where_there_are_gpus(tmp_path):
    plan = fake_plan(tmp_path)
    assert resources(plan, TWO).gpus == 1
    assert resources(plan, Cluster("local", (Bundle(2, 0),))).gpus == 0
