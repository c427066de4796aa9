"""Outputs are whole or not there at all, and a failure is one line with the path."""

from pathlib import Path

import pytest

from dianet_ray.errors import InputError
from dianet_ray.options import JOB_VARIABLE
from dianet_ray.storage import files
from dianet_ray.storage.outputs import output_folder, output_path, write_file


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
    def write():
        with output_folder(tmp_path / "out") as folder:
            (folder / "new").touch()
            raise OSError(28, "No space left on device")

    with pytest.raises(InputError, match=rf"{tmp_path}/out \(No space left on device\)"):
        write()
    assert files.names(tmp_path) == []


def test_an_output_is_absolute_and_inside_a_job_must_be_given_so(monkeypatch, s3):
    assert output_path(Path("x")) == Path("x").absolute()
    assert output_path(s3) == s3
    monkeypatch.setenv(JOB_VARIABLE, "{}")
    assert output_path(Path("/x")) == Path("/x")
    with pytest.raises(InputError, match=r"absolute path.* got x$"):
        output_path(Path("x"))
