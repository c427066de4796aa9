"""The folder of a local Ray: short, writable, its own, and gone afterwards."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from dianet_ray.cluster import scratch
from dianet_ray.cluster.connection import LOCAL, connected
from dianet_ray.errors import InputError
from tests.support.clusters import ROOT

SHORT = Path("/tmp")


def test_the_first_place_that_is_short_and_writable_is_taken(tmp_path):
    long = tmp_path / ("a" * 60)
    long.mkdir()
    file = SHORT / f"f{os.getpid()}"
    file.write_text("")
    try:
        assert scratch.choose_base([long, SHORT / "none", file, SHORT]) == SHORT
        with pytest.raises(InputError) as error:
            scratch.choose_base([long, file])
    finally:
        file.unlink()
    said = str(error.value)
    assert str(long) in said
    assert "is no folder" in said
    assert "set RAY_TMPDIR" in said
    assert "\n" not in said


def test_what_the_user_named_comes_first(monkeypatch):
    monkeypatch.setenv("RAY_TMPDIR", "/somewhere")
    assert scratch.bases()[0] == Path("/somewhere")
    monkeypatch.delenv("RAY_TMPDIR")
    assert scratch.bases()[0] == Path(tempfile.gettempdir())


def test_the_folder_is_nobody_elses_and_goes_at_the_end():
    with scratch.scratch_folder() as one, scratch.scratch_folder() as other:
        assert one != other
        one.chmod(0o777)  # as Ray does
        assert one.parent.stat().st_mode & 0o077 == 0
        (one / "session").mkdir()
    assert not one.parent.exists()


def test_a_machine_that_cannot_reach_itself_is_refused_at_once(monkeypatch):
    """As in a container whose loopback interface is down."""
    scratch.check_loopback()
    monkeypatch.setattr(scratch, "LOOPBACK", "203.0.113.1")  # nobody's address (RFC 5737)
    with pytest.raises(InputError, match=r"needs the loopback interface: .* --address"):
        connected(LOCAL).__enter__()


@pytest.mark.ray
def test_a_local_ray_starts_under_a_long_temporary_folder_and_leaves_stdout_alone(tmp_path):
    """In a process of its own, because a process has one Ray."""
    long = tmp_path / ("t" * 80)
    long.mkdir()
    code = (
        "import os, time, ray\n"
        "from dianet_ray.cluster.connection import LOCAL, connected\n"
        "with connected(LOCAL, n_cpus=1) as cluster:\n"
        "    print(cluster.n_cpus)\n"
        # Ray tells of an actor that dies, and takes stdout for it.
        "    actor = ray.remote(type('Actor', (), {'die': lambda self: os.abort()})).remote()\n"
        "    ray.wait([actor.die.remote()])\n"
        "    time.sleep(2)\n"
    )
    environment = {**os.environ, "TMPDIR": str(long), "PYTHONPATH": str(ROOT)}
    found = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True
    )
    assert found.stdout == "1.0\n", found.stderr
    assert list(long.iterdir()) == []
