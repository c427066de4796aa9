"""One writer at a time: refused while the first lives, replaced when it is gone."""

import json
import logging
import subprocess
import sys
import threading
import time

import pytest

from dianet_ray.errors import InputError
from dianet_ray.storage import files, lock
from dianet_ray.storage.addresses import is_remote
from dianet_ray.storage.lock import STALE_AFTER_S, Lock, holder, is_alive
from dianet_ray.storage.outputs import JOB_VARIABLE

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


def held(folder):
    return Lock(folder, "the study")


def write(folder, number=1, **values):
    files.put(
        folder / f"{number:06d}.json", json.dumps({**HOLDER, "at": time.time(), **values}).encode()
    )


def wait_until(holds):
    while not holds():  # the test's limit ends it
        time.sleep(0.01)


def test_a_second_one_is_refused_and_the_first_leaves_nothing_behind(place):
    with held(place):
        with pytest.raises(InputError, match="the study is in use by process"), held(place):
            pass
        assert holder(place) is not None
    assert files.names(place) == []


def test_one_elsewhere_counts_while_its_heartbeat_is_fresh(place):
    write(place, number=4)
    with (
        pytest.raises(InputError, match=r"process 1 on elsewhere \(last heartbeat \d+ s ago\)"),
        held(place),
    ):
        pass
    write(place, number=4, at=time.time() - STALE_AFTER_S - 1)
    with held(place):
        assert holder(place).pid != 1
        assert files.names(place) == ["000005.json"]
    write(place, number=4, at=time.time() + 86400)  # killed, and its clock was wrong
    with held(place):
        assert holder(place).pid != 1


def test_a_killed_one_of_this_machine_is_replaced_at_once(tmp_path):
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    here = {"host": lock.socket.gethostname(), "processes": lock._process_namespace()}
    write(tmp_path, **here, pid=gone.pid)
    with held(tmp_path):
        pass
    write(tmp_path, **{**here, "processes": "pid:[1]"}, pid=gone.pid)
    with pytest.raises(InputError, match="the study is in use by process"), held(tmp_path):
        pass  # another container's: its process numbers say nothing here


@pytest.mark.parametrize(
    ("told", "job"),
    [('{"metadata": {"job_submission_id": "raysubmit_1"}}', "raysubmit_1"), ("{}", ""), ("[", "")],
)
def test_the_lock_names_the_submitted_job(tmp_path, monkeypatch, told, job):
    monkeypatch.setenv(JOB_VARIABLE, told)
    with held(tmp_path):
        assert holder(tmp_path).job == job


def test_the_heartbeat_stays_fresh(place, monkeypatch):
    monkeypatch.setattr(lock, "BEAT_EVERY_S", 0.01)
    with held(place):
        first = holder(place).at
        wait_until(lambda: holder(place).at > first)
        assert is_alive(holder(place))


def test_a_heartbeat_outlives_a_storage_that_is_away_and_says_so_once(
    tmp_path, monkeypatch, caplog
):
    monkeypatch.setattr(lock, "BEAT_EVERY_S", 0.01)
    folder = tmp_path / "lock"
    with held(folder):
        folder.rename(tmp_path / "away")
        time.sleep(0.1)
        (tmp_path / "away").rename(folder)
        first = holder(folder).at
        wait_until(lambda: (found := holder(folder)) is not None and found.at > first)
    assert caplog.text.count("the storage of the study is unavailable or full") == 1
    assert caplog.text.count("the storage of the study is available again") == 1


def test_one_that_was_replaced_leaves_its_successor_alone(place):
    with held(place):
        write(place, number=2, token="successor")
    assert holder(place).token == "successor"


@pytest.mark.parametrize("content", DAMAGED)
def test_a_damaged_file_belongs_to_nobody_and_is_taken_over(tmp_path, content):
    (tmp_path / "000001.json").write_bytes(content)
    assert holder(tmp_path) is None
    with held(tmp_path):
        assert is_alive(holder(tmp_path))
        with pytest.raises(InputError, match="the study is in use by process"), held(tmp_path):
            pass
    assert files.names(tmp_path) == []


@pytest.mark.parametrize("content", [None, b"{", json.dumps(HOLDER).encode()])
def test_of_those_who_start_together_one_wins(place, content):
    for attempt in range(2 if is_remote(place) else 20):
        folder = place / str(attempt)
        files.make_folder(folder)
        if content is not None:
            files.put(folder / "000001.json", content)
        start, end, won = threading.Barrier(6), threading.Barrier(6), []

        def run(folder=folder, start=start, end=end, won=won):
            start.wait()
            try:
                with held(folder):
                    won.append(holder(folder).token)
                    end.wait()
            except InputError:
                end.wait()

        threads = [threading.Thread(target=run) for _ in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(won) == 1
        assert files.names(folder) == []


def while_judging(monkeypatch, happens):
    """Let something happen once, right after a holder was judged and before anything is done."""
    real, judged = lock.is_alive, []

    def judge(found):
        answer = real(found)
        if not judged:
            judged.append(found)
            happens()
        return answer

    monkeypatch.setattr(lock, "is_alive", judge)


def test_one_that_saw_a_stale_file_leaves_the_successor_alone(place, monkeypatch):
    write(place, at=0.0)
    first = held(place)
    while_judging(monkeypatch, first.__enter__)
    with (
        pytest.raises(InputError, match=r"the study .* has just started"),
        held(place),
    ):
        pass
    with pytest.raises(InputError, match="the study is in use by process"), held(place):
        pass
    first.__exit__(None, None, None)
    assert files.names(place) == []


def test_one_that_beats_again_while_it_is_judged_stale_keeps_the_lock(place, monkeypatch):
    write(place, at=0.0)
    while_judging(monkeypatch, lambda: write(place))
    with (
        pytest.raises(InputError, match=r"the study .* has just started"),
        held(place),
    ):
        pass
    assert files.names(place) == ["000001.json"]
    assert holder(place).token == "t"


def test_a_whole_run_of_another_one_while_judging_gives_way_to_a_third(place, monkeypatch):
    """The stale number is gone, the third began anew at 1: ours is higher and must yield."""
    write(place, number=5, at=0.0)
    third = held(place)

    def meanwhile():
        with held(place):
            pass
        third.__enter__()

    while_judging(monkeypatch, meanwhile)
    with (
        pytest.raises(InputError, match=r"the study .* has just started"),
        held(place),
    ):
        pass
    assert files.names(place) == ["000001.json"]
    third.__exit__(None, None, None)


def test_one_killed_while_taking_over_blocks_nobody_for_long(tmp_path):
    write(tmp_path, at=0.0)
    write(tmp_path, number=2, at=0.0)  # taken over, then killed before tidying
    with held(tmp_path):
        assert files.names(tmp_path) == ["000003.json"]


@pytest.mark.parametrize("content", [json.dumps({**HOLDER, "token": "successor"}), "{"])
def test_a_heartbeat_stops_when_the_file_is_no_longer_its_own(
    tmp_path, monkeypatch, caplog, content
):
    monkeypatch.setattr(lock, "BEAT_EVERY_S", 0.01)
    path = tmp_path / "000001.json"
    with caplog.at_level(logging.WARNING), held(tmp_path) as mine:

        def has_stopped():
            files.put(path, content.encode())  # again: a beat that had begun may overwrite it
            return not mine._thread.is_alive()

        wait_until(has_stopped)
        found = path.read_text()
    assert "another command took over the study" in caplog.text
    assert found == content


def test_a_heartbeat_is_whole_on_disk_before_it_is_seen(tmp_path, monkeypatch):
    """After a power cut an unsynced rename can leave an empty file."""
    monkeypatch.setattr(lock, "BEAT_EVERY_S", 0.01)
    synced = []
    with held(tmp_path):
        real = files.os.fsync
        monkeypatch.setattr(files.os, "fsync", lambda fd: (synced.append(fd), real(fd)))
        wait_until(lambda: synced)
