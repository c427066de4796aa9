"""Stacks in a search: the ledger, kills, failures of members, blocks that do not fit."""

from __future__ import annotations

import random
from dataclasses import replace

import numpy as np
import pytest
import torch

from dianet_ray.cluster.deaths import Death
from dianet_ray.model.blocks import Workplace
from dianet_ray.protocol.ladder import Rung
from dianet_ray.protocol.standing import standing_of
from dianet_ray.search import block_size, trial
from dianet_ray.search.events import Answer, Results, Unfit, answer_of, order_of
from dianet_ray.search.forecast import largest_settings
from dianet_ray.search.study_file import load_study
from dianet_ray.search.trial import train
from dianet_ray.settings import Range
from tests.support.fake_search import SPACE, fake_plan, searcher_of
from tests.support.in_process import Workers, start
from tests.support.play import decisions, play
from tests.support.recorders import accelerator_error
from tests.support.trials import SETTINGS, material_of, order, worker

LADDER = (Rung(2, keep=0.25), Rung())
SIZES = {"n_subjects": 5, "n_configs": 9, "wave_size": 3, "ladder": LADDER}


def stacked(path, block=4, **changes):
    """A plan whose study has chosen a size of blocks."""
    plan = fake_plan(path, **SIZES | changes)
    return replace(plan, study=replace(plan.study, block=block))


def blocks_of(study):
    """The block of each training that a decision reads, by what it trains."""
    standing = standing_of(study)
    needed = [training for c in study.configurations for training in standing.needed(c.number)]
    return {training.key: training.block for training in needed}


def resumed(path, **changes):
    """The same plan over what the ledger holds."""
    plan = fake_plan(path, **SIZES | changes)
    return replace(plan, study=load_study(path))


def started(path, block=4, **changes):
    """A searcher that has recorded the size of its blocks, as a driver does."""
    searcher = start(fake_plan(path, **SIZES | changes))
    searcher.stack(block)
    return searcher


def test_a_search_in_blocks_decides_as_one_without(tmp_path):
    play(fake_plan(tmp_path / "one", **SIZES))
    play(stacked(tmp_path / "blocks"))
    one, blocks = (load_study(tmp_path / name) for name in ("one", "blocks"))
    assert decisions(blocks) == decisions(one)
    sizes = {len(training.block) for training in blocks.trainings.values()}
    assert max(sizes) == 4
    assert not any(training.block for training in one.trainings.values())


def test_the_size_is_recorded_and_a_resumed_search_forms_the_same_blocks(tmp_path, caplog):
    whole = started(tmp_path / "whole")
    Workers(fake_plan(tmp_path / "whole", **SIZES)).run(whole)
    for seed in range(5):
        path = tmp_path / str(seed)
        searcher = started(path)
        for n in range(1, 30):
            Workers(resumed(path), n=1 + seed, seed=n).run(searcher, stop_after=1 + seed)
            plan = resumed(path)
            assert plan.study.block == 4
            searcher = searcher_of(plan)
            searcher.stack(16)
            if not searcher.has_work():
                break
        assert blocks_of(load_study(path)) == blocks_of(load_study(tmp_path / "whole"))
    assert "blocks of 4, as the study has them" in caplog.text


def test_one_training_at_a_time_is_recorded_as_before(tmp_path):
    searcher = started(tmp_path, block=1)
    assert load_study(tmp_path).block is None
    Workers(fake_plan(tmp_path, **SIZES)).run(searcher)
    assert not any(training.block for training in load_study(tmp_path).trainings.values())


def test_a_member_that_fails_leaves_the_others_of_its_block_alone(tmp_path):
    play(stacked(tmp_path), lambda order: "failed" if order.only.number == 1 else "ok")
    standing = standing_of(load_study(tmp_path))
    assert standing.state(1) == "failed"
    assert {standing.state(number) for number in (0, 2)} <= {"complete", "screened"}


def test_a_block_that_does_not_fit_is_halved_for_good(tmp_path, caplog):
    searcher = started(tmp_path, block=6)
    first = order_of(searcher.suggest("a"))
    assert len(first.members) == 6
    searcher.on_trial_complete("a", result=Answer(Unfit("out of memory", is_memory=True)).report())
    assert (
        "blocks of 3 from now on: configuration 0, fold 0 and 5 more: out of memory" in caplog.text
    )
    second = order_of(searcher.suggest("b"))
    assert second.members == first.members[:3]
    assert load_study(tmp_path).block == 3
    Workers(resumed(tmp_path)).run(searcher_of(resumed(tmp_path)))
    study = load_study(tmp_path)
    assert max(len(training.block) for training in study.trainings.values()) == 3
    play(fake_plan(tmp_path / "other", **SIZES))
    assert decisions(study) == decisions(load_study(tmp_path / "other"))


def test_a_block_that_fails_for_another_reason_is_cut_and_no_member_blamed(tmp_path, caplog):
    searcher = started(tmp_path, block=6)
    first = order_of(searcher.suggest("a"))
    searcher.on_trial_complete("a", result=Answer(Unfit("no vmap", is_memory=False)).report())
    assert "configuration 0, fold 0 and 5 more: in two blocks now: no vmap" in caplog.text
    halves = [order_of(searcher.suggest(name)) for name in "bc"]
    assert [*halves[0].members, *halves[1].members] == [*first.members]
    assert {len(half.members) for half in halves} == {3}
    assert load_study(tmp_path).block == 6


def test_the_size_of_blocks_only_falls(tmp_path):
    searcher = started(tmp_path, block=4)
    orders = [order_of(searcher.suggest(name)) for name in "ab"]
    assert [len(order.members) for order in orders] == [4, 2]
    searcher.on_trial_complete("a", result=Answer(Unfit("memory", is_memory=True)).report())
    smaller = order_of(searcher.suggest("c"))
    searcher.on_trial_complete("c", result=Answer(Unfit("memory", is_memory=True)).report())
    assert (len(smaller.members), load_study(tmp_path).block) == (2, 2)
    searcher.flush()
    searcher.on_trial_complete("b", result=Answer(Unfit("memory", is_memory=True)).report())
    searcher.flush()
    assert load_study(tmp_path).block == 1
    Workers(resumed(tmp_path)).run(searcher_of(resumed(tmp_path)))
    play(fake_plan(tmp_path / "other", **SIZES))
    assert decisions(load_study(tmp_path)) == decisions(load_study(tmp_path / "other"))


def test_a_smaller_size_may_be_asked_for_and_a_larger_one_not(tmp_path, caplog):
    started(tmp_path, block=4)
    searcher = searcher_of(resumed(tmp_path))
    searcher.stack(8)
    assert load_study(tmp_path).block == 4
    assert "blocks of 4, as the study has them" in caplog.text
    searcher.stack(1)
    assert load_study(tmp_path).block == 1
    assert len(order_of(searcher.suggest("a")).members) == 1


def test_what_began_one_by_one_goes_on_so(tmp_path, caplog):
    Workers(fake_plan(tmp_path, **SIZES)).run(started(tmp_path, block=1), stop_after=3)
    searcher = searcher_of(resumed(tmp_path))
    searcher.stack(8)
    assert "blocks of 1, as the study has them" in caplog.text
    Workers(resumed(tmp_path)).run(searcher)
    assert not any(training.block for training in load_study(tmp_path).trainings.values())


def test_the_member_that_kills_its_worker_is_found_and_fails_alone(tmp_path):
    plan = stacked(tmp_path, block=8)

    def outcome(order):
        return "lost" if order.only.number == 1 else "ok"

    own = {
        "death_of": lambda trial_id: Death("here", is_own=True),
        "cause_of": lambda death: "SIGABRT",
    }
    play(plan, outcome, **own)
    standing = standing_of(load_study(tmp_path))
    assert [state == "failed" for state in standing.states()] == [n == 1 for n in range(9)]
    (failure,) = standing.failures()
    assert failure.is_crash


def test_missing_weights_are_trained_again_in_their_block(tmp_path, caplog):
    """In another stack they would round differently, and be other weights."""
    plan = stacked(tmp_path)
    Workers(plan).run(start(plan))
    study = load_study(tmp_path)
    champion = standing_of(study).champion()
    training = next(t for t in study.of(champion.number) if len(t.block) > 1)
    steps = standing_of(study).steps_read(champion.number)
    (tmp_path / training.at(steps).weights.path).unlink()
    searcher = searcher_of(resumed(tmp_path))
    found = order_of(searcher.suggest("a"))
    assert tuple((one.number, one.fold) for one in found.members) == training.block
    key = training.number, training.fold
    assert [(one.number, one.fold) for one in found.members if one.keeps_weights] == [key]
    made = Workers(plan).trial.train_block(found)
    made.write()
    searcher.on_trial_complete("a", result=Answer(Results(made.results)).report())
    searcher.flush()
    assert (tmp_path / training.at(steps).weights.path).is_file()
    assert "could not be made again" not in caplog.text
    assert not searcher_of(resumed(tmp_path)).has_work()


def test_a_worker_keeps_the_weights_of_those_members_alone_that_it_is_asked_for(tmp_path):
    (tmp_path / "weights").mkdir()
    first = order().only
    members = (replace(first, keeps_weights=False), replace(first, fold=2))
    block = replace(order(), members=members)
    made = train(material_of(tmp_path), block, Workplace("cpu"), lambda step: None)
    kept = [[point.weights for point in result.points] for result in made.results]
    assert kept[0] == [None] * len(SETTINGS.shown_at)
    paths = {weights.path for weights in kept[1]}
    assert {str(file.path.relative_to(tmp_path)) for file in made.files} == paths


def test_a_repair_that_does_not_fit_is_given_up_with_a_line(tmp_path, caplog):
    plan = stacked(tmp_path)
    Workers(plan).run(start(plan))
    study = load_study(tmp_path)
    champion = standing_of(study).champion()
    training = next(t for t in study.of(champion.number) if len(t.block) > 1)
    (tmp_path / training.at(standing_of(study).steps_read(champion.number)).weights.path).unlink()
    searcher = searcher_of(resumed(tmp_path))
    searcher.suggest("a")
    searcher.on_trial_complete("a", result=Answer(Unfit("memory", is_memory=True)).report())
    searcher.flush()
    assert "its weights could not be made again: memory" in caplog.text
    assert load_study(tmp_path).trainings.keys() == study.trainings.keys()


@pytest.mark.parametrize("n", [1, 2])
@pytest.mark.parametrize(
    ("error", "is_memory"),
    [
        (RuntimeError("vmap: no rule"), False),
        (torch.OutOfMemoryError("CUDA out of memory"), True),
        (accelerator_error(2), True),
    ],
)
def test_what_fails_with_several_says_nothing_of_each(tmp_path, monkeypatch, error, is_memory, n):
    def fails(*args, **options):
        raise error

    (tmp_path / "weights").mkdir()
    monkeypatch.setattr(trial.fitting, "fit_block", fails)
    one = worker(tmp_path)
    members = tuple(replace(order().only, fold=fold) for fold in range(n))
    one.config = replace(order(), members=members).config()
    found = answer_of(one.step())
    if n == 1:
        assert found.results[0].outcome == "failed"
    else:
        assert found == Unfit(f"{type(error).__name__}: {error}", is_memory)


def test_a_gpu_that_cannot_be_measured_is_not_taken_for_a_full_one(tmp_path, monkeypatch):
    """The driver says why trainings go one by one; a number would hide it."""

    def fails(*args):
        raise RuntimeError("statistics of memory are refused")

    monkeypatch.setattr(block_size, "gpu_problem", lambda: "")
    monkeypatch.setattr(block_size, "assigned_device", lambda: "cuda:0")
    monkeypatch.setattr(block_size, "most_members", fails)
    with pytest.raises(RuntimeError, match="are refused"):
        block_size._measure(material_of(tmp_path), SETTINGS, 1.0)


def test_a_worker_trains_a_block_as_one_stack(tmp_path):
    """Two folds, and two configurations that differ in what a stack may differ in."""
    (tmp_path / "weights").mkdir()
    other = SETTINGS.model_copy(update={"learning_rate": 0.01, "dropout": 0.5})
    first = order().only
    members = (
        first,
        replace(first, fold=2),
        replace(first, number=1, config_id="b", settings=other),
    )
    made = train(
        material_of(tmp_path),
        replace(order(), members=members),
        Workplace("cpu"),
        lambda step: None,
    )
    assert [result.environment.block for result in made.results] == [3, 3, 3]
    assert len(made.files) == 3 * len(SETTINGS.shown_at)
    assert len({file.sha256 for file in made.files}) == len(made.files)
    for member, result in zip(members, made.results, strict=True):
        alone = train(
            material_of(tmp_path),
            replace(order(), members=(member,)),
            Workplace("cpu"),
            lambda step: None,
        )
        np.testing.assert_allclose(
            result.points[-1].probabilities, alone.results[0].points[-1].probabilities, atol=1e-4
        )
        assert result.seconds == pytest.approx((result.finished_at - result.started_at) / 3)


def test_a_member_whose_loss_is_not_finite_fails_alone(tmp_path):
    (tmp_path / "weights").mkdir()
    wild = SETTINGS.model_copy(update={"learning_rate": 1.0, "weight_decay": 10.0, "steps": 80})
    calm = wild.model_copy(update={"learning_rate": 1e-3, "weight_decay": 0.0})
    first = order().only
    members = tuple(
        replace(first, number=k, config_id=str(k), settings=one)
        for k, one in enumerate((calm, wild))
    )
    material = material_of(tmp_path)
    material.images[:] *= 100
    made = train(material, replace(order(), members=members), Workplace("cpu"), lambda step: None)
    assert [result.outcome for result in made.results] == ["ok", "failed"]
    assert made.results[1].reason.startswith("NonFiniteLoss")
    assert len(made.files) == len(calm.shown_at)


def test_the_largest_settings_hold_the_largest_network_and_batch(tmp_path):
    space = replace(
        SPACE,
        dimensions={**SPACE.dimensions, "width": Range(4, 24), "batch_size": Range(8, 64)},
    )
    largest = largest_settings(fake_plan(tmp_path, space=space))
    assert (largest.width, largest.batch_size) == (24, 64)


def test_random_timing_changes_no_block(tmp_path):
    play(stacked(tmp_path / "one"), n_workers=1)
    for seed in range(4):
        play(stacked(tmp_path / str(seed)), n_workers=1 + seed, rng=random.Random(seed))
        assert blocks_of(load_study(tmp_path / str(seed))) == blocks_of(
            load_study(tmp_path / "one")
        )
