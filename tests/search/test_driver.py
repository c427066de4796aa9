"""One driver per study: refused while the first lives, replaced when it is gone."""

import json
import subprocess
import sys
import time

import pytest

from dianet_ray.errors import InputError
from dianet_ray.search import driver
from dianet_ray.search.driver import STALE_AFTER_S, DriverLock, is_alive, read_driver


def write(path, **values):
    holder = {"host": "elsewhere", "pid": 1, "token": "t", "at": time.time()}
    (path / "driver.json").write_text(json.dumps({**holder, **values}))


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


def test_the_heartbeat_stays_fresh(tmp_path, monkeypatch):
    monkeypatch.setattr(driver, "BEAT_EVERY_S", 0.01)
    with DriverLock(tmp_path):
        first = read_driver(tmp_path)["at"]
        deadline = time.monotonic() + 4
        while read_driver(tmp_path)["at"] == first and time.monotonic() < deadline:
            time.sleep(0.01)
        assert read_driver(tmp_path)["at"] > first
        assert is_alive(read_driver(tmp_path))


def test_a_driver_that_was_replaced_leaves_its_successor_alone(tmp_path):
    with DriverLock(tmp_path):
        write(tmp_path, token="successor")
    assert read_driver(tmp_path)["token"] == "successor"


def test_a_damaged_lock_belongs_to_nobody(tmp_path):
    (tmp_path / "driver.json").write_text("{")
    assert read_driver(tmp_path) is None
