"""Outputs are whole or not there at all, and a failure is one line with the path."""

import os
from pathlib import Path

import pytest

from dianet_ray.errors import InputError
from dianet_ray.storage import files
from dianet_ray.storage.outputs import (
    JOB_VARIABLE,
    output_file,
    output_files,
    output_folder,
    output_path,
    write_file,
)


def test_a_file_is_written_with_the_folders_above_it_and_replaced(tmp_path):
    write_file(tmp_path / "a" / "b.csv", "é\r\n")
    assert (tmp_path / "a" / "b.csv").read_bytes() == "é\r\n".encode()
    write_file(tmp_path / "a" / "b.csv", b"\x00")
    assert (tmp_path / "a" / "b.csv").read_bytes() == b"\x00"
    assert files.names(tmp_path / "a") == ["b.csv"]


def test_a_file_that_cannot_be_written_leaves_nothing_and_is_named(tmp_path):
    (tmp_path / "folder").mkdir()
    with pytest.raises(InputError, match=rf"{tmp_path}/folder \(Is a directory\)"):
        write_file(tmp_path / "folder", "text")
    (tmp_path / "file").write_text("old")
    with pytest.raises(InputError, match=rf"{tmp_path}/file/below"):
        write_file(tmp_path / "file" / "below", "text")
    assert files.names(tmp_path) == ["file", "folder"]


@pytest.mark.parametrize("exists", [True, False])
def test_a_folder_appears_when_the_block_ends(tmp_path, exists):
    out = tmp_path / "out"
    if exists:
        out.mkdir()
    (tmp_path / ".out.part").mkdir()  # an interrupted run left it
    (tmp_path / ".out.part" / "old").touch()
    with output_folder(out) as folder:
        (folder / "new").touch()
        assert files.names(out) == []
    assert files.names(out) == ["new"]
    assert files.names(tmp_path) == ["out"]


def test_a_block_that_fails_leaves_no_folder(tmp_path):
    def fill():
        with output_folder(tmp_path / "out") as folder:
            (folder / "new").touch()
            raise OSError(28, "No space left on device")

    with pytest.raises(InputError, match=rf"{tmp_path}/out \(No space left on device\)"):
        fill()
    assert files.names(tmp_path) == []


def test_an_output_is_absolute_and_inside_a_job_must_be_given_so(monkeypatch, s3):
    assert output_path(Path("x")) == Path("x").absolute()
    assert output_path(s3) == s3
    monkeypatch.setenv(JOB_VARIABLE, "{}")
    assert output_path(Path("/x")) == Path("/x")
    with pytest.raises(InputError, match=r"absolute path.* got x$"):
        output_path(Path("x"))


def test_an_output_replaces_no_folder_no_device_and_no_pipe(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path, tmp_path / "pipe", Path("/dev/null")):
        with pytest.raises(InputError, match="an output must be a file, new or old"):
            output_file(path)


def test_an_output_through_a_link_replaces_what_it_links_to(tmp_path):
    (tmp_path / "link").symlink_to(tmp_path / "far.csv")
    assert output_file(tmp_path / "link") == tmp_path / "far.csv"


def test_an_output_is_none_of_the_inputs_by_whatever_name(tmp_path):
    sheet, folder = tmp_path / "data" / "sheet.csv", tmp_path / "data" / "clip"
    folder.mkdir(parents=True)
    sheet.write_text("clip,label")
    (tmp_path / "link").symlink_to(tmp_path / "data")
    for path in (sheet, tmp_path / "link" / "sheet.csv", folder / ".." / "sheet.csv"):
        with pytest.raises(InputError, match="must not overwrite what the command reads"):
            output_file(path, inputs=[sheet])
    with pytest.raises(InputError, match="an output must not lie in"):
        output_file(tmp_path / "link" / "clip" / "img1.png", folders=[folder])
    assert output_file(tmp_path / "data" / "new.csv", inputs=[sheet], folders=[folder])


def test_outputs_are_different_files(tmp_path):
    found = output_files((tmp_path / "a", None, tmp_path / "b"))
    assert found == [tmp_path / "a", None, tmp_path / "b"]
    with pytest.raises(InputError, match="outputs must be different files"):
        output_files((tmp_path / "a", None, tmp_path / "c" / ".." / "a"))
