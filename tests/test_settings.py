"""Settings: complete, validated, and named by a hash of their content."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dianet_ray.artefacts import from_json, to_json
from dianet_ray.errors import InputError
from dianet_ray.settings import (
    Choice,
    Range,
    Settings,
    SpaceIdentity,
    config_id,
    derive_seed,
    parse_settings,
)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"heads": 3}, "heads must divide embedding, got heads 3, embedding 64"),
        ({"head": 4}, "unknown setting head; known: backbone"),
        ({"learning_rate": -1}, "learning_rate: got -1"),
        ({"phases": "whole_clip"}, "phases: whole_clip needs fusion: none, got cross_attention"),
        (
            {"fusion": "none"},
            "phases: both needs a fusion (cross_attention, concat, sum or late), got none",
        ),
        ({"backbone": "vgg"}, "backbone: got 'vgg'"),
    ],
)
def test_bad_settings_are_one_line_with_the_place(values, words):
    with pytest.raises(InputError) as error:
        parse_settings(values, "space.yaml:7")
    assert str(error.value).startswith("space.yaml:7: ")
    assert words in str(error.value)
    assert "\n" not in str(error.value)


def test_the_id_depends_on_every_setting_and_on_nothing_else():
    base = Settings()
    assert config_id(base) == config_id(Settings(heads=4, learning_rate=0.003))
    others = [
        Settings(heads=2),
        Settings(flip=False),
        Settings(steps=201),
        Settings(dropout=0.21),
        Settings(normalisation="minmax"),
    ]
    assert len({config_id(s) for s in [base, *others]}) == 6


@pytest.mark.parametrize("name", Settings.model_fields)
def test_every_setting_is_described_for_help_and_editors(name):
    assert len(Settings.model_fields[name].description.split()) > 2


def test_the_id_of_the_defaults_is_the_recorded_one():
    """Another id would make every study forget what it has trained."""
    assert config_id(Settings()) == "caa6d8af0ecd"


@given(st.lists(st.one_of(st.integers(), st.text()), min_size=1, max_size=4))
def test_seeds_fit_every_generator_and_tell_parts_apart(parts):
    seed = derive_seed(*parts)
    assert 0 <= seed < 2**63
    assert seed == derive_seed(*parts)
    assert seed != derive_seed(*parts, 0)
    assert derive_seed("1") != derive_seed(1)


def test_the_identity_of_a_space_keeps_its_types_through_json():
    identity = SpaceIdentity(
        sampler="tpe",
        fixed={"flip": True, "heads": 1, "warmup": 0.0, "fusion": "concat"},
        search={
            "embedding": Choice((32, 64)),
            "erasing": Choice((0.0, 0.25)),
            "steps": Range(100, 300, step=50),
            "dropout": Range(0.0, 1.0),
        },
        constraints=("heads divides embedding",),
        first_settings=(Settings(fusion="concat"),),
        around={"embedding": 64, "erasing": 0.0, "steps": 200, "dropout": 0.2},
    )
    read = from_json(SpaceIdentity, to_json(identity), "study.json")
    assert read == identity
    assert repr(read) == repr(identity)  # 1, 1.0 and True are equal and differ in meaning
    assert read.search["steps"].is_integer
    assert not read.search["dropout"].is_integer
