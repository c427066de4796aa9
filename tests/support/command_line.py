"""The command line in this process, for tests of what it prints."""

from __future__ import annotations

import sys

import pytest

from dianet_ray.cli import app as application


def run(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *words: object
) -> tuple[int, str, str]:
    """Run a command; return its exit status, stdout and stderr."""
    monkeypatch.setattr(sys, "argv", ["dianet-ray", *map(str, words)])
    with pytest.raises(SystemExit) as end:
        application.main()
    printed = capsys.readouterr()
    assert isinstance(end.value.code, int)
    return end.value.code, printed.out, printed.err
