"""What the driver asks workers for, and what they answer."""

import json
from dataclasses import replace

import pytest

from dianet_ray.artefacts import Duplicate, Recipe, from_json, to_json
from dianet_ray.datasets.rules import read_manifest
from dianet_ray.errors import InputError
from dianet_ray.prepare.images import ImagesRecord, SheetRecord
from dianet_ray.prepare.orders import (
    CLIPS_PER_PART,
    ClipLeftOut,
    ClipMade,
    ClipOrder,
    PartOrder,
    PartOutcome,
    content_hash,
    order_parts,
)
from tests.support.casme2_files import Clip, write_data_set
from tests.support.images import record_of

ORDER = ClipOrder("d/s/c", "d/s", "fear", 3, None, 9, "/data/s/c", "s/c")
MADE = ClipMade("d/s/c", False, 5, "1 2 3 3", "seen", "ab" * 32, "00ff")
LEFT_OUT = ClipLeftOut("d/s/e", "no motion: none", True)
SHEET = SheetRecord("casme2", "sheet.xlsx", "Sheet1", "3" * 64, "clip_relative")
RECORDS = [
    ORDER,
    replace(ORDER, apex=5),
    PartOrder("/out/clips/part-0.parquet", "/data", Recipe(32, "linear", "face"), (ORDER,)),
    MADE,
    LEFT_OUT,
    PartOutcome((MADE, LEFT_OUT)),
    PartOutcome(()),
    SHEET,
    record_of(("part-0.parquet",), n_clips=1),
    replace(
        record_of((), n_clips=0),
        corrections="published",
        sheets=(SHEET, SHEET),
        unreadable={"d/s/e": "not a whole image: x"},
        duplicates=(Duplicate("a", "b", 0.987, True),),
        versions={"ray": "2"},
    ),
]


def kind(record):
    return type(record).__name__


@pytest.mark.parametrize("record", RECORDS, ids=kind)
def test_a_record_survives_its_journey_as_text(record):
    assert from_json(type(record), to_json(record), "here") == record


@pytest.mark.parametrize("record", RECORDS, ids=kind)
def test_an_unknown_key_is_refused_by_name_and_place(record):
    text = json.dumps({**json.loads(to_json(record)), "colour": 1})
    with pytest.raises(InputError, match=r"a letter is damaged: .*colour"):
        from_json(type(record), text, "a letter")


@pytest.mark.parametrize("record", RECORDS, ids=kind)
def test_a_missing_key_is_refused(record):
    first, *others = json.loads(to_json(record)).items()
    with pytest.raises(InputError, match=first[0]):
        from_json(type(record), json.dumps(dict(others)), "a letter")


def test_an_image_size_outside_the_rules_is_refused_in_images_json():
    plain = json.loads(to_json(record_of((), n_clips=0)))
    plain["recipe"]["image_size"] = 4
    with pytest.raises(InputError, match=r"recipe\.image_size: got 4"):
        from_json(ImagesRecord, json.dumps(plain), "images.json")


def test_the_order_of_keys_does_not_change_a_hash_and_values_do():
    assert content_hash({"a": 1, "b": 2}) == content_hash({"b": 2, "a": 1})
    assert content_hash({"a": 1, "b": 2}) != content_hash({"a": 2, "b": 1})


@pytest.fixture(scope="module")
def manifest(tmp_path_factory):
    """Six clips of one subject and one of another, and a clip without an apex."""
    rows = [Clip(subject=1, name=f"EP0{k}_01") for k in range(6)]
    rows += [Clip(subject=2, name="EP01_01"), Clip(subject=2, name="odd", apex="/")]
    return read_manifest("casme2", write_data_set(tmp_path_factory.mktemp("data"), rows))


def test_every_usable_clip_is_ordered_once_and_a_part_has_one_subject(manifest, tmp_path):
    orders = order_parts(manifest, tmp_path, Recipe())
    asked = [clip.clip_id for order in orders for clip in order.clips]
    assert sorted(asked) == [row.clip_id for row in manifest.usable()]
    assert [len(order.clips) for order in orders] == [CLIPS_PER_PART, 2, 1]
    assert all(len({clip.subject for clip in order.clips}) == 1 for order in orders)
    assert len({order.file for order in orders}) == len(orders)


def test_a_new_clip_moves_no_part_of_another_subject(manifest, tmp_path):
    fewer = replace(manifest, rows=manifest.rows[1:])
    before = {order.name for order in order_parts(manifest, tmp_path, Recipe())}
    after = {order.name for order in order_parts(fewer, tmp_path, Recipe())}
    of_second = {
        order.name
        for order in order_parts(manifest, tmp_path, Recipe())
        if order.clips[0].subject == "casme2/sub02"
    }
    assert of_second <= before & after


def test_parts_are_named_by_recipe_and_clips_and_not_by_their_place(manifest, tmp_path):
    names = [order.name for order in order_parts(manifest, tmp_path, Recipe())]
    elsewhere = [order.name for order in order_parts(manifest, tmp_path / "b", Recipe())]
    other = [order.name for order in order_parts(manifest, tmp_path, Recipe(crop="face"))]
    assert names == elsewhere
    assert not set(names) & set(other)
