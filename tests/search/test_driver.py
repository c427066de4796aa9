"""One driver per study: refused while the first lives, replaced when it is gone."""

import json
import logging
import subprocess
import sys
import threading
import time

import pytest

from dianet_ray.errors import InputError
from dianet_ray.options import JOB_VARIABLE
from dianet_ray.search import driver
from dianet_ray.search.driver import STALE_AFTER_S, DriverLock, is_alive, read_driver

HOLDER = {"host": "elsewhere", "pid": 1, "token": "t", "at": 0.0}
DAMAGED = [
    b"",
    b"{",
    b"{}",
    b"[]",
    b"7",
    b"\xff\xfe",
    *(
        json.dumps({**HOLDER, **wrong}).encode()
        for wrong in [
            {"at": "now"},
            {"at": float("nan")},
            {"at": 10**400},
            {"at": None},
            {"host": 5},
            {"pid": "1"},
            {"pid": 2**70},
            {"pid": -1},
            {"token": None},
        ]
    ),
]


def write(path, **values):
    (path / "driver.json").write_text(json.dumps({**HOLDER, "at": time.time(), **values}))


def wait_until(holds):
    deadline = time.monotonic() + 4
    while not holds() and time.monotonic() < deadline:
        time.sleep(0.01)
    assert holds()


def test_a_second_driver_is_refused_and_the_first_leaves_nothing_behind(tmp_path):
    with DriverLock(tmp_path):
        with pytest.raises(InputError, match="one driver: process"), DriverLock(tmp_path):
            pass
        assert read_driver(tmp_path) is not None
    assert list(tmp_path.iterdir()) == []


def test_a_driver_elsewhere_counts_while_its_heartbeat_is_fresh(tmp_path):
    write(tmp_path)
    with pytest.raises(InputError, match="on elsewhere"), DriverLock(tmp_path):
        pass
    write(tmp_path, at=time.time() - STALE_AFTER_S - 1)
    with DriverLock(tmp_path):
        assert read_driver(tmp_path)["pid"] != 1


def test_a_killed_driver_of_this_machine_is_replaced_at_once(tmp_path):
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    write(tmp_path, host=driver.socket.gethostname(), pid=gone.pid)
    with DriverLock(tmp_path):
        pass


@pytest.mark.parametrize(
    ("told", "job"),
    [('{"metadata": {"job_submission_id": "raysubmit_1"}}', "raysubmit_1"), ("{}", ""), ("[", "")],
)
def test_the_lock_names_the_submitted_job(tmp_path, monkeypatch, told, job):
    monkeypatch.setenv(JOB_VARIABLE, told)
    with DriverLock(tmp_path):
        assert read_driver(tmp_path)["job"] == job


def test_the_heartbeat_stays_fresh(tmp_path, monkeypatch):
    monkeypatch.setattr(driver, "BEAT_EVERY_S", 0.01)
    with DriverLock(tmp_path):
        first = read_driver(tmp_path)["at"]
        wait_until(lambda: read_driver(tmp_path)["at"] > first)
        assert is_alive(read_driver(tmp_path))


def test_a_driver_that_was_replaced_leaves_its_successor_alone(tmp_path):
    with DriverLock(tmp_path):
        write(tmp_path, token="successor")
    assert read_driver(tmp_path)["token"] == "successor"


@pytest.mark.parametrize("content", DAMAGED)
def test_a_damaged_file_belongs_to_nobody_and_is_taken_over(tmp_path, content):
    (tmp_path / "driver.json").write_bytes(content)
    assert read_driver(tmp_path) is None
    with DriverLock(tmp_path):
        assert is_alive(read_driver(tmp_path))
        with pytest.raises(InputError, match="one driver: process"), DriverLock(tmp_path):
            pass
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("content", [None, b"{", json.dumps(HOLDER).encode()])
def test_of_drivers_that_start_together_one_wins(tmp_path, content):
    for attempt in range(20):
        study = tmp_path / str(attempt)
        study.mkdir()
        if content is not None:
            (study / "driver.json").write_bytes(content)
        start, end, won = threading.Barrier(6), threading.Barrier(6), []

        def drive(study=study, start=start, end=end, won=won):
            start.wait()
            try:
                with DriverLock(study):
                    won.append(read_driver(study)["token"])
                    end.wait()
            except InputError:
                end.wait()

        threads = [threading.Thread(target=drive) for _ in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(won) == 1
        assert list(study.iterdir()) == []


def while_judging(monkeypatch, happens):
    """Let something happen once, right after a holder was judged and before anything is done."""
    real, judged = driver.is_alive, []

    def judge(holder):
        answer = real(holder)
        if not judged:
            judged.append(holder)
            happens()
        return answer

    monkeypatch.setattr(driver, "is_alive", judge)


def test_a_driver_that_saw_a_stale_file_leaves_its_successor_alone(tmp_path, monkeypatch):
    write(tmp_path, at=0.0)
    first = DriverLock(tmp_path)
    while_judging(monkeypatch, first.__enter__)
    with pytest.raises(InputError, match="another one just started"), DriverLock(tmp_path):
        pass
    with pytest.raises(InputError, match="one driver: process"), DriverLock(tmp_path):
        pass
    first.__exit__(None, None, None)
    assert list(tmp_path.iterdir()) == []


def test_a_driver_that_beats_again_while_it_is_judged_stale_keeps_its_study(tmp_path, monkeypatch):
    write(tmp_path, at=0.0)
    while_judging(monkeypatch, lambda: write(tmp_path))
    with pytest.raises(InputError, match="another one just started"), DriverLock(tmp_path):
        pass
    assert [path.name for path in tmp_path.iterdir()] == ["driver.json"]
    assert read_driver(tmp_path)["token"] == "t"


def test_a_driver_killed_while_taking_over_blocks_nobody(tmp_path, monkeypatch):
    write(tmp_path, at=0.0)
    with monkeypatch.context() as patch:
        patch.setattr(driver.Path, "replace", lambda *_: (_ for _ in ()).throw(OSError("killed")))
        with pytest.raises(OSError, match="killed"), DriverLock(tmp_path):
            pass
    (claim,) = (path for path in tmp_path.iterdir() if path.name != "driver.json")
    with pytest.raises(InputError, match="one driver: process"), DriverLock(tmp_path):
        pass  # while the claim's owner lives
    claim.write_text(json.dumps(HOLDER))
    with DriverLock(tmp_path):
        assert [path.name for path in tmp_path.iterdir()] == ["driver.json"]


@pytest.mark.parametrize("content", [json.dumps({**HOLDER, "token": "successor"}), "{", None])
def test_a_heartbeat_stops_when_the_file_is_no_longer_its_own(
    tmp_path, monkeypatch, caplog, content
):
    monkeypatch.setattr(driver, "BEAT_EVERY_S", 0.01)
    path = tmp_path / "driver.json"
    with caplog.at_level(logging.WARNING), DriverLock(tmp_path) as lock:
        path.unlink()  # two steps: a beat between them sees no file, which stops it as well
        if content is not None:
            path.write_text(content)
        wait_until(lambda: not lock._thread.is_alive())
    assert "another driver took over" in caplog.text
    assert (path.read_text() if path.exists() else None) == content


def test_a_heartbeat_is_whole_on_disk_before_it_is_seen(tmp_path, monkeypatch):
    """After a power cut an unsynced rename can leave an empty file."""
    monkeypatch.setattr(driver, "BEAT_EVERY_S", 0.01)
    synced = []
    with DriverLock(tmp_path):
        real = driver.os.fsync
        monkeypatch.setattr(driver.os, "fsync", lambda fd: (synced.append(fd), real(fd)))
        wait_until(lambda: synced)
