"""Label sets: published names, the user's YAML file, and what is no class."""

import pytest

from dianet_ray.data.labels import NAMED, label_set
from dianet_ray.errors import InputError


def write(path, text):
    path.write_text(text)
    return str(path)


def test_the_commonest_set_is_taken_when_none_is_named():
    found = label_set(None, "casme2")
    assert found == label_set("casme2:5", "casme2")
    assert len(found.classes) == 5


def test_a_file_maps_labels_to_classes_in_its_order(tmp_path):
    text = "surprise: surprise\nhappiness: positive\n7: 1\ndisgust: 1\n"
    found = label_set(write(tmp_path / "mine.yaml", text), "casme2")
    assert found.classes == ("surprise", "positive", "1")
    assert found.mapping["7"] == "1"


@pytest.mark.parametrize("stem", ["5", "casme2:5", "casme2"])
def test_a_file_is_never_named_like_a_published_set(tmp_path, stem):
    name = label_set(write(tmp_path / f"{stem}.yaml", "a: x\nb: y\n"), "casme2").name
    assert ":" not in name
    assert name not in {known.rpartition(":")[2] for known in NAMED}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("happiness:\ndisgust: negative\n", "words or numbers, got 'happiness': None"),
        ("happiness: [1]\ndisgust: 2\n", r"got 'happiness': \[1\]"),
        ("happiness: ''\ndisgust: 2\n", "got 'happiness': ''"),
        ("happiness: yes\ndisgust: no\n", "got 'happiness': True"),
        ("'': a\ndisgust: b\n", "got '': 'a'"),
        ("happiness: 1\ndisgust: '1'\n", "at least two classes"),
        ("- happiness\n", "not a mapping"),
        ("", "not a mapping"),
        ("a: [", "is not YAML"),
    ],
)
def test_a_file_that_maps_to_no_classes_is_refused_in_one_line(tmp_path, text, message):
    with pytest.raises(InputError, match=message) as error:
        label_set(write(tmp_path / "mine.yaml", text), "casme2")
    assert "\n" not in str(error.value)
    assert str(tmp_path / "mine.yaml") in str(error.value)


def test_an_unknown_name_lists_the_known_ones():
    with pytest.raises(InputError, match="casme2:5: got casme2:9"):
        label_set("casme2:9", "casme2")
