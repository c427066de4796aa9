import pytest

from dianet_ray.datasets.subjects import EXAMPLES, RULES, full_name


@pytest.mark.parametrize("text", ["1", "01", "sub1", "Sub01", "s1", " casme2/sub01", "CASME2/1"])
def test_every_way_to_write_a_subject_is_one_name(text):
    assert full_name("casme2", text) == "casme2/sub01"


@pytest.mark.parametrize(
    ("text", "name"),
    [("samm/006", "samm/006"), ("Anna", "casme2/Anna"), ("sub26", "casme2/sub26")],
)
def test_other_names_stay_as_they_are(text, name):
    assert full_name("casme2", text) == name


def test_the_examples_are_names():
    assert EXAMPLES.keys() == {*RULES, "megc2019"}
    for dataset, example in EXAMPLES.items():
        assert full_name(dataset, example) == example
