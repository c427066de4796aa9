import dataclasses

import numpy as np
import pytest

from dianet_ray.artefacts import METRICS
from dianet_ray.protocol.correction import Corrected
from dianet_ray.protocol.predictions import Chance
from dianet_ray.protocol.standing import standing_of
from dianet_ray.report import champion as champion_section
from dianet_ray.report import verdicts
from tests.support.reports import report_of
from tests.support.studies import begun, ending, laddered, make_study, shown_early


@pytest.fixture(scope="module")
def study():
    return make_study(n_subjects=8, n_configs=12)


@pytest.fixture(scope="module")
def report(study):
    return report_of(study)


def failing(study, number):
    trainings = dict(study.trainings)
    trainings[number, 0, 2] = ending(trainings[number, 0, 2], "failed", "loss is nan")
    return dataclasses.replace(study, trainings=trainings)


def test_equal_studies_have_equal_reports(study, report):
    assert report_of(study) == report


def test_the_numbers_agree_with_each_other(study, report):
    best = report.champion
    assert best.config_id == standing_of(study).champion().config_id
    assert best.uf1 == max(config.scores.uf1 for config in report.configs)
    assert np.sum(best.confusion) == len(study.clips) == report.dataset.clips
    assert sum(report.dataset.classes.values()) == len(study.clips)
    assert sum(found.clips for found in best.per_subject.values()) == len(study.clips)
    correct = sum(found.correct for found in best.per_subject.values())
    assert correct == np.trace(best.confusion)
    assert best.accuracy == pytest.approx(correct / len(study.clips))
    assert np.mean(list(best.recall.values())) == pytest.approx(best.uar)
    assert report.n_trainings == report.n_trainings_exhaustive == 12 * 8
    assert report.n_surplus == 0
    assert report.dataset.left_out == 3


def test_above_chance_means_that_the_corrected_interval_is(report):
    for metric, is_above in report.champion.above_chance.items():
        low = report.champion.corrected[metric].ci95[0]
        assert is_above == (low > report.chance[metric].level)
    assert all(report.champion.above_chance.values())


def test_the_best_of_many_guessing_configurations_is_not_above_chance():
    """By its own interval some of them are: that is what the correction is for."""
    studies = [make_study(n_subjects=8, n_configs=30, seed=seed, signal=0) for seed in range(6)]
    reports = [report_of(study) for study in studies]
    assert not any(one.champion.above_chance["uf1"] for one in reports)
    assert any(one.champion.above_chance_uncorrected["uf1"] for one in reports)
    said = [verdicts.above(one, "uf1") for one in reports]
    assert "score only" in said
    assert "yes" not in said


def test_without_a_choice_the_interval_of_the_score_decides():
    alone = report_of(make_study(n_subjects=8, n_configs=1, seed=3))
    for metric, is_above in alone.champion.above_chance.items():
        assert is_above == (alone.champion.ci95[metric][0] > alone.chance[metric].level)
    assert all(alone.champion.above_chance.values())
    guessing = report_of(make_study(n_subjects=8, n_configs=1, seed=3, signal=0))
    assert not any(guessing.champion.above_chance.values())


def test_the_corrected_estimate_of_guessing_is_below_the_best_score():
    for seed in range(5):
        best = report_of(make_study(n_subjects=12, n_configs=20, seed=seed, signal=0)).champion
        assert best.corrected["uf1"].estimate < best.uf1


def test_a_failed_configuration_has_no_score_and_what_followed_is_surplus(study, report):
    best = report.champion.number
    found = report_of(failing(study, best))
    assert found.configs[best].state == "failed"
    (rung,) = found.configs[best].rungs
    assert (rung.partition, rung.state, rung.n_trainings, rung.scores) == (
        *("loso", "failed", 8, None),
    )
    assert found.n_surplus == 5  # the first failure, in the third fold, decides
    (failure,) = found.failures
    assert (failure.number, failure.is_crash, failure.reason) == (best, False, "loss is nan")
    assert report.failures == ()
    assert found.champion.number != best


def test_one_complete_configuration_needs_no_correction():
    assert report_of(make_study(n_configs=1)).champion.corrected is None


def test_promotion_is_corrected_though_one_configuration_finished_loso():
    study = laddered()
    found = report_of(study)
    finished = [config for config in found.configs if config.state == "complete"]
    assert len(finished) < len(found.configs)
    alone = dataclasses.replace(study, configurations=study.configurations[:1])
    assert report_of(alone).champion.corrected is None
    for metric in METRICS:
        corrected = found.champion.corrected[metric]
        assert corrected.ci95[0] < corrected.estimate < corrected.ci95[1]


def test_an_unfinished_study_says_what_is_done(study):
    kept = {key: t for key, t in study.trainings.items() if key[2] < 3}
    found = report_of(dataclasses.replace(study, trainings=kept))
    assert found.champion is None
    assert found.settings_effect == {}
    assert found.n_trainings == 36
    assert found.n_surplus == 0  # they still run, and will be read
    assert found.chance["uf1"].shuffled is None
    assert {config.state for config in found.configs} == {"running"}


def test_the_effects_of_settings_are_of_all_that_finished_the_first_rung():
    found = report_of(laddered())
    first = [config.rungs[0].scores.uf1 for config in found.configs]
    effects = found.settings_effect["heads"]
    assert sum(effect.n for effect in effects) == len(first) > len(found.ranking)
    assert max(effect.best for effect in effects) == max(first)


def test_the_data_sets_of_a_composite_are_scored_apart():
    study = make_study(n_subjects=6, n_configs=1)
    elsewhere = {f"casme2/sub{n:02d}": f"samm/{n:03d}" for n in (1, 2)}
    clips = [
        dataclasses.replace(c, subject=elsewhere.get(c.subject, c.subject)) for c in study.clips
    ]
    rungs = [
        dataclasses.replace(
            fold, test_subjects=tuple(elsewhere.get(s, s) for s in fold.test_subjects)
        )
        for fold in study.folds
    ]
    study = dataclasses.replace(study, clips=tuple(clips), rungs=(tuple(rungs),))
    champion = report_of(study).champion
    assert {name: found.subjects for name, found in champion.parts.items()} == {
        "casme2": 4,
        "samm": 2,
    }
    assert sum(found.clips for found in champion.parts.values()) == len(study.clips)
    right = sum(found.clips * found.accuracy for found in champion.parts.values())
    assert right == pytest.approx(np.trace(champion.confusion))


def test_a_single_data_set_is_not_split(report):
    assert report.champion.parts == {}


def test_the_champion_is_read_at_its_best_point_and_the_others_at_theirs():
    study = make_study()
    report = report_of(shown_early(study, good=2))
    best = report.champion
    assert (best.number, best.steps, best.uf1) == (2, 10, 1.0)
    assert [point.steps for point in best.curve] == [10, 20]
    assert best.curve[0].score == 1.0
    assert [config.rungs[0].steps for config in report.configs] == [20, 20, 10, 20]
    before = report_of(study)
    assert [c.scores for c in report.configs if c.number != 2] == [
        c.scores for c in before.configs if c.number != 2
    ]


def test_one_configuration_with_two_points_is_corrected_for_them():
    study = shown_early(make_study(n_configs=1, signal=0.0), good=3)
    assert report_of(study).champion.corrected is not None


def test_the_champion_is_compared_with_the_settings_that_the_search_began_with(study):
    report = report_of(begun(study, 0))
    assert report.champion.number != 0
    first, (found,) = report.defaults, [c for c in report.configs if c.number == 0]
    assert (first.number, first.config_id, first.uf1) == (0, found.config_id, found.scores.uf1)
    for metric in METRICS:
        gain = report.champion.of(metric) - first.of(metric)
        assert first.difference[metric].value == pytest.approx(gain)
    # What the choice adds is taken off.
    assert first.corrected["uf1"].estimate < first.difference["uf1"].value
    said = verdicts.defaults(report)
    helped = first.corrected["uf1"].ci95[0] > 0
    assert said.startswith("Tuning helped: " if helped else "Tuning is not shown to have helped: ")


def test_tuning_is_said_to_have_helped_where_it_surely_did(study):
    weak, strong = make_study(20, 2, signal=0), make_study(20, 2, signal=4)
    trainings = {key: (weak if key[0] == 0 else strong).trainings[key] for key in strong.trainings}
    report = report_of(begun(dataclasses.replace(strong, trainings=trainings), 0))
    assert verdicts.defaults(report).startswith("Tuning helped: configuration 0")
    assert report.defaults.difference["uf1"].p < 0.01


def test_a_search_that_found_nothing_better_says_so(study, report):
    best = begun(study, report.champion.number)
    said = f"nothing that was drawn is clearly ahead of it, {verdicts.CLEARLY}"
    assert said in verdicts.defaults(report_of(best))


def test_nothing_is_said_where_the_space_names_no_settings_to_begin_with(report):
    assert report.defaults is None
    assert verdicts.defaults(report) == ""


@pytest.mark.parametrize(
    ("low", "p", "above"),
    [(0.3, 0.05, True), (0.3, None, True), (0.3, 0.06, False), (0.2, 0.01, False)],
)
def test_above_chance_needs_the_interval_and_the_permutations(low, p, above):
    assert champion_section.is_above((low, 0.9), Chance(0.2, 0.1, 0.2, p)) == above


@pytest.mark.parametrize(("p", "said"), [(1 / 201, "and with labels"), (0.25, "but with labels")])
def test_the_verdict_says_what_permuted_labels_score(study, p, said):
    report = report_of(study)
    chance = {m: dataclasses.replace(one, p=p) for m, one in report.chance.items()}
    champion = dataclasses.replace(
        report.champion, above_chance=dict.fromkeys(report.chance, p <= 0.05)
    )
    found = verdicts.verdict(champion, chance, report.objective)
    assert found.above_chance == (p <= 0.05)
    assert f", {said} dealt anew within each subject" in found.text
    assert ("no evidence" in found.text) == (p > 0.05)


def dealt(chances, *, interval=(0.4, 0.6), score=(0.4, 0.6)):
    """The report of a study with other intervals and a p of its own, by UF1."""
    found = report_of(make_study(n_subjects=8, n_configs=3))
    corrected = found.champion.corrected | {"uf1": Corrected(0.5, interval)}
    chance = Chance(0.3, 0.3, 0.3, chances)
    judged = champion_section.is_above(interval, chance)
    champion = dataclasses.replace(
        found.champion,
        corrected=corrected,
        above_chance=found.champion.above_chance | {"uf1": judged},
        above_chance_uncorrected={"uf1": score[0] > chance.level},
    )
    return dataclasses.replace(found, champion=champion, chance=found.chance | {"uf1": chance})


@pytest.mark.parametrize(
    ("report", "said"),
    [
        (dealt(0.01), "yes"),
        (dealt(None), "yes"),
        (dealt(0.3), "interval only"),
        (dealt(0.01, interval=(0.2, 0.6)), "score only"),
        (dealt(0.01, interval=(0.2, 0.6), score=(0.2, 0.6)), "no"),
    ],
)
def test_what_alone_is_above_chance_is_named(report, said):
    assert verdicts.above(report, "uf1") == said
    legend = verdicts.above_legend(report)
    assert ("permuted labels" in legend) == (report.chance["uf1"].p is not None)
    assert said in ("yes", "no") or said.capitalize() in legend


def test_without_a_correction_the_legend_speaks_of_none():
    report = report_of(make_study(n_subjects=8, n_configs=1, seed=3))
    assert "corrected" not in verdicts.above_legend(report)
    assert "Score only" not in verdicts.above_legend(report)


def test_one_score_of_several_configurations_is_not_called_the_only_try():
    study = make_study(6, 4)
    left = {key: one for key, one in study.trainings.items() if key[0] == 0 or key[2] < 2}
    report = report_of(dataclasses.replace(study, trainings=left, n_configs=32))
    assert report.champion.corrected is None
    assert verdicts.not_corrected(report).startswith("Only one configuration has been scored")


def test_a_coverage_is_said_of_the_size_that_was_simulated():
    assert "studies of 12 subjects" in verdicts.intervals(report_of(make_study(8, 4)).champion)
    assert "simulations" not in verdicts.intervals(report_of(make_study(3, 4)).champion)
