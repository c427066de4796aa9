import numpy as np
import pytest
from scipy.special import stdtrit

from dianet_ray.artefacts import METRICS
from dianet_ray.protocol import choosing
from dianet_ray.protocol.correction import Choices, Corrected, Tally
from dianet_ray.protocol.metrics import scores
from dianet_ray.protocol.predictions import (
    classify,
    jackknife_error,
    subject_confusions,
    without_each,
)
from dianet_ray.protocol.standing import standing_of
from tests.support.studies import begun, laddered, make_study

COUNTS = np.array([99, 63, 32, 27, 25])
SHARES = COUNTS / COUNTS.sum()
N_CONFIGS = 64


def casme2_like(generator, *, accuracies=None):
    """Confusions of 64 configurations on 246 clips of 26 subjects with 2 to 34 clips each.

    A prediction is right with the configuration's accuracy, else (or without accuracies) a guess
    from the class shares.
    """
    sizes = 2 + generator.multinomial(194, generator.dirichlet(np.full(26, 1.5)))
    subjects = np.repeat(np.arange(26), sizes)
    labels = generator.permutation(np.repeat(np.arange(5), COUNTS))
    guesses = generator.choice(5, p=SHARES, size=(N_CONFIGS, 246))
    if accuracies is not None:
        knows = generator.random(guesses.shape) < np.asarray(accuracies)[:, None]
        guesses = np.where(knows, labels, guesses)
    counts = np.zeros((N_CONFIGS, 26, 5, 5), dtype=np.int64)
    np.add.at(counts, (np.arange(N_CONFIGS)[:, None], subjects, labels, guesses), 1)
    return counts


def alone(counts):
    """LOSO is the only rung."""
    return [{number: Tally(one[None], one[None]) for number, one in enumerate(counts)}]


def naive_best(counts, objective):
    pooled = scores(counts.sum(axis=1))
    return float(pooled[objective].max())


def test_on_noise_the_corrected_estimate_is_at_chance_and_the_naive_best_is_above_it():
    chance = float((SHARES**2).sum())  # a guess from the class shares is right this often
    estimates, covered, naive = [], [], []
    for seed in range(60):
        counts = casme2_like(np.random.default_rng(seed))
        found = Choices(alone(counts), "accuracy", seed=seed, n=500).score()["accuracy"]
        estimates.append(found.estimate)
        low, high = found.ci95
        covered.append(low <= chance <= high)
        naive.append(naive_best(counts, "accuracy"))
    assert np.mean(estimates) == pytest.approx(chance, abs=0.01)
    assert min(naive) > chance
    assert np.mean(naive) > chance + 0.04
    assert np.mean(covered) >= 0.95


def true_score(accuracy, metric):
    """The score of a configuration of `casme2_like` on infinitely many new subjects."""
    guessed = np.outer(COUNTS * (1 - accuracy), SHARES)
    return float(scores(np.diag(COUNTS * accuracy) + guessed)[metric])


@pytest.mark.parametrize("objective", METRICS)
def test_with_signal_the_estimate_is_close_to_the_truth_and_below_the_naive_best(objective):
    generator = np.random.default_rng(0)
    optimism, error, covered = [], [], []
    for seed in range(20):
        accuracies = generator.uniform(0.2, 0.6, size=N_CONFIGS)
        counts = casme2_like(generator, accuracies=accuracies)
        winner = scores(counts.sum(axis=1))[objective].argmax()
        truth = true_score(accuracies[winner], objective)
        best = naive_best(counts, objective)
        found = Choices(alone(counts), objective, seed=seed, n=300).score()[objective]
        assert found.estimate < best
        covered.append(found.ci95[0] <= truth <= found.ci95[1])
        optimism.append(best - truth)
        error.append(found.estimate - truth)
    assert np.mean(optimism) > 0.03
    assert np.mean(error) == pytest.approx(0, abs=0.015)
    assert np.mean(covered) >= 0.9


def test_a_clear_winner_needs_little_correction():
    generator = np.random.default_rng(0)
    accuracies = np.append(generator.uniform(0.1, 0.3, size=N_CONFIGS - 1), 0.7)
    gaps = []
    for seed in range(10):
        counts = casme2_like(generator, accuracies=accuracies)
        found = Choices(alone(counts), "accuracy", seed=seed, n=300).score()["accuracy"]
        gaps.append(naive_best(counts, "accuracy") - found.estimate)
    assert np.mean(gaps) == pytest.approx(0, abs=0.005)


def test_one_configuration_has_nothing_to_correct():
    counts = casme2_like(np.random.default_rng(1), accuracies=np.full(N_CONFIGS, 0.5))[:1]
    found = Choices(alone(counts), "accuracy", seed=0).score()["accuracy"]
    assert found.estimate == pytest.approx(naive_best(counts, "accuracy"), abs=1e-12)


def test_the_objective_chooses_and_ties_go_to_the_lower_number():
    one = np.array([[[3, 0], [1, 0]]] * 3)  # accuracy 3/4, UAR 1/2
    other = np.array([[[2, 1], [0, 1]]] * 3)  # accuracy 3/4, UAR 5/6
    for pair, uar in [((one, other), 1 / 2), ((other, one), 5 / 6)]:
        found = Choices(alone(np.array(pair)), "accuracy", seed=0).score()
        assert found["uar"].estimate == pytest.approx(uar)
        found = Choices(alone(np.array(pair)), "uar", seed=0).score()
        assert found["uar"].estimate == pytest.approx(5 / 6)


def test_two_subjects_are_enough():
    counts = np.array([[np.diag([1, 1]), np.diag([1, 1])]])
    assert Choices(alone(counts), "uf1", seed=0).score()["uf1"] == Corrected(1.0, (1.0, 1.0))


def test_the_estimate_depends_on_the_seed_alone():
    study = make_study(n_subjects=10, n_configs=5)
    counts = np.array(
        [subject_confusions(study.clips, classify(study.pooled(n)), 3)[1] for n in range(5)]
    )
    first, again, other = (Choices(alone(counts), "uf1", seed=seed).score() for seed in (0, 0, 1))
    assert first == again
    assert first != other


def test_points_are_a_choice_like_configurations(monkeypatch):
    """Eight points, of which the end is kept, are as eight settings of which the last is."""
    monkeypatch.setattr(choosing, "AHEAD_OF_FIRST", choosing.AHEAD_OF_END)
    moved = 0
    for seed in range(20):
        counts = casme2_like(np.random.default_rng(seed))[:8]
        as_points = Choices([{0: Tally(counts, counts)}], "accuracy", seed=seed, n=300).score()
        chosen = Choices(alone(counts), "accuracy", first=7, seed=seed, n=300)
        for metric, expected in chosen.score().items():
            assert as_points[metric].estimate == pytest.approx(expected.estimate, abs=1e-12)
            assert as_points[metric].ci95 == pytest.approx(expected.ci95, abs=1e-12)
        last = scores(counts[7].sum(axis=0))["accuracy"]
        moved += as_points["accuracy"].estimate != pytest.approx(last, abs=1e-9)
    assert moved > 10


def test_nothing_is_gained_over_a_configuration_that_stands_alone():
    counts = casme2_like(np.random.default_rng(0))[:1]
    twice = [dict.fromkeys(range(2), Tally(counts[0][None], counts[0][None]))]
    assert Choices(twice, "uf1", seed=0).gain(0)["uf1"] == Corrected(0.0, (0.0, 0.0))


def test_the_champion_gains_nothing_over_itself():
    counts = casme2_like(np.random.default_rng(0))
    best = int(scores(counts.sum(axis=1))["uf1"].argmax())
    chosen = Choices(alone(counts), "uf1", seed=0)
    assert chosen.gain(best) == dict.fromkeys(METRICS, Corrected(0.0, (0.0, 0.0)))
    assert chosen.gain(best - 1)["uf1"].ci95[0] < 0 < chosen.gain(best - 1)["uf1"].ci95[1]


def test_on_noise_the_best_of_many_gains_nothing_over_the_first_though_it_seems_to():
    gains, naive = [], []
    for seed in range(30):
        counts = casme2_like(np.random.default_rng(seed))
        gains.append(Choices(alone(counts), "accuracy", seed=seed, n=300).gain(0)["accuracy"])
        of_all = scores(counts.sum(axis=1))["accuracy"]
        naive.append(of_all.max() - of_all[0])
    assert np.mean([one.estimate for one in gains]) == pytest.approx(0, abs=0.015)
    assert np.mean(naive) > 0.05
    assert sum(one.ci95[0] > 0 for one in gains) <= 1


def test_with_signal_the_gain_is_that_of_the_chosen_one_over_the_first():
    accuracies = np.linspace(0.2, 0.6, N_CONFIGS)
    gains = []
    for seed in range(20):
        counts = casme2_like(np.random.default_rng(seed), accuracies=accuracies)
        gains.append(Choices(alone(counts), "accuracy", seed=seed, n=300).gain(0)["accuracy"])
    least, most = (
        true_score(accuracies[place], "accuracy") - true_score(accuracies[0], "accuracy")
        for place in (-12, -1)
    )
    assert least < np.mean([one.estimate for one in gains]) < most
    assert all(one.ci95[0] > 0 for one in gains)


def relabelled(counts, order):
    return counts[..., order, :][..., order]


@pytest.mark.parametrize("objective", METRICS)
def test_names_of_classes_copies_of_the_champion_and_units_of_clips_change_nothing(objective):
    counts = casme2_like(np.random.default_rng(5), accuracies=np.linspace(0.2, 0.5, N_CONFIGS))
    found = Choices(alone(counts), objective, seed=0, n=200).score()[objective]
    champion = scores(counts.sum(axis=1))[objective].argmax()
    others = {
        "classes": relabelled(counts, [3, 1, 4, 0, 2]),
        "copies": np.concatenate([counts, counts[[champion] * 5]]),
        "clips": 3 * counts,
    }
    for name, other in others.items():
        again = Choices(alone(other), objective, seed=0, n=200).score()[objective]
        assert again.estimate == pytest.approx(found.estimate, abs=1e-12), name
        assert again.ci95 == pytest.approx(found.ci95, abs=1e-12), name


def on_a_ladder(counts, n_promoted=4):
    """Screen all in a rung of its own, and promote the best to LOSO, where counts differ."""
    screened = np.roll(counts, 1, axis=0) + counts
    best = np.sort(np.argsort(-scores(screened.sum(axis=1))["uf1"])[:n_promoted])
    tallies = [
        {int(k): Tally(one[k][None], one[k][None]) for k in numbers}
        for one, numbers in ((screened, range(len(counts))), (counts, best))
    ]
    return tallies


def single_clips(seed):
    """Subjects with a clip each, of which every configuration is sure: many are alike in much."""
    generator = np.random.default_rng(seed)
    labels = generator.integers(3, size=26)
    guesses = np.where(generator.random((32, 26)) < 0.5, labels, generator.integers(3, size=26))
    counts = np.zeros((32, 26, 3, 3), dtype=np.int64)
    np.add.at(counts, (np.arange(32)[:, None], np.arange(26), labels, guesses), 10**6)
    return counts


@pytest.mark.parametrize("seed", range(3))
def test_subjects_that_are_alike_in_much_may_come_in_any_order(seed):
    counts = single_clips(seed)
    order = np.random.default_rng(seed).permutation(26)
    mine, theirs = (
        Choices(alone(one), "uf1", seed=0, n=200).score()["uf1"]
        for one in (counts, counts[:, order])
    )
    assert theirs.estimate == pytest.approx(mine.estimate, abs=1e-9)


@pytest.mark.parametrize("rungs_of", [alone, on_a_ladder])
def test_the_order_of_the_subjects_and_names_of_classes_change_nothing(rungs_of):
    counts = casme2_like(np.random.default_rng(5), accuracies=np.linspace(0.2, 0.5, N_CONFIGS))
    found = Choices(rungs_of(counts), "uf1", seed=0, n=200)
    for name, other in {
        "subjects": counts[:, np.random.default_rng(0).permutation(26)],
        "classes": relabelled(counts, [3, 1, 4, 0, 2]),
    }.items():
        again = Choices(rungs_of(other), "uf1", seed=0, n=200)
        for metric in METRICS:
            mine, theirs = (one.score()[metric] for one in (found, again))
            assert theirs.estimate == pytest.approx(mine.estimate, abs=1e-9), name
            assert theirs.ci95 == pytest.approx(mine.ci95, abs=1e-9), name


def test_copies_of_the_champion_hardly_move_the_estimate_of_a_ladder():
    """They move the mean deviation of all that were screened, by which promotion is judged."""
    counts = casme2_like(np.random.default_rng(5), accuracies=np.linspace(0.2, 0.5, N_CONFIGS))
    rungs = on_a_ladder(counts)
    chosen = Choices(rungs, "uf1", seed=0, n=200)
    nothing = dict.fromkeys(METRICS, Corrected(0.0, (0.0, 0.0)))
    (champion,) = [k for k in rungs[-1] if chosen.gain(k) == nothing]
    for n_copies in (1, 20):
        copied = [
            rung | {N_CONFIGS + n: rung[champion] for n in range(n_copies)} for rung in rungs
        ]
        again = Choices(copied, "uf1", seed=0, n=200)
        for metric in METRICS:
            mine, theirs = (one.score()[metric].estimate for one in (chosen, again))
            assert theirs == pytest.approx(mine, abs=0.002)


def test_shares_choose_and_counts_are_scored():
    counts = casme2_like(np.random.default_rng(0), accuracies=np.linspace(0.2, 0.6, N_CONFIGS))
    best = int(scores(counts.sum(axis=1))["uf1"].argmax())
    other = (best + 1) % N_CONFIGS
    swapped = counts.copy()
    swapped[[best, other]] = swapped[[other, best]]
    nothing = dict.fromkeys(METRICS, Corrected(0.0, (0.0, 0.0)))
    for soft, champion in ((counts, best), (swapped, other)):
        both = zip(counts, soft, strict=True)
        rung = {k: Tally(hard[None], shared[None]) for k, (hard, shared) in enumerate(both)}
        found = Choices([rung], "uf1", seed=0, n=200)
        # Nothing is gained by the choice over what was chosen.
        assert found.gain(champion) == nothing
        assert found.gain(best + other - champion) != nothing


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("make", [make_study, laddered])
def test_the_choice_that_is_repeated_is_that_of_the_champion(make, seed):
    study = make(seed=seed)
    if seed % 2:
        study = begun(study, standing_of(study).complete()[-1].number)
    standing = standing_of(study)
    first = standing.began_with()
    rungs = [
        {
            number: Tally(
                standing.confusions(number, rung)[None],
                standing.shared(number, rung, standing.steps_read(number, rung))[None],
            )
            for number in sorted(entry.number for entry in standing.decisions.complete(rung))
        }
        for rung in range(len(study.rungs))
    ]
    number = first.number if first else None
    found = Choices(rungs, study.objective, first=number, seed=seed, n=50)
    nothing = dict.fromkeys(METRICS, Corrected(0.0, (0.0, 0.0)))
    champions = [number for number in rungs[-1] if found.gain(number) == nothing]
    assert champions == [standing.champion().number]


def test_on_noise_the_first_settings_mostly_stay_and_nothing_is_gained():
    gains, n_stayed = [], 0
    for seed in range(60):
        counts = casme2_like(np.random.default_rng(seed))[:8]
        found = Choices(alone(counts), "accuracy", first=0, seed=seed, n=300)
        best = int(scores(counts.sum(axis=1))["accuracy"].argmax())
        gains.append(found.gain(0)["accuracy"].estimate)
        n_stayed += best != 0 and gains[-1] == 0.0
    assert n_stayed > 10
    assert np.mean(gains) == pytest.approx(0, abs=0.015)


def test_a_clear_lead_in_loso_displaces_first_settings_with_the_higher_sum():
    good, fair, bad = casme2_like(
        np.random.default_rng(0), accuracies=[*[0.9, 0.6, 0.1], *[0.1] * (N_CONFIGS - 3)]
    )[:3]
    rungs = [
        {k: Tally(one[None], one[None]) for k, one in enumerate(pair)}
        for pair in ((good, bad), (bad, fair))
    ]
    nothing = dict.fromkeys(METRICS, Corrected(0.0, (0.0, 0.0)))
    assert Choices(rungs, "uf1", first=0, seed=0, n=100).gain(1) == nothing
    # Without the rule the sum decides.
    assert Choices(rungs, "uf1", seed=0, n=100).gain(0) == nothing


def half_width(found, metric="accuracy"):
    low, high = found[metric].ci95
    return (high - low) / 2


def test_an_interval_is_wider_where_other_subjects_would_have_chosen_another_champion():
    clear = casme2_like(np.random.default_rng(0), accuracies=[0.8, *[0.1] * (N_CONFIGS - 1)])
    found = Choices(alone(clear), "accuracy", seed=0, n=200)
    error = jackknife_error(without_each(clear[0])["accuracy"])
    assert half_width(found.score()) == pytest.approx(stdtrit(25, 0.975) * error)
    gain = jackknife_error(without_each(clear[0])["accuracy"] - without_each(clear[1])["accuracy"])
    assert half_width(found.gain(1)) == pytest.approx(stdtrit(25, 0.975) * gain)

    rivals = casme2_like(np.random.default_rng(0), accuracies=np.full(N_CONFIGS, 0.5))
    best = int(scores(rivals.sum(axis=1))["accuracy"].argmax())
    error = jackknife_error(without_each(rivals[best])["accuracy"])
    found = Choices(alone(rivals), "accuracy", seed=0, n=200)
    assert half_width(found.score()) > 1.02 * stdtrit(25, 0.975) * error


@pytest.mark.parametrize("n_subjects", [2, 3])
def test_an_interval_holds_its_estimate_within_the_scale(n_subjects):
    """With so few subjects, and soft scores that choose otherwise, estimates leave the scale."""
    for seed in range(60):
        rng = np.random.default_rng(seed)
        found = {}
        for number in range(6):
            hard = np.stack([np.diag(rng.integers(1, 5, 2)) for _ in range(n_subjects)])
            hard[rng.integers(n_subjects), 0, 1] += rng.integers(0, 3)
            found[number] = Tally(hard[None], rng.integers(1, 5, (1, *hard.shape)))
        for corrected in Choices([found], "uf1", seed=seed, n=50).score().values():
            low, high = corrected.ci95
            assert 0 <= low <= corrected.estimate <= high <= 1
