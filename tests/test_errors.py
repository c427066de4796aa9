"""An exception becomes one line that keeps what a reader needs."""

import pytest

from dianet_ray.errors import MOST_CHARACTERS, InputError, StudyFailed, one_line

WORKER = """\x1b[36mray::train()\x1b[39m (pid=7, ip=10.0.0.1)
  File "/app/train.py", line 7, in train
    raise ValueError("bad  batch")
ValueError: bad  batch
"""


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (FileNotFoundError(2, "No such file or directory", "/x"), "No such file or directory"),
        (ValueError("a\n   b\n\n"), "a b"),
        (InputError("not there: /two  blanks"), "not there: /two  blanks"),
        (RuntimeError(WORKER), "ValueError: bad  batch"),
        (KeyError(), "KeyError"),
    ],
)
def test_an_exception_becomes_one_line(error, expected):
    assert one_line(error) == expected


def test_only_other_peoples_exceptions_are_shortened():
    text = "x" * 10_000
    assert one_line(RuntimeError(text)) == "x" * MOST_CHARACTERS
    for ours in (InputError, StudyFailed):
        assert one_line(ours(text)) == text
