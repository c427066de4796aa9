"""What is printed reaches stdout, whatever it can hold and whoever reads it."""

import errno
import json
import os
import subprocess
import sys

import pytest

from dianet_ray.cli.console import speaking
from tests.support.casme2_files import clips, write_data_set

SAYS = """
from dianet_ray.cli.console import out, print_json, speaking
with speaking():
    {}({!r})
"""
SAYING = [("out.print", "filmés \N{CJK UNIFIED IDEOGRAPH-9762}"), ("print_json", ["filmés"])]


def saying(how, what, stdout, encoding="utf-8", unbuffered=""):
    """A process of its own that prints as the commands do."""
    return subprocess.run(
        [sys.executable, "-c", SAYS.format(how, what)],
        stdout=stdout,
        stderr=subprocess.PIPE,
        encoding=encoding,
        env={**os.environ, "PYTHONIOENCODING": encoding, "PYTHONUNBUFFERED": unbuffered},
    )


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
@pytest.mark.parametrize(("how", "what"), SAYING)
def test_stdout_may_have_any_encoding(how, what, encoding):
    done = saying(how, what, subprocess.PIPE, encoding)
    assert (done.returncode, done.stderr) == (0, "")
    if how == "print_json":
        assert json.loads(done.stdout) == what
    else:
        assert done.stdout.startswith("film")


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="only Linux has a device that is full")
@pytest.mark.parametrize(("how", "what"), SAYING)
@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_full_stdout_is_one_line(how, what, unbuffered):
    with open("/dev/full", "w") as full:
        done = saying(how, what, full, unbuffered=unbuffered)
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert line.endswith("No space left on device")


@pytest.mark.parametrize(("how", "what"), SAYING)
def test_a_reader_that_has_gone_is_no_error_to_speak_of(how, what):
    reading, writing = os.pipe()
    os.close(reading)
    with open(writing, "w") as gone:
        done = saying(how, what, gone)
    assert (done.returncode, done.stderr) == (1, "")


def test_a_command_speaks_any_encoding(tmp_path):
    root = tmp_path / "Visages filmés"
    write_data_set(root, clips())
    done = subprocess.run(
        [sys.executable, "-m", "dianet_ray", "validate", "casme2", str(root)],
        capture_output=True,
        encoding="ascii",
        env={**os.environ, "PYTHONIOENCODING": "ascii"},
    )
    assert done.returncode == 0, done.stderr
    assert r"Visages film\xe9s" in done.stdout


@pytest.mark.parametrize("closing", [">&-", "2>&-", ">&- 2>&-"])
def test_a_closed_stream_is_no_error(tmp_path, closing):
    root = tmp_path / "data"
    write_data_set(root, clips())
    words = f"{sys.executable} -m dianet_ray validate casme2 {root} {closing}"
    done = subprocess.run(["bash", "-c", words], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr


def test_a_full_disk_elsewhere_is_not_blamed_on_stdout():
    with pytest.raises(OSError, match="No space") as error, speaking():
        raise OSError(errno.ENOSPC, "No space left on device")  # as a file's write raises it
    assert error.value.errno == errno.ENOSPC
