"""Progress is plain lines without a terminal, and its estimate is made from fresh work alone."""

import io

import pytest
from rich.console import Console

from dianet_ray import progress
from dianet_ray.progress import Progress


def lines(console):
    return console.file.getvalue().splitlines()


def test_elsewhere_than_on_a_terminal_lines_are_plain_and_rare(monkeypatch):
    console = Console(file=io.StringIO(), force_terminal=False)
    with Progress("prepare", 100, unit="clips", console=console) as shown:
        for _ in range(100):
            shown.advance()
    assert len(lines(console)) == 1
    assert lines(console)[0].startswith("prepare: 100/100 clips")
    assert "\x1b" not in console.file.getvalue()
    monkeypatch.setattr(progress, "PLAIN_EVERY_S", 0.0)
    with Progress("prepare", 3, unit="clips", console=console) as shown:
        for _ in range(3):
            shown.advance()
    assert len(lines(console)) == 1 + 3 + 1


def test_the_estimate_counts_only_what_this_run_did_since_its_first_work(monkeypatch):
    now = [100.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    console = Console(file=io.StringIO(), force_terminal=False)
    shown = Progress("search", 100, unit="trainings", console=console, status=lambda: "2/2 busy")
    shown.skip(80)
    now[0] += 1000  # until the workers have started
    shown.set(84)
    assert shown.line() == "search: 84/100 trainings, 16 min 40 s | 2/2 busy"
    now[0] += 0.5  # of the same block
    shown.set(86)
    assert shown.line() == "search: 86/100 trainings, 16 min 40 s | 2/2 busy"
    now[0] += 39.5
    shown.set(90)
    assert shown.line() == "search: 90/100 trainings, 1 min 40 s left | 2/2 busy"
    shown.skip(5)
    assert shown.line() == "search: 95/100 trainings, 50 s left | 2/2 busy"


def test_a_failure_leaves_its_own_line_alone():
    console = Console(file=io.StringIO(), force_terminal=False)
    with pytest.raises(ValueError), Progress("synth", 3, unit="clips", console=console):  # noqa: PT011
        raise ValueError
    assert console.file.getvalue() == ""


def test_a_terminal_gets_a_live_line():
    console = Console(file=io.StringIO(), force_terminal=True, width=80)
    with Progress("prepare", 2, unit="clips", console=console) as shown:
        shown.advance(2)
    assert "prepare: 2/2 clips" in console.file.getvalue()
