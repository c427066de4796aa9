import pytest

from dianet_ray.datasets.releases import DATASETS
from dianet_ray.datasets.subjects import COMPOSITES, EXAMPLES, full_name


@pytest.mark.parametrize("text", ["1", "01", "sub1", "Sub01", "s1", " casme2/sub01", "CASME2/1"])
def test_every_way_to_write_a_subject_is_one_name(text):
    assert full_name("casme2", text) == "casme2/sub01"


@pytest.mark.parametrize(
    ("text", "name"),
    [("samm/006", "samm/006"), ("Anna", "casme2/Anna"), ("sub26", "casme2/sub26")],
)
def test_other_names_stay_as_they_are(text, name):
    assert full_name("casme2", text) == name


@pytest.mark.parametrize(
    ("dataset", "texts", "name"),
    [
        ("samm", ["006", "6", "6.0"], "samm/006"),
        ("mmew", ["3", "S03", "s3"], "mmew/S03"),
        ("smic", ["1", "s01", "S1"], "smic/s1"),
        ("casme3", ["1", "spNO.1", "SPNO1"], "casme3/spNO.1"),
        ("fourdme", ["9", "S09", "S9_1st"], "fourdme/S09"),
    ],
)
def test_each_data_set_has_its_own_rule(dataset, texts, name):
    assert {full_name(dataset, text) for text in texts} == {name}


def test_a_composites_subjects_follow_the_rule_of_their_source():
    assert COMPOSITES == ("megc2019",)
    assert full_name("megc2019", "SAMM/6") == "samm/006"


def test_the_examples_are_names():
    assert EXAMPLES.keys() == set(DATASETS) - {"table"}
    for dataset, example in EXAMPLES.items():
        assert full_name(dataset, example) == example
