"""The command line in this process."""

import sys
from typing import Any

import pytest

from dianet_ray.cli.app import main


def run(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *words: Any
) -> tuple[Any, str, str]:
    """Run a command; return its status, stdout and stderr."""
    monkeypatch.setattr(sys, "argv", ["dianet-ray", *map(str, words)])
    with pytest.raises(SystemExit) as end:
        main()
    printed = capsys.readouterr()
    return end.value.code, printed.out, printed.err
