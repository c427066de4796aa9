"""IMAGES on disk: what is written is read, and what is damaged is refused in one line."""

from dataclasses import fields, replace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from dianet_ray.artefacts import PHASES, to_json
from dianet_ray.errors import InputError
from dianet_ray.imaging.clip_images import ClipImages
from dianet_ray.prepare.images import fingerprint, load_images, read_record, write_record
from dianet_ray.prepare.part_files import StoredClip, read_part, write_part
from tests.support.images import record_of, write_images

PARTS = ("part-00000.parquet", "part-00001.parquet")
RECORD = record_of(PARTS, n_clips=3, size=16)


def clip(name, seed=0):
    images = np.random.default_rng(seed).normal(0, 9, (3, 16, 16, 3)).astype(np.float16)
    signature = np.arange(1024).astype(np.float16)
    made = ClipImages(images, np.arange(3, dtype=np.float32), 7, "1 2 3 4", "seen", signature)
    return StoredClip(name, "casme2/sub01", "fear", made, f"hash of {name}")


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "clips").mkdir()
    write_part(tmp_path / "clips" / "part-00000.parquet", [clip("c", 1), clip("a", 2)])
    write_part(tmp_path / "clips" / "part-00001.parquet", [clip("b", 3)])
    write_record(tmp_path, RECORD)
    return tmp_path


def test_clips_come_back_sorted_to_the_bit(folder):
    images = load_images(folder)
    assert (images.clip_ids, images.hash) == (("a", "b", "c"), RECORD.hash)
    assert (images.subjects, images.labels) == (("casme2/sub01",) * 3, ("fear",) * 3)
    expected = [clip("a", 2).made.images, clip("b", 3).made.images, clip("c", 1).made.images]
    np.testing.assert_array_equal(images.images, expected)


def test_the_fingerprint_is_of_the_whole_clips_pixels_and_of_no_phase():
    images = clip("a", 1).made.images
    assert fingerprint(images) == fingerprint(images[:, :, ::-1].copy()[:, :, ::-1])
    for phase, name in enumerate(PHASES):
        other = images.copy()
        other[phase, 7, 7, 2] += 1
        assert (fingerprint(images) == fingerprint(other)) == (name != "whole_clip")


def test_a_part_that_images_json_does_not_name_is_nobodys(folder):
    write_part(folder / "clips" / "part-00002.parquet", [clip("d", 4)])
    assert load_images(folder).clip_ids == ("a", "b", "c")


def test_a_part_is_read_back_as_it_was_written(folder):
    found = read_part(folder / "clips" / "part-00000.parquet")
    assert list(found) == ["c", "a"]
    for name, seed in (("c", 1), ("a", 2)):
        one, other = found[name], clip(name, seed)
        assert (one.clip_id, one.subject, one.label) == (other.clip_id, other.subject, other.label)
        assert one.made_from == other.made_from
        for field in fields(ClipImages):
            value = getattr(one.made, field.name)
            np.testing.assert_array_equal(value, getattr(other.made, field.name))
            assert getattr(value, "dtype", None) == getattr(
                getattr(other.made, field.name), "dtype", None
            )


@pytest.mark.parametrize("content", [None, b"", b"PAR1 and no more"])
def test_a_part_that_is_missing_or_damaged_holds_nothing(tmp_path, content):
    if content is not None:
        (tmp_path / "part.parquet").write_bytes(content)
    assert read_part(tmp_path / "part.parquet") == {}


def test_nothing_half_written_is_left_beside_a_part(folder):
    assert {path.suffix for path in (folder / "clips").iterdir()} == {".parquet"}


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("images.json", None, "images.json is missing"),
        ("images.json", b"{", "images.json is damaged"),
        ("images.json", b'{"format": 2}', "format 3: got 2 .* prepare again into a new folder"),
        ("images.json", b'{"format": 99}', "format 3: got 99 .* prepare again into a new folder"),
        ("images.json", b"[]", "images.json is damaged"),
        ("clips/part-00001.parquet", None, "damaged IMAGES"),
        ("clips/part-00001.parquet", b"PAR1", "damaged IMAGES"),
    ],
)
def test_damage_is_refused_in_one_line_that_names_the_folder(folder, name, content, message):
    (folder / name).unlink()
    if content is not None:
        (folder / name).write_bytes(content)
    with pytest.raises(InputError, match=message) as error:
        load_images(folder)
    assert str(folder) in str(error.value)
    assert "\n" not in str(error.value)


def test_a_missing_folder_is_refused(tmp_path):
    with pytest.raises(InputError, match="must be a folder made by prepare"):
        load_images(tmp_path / "nowhere")


@pytest.mark.parametrize(
    "name", ["../secret.parquet", "/etc/passwd", "part-../../x.parquet", "part-\\x.parquet", ""]
)
def test_images_that_lead_out_of_their_folder_are_refused(folder, name):
    (folder / "images.json").write_text(to_json(replace(RECORD, parts=(name,))))
    with pytest.raises(InputError, match="names files of its own folder"):
        load_images(folder)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda table: nameless(table, "label"), "without its name, subject or label"),
        (lambda table: nameless(table, "subject"), "without its name, subject or label"),
        (lambda table: table.take([0, *range(table.num_rows - 1)]), "two clips of one name"),
        (lambda table: of_text(table, "onset_apex"), "damaged IMAGES"),
    ],
)
def test_a_table_that_is_not_that_of_images_is_one_line(tmp_path, change, says):
    path = write_images(tmp_path / "images")
    (part,) = (path / "clips").iterdir()
    pq.write_table(change(pq.read_table(part)), part)
    with pytest.raises(InputError, match=says) as error:
        load_images(path)
    assert "\n" not in str(error.value)


def nameless(table, name):
    column = pa.array([None, *table[name].to_pylist()[1:]], type=pa.string())
    return table.set_column(table.column_names.index(name), name, column)


def of_text(table, name):
    column = pa.array(["x"] * table.num_rows)
    return table.set_column(table.column_names.index(name), name, column)


def test_images_of_another_size_than_their_recipe_are_damaged(tmp_path):
    path = write_images(tmp_path / "images", size=32)
    record = read_record(path)
    write_record(path, replace(record, recipe=replace(record.recipe, image_size=64)))
    with pytest.raises(InputError, match="images that are not 64 x 64"):
        load_images(path)
