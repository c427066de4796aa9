"""A node that cannot be used is described in one line."""

import os
from dataclasses import replace

import pytest

from dianet_ray.cluster.probe import PREFIX, find_problem, leave_marker, remove_marker, versions
from dianet_ray.storage import files


@pytest.fixture
def probe(place, tmp_path):
    reads = tmp_path / "images.json"
    reads.write_text("{}")
    return leave_marker([reads], place / "study")


def test_a_node_that_can_take_part_has_no_problem_and_leaves_nothing(probe):
    assert find_problem(probe) == ""
    assert files.names(probe.writes) == [probe.marker]
    remove_marker(probe)
    assert files.names(probe.writes) == []


@pytest.mark.parametrize("name", ["ray", "torch", "python", "dianet_ray", "numpy"])
def test_another_version_is_named_with_both(probe, name):
    other = replace(probe, versions={**probe.versions, name: "0.1"})
    assert find_problem(other) == f"it has {name} {versions()[name]}, the driver has 0.1"


def test_a_build_of_a_version_is_that_version():
    assert "+" not in "".join(versions().values())
    assert versions()["torch"].startswith("2.13")


def test_input_that_is_missing_or_other_is_named(probe):
    ((reads, _),) = probe.reads
    reads.write_text("other")
    assert find_problem(probe).startswith(f"{reads} differs")
    reads.unlink()
    problem = find_problem(probe)
    assert problem.startswith(f"it cannot read {reads}: No such file or directory (uid ")
    assert f"{reads.parent} has owner {os.getuid()} and mode " in problem


def test_a_node_may_be_asked_to_read_only(probe):
    files.remove(probe.writes / probe.marker)
    assert find_problem(replace(probe, writes=None)) == ""


def test_a_folder_of_the_same_name_on_another_storage_is_told_apart(probe):
    files.remove(probe.writes / probe.marker)
    assert "is not the driver's folder: another storage" in find_problem(probe)


def test_a_study_that_only_the_driver_sees_is_named(tmp_path):
    reads = tmp_path / "images.json"
    reads.write_text("{}")
    probe = leave_marker([reads], tmp_path / "study")
    (tmp_path / "study").rename(tmp_path / "elsewhere")
    assert (
        f"{tmp_path / 'study'} is not the driver's folder: there is no such folder on"
        in find_problem(probe)
    )


def test_a_folder_that_cannot_be_written_is_named_with_owner_and_mode(tmp_path, monkeypatch):
    """Root may write anything, so the system refuses by another of its rules: no more files."""
    reads = tmp_path / "images.json"
    reads.write_text("{}")
    probe = leave_marker([reads], tmp_path / "study")

    def full(path, content):
        raise OSError(28, os.strerror(28), str(path))

    monkeypatch.setattr(files, "put", full)
    problem = find_problem(probe)
    assert problem.startswith(f"it cannot write {probe.writes}: No space left on device (uid ")
    assert f"{probe.writes} has owner {os.getuid()} and mode " in problem


def test_what_a_killed_run_left_is_taken_away(place, tmp_path):
    reads = tmp_path / "images.json"
    reads.write_text("{}")
    files.make_folder(place / "study")
    files.put(place / "study" / f"{PREFIX}old", b"")
    probe = leave_marker([reads], place / "study")
    assert files.names(place / "study") == [probe.marker]
