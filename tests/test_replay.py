"""The replay benchmark: a simulated cluster, strategies on it, and generated matrices."""

import json
import sys
import warnings
from dataclasses import replace

import numpy as np
import optuna
import pytest

from benchmarks import honesty, search_cost
from benchmarks.replay.cluster import simulate
from benchmarks.replay.generator import calibrate, generate, likeness, mean_likeness
from benchmarks.replay.margins import Deviations, Fitted, Times, fit
from benchmarks.replay.matrix import Matrix, Partition
from benchmarks.replay.measure import orders, play
from benchmarks.replay.people import Case, knowing_or_guessing, like_recorded
from benchmarks.replay.predictions import Recorded, rung_names
from benchmarks.replay.rivals import is_worse, prefixes
from benchmarks.replay.strategies import ceiling, strategies
from dianet_ray.protocol.folds import Clip, groups, loso
from dianet_ray.protocol.ladder import EXHAUSTIVE, Rung, default_ladder
from dianet_ray.protocol.metrics import confusion, scores
from dianet_ray.protocol.predictions import classify

CLASSES = ("disgust", "happiness", "surprise")
N_SUBJECTS, N_CONFIGS, WAVE_SIZE = 10, 24, 4
NAMES = (
    *("exhaustive", "wilcoxon", "wilcoxon-clips", "forgiving", "aggressive", "halving"),
    *("ladder", "ladder-async"),
)


def made_up(n_configs=N_CONFIGS, n_subjects=N_SUBJECTS, seed=0, lowest=0.3) -> Matrix:
    """Configurations that predict right with a probability of their own."""
    rng = np.random.default_rng(seed)
    clips = tuple(
        Clip(f"{s:02d}-{take}", f"sub{s:02d}", int(label))
        for s in range(n_subjects)
        for take, label in enumerate([0, 1, 2, *rng.integers(0, 3, 5)])
    )
    labels = np.array([clip.label for clip in clips])
    quality = rng.uniform(lowest, 0.9, n_configs)
    loso_folds, group_folds = loso(clips, CLASSES, seed), groups(clips, CLASSES, seed, 3)
    partitions = {
        "groups-3 x 0.5": (group_folds, (100, 200)),
        "groups-3 x 1": (group_folds, (200, 400)),
        "loso": (loso_folds, (200, 400)),
    }
    rungs = {}
    for name, (folds, points) in partitions.items():
        is_right = rng.random((n_configs, len(points), len(clips))) < quality[:, None, None]
        predicted = np.where(is_right, labels, (labels + 1) % 3)
        probabilities = np.eye(3, dtype=np.float32)[predicted] * 0.7 + 0.1
        seconds = rng.lognormal(0.0, 0.5, (n_configs, len(folds)))
        rungs[name] = Partition(folds, points, probabilities.astype(np.float32), seconds)
    fresh = np.repeat(quality[:, None], 2, axis=1)
    return Matrix("made up", clips, CLASSES, rungs, fresh, {})


def fitted(recorded) -> Fitted:
    """Known parts of margins, for three classes."""
    return Fitted(
        recorded=recorded,
        recall=np.tile(np.linspace(-0.5, 0.5, 3), (4, 1)),
        qualities=np.full((4, 4), 0.10) + np.diag([0.02, 0.01, 0.01, 0.0]),
        shape=np.linspace(-1.7, 1.7, 30),
        deviations=Deviations(0.1, 0.1, 0.45, 0.1, 0.8, 0.15, 0.4),
        wrong=np.array([[0, 0.3, 0.7], [0.5, 0, 0.5], [0.2, 0.8, 0]]),
        sticky=0.3,
        spread=2.0,
        times=Times(np.array([-0.5, 0.1, 0.2]), 0.4, 0.07),
    )


@pytest.fixture(scope="module")
def recorded():
    return Recorded(made_up())


@pytest.fixture(scope="module")
def starts(recorded):
    return strategies(recorded, default_ladder(N_SUBJECTS), WAVE_SIZE)


@pytest.fixture(scope="module")
def drawn(recorded):
    return orders(recorded, N_CONFIGS, 1, seed=0)[0]


def run(strategy, drawn, n_workers):
    return simulate(strategy, drawn.seconds(strategy.ladder), n_workers)


def case(source, labels, *, strategy="exhaustive", seed=0, n_subjects=40):
    return Case(source, labels, n_subjects, strategy, "uf1", seed)


@pytest.mark.parametrize("labels", ["signal", "noise"])
@pytest.mark.parametrize("source", ["recorded", "guessing"])
def test_scores_of_drawn_people_are_those_of_their_truth(source, labels):
    """In the mean over configurations and draws, nobody having chosen any."""
    known = fitted(made_up())
    differences = []
    for seed in range(8):
        one = case(source, labels, seed=seed)
        people = like_recorded(known, one) if source == "recorded" else knowing_or_guessing(one)
        truths = [clip.label for clip in people.clips]
        predicted = classify(people.predicted[-1])
        found = scores(confusion(np.array(truths), predicted, people.n_classes))
        differences.append(np.mean(found["uf1"] - people.truth["uf1"]))
    assert np.mean(differences) == pytest.approx(0, abs=0.02)


@pytest.mark.parametrize("strategy", ["exhaustive", "ladder"])
def test_a_corrected_search_is_measured_against_the_truth_of_its_champion(strategy):
    found = [
        honesty.measure(case("guessing", "noise", strategy=strategy, seed=seed, n_subjects=26))
        for seed in range(12)
    ]
    naive, corrected = (
        np.mean([getattr(one, k) for one in found]) for k in ("naive", "corrected")
    )
    assert abs(corrected) < 0.02
    assert naive > corrected + 0.01
    assert sum(one.is_above_chance for one in found) == 0


def test_without_matrices_nothing_is_measured(monkeypatch, tmp_path):
    monkeypatch.setattr(honesty, "MATRICES", tmp_path)
    monkeypatch.setattr("sys.argv", ["honesty"])
    with pytest.raises(SystemExit, match="no matrices in"):
        honesty.main()


def test_kept_searches_are_not_played_again(tmp_path):
    cases = [case("guessing", "noise", seed=seed, n_subjects=12) for seed in range(3)]
    kept = tmp_path / "kept.jsonl"
    found = honesty.play(cases, [], n_workers=1, kept=kept)
    lines = kept.read_text().splitlines()
    other = lines[1].replace('"width": ', '"width": 1')
    kept.write_text(f"{other}\n")
    again = honesty.play(cases, [], n_workers=1, kept=kept)
    assert kept.read_text().splitlines() == [other, lines[0], lines[2]]
    assert [one.case.seed for one in again] == [1, 0, 2]
    assert again[1:] == [found[0], found[2]]
    assert again[0].width >= 1


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("n_workers", [1, 5, 40])
def test_a_simulated_cluster_runs_no_training_twice_and_never_more_than_its_workers(
    name, n_workers, starts, drawn
):
    strategy = starts[name](drawn)
    found = run(strategy, drawn, n_workers)
    keys = [key for key, _, _ in found.trained]
    assert len(set(keys)) == len(keys)
    moments = [(end, -1) for _, _, end in found.trained]
    moments += [(start, 1) for _, start, _ in found.trained]
    assert max(np.cumsum([change for _, change in sorted(moments)])) <= n_workers
    assert 0 < found.utilisation <= 1 + 1e-9
    assert found.wall >= found.seconds / n_workers - 1e-9
    assert run(starts[name](drawn), drawn, n_workers) == found
    champion = strategy.champion()
    n_folds = drawn.recorded.n_folds
    last = len(strategy.ladder) - 1
    assert {(champion, last, fold) for fold in range(n_folds)} <= set(keys)


@pytest.mark.parametrize("name", NAMES)
def test_one_worker_is_always_busy_and_trains_nothing_in_vain(name, starts, drawn):
    strategy = starts[name](drawn)
    found = run(strategy, drawn, 1)
    assert found.utilisation == pytest.approx(1.0)
    assert strategy.n_surplus() == 0


@pytest.mark.parametrize("n_workers", [1, 7])
def test_exhaustive_trains_every_fold_of_every_configuration(n_workers, starts, drawn):
    found = run(starts["exhaustive"](drawn), drawn, n_workers)
    expected = {(n, 0, fold) for n in range(N_CONFIGS) for fold in range(N_SUBJECTS)}
    assert {key for key, _, _ in found.trained} == expected
    strategy = starts["exhaustive"](drawn)
    run(strategy, drawn, n_workers)
    assert strategy.champion() == drawn.winner()


@pytest.mark.parametrize("name", ["exhaustive", "halving", "ladder"])
def test_decisions_of_waves_and_stages_do_not_depend_on_the_number_of_workers(name, starts, drawn):
    champions = set()
    for n_workers in (1, 3, 50):
        strategy = starts[name](drawn)
        run(strategy, drawn, n_workers)
        champions.add(strategy.champion())
    assert len(champions) == 1


@pytest.mark.parametrize("drop", ["none", "bootstrap"])
def test_a_ladder_trains_no_less_than_the_ceiling_of_its_rules_says(drop, recorded, drawn):
    ladder = default_ladder(N_SUBJECTS, drop)
    start = strategies(recorded, ladder, WAVE_SIZE)["ladder"]
    n_least = ceiling(ladder, [3, N_SUBJECTS], N_CONFIGS, WAVE_SIZE)
    n_trained = len(run(start(drawn), drawn, 1).trained)
    assert n_least <= n_trained
    if drop == "none":  # more only for those that others overtook after their promotion
        n_more = ladder[0].places(N_CONFIGS, is_last_wave=True) - ladder[0].quota(
            N_CONFIGS, is_last_wave=True
        )
        assert n_trained - n_least in [N_SUBJECTS * n for n in range(n_more + 1)]
    whole = ceiling(EXHAUSTIVE, [N_SUBJECTS], N_CONFIGS, WAVE_SIZE)
    assert whole == N_CONFIGS * N_SUBJECTS


def test_asynchronous_promotion_promotes_the_best_and_skips_what_is_dropped(recorded, drawn):
    ladder = (Rung(3, 1.0, 1 / 4, "bootstrap"), Rung())
    strategy = strategies(recorded, ladder, WAVE_SIZE)["ladder-async"](drawn)
    found = run(strategy, drawn, 3)
    screened = np.array([recorded.scores["groups-3 x 1"][row] for row in drawn.rows])
    promoted = {number for (number, rung, _), _, _ in found.trained if rung == 1}
    assert int(screened.argmax()) in promoted
    assert len(promoted) < N_CONFIGS
    assert len(found.trained) < 3 * N_CONFIGS + len(promoted) * N_SUBJECTS


def test_regret_and_kept_compare_truths(starts, drawn):
    result = play(starts["exhaustive"], drawn, 2)
    truth = drawn.truth()
    assert result.winner_kept
    assert result.regret == pytest.approx(100 * (truth.max() - truth[drawn.winner()]))


def test_orders_are_subsets_in_another_order(recorded):
    found = orders(recorded, 10, 20, seed=3)
    assert all(len(set(one.rows)) == 10 for one in found)
    assert len({one.rows for one in found}) == 20
    assert [one.rows for one in orders(recorded, 10, 20, seed=3)] == [one.rows for one in found]


@pytest.mark.parametrize(("n", "expected"), [(26, [3, 9, 26]), (68, [3, 9, 27, 68]), (2, [2])])
def test_halving_ends_with_all_folds(n, expected):
    assert prefixes(n) == expected


@pytest.mark.parametrize("seed", range(40))
def test_the_wilcoxon_rule_is_that_of_optuna(seed):
    rng = np.random.default_rng(seed)
    m = int(rng.integers(2, 30))
    n = m if seed % 2 else int(rng.integers(1, min(m, 9) + 1))
    n = n if n <= 8 else m if m > 13 else 8  # scipy takes seconds for 9 to 13 with ties
    n_levels = int(rng.choice([2, 4, 1000]))
    best = rng.integers(0, n_levels, m) / n_levels
    mine = np.where(rng.random(n) < 0.6, rng.integers(0, n_levels, n) / n_levels - 0.25, best[:n])
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    with warnings.catch_warnings(action="ignore"):
        pruner = optuna.pruners.WilcoxonPruner(p_threshold=0.1)
        study = optuna.create_study(direction="maximize", pruner=pruner)
        known = dict(enumerate(best.tolist()))
        study.add_trial(optuna.trial.create_trial(value=1.0, intermediate_values=known))
        trial = optuna.trial.create_trial(
            state=optuna.trial.TrialState.RUNNING,
            intermediate_values=dict(enumerate(mine.tolist())),
        )
        expected = pruner.prune(study, trial)
    assert is_worse(mine, best) == expected


def test_a_generated_matrix_is_whole_and_repeatable():
    base = fitted(made_up())
    found = generate(base, n_subjects=17, n_configs=9, seed=4)
    again = generate(base, n_subjects=17, n_configs=9, seed=4)
    assert len({clip.subject for clip in found.clips}) == 17
    assert len(found.truth) == 9
    assert list(found.rungs) == list(base.recorded.rungs)
    for name, rung in found.rungs.items():
        held_out = sorted(clip for fold in rung.folds for clip in fold.test_clips)
        assert held_out == list(range(len(found.clips)))
        assert rung.seconds.shape == (9, len(rung.folds))
        assert np.array_equal(rung.probabilities, again.rungs[name].probabilities)
        assert rung.probabilities.sum(axis=-1) == pytest.approx(1.0)
    other = generate(base, n_subjects=17, n_configs=9, seed=5)
    assert not np.array_equal(other.truth, found.truth)


def test_training_seconds_are_as_spread_as_asked():
    base = fitted(made_up())
    made = generate(base, n_subjects=12, n_configs=300, seed=0, log_std=0.5)
    assert np.log(made.rungs["loso"].seconds).std() == pytest.approx(0.5, rel=0.1)
    made = generate(base, n_subjects=12, n_configs=300, seed=0)
    assert np.log(made.rungs["loso"].seconds).std() == pytest.approx(base.times.log_std, rel=0.1)


def test_generated_matrices_correlate_and_spread_as_the_one_they_are_fitted_to():
    # A recorded matrix whose parts are known, with what the fit must find by itself.
    base = replace(fitted(made_up(n_subjects=20)), sticky=0.4)
    recorded = generate(base, n_subjects=20, n_configs=48, seed=1)
    was = likeness(recorded)
    found = calibrate(fit(recorded), n_rounds=3)
    made = mean_likeness(found, 48, range(50, 56))
    assert made.correlations[-1] == pytest.approx(was.correlations[-1], abs=0.05)
    assert made.spreads == pytest.approx(was.spreads, rel=0.2)


def test_the_truth_of_a_generated_matrix_is_what_many_clips_would_score():
    made = generate(fitted(made_up()), n_subjects=100, n_configs=40, seed=2)
    labels = np.array([clip.label for clip in made.clips])
    predicted = made.rungs["loso"].probabilities[:, 0].argmax(axis=-1)
    pooled = scores(confusion(labels, predicted, 3))["uf1"]
    assert np.corrcoef(pooled, made.truth)[0, 1] > 0.9
    assert pooled.mean() == pytest.approx(made.truth.mean(), abs=0.05)


def test_the_command_prints_every_strategy(monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(search_cost, "load", lambda path: [made_up()])
    monkeypatch.setattr(search_cost, "_n_subjects", lambda matrix: N_SUBJECTS)
    arguments = [
        "search_cost",
        "made_up.npz",
        "--orders",
        "2",
        "--configs",
        "12",
        "--workers",
        "3",
    ]
    monkeypatch.setattr(sys, "argv", [*arguments, "--json"])
    search_cost.main()
    found = json.loads(capsys.readouterr().out)
    by_name = {row["strategy"]: row for row in found["strategies"]}
    assert set(by_name) == set(NAMES)
    asked = {"trainings", "seconds", "regret", "winner_kept", "utilisation"}
    assert all(asked <= set(row) for row in by_name.values())
    assert by_name["exhaustive"]["trainings"] == 12 * N_SUBJECTS
    assert by_name["exhaustive"]["saved"]["trainings"] == 1
    monkeypatch.setattr(sys, "argv", arguments)
    search_cost.main()
    assert "ladder-async" in capsys.readouterr().out


def test_rungs_are_found_by_their_names():
    assert rung_names(default_ladder(26)) == ["groups-3 x 0.5", "loso"]
