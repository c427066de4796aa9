"""From a manifest to IMAGES, with a real Ray."""

import csv
import io
import os
import shutil
from dataclasses import fields, replace

import cv2
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import ray
from rich.console import Console

from dianet_ray.artefacts import Recipe
from dianet_ray.datasets.annotations import ChosenPaths, Rules
from dianet_ray.datasets.corrections import read_corrections
from dianet_ray.datasets.rules import read_manifest
from dianet_ray.errors import InputError
from dianet_ray.imaging.clip_images import FrameSpan, clip_images
from dianet_ray.options import PrepareOptions
from dianet_ray.prepare import driver, worker
from dianet_ray.prepare.driver import LOCK_FOLDER, prepare
from dianet_ray.prepare.images import SheetRecord, fingerprint, load_images
from dianet_ray.progress import Progress
from dianet_ray.storage.lock import Lock
from tests.support.casme2_files import FRAMES, Clip, clips, write_data_set

pytestmark = [
    pytest.mark.ray,
    # Ray Data copies its own context and is warned of its own old names.
    pytest.mark.filterwarnings("ignore::DeprecationWarning:ray.data.context"),
]

OPTIONS = PrepareOptions(recipe=Recipe(16), max_workers=2)


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """Six good clips and one without an apex."""
    rows = [*clips(6), Clip(name="odd", apex="/")]
    return write_data_set(tmp_path_factory.mktemp("casme2"), rows)


def fields_of(kind):
    return {field.name for field in fields(kind)}


def read_csv(path):
    with path.open() as file:
        return list(csv.DictReader(file))


def run(root, out, options=OPTIONS, **changes):
    of_recipe = {name: changes.pop(name) for name in fields_of(Recipe) & set(changes)}
    recipe = replace(options.recipe, **of_recipe)
    options = options.model_copy(update={**changes, "recipe": recipe})
    corrections = read_corrections(options.corrections, ["casme2"]) if options.corrections else ()
    manifest = read_manifest("casme2", root, rules=Rules(options.apex), corrections=corrections)
    text = io.StringIO()
    with Progress("prepare", 6, unit="clips", console=Console(file=text)) as progress:
        return prepare(manifest, out, options, progress=progress), text


@pytest.fixture(scope="module")
def made(root, tmp_path_factory, ray_local):
    out = tmp_path_factory.mktemp("out") / "images"
    result, text = run(root, out)
    return out, result, text.getvalue()


def test_what_was_made_is_counted_and_progress_reaches_the_end(made):
    _, result, text = made
    assert (result.n_clips, result.n_left_out) == (6, 1)
    assert (result.unreadable, result.duplicates) == ((), ())
    assert (result.n_reused, result.is_old) == (0, False)
    assert "6/6 clips" in text


def test_every_image_equals_the_one_made_without_ray(made, root):
    images = load_images(made[0])
    assert images.images.shape == (6, 3, 16, 16, 3)
    assert images.images.dtype == np.float16
    assert list(images.clip_ids) == sorted(images.clip_ids)
    rows = {row.clip_id: row for row in read_manifest("casme2", root).usable()}
    for clip_id, subject, label, image in zip(
        images.clip_ids, images.subjects, images.labels, images.images, strict=True
    ):
        row = rows[clip_id]
        path, span = root / row.frames_path, FrameSpan(row.onset, row.apex, row.offset)
        expected = clip_images(path, span, Recipe(16)).images
        np.testing.assert_array_equal(image, expected)
        assert (subject, label) == (row.subject, row.label)
        assert fingerprint(image) == fingerprint(expected)
    assert len({fingerprint(image) for image in images.images}) == 6


def test_the_parts_have_canonical_tensor_columns_and_scales(made):
    parts = sorted((made[0] / "clips").glob("*"))
    assert len(parts) == 3  # a subject's clips lie together
    schema = pq.read_schema(parts[0])
    for phase in ("onset_apex", "apex_offset", "whole_clip"):
        assert schema.field(phase).type == pa.fixed_shape_tensor(pa.float16(), (16, 16, 3))
        assert schema.field(f"{phase}_scale").type == pa.float32()


def test_images_json_says_what_they_are_made_of(made, root):
    record, manifest = load_images(made[0]).record, read_manifest("casme2", root)
    (part,) = manifest.sources
    assert record.manifest_hash == manifest.hash()
    assert (record.recipe, record.apex) == (Recipe(16), "annotated")
    assert record.sheets == (
        SheetRecord("casme2", part.sheet.path.name, "Sheet1", part.sheet.sha256, "file_numbers"),
    )
    assert (record.dataset, record.n_clips, record.n_left_out) == ("casme2", 6, 1)
    assert (record.unreadable, record.duplicates, record.corrections) == ({}, (), None)
    assert record.parts == tuple(path.name for path in sorted((made[0] / "clips").iterdir()))


def test_the_manifest_and_what_was_left_out_lie_beside(made):
    rows = read_csv(made[0] / "manifest.csv")
    left_out = read_csv(made[0] / "left_out.csv")
    assert len(rows) == 7
    assert [row["reason"] for row in left_out] == ["missing apex: /"]


def test_the_same_command_again_does_nothing(made, root):
    out, first, _ = made
    before = {path: path.stat().st_mtime_ns for path in out.rglob("*")}
    again, _ = run(root, out, max_workers=1)
    assert again == replace(first, n_reused=6, is_old=True)
    assert before == {path: path.stat().st_mtime_ns for path in out.rglob("*")}


@pytest.mark.parametrize(
    ("changes", "difference"),
    [
        ({"image_size": 24}, r"--image-size \d+, not 24;"),
        ({"coefficients": "linear"}, "--coefficients harmonic, not linear;"),
        ({"apex": "midpoint"}, "--apex annotated, not midpoint;"),
        ({"apex": "spot"}, "--apex annotated, not spot;"),
        ({"crop": "face-or-centre"}, "--crop none, not face-or-centre;"),
        ({"fill_gaps": 2}, "--fill-gaps none, not 2;"),
    ],
)
def test_other_options_are_refused_with_what_differs(made, root, changes, difference):
    out = made[0]
    with pytest.raises(InputError, match=difference) as error:
        run(root, out, **changes)
    assert str(out) in str(error.value)
    assert "\n" not in str(error.value)


def test_a_folder_of_something_else_is_refused(root, tmp_path, ray_local):
    (tmp_path / "thesis.tex").touch()
    with pytest.raises(InputError, match=r"images\.json is missing"):
        run(root, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_an_empty_folder_is_filled(root, tmp_path, ray_local):
    (tmp_path / "images").mkdir()
    assert run(root, tmp_path / "images")[0].n_clips == 6


def spoil(root, names, content=b""):
    for name in names:
        frame = next((root / FRAMES).glob(f"*/{name}/img13.jpg"))
        frame.write_bytes(content or frame.read_bytes()[:100])


def test_a_clip_with_an_unreadable_frame_is_left_out_and_named(tmp_path, ray_local):
    root = write_data_set(tmp_path / "data", clips(6))
    spoil(root, ["EP02_01"])
    result, _ = run(root, tmp_path / "out")
    assert (result.n_clips, result.n_left_out) == (5, 1)
    (reason,) = result.unreadable
    assert f"{FRAMES}/sub03/EP02_01/img13.jpg" in reason
    left_out = read_csv(tmp_path / "out" / "left_out.csv")
    assert [row["clip_id"] for row in left_out] == ["casme2/sub03/EP02_01"]
    assert left_out[0]["reason"].startswith("unreadable: not a whole image")
    assert "casme2/sub03/EP02_01" not in load_images(tmp_path / "out").clip_ids
    again, _ = run(root, tmp_path / "out")
    assert again == replace(result, n_reused=5, is_old=True)


def test_repaired_files_are_noticed_and_nothing_is_remade_in_silence(tmp_path, ray_local):
    root, out = write_data_set(tmp_path / "data", clips(6)), tmp_path / "out"
    whole = next((root / FRAMES).glob("*/EP02_01/img13.jpg")).read_bytes()
    spoil(root, ["EP02_01", "EP03_01"])
    first, _ = run(root, out)
    assert len(first.unreadable) == 2
    spoil(root, ["EP02_01"], content=whole)
    with pytest.raises(
        InputError, match=r"repaired .*sub03/EP02_01 can be read now \(clips: 1\); delete"
    ) as error:
        run(root, out)
    assert "\n" not in str(error.value)
    assert load_images(out).record.n_clips == 4
    (out / "images.json").unlink()
    again, _ = run(root, out)
    assert (again.n_clips, len(again.unreadable), again.n_reused) == (5, 1, 4)
    run(root, tmp_path / "fresh")
    for name in ("clip_ids", "subjects", "labels", "hash"):
        assert getattr(load_images(out), name) == getattr(load_images(tmp_path / "fresh"), name)
    fresh = load_images(tmp_path / "fresh").images
    np.testing.assert_array_equal(load_images(out).images, fresh)


def test_an_interrupted_run_is_gone_on_from_and_only_what_changed_is_made_again(
    tmp_path, ray_local
):
    root, out = write_data_set(tmp_path / "data", clips(6)), tmp_path / "out"
    run(root, out)
    load_images_hash = load_images(out).hash
    (out / "images.json").unlink()
    torn, *whole = sorted((out / "clips").iterdir())
    torn.write_bytes(torn.read_bytes()[:200])
    (out / "clips" / "part-of-another-time.parquet").touch()
    before = {path: path.stat().st_mtime_ns for path in whole}
    again, text = run(root, out)
    assert (again.n_clips, again.n_reused) == (6, 4)
    assert "6/6 clips" in text.getvalue()
    assert before == {path: path.stat().st_mtime_ns for path in whole}
    assert len(list((out / "clips").iterdir())) == 3
    assert load_images(out).hash == load_images_hash
    (out / "images.json").unlink()
    frame = next((root / FRAMES).glob("*/EP02_01/img13.jpg"))
    frame.write_bytes(frame.with_name("img12.jpg").read_bytes())
    hash_before = load_images_hash
    assert run(root, out)[0].n_reused == 5
    assert load_images(out).hash != hash_before
    (out / "images.json").unlink()
    assert run(root, out, image_size=24)[0].n_reused == 0


def test_the_folder_of_a_data_set_is_never_taken_for_an_unfinished_output(tmp_path, ray_local):
    root = write_data_set(tmp_path / "data", clips(6))
    mine = tmp_path / "mine"
    (mine / "clips").mkdir(parents=True)
    (mine / "clips" / "p01.mp4").touch()
    (mine / "manifest.csv").write_text("mine")
    only_a_sheet = tmp_path / "sheet"
    only_a_sheet.mkdir()
    (only_a_sheet / "manifest.csv").write_text("mine")
    for out in (mine, only_a_sheet):
        with pytest.raises(InputError, match=r"images\.json is missing"):
            run(root, out)
        assert (out / "manifest.csv").read_text() == "mine"
    assert (mine / "clips" / "p01.mp4").exists()


def test_two_runs_do_not_write_one_output_at_once(root, tmp_path, ray_local):
    out = tmp_path / "out"
    with (
        Lock(out / LOCK_FOLDER, "OUT"),
        pytest.raises(InputError, match="out is in use by process"),
    ):
        run(root, out)
    assert run(root, out)[0].n_clips == 6


def test_frames_of_another_folder_are_made_again_even_with_equal_names_sizes_and_times(
    tmp_path, ray_local
):
    root, out = write_data_set(tmp_path / "data", clips(6)), tmp_path / "out"
    shutil.copytree(root / FRAMES, root / "Cropped")
    for file in (root / "Cropped").rglob("*.jpg"):
        os.utime(file, ns=(0, 0))
        os.utime(root / FRAMES / file.relative_to(root / "Cropped"), ns=(0, 0))
    for folder, n_reused in ((FRAMES, 0), (FRAMES, 6), ("Cropped", 0)):
        manifest = read_manifest("casme2", root, chosen=ChosenPaths(frames=(root / folder,)))
        with Progress("p", 6, unit="clips", console=Console(file=io.StringIO())) as progress:
            result = prepare(manifest, out, OPTIONS, progress=progress)
        assert result.n_reused == n_reused
        (out / "images.json").unlink()


def test_a_header_that_asks_for_an_absurd_size_leaves_one_clip_out(tmp_path, ray_local):
    root = write_data_set(tmp_path / "data", clips(6))
    frame = next((root / FRAMES).glob("*/EP02_01/img13.jpg"))
    cv2.imwrite(str(frame.with_suffix(".bmp")), cv2.imread(str(frame)))
    frame.unlink()
    damaged = bytearray(frame.with_suffix(".bmp").read_bytes())
    damaged[20] = 0xFF
    frame.with_suffix(".bmp").write_bytes(damaged)
    result, _ = run(root, tmp_path / "out")
    assert (result.n_clips, len(result.unreadable)) == (5, 1)


def test_a_spotted_apex_is_in_the_manifest(root, tmp_path, ray_local):
    run(root, tmp_path / "out", apex="spot")
    (odd,) = (
        row for row in read_csv(tmp_path / "out" / "manifest.csv") if row["apex_from"] == "spot"
    )
    assert odd["clip_id"] == "casme2/sub01/odd"
    assert 10 < int(odd["apex"]) < 16
    assert (odd["state"], odd["reason"]) == (
        "corrected",
        f"missing apex: /, spotted {odd['apex']}",
    )


def test_a_clip_without_a_face_is_left_out_by_a_rule(tmp_path, ray_local):
    root = write_data_set(tmp_path / "data", clips(6))
    with pytest.raises(InputError, match=r"of 6, rules leave out 6 .* no face: none found"):
        run(root, tmp_path / "out", crop="face")
    result, _ = run(root, tmp_path / "out", crop="face-or-centre")
    assert (result.n_clips, result.unreadable) == (6, ())
    rows = read_csv(tmp_path / "out" / "manifest.csv")
    assert {(row["state"], row["box"]) for row in rows} == {("corrected", "4 0 40 40")}


def test_the_same_frames_under_two_subjects_are_named(tmp_path, ray_local):
    root = write_data_set(tmp_path / "data", [*clips(6), Clip(subject=3, name="copy", onset=8)])
    shutil.rmtree(root / FRAMES / "sub03" / "copy")
    shutil.copytree(root / FRAMES / "sub01" / "EP00_01", root / FRAMES / "sub03" / "copy")
    result, _ = run(root, tmp_path / "out")
    (found,) = result.duplicates
    assert {found.first, found.second} == {"casme2/sub01/EP00_01", "casme2/sub03/copy"}
    assert found.across_subjects
    assert load_images(tmp_path / "out").record.duplicates == (found,)


def test_corrections_make_other_images(root, tmp_path, ray_local):
    mine = tmp_path / "mine.csv"
    mine.write_text(
        "dataset,subject,clip,column,old,new,source\ncasme2,1,odd,apex,/,12,seen by me\n"
    )
    result, _ = run(root, tmp_path / "out", corrections=str(mine))
    assert (result.n_clips, result.n_left_out) == (7, 0)
    rows = {row["clip_id"]: row for row in read_csv(tmp_path / "out" / "manifest.csv")}
    odd = rows["casme2/sub01/odd"]
    assert (odd["apex"], odd["apex_from"], odd["state"]) == ("12", "correction", "corrected")
    assert odd["reason"] == "correction: apex / -> 12 (seen by me)"


def test_a_clip_folder_that_does_not_open_counts_among_the_unreadable(tmp_path, ray_local):
    root = write_data_set(tmp_path / "data", clips(6))
    folder = next((root / FRAMES).glob("*/EP02_01"))
    shutil.rmtree(folder)
    folder.touch()
    result, _ = run(root, tmp_path / "out")
    assert (result.n_clips, result.n_left_out) == (5, 1)
    assert result.unreadable[0].startswith("the folder does not open: sub03/EP02_01")


def test_an_out_that_cannot_be_written_is_one_line(root, tmp_path, ray_local):
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match=r"cannot be written: .*file/out \(") as error:
        run(root, tmp_path / "file" / "out")
    assert "\n" not in str(error.value)


def test_images_stay_unfinished_when_no_clip_can_be_read(tmp_path, ray_local):
    root = write_data_set(tmp_path / "data", clips(3))
    spoil(root, ["EP00_01", "EP01_01", "EP02_01"], content=b"no image")
    with pytest.raises(InputError, match="of 3, rules leave out 0 and 3 cannot be read") as error:
        run(root, tmp_path / "out")
    assert "EP00_01" in str(error.value)
    assert "\n" not in str(error.value)
    assert not (tmp_path / "out" / "images.json").exists()


def test_one_clip_is_enough(tmp_path, ray_local):
    root = write_data_set(tmp_path / "data", clips(3))
    spoil(root, ["EP00_01", "EP01_01"])
    assert run(root, tmp_path / "out")[0].n_clips == 1


def test_a_data_set_without_a_usable_clip_is_refused_before_any_frame_is_read(
    tmp_path, monkeypatch
):
    root = write_data_set(tmp_path / "data", [replace(clip, apex="/") for clip in clips(3)])
    monkeypatch.setattr(driver, "make_parts", lambda *_: pytest.fail("frames were read"))
    with pytest.raises(InputError, match=r"of 3, rules leave out 3 and 0 .*: missing apex: /"):
        run(root, tmp_path / "out")


def test_images_in_an_object_store_are_those_on_files(root, tmp_path, s3, ray_local):
    run(root, tmp_path / "out")
    run(root, s3 / "out")
    here, there = load_images(tmp_path / "out"), load_images(s3 / "out")
    np.testing.assert_array_equal(here.images, there.images)
    assert here.record == there.record
    again, _ = run(root, s3 / "out")
    assert again.is_old


@pytest.fixture
def deadly(monkeypatch):
    """Put into the workers' code that one clip ends the process that reads it, as a codec can."""

    def abort(order, recipe, old, real=worker._make):
        if order.clip_id == "casme2/sub01/EP00_01":
            os.abort()
        return real(order, recipe, old)

    monkeypatch.setattr(worker, "_make", abort)
    ray.cloudpickle.register_pickle_by_value(worker)
    yield
    ray.cloudpickle.unregister_pickle_by_value(worker)


@pytest.mark.slow  # half a dozen processes start, one after another
def test_a_clip_that_kills_its_process_costs_itself_and_no_other(
    root, tmp_path, ray_local, deadly
):
    result, _ = run(root, tmp_path / "images")
    assert (result.n_clips, result.n_left_out) == (5, 2)
    assert load_images(tmp_path / "images").record.unreadable == {
        "casme2/sub01/EP00_01": "reading it kills the process"
    }
