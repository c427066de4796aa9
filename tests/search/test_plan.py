"""Resuming a study: the same study goes on; another one is refused with the key that differs."""

from dataclasses import replace
from pathlib import Path

import pytest

from dianet_ray.errors import InputError
from dianet_ray.options import SearchOptions
from dianet_ray.prepare.images import load_images
from dianet_ray.processors import processors
from dianet_ray.protocol.folds import nested_costs
from dianet_ray.search.forecast import describe, largest_training_bytes, most_disk_bytes
from dianet_ray.search.plan import make_plan
from dianet_ray.search.space_file import fix, load_space
from dianet_ray.search.study_file import write_study
from tests.support.images import write_images
from tests.support.play import play


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    return load_images(write_images(tmp_path_factory.mktemp("plan") / "images"))


def plan(images, path, space="quick", **options):
    space = load_space(space) if isinstance(space, str) else space
    return make_plan(images, path, space=space, options=SearchOptions(**options))


@pytest.fixture
def study(images, tmp_path):
    """A finished study of two configurations."""
    path = tmp_path / "study"
    play(plan(images, path, configs=2, seed=3))
    return path


def test_options_that_are_not_given_again_are_taken_from_the_study(images, study):
    found = plan(images, study, configs=5)
    assert found.study.identity.seed == 3
    assert found.study.identity.wave_size == 2
    assert found.n_configs == 5
    assert not found.is_new


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"seed": 4}, "another seed: it has 3, this command says 4"),
        ({"objective": "uar"}, "another objective: it has uf1, this command says uar"),
        ({"wave_size": 8}, "another wave_size: it has 2, this command says 8"),
        ({"threads_per_training": 2}, "another threads_per_training: it has 1"),
        ({"space": "dianet"}, "another space: "),
        ({"space": fix(load_space("quick"), {"heads": "2"})}, "another space: "),
        ({"configs": 1}, "--configs may only grow: got 1, 2 are drawn"),
    ],
)
def test_another_study_is_refused_with_the_key_and_both_values(images, study, options, words):
    with pytest.raises(InputError) as error:
        plan(images, study, **options)
    assert words in str(error.value)
    assert "\n" not in str(error.value)


def test_other_classes_are_refused(images, study, tmp_path):
    mapping = tmp_path / "three.yaml"
    mapping.write_text("happiness: positive\ndisgust: negative\nsurprise: surprise\n")
    with pytest.raises(InputError, match="another classes: it has casme2:5, this command says"):
        plan(images, study, classes=str(mapping))


def test_a_mapping_makes_a_study_of_its_classes(images, tmp_path):
    mapping = tmp_path / "three.yaml"
    mapping.write_text("happiness: positive\ndisgust: negative\nrepression: negative\n")
    found = plan(images, tmp_path / "s", classes=str(mapping))
    assert found.study.classes == ("positive", "negative")
    assert len(found.study.clips) == 4 * 6
    assert {images.labels[row] for row in found.rows} == {"happiness", "disgust", "repression"}


def test_the_announced_disk_space_bounds_the_weights_that_are_kept(images, tmp_path):
    cosine = fix(load_space("quick"), {"schedule": "cosine"})
    found = plan(images, tmp_path / "s", cosine, configs=30, keep_weights=3, wave_size=4)
    one = largest_training_bytes(found)
    assert one > 0
    assert most_disk_bytes(found) == (3 + 8 + 3) * 4 * one  # and three repeats of the champion
    whole = plan(images, tmp_path / "s", cosine, configs=30, keep_weights="all")
    assert most_disk_bytes(whole) == (30 + 3) * 4 * one
    # What runs holds the weights of both points, what is kept those of one.
    averaged = fix(load_space("quick"), {"points": "2"})
    found = plan(images, tmp_path / "s", averaged, configs=30, keep_weights=3, wave_size=4)
    assert most_disk_bytes(found) == (3 + 8 * 2 + 3) * 4 * one


def test_a_study_that_is_a_file_is_refused(images, tmp_path):
    path = Path(tmp_path / "file")
    path.write_text("x")
    with pytest.raises(InputError, match="a study is a folder"):
        plan(images, path)


def test_a_wave_size_too_small_for_the_workers_is_named_with_one_that_is_enough(images, tmp_path):
    said = []
    found = plan(images, tmp_path / "s", configs=30, wave_size=2)
    describe(found, said.append, n_workers=16, where="here", store="there")
    assert not any("idle" in line for line in said)
    said.clear()
    describe(found, said.append, n_workers=40, where="here", store="there")
    assert any("--wave-size 5" in line for line in said)
    said.clear()
    blocks = replace(found, study=replace(found.study, block=8))
    describe(blocks, said.append, n_workers=4, where="here", store="there")
    assert any("--wave-size 4" in line for line in said)


def test_the_first_configuration_is_promoted_where_the_space_lists_one(images, tmp_path):
    for space, is_kept in (
        (load_space("quick"), True),
        (replace(load_space("quick"), first_settings=()), False),
    ):
        found = plan(images, tmp_path / "s", space, ladder="3,2")
        assert [rung.keeps_first for rung in found.ladder] == [is_kept, is_kept, False]


def test_measured_threads_are_part_of_the_study_and_stay_when_it_is_resumed(images, tmp_path):
    new = plan(images, tmp_path / "study", configs=2, threads_per_training="auto")
    assert 1 <= new.threads <= processors().n
    lines = []
    describe(new, lines.append, n_workers=2, where="2 CPUs", store="db")
    assert any("per training, measured" in line for line in lines)
    other = plan(images, tmp_path / "other", configs=2, threads_per_training=3)
    play(other)
    again = plan(images, tmp_path / "other", configs=2, threads_per_training="auto")
    assert again.threads == 3
    describe(again, lines.append, n_workers=2, where="2 CPUs", store="db")
    assert "         3 threads per training, as the study has them" in lines


def test_a_nested_search_needs_every_configuration_on_every_subject(images, tmp_path):
    with pytest.raises(InputError, match="--protocol nested needs --strategy exhaustive"):
        plan(images, tmp_path / "s", protocol="nested", ladder="2*0.5")
    found = plan(images, tmp_path / "s", protocol="nested", strategy="exhaustive")
    assert found.study.identity.protocol == "nested"
    assert plan(images, tmp_path / "s").study.identity.protocol == "loso"


def test_what_follows_the_search_and_what_nested_costs_are_said_before_it(images, tmp_path):
    found = plan(images, tmp_path / "s", protocol="nested", strategy="exhaustive", configs=4)
    n_subjects, lines = len(found.study.folds), []
    describe(found, lines.append, n_workers=2, where="here", store="there")
    n_pairs = 4 * n_subjects * (n_subjects - 1) // 2
    of_all, of_textbook = nested_costs(4, n_subjects)
    assert of_all == 4 * n_subjects + n_pairs
    assert (
        f"         then {n_pairs} trainings that hold out two subjects: nested, {of_all} in all, "
        f"{of_all / of_textbook:.2f} of the {of_textbook} of the textbook"
    ) in lines
    n_repeats = found.most_after() - n_pairs
    assert n_repeats
    assert f"at most {n_repeats} trainings" in next(line for line in lines if "LOSO again" in line)


def test_images_that_changed_since_the_study_was_made_are_refused(images, tmp_path):
    made = plan(images, tmp_path / "s")
    write_study(made.path, made.study)
    changed = images.images.copy()
    changed[made.rows[1]] += 1
    with pytest.raises(InputError, match="IMAGES have changed since the study was made: 1 clip"):
        plan(replace(images, images=changed), tmp_path / "s")
    assert not plan(images, tmp_path / "s").is_new
