"""The ladder through the searcher and the ledger: decisions, budgets, weights, resumes."""

import random
from dataclasses import replace

import pytest

from dianet_ray.protocol.ladder import Rung
from dianet_ray.protocol.standing import standing_of
from dianet_ray.search.ledger import read_events
from dianet_ray.search.plan import _n_configs
from dianet_ray.search.study_file import load_study
from tests.support.fake_search import fake_plan
from tests.support.in_process import Workers, start

LADDER = (Rung(3, steps=0.5, keep=0.25, drop="bootstrap"), Rung(drop="bootstrap"))


@pytest.fixture
def plan(tmp_path):
    return fake_plan(tmp_path / "study", n_subjects=8, n_configs=16, wave_size=4, ladder=LADDER)


def decided(study):
    """Everything decided of a study, with the predictions that the decisions read."""
    found = standing_of(study)
    rows = [
        (c.config_id, entry.rung, entry.wave, entry.state, entry.n_decided)
        for c in study.configurations
        for entry in found.entries(c.number)
    ]
    probabilities = {
        key: [(point.steps, point.probabilities.tolist()) for point in t.points]
        for key, t in study.trainings.items()
        if not found.is_surplus(t)
    }
    return rows, found.champion().config_id, probabilities


def test_a_study_goes_through_the_ladder_and_reads_back_the_same(plan):
    searcher = start(plan)
    Workers(plan).run(searcher)
    study = load_study(plan.path)
    rows, champion, _ = decided(study)
    assert decided(searcher.study)[:2] == (rows, champion)
    assert 4 <= sum(rung == 1 for _, rung, *_ in rows) <= 8
    assert {state for *_, state, _ in rows} <= {"complete", "dropped"}
    assert standing_of(study).decisions.is_over
    assert len(study.trainings) <= 16 * 3 + 8 * 8


def test_only_loso_trainings_have_weights_and_only_the_best_are_kept(plan):
    Workers(plan).run(start(plan))
    study = load_study(plan.path)
    trainings = study.trainings.values()
    assert all((p.weights is not None) == (t.rung == 1) for t in trainings for p in t.points)
    standing = standing_of(study)
    champion = standing.champion()
    best = f"{champion.config_id}-{standing.steps_read(champion.number)}"
    folders = {path.name for path in (plan.path / "weights").iterdir()}
    assert best in folders
    assert len(folders) == 3


def test_what_finishes_after_its_configuration_was_dropped_leaves_no_weights(tmp_path):
    n_dropped = 0
    for seed in range(3):
        plan = fake_plan(
            tmp_path / str(seed),
            n_subjects=12,
            n_configs=16,
            wave_size=2,
            seed=seed,
            ladder=LADDER,
        )
        Workers(plan, n=6, seed=seed).run(start(plan))
        study = load_study(plan.path)
        found = standing_of(study)
        finished = {f"{c.config_id}-{found.steps_read(c.number)}" for c in found.complete()}
        assert {path.name for path in (plan.path / "weights").iterdir()} <= finished
        n_dropped += sum(entry.state == "dropped" for entry in found.decisions.entries(1))
    assert n_dropped > 0


@pytest.mark.parametrize("seed", range(4))
def test_a_search_that_was_killed_again_and_again_decides_the_same(tmp_path, seed):
    def planned(name):
        return fake_plan(tmp_path / name, n_subjects=8, n_configs=16, wave_size=4, ladder=LADDER)

    quiet = planned("quiet")
    Workers(quiet, n=1).run(start(quiet))
    rng = random.Random(seed)
    n_workers, done = rng.randint(1, 9), False
    while not done:
        killed = planned("killed")
        if (killed.path / "study.json").exists():
            killed = fake_resumed(killed)
        searcher = start(killed)
        Workers(killed, n=n_workers, seed=rng.random()).run(
            searcher, stop_after=rng.randint(1, 25)
        )
        done = not searcher.live and not searcher.has_work()
    assert decided(load_study(killed.path)) == decided(load_study(quiet.path))


def fake_resumed(plan):
    """Plan again what is on disk."""
    return replace(plan, study=load_study(plan.path))


def test_a_budget_of_trainings_holds_and_is_the_same_study_with_fewer_configurations(tmp_path):
    limit = 12 * 3 + 3 * 8 - 1  # twelve configurations could take one training more
    wide = fake_plan(
        tmp_path / "limited",
        n_subjects=8,
        n_configs=40,
        wave_size=4,
        ladder=LADDER,
        max_trainings=limit,
    )
    Workers(wide, n=5).run(start(wide))
    limited = load_study(wide.path)
    n_drawn = len(limited.configurations)
    assert len(limited.trainings) <= limit
    assert 0 < n_drawn < 40
    assert limited.n_configs == n_drawn
    small = fake_plan(
        tmp_path / "small", n_subjects=8, n_configs=n_drawn, wave_size=4, ladder=LADDER
    )
    Workers(small, n=2).run(start(small))
    assert decided(limited) == decided(load_study(small.path))


def test_the_end_that_a_budget_set_stands_for_the_same_command_and_not_for_a_larger_one(tmp_path):
    def planned(**more):
        return fake_plan(
            tmp_path / "study", n_subjects=8, n_configs=16, wave_size=4, ladder=LADDER, **more
        )

    first = planned(max_trainings=45)
    Workers(first).run(start(first))
    n_drawn = len(load_study(first.path).configurations)
    ended = [event.end for event in read_events(first.path) if event.kind == "end_of_drawing"]
    assert [end.n_configs for end in ended] == [n_drawn]
    assert n_drawn < 16
    assert _n_configs(load_study(first.path), 16, first.options) == n_drawn
    more = fake_resumed(planned(max_trainings=1000))
    assert _n_configs(more.study, 16, more.options) == 16
    Workers(more).run(start(more))
    assert len(load_study(more.path).configurations) == 16


def test_hours_that_are_over_end_the_drawing_after_the_first_wave(tmp_path):
    plan = fake_plan(
        tmp_path / "study", n_subjects=8, n_configs=16, wave_size=4, ladder=LADDER, max_hours=1e-9
    )
    searcher = start(plan)
    Workers(plan).run(searcher)
    study = load_study(plan.path)
    assert len(study.configurations) == 4
    assert standing_of(study).champion() is not None
    assert study.end_of_drawing.reason.startswith("--max-hours")


def test_an_end_that_a_larger_budget_has_overtaken_keeps_what_is_drawn(tmp_path):
    def planned(**more):
        return fake_plan(
            tmp_path / "study", n_subjects=8, n_configs=16, wave_size=4, ladder=LADDER, **more
        )

    for limit in (45, 1000):
        plan = planned(max_trainings=limit)
        if (plan.path / "study.json").exists():
            plan = fake_resumed(plan)
        Workers(plan).run(start(plan))
    study = load_study(plan.path)
    assert len(study.configurations) == 16
    assert _n_configs(study, 16, planned(max_trainings=45).options) == 16


def test_a_budget_that_forbids_the_rest_of_a_wave_keeps_its_beginning(tmp_path):
    """Six configurations end in half a wave; more are asked for than the budget allows."""

    def planned(n_configs, **more):
        return fake_plan(
            tmp_path / "study",
            n_subjects=8,
            n_configs=n_configs,
            wave_size=4,
            ladder=LADDER,
            **more,
        )

    first = planned(6)
    Workers(first).run(start(first))
    before = decided(load_study(first.path))
    more = fake_resumed(planned(16, max_trainings=6 * 3 + 8))
    searcher = start(more)
    Workers(more).run(searcher)
    study = load_study(more.path)
    assert (len(study.configurations), study.n_configs) == (6, 6)
    assert decided(study) == decided(searcher.study) == before
    assert searcher._schedule.n_drawn == 6
