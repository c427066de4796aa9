"""Label sets: published names, the user's YAML file, and what is no class."""

import pytest

from dianet_ray.datasets.label_sets import COMMONEST, NAMED, label_set, plain_label
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
        ("- happiness\n", "must be a mapping"),
        ("", "must be a mapping"),
        ("a: [", "is not YAML"),
    ],
)
def test_a_file_that_maps_to_no_classes_is_refused_in_one_line(tmp_path, text, message):
    with pytest.raises(InputError, match=message) as error:
        label_set(write(tmp_path / "mine.yaml", text), "casme2")
    assert "\n" not in str(error.value)
    assert str(tmp_path / "mine.yaml") in str(error.value)


def test_an_unknown_name_lists_the_known_ones():
    with pytest.raises(InputError, match=r"casme2:5, .*, all: got casme2:9"):
        label_set("casme2:9", "casme2")


@pytest.mark.parametrize(
    ("dataset", "subject", "label", "found"),
    [
        ("casme2", "casme2/sub01", "happiness", "happiness"),
        ("casme2", "casme2/sub01", "fear", None),
        ("samm", "samm/006", "Other", "others"),
        ("samm", "samm/006", " Others ", "others"),
        ("samm", "samm/006", "Disgust", None),
        ("mmew", "mmew/S03", "others", None),
        ("smic", "smic/s1", "negative", "negative"),
        ("casme3", "casme3/spNO.1", "Others", "others"),
        ("casme3", "casme3/spNO.1", "happy", "happy"),
        ("fourdme", "fourdme/S01", "Positive", "positive"),
        ("fourdme", "fourdme/S01", "Positive+Surprise", None),
        ("megc2019", "casme2/sub01", "repression", "negative"),
        ("megc2019", "casme2/sub01", "fear", None),
        ("megc2019", "samm/006", "Fear", "negative"),
        ("megc2019", "samm/006", "Other", None),
        ("megc2019", "smic/s1", "positive", "positive"),
    ],
)
def test_the_commonest_set_of_each_data_set_takes_the_published_labels(
    dataset, subject, label, found
):
    assert label_set(None, dataset).class_of(label, subject) == found


def test_every_commonest_set_is_a_known_one_of_two_classes_or_more():
    assert set(COMMONEST.values()) <= set(NAMED)
    for name, mapping in NAMED.items():
        assert len(label_set(name, "any").classes) >= 2
        assert all(label == plain_label(label) for label in mapping)


def test_all_keeps_the_labels_that_two_subjects_show_and_says_why_not_the_others():
    clips = [
        *(("fear", f"table/{who}") for who in "aab"),
        *(("Other", "table/a"), ("others", "table/b")),
        *(("anger", "table/a"), ("anger", "table/a")),
        *(("joy+fear", "table/a"), ("Fear+joy", "table/b")),
    ]
    found = label_set("all", "table", clips=clips)
    assert found.classes == ("fear", "others")
    assert found.dropped["anger"] == "1 subject, a class needs 2"
    assert "several emotions" in found.dropped["fear+joy"]
    assert label_set(None, "table", clips=clips) == found


def test_all_without_two_classes_is_refused_in_one_line_with_the_reasons():
    clips = [("fear", "table/a"), ("fear", "table/b"), ("joy", "table/a")]
    with pytest.raises(InputError, match=r"two labels.*got 1 \(joy: 1 subject") as error:
        label_set("all", "table", clips=clips)
    assert "\n" not in str(error.value)


def test_a_file_may_name_combinations_and_data_sets_in_any_case_and_order(tmp_path):
    text = "Surprise+Positive: positive\nsamm/Fear: negative\nfear: other\n"
    found = label_set(write(tmp_path / "mine.yaml", text), "fourdme")
    assert found.class_of("positive + surprise", "fourdme/S01") == "positive"
    assert found.class_of("positive", "fourdme/S01") is None
    assert found.class_of("fear", "samm/006") == "negative"
    assert found.class_of("FEAR", "casme2/sub01") == "other"


@pytest.mark.parametrize(
    ("key", "label"), [("samm/Other", "Other"), ("SAMM/Surprise+Fear", "Fear+Surprise")]
)
def test_a_label_of_one_data_set_is_as_tolerant_as_any(tmp_path, key, label):
    found = label_set(write(tmp_path / "mine.yaml", f"{key}: a\nx: b\n"), "samm")
    assert found.class_of(label, "samm/006") == "a"
    assert found.class_of(label, "casme2/sub01") is None


def test_a_key_that_no_clip_has_is_said(tmp_path):
    clips = [("happiness", "samm/006"), ("fear", "samm/007")]
    text = "hapiness: positive\nsamm/fear: negative\ncasme2/fear: negative\n"
    found = label_set(write(tmp_path / "mine.yaml", text), "samm", clips=clips)
    assert set(found.dropped) == {"hapiness", "casme2/fear"}


def test_a_file_that_gives_a_label_two_classes_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"a label has one class, got a and b for others"):
        label_set(write(tmp_path / "mine.yaml", "Other: a\nothers: b\n"), "casme2")


def test_an_accent_is_one_letter_however_it_is_composed():
    assert plain_label("\u00c4rger") == plain_label("a\u0308rger")


def test_a_label_that_is_mapped_twice_is_refused(tmp_path):
    path = tmp_path / "classes.yaml"
    path.write_text("happiness: good\nsadness: bad\nhappiness: bad\n")
    with pytest.raises(InputError, match="a label has one class, got happiness twice"):
        label_set(str(path), "casme2")
