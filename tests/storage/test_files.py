"""Whole writes, exclusive creation, listing and patience, on both kinds of storage."""

import errno
import os
import pickle
import threading
from pathlib import Path

import pytest

from dianet_ray.errors import InputError, StorageAway, one_line
from dianet_ray.storage import addresses, files
from dianet_ray.storage.addresses import is_remote, located


def test_what_is_put_is_read_replaced_listed_and_removed(place):
    files.make_folder(place / "a")
    files.put(place / "a" / "one", b"1")
    files.put(place / "a" / "one", b"2")
    files.put(place / "a" / "two", b"3")
    assert (place / "a" / "one").read_bytes() == b"2"
    assert files.names(place / "a") == ["one", "two"]
    assert files.names(place) == ["a"]
    assert files.read_files([place / "a" / "two", place / "a" / "one"]) == [b"3", b"2"]
    files.remove(place / "a" / "one")
    assert files.names(place / "a") == ["two"]
    files.remove(place / "a")
    files.remove(place / "a")
    assert files.names(place / "a") == []


def test_what_is_removed_is_said_and_a_neighbour_stays(place):
    for name in ("ab", "abc"):
        files.make_folder(place / name)
        files.put(place / name / "x", b"")
    assert files.remove(place / "ab")
    assert files.remove(place / "nothing")
    assert files.names(place) == ["abc"]


def test_a_folder_that_cannot_be_removed_is_said(tmp_path, monkeypatch):
    def away(*args, **also):
        raise OSError(116, "Stale file handle")

    monkeypatch.setattr(files.shutil, "rmtree", away)
    assert not files.remove(tmp_path)


def test_a_folder_made_by_hand_in_a_store_is_empty(s3):
    """A console makes an object whose name ends with a slash."""
    s3.fs.pipe_file(f"{s3.path}/", b"")
    assert files.names(s3) == []
    files.put(s3 / "x", b"")
    assert files.names(s3) == ["x"]


@pytest.mark.parametrize("number", [errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS])
def test_a_file_system_without_hard_links_is_named(tmp_path, monkeypatch, number):
    def refuse(*args):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(files.os, "link", refuse)
    with pytest.raises(InputError, match=f"hard links: {tmp_path}"):
        files.create(tmp_path / "x", b"")
    assert files.names(tmp_path) == []


def test_creation_is_exclusive_but_for_what_is_already_ours(place):
    files.create(place / "x", b"mine")
    files.create(place / "x", b"mine")  # the answer to the first one was lost
    with pytest.raises(FileExistsError):
        files.create(place / "x", b"other")
    assert (place / "x").read_bytes() == b"mine"
    assert files.names(place) == ["x"]


def test_of_many_who_create_at_once_one_wins(place):
    start, won = threading.Barrier(8), []

    def run(number):
        start.wait()
        try:
            files.create(place / "x", str(number).encode())
            won.append(str(number).encode())
        except FileExistsError:
            pass

    threads = [threading.Thread(target=run, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [(place / "x").read_bytes()] == won


def test_a_killed_write_leaves_nothing_under_the_name(tmp_path, monkeypatch):
    def killed(*args):
        raise KeyboardInterrupt

    monkeypatch.setattr(files.os, "fsync", killed)
    for write in (files.create, files.put):
        with pytest.raises(KeyboardInterrupt):
            write(tmp_path / "x", b"")
    assert files.names(tmp_path) == []


def test_an_address_is_one_in_every_process_and_listings_are_never_remembered(s3):
    assert is_remote(s3)
    assert not is_remote(Path("x"))
    there = pickle.loads(pickle.dumps(s3))
    assert (there, str(there)) == (s3, str(s3))
    assert files.names(s3) == []
    files.put(there / "x", b"")
    assert files.names(s3) == ["x"]
    assert s3.absolute() == s3


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (
            "http://server/folder",
            r"s3://BUCKET/FOLDER or gs://BUCKET/FOLDER: got http://server/folder",
        ),
        ("file:///data", "a folder must be a path.* got file:///data"),
        ("s3://bucket", "a bucket and a folder in it: got s3://"),
        ("s3:///folder", "a bucket and a folder in it: got s3://"),
        ("s3://bucket/a/../b", "a bucket and a folder in it: got s3://"),
        ("s3://bucket//b", "a bucket and a folder in it: got s3://"),
        (
            "s3://bucket/*",
            r"must not contain \* \? \[ or \]: got s3://",
        ),  # fsspec would delete all that match
        ("s3://bucket/r?n/study", r"must not contain \* \? \[ or \]: got s3://"),
        ("s3://bucket/run[1]", r"must not contain \* \? \[ or \]: got s3://"),
    ],
)
def test_other_addresses_are_refused(text, words):
    with pytest.raises(InputError, match=words):
        located(text)


def test_a_store_whose_package_is_missing_is_named_with_the_way_out(monkeypatch):
    monkeypatch.setattr(addresses, "find_spec", lambda name: None)
    with pytest.raises(
        InputError, match=r"gcsfs: run pip install .*\[gs\].* got gs://bucket/folder"
    ):
        located("gs://bucket/folder")


def test_a_store_that_does_not_answer_is_one_line(s3, monkeypatch):
    away = located(f"{s3}/x")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    away.fs.clear_instance_cache()
    fresh = located(str(away))
    fresh.fs.retries = 1
    with (
        pytest.raises(InputError, match="object store does not answer: s3://"),
        files.answering(s3),
    ):
        (fresh / "x").read_bytes()
    fresh.fs.clear_instance_cache()


@pytest.mark.parametrize("error", [FileNotFoundError("x"), InputError("y")])
def test_a_missing_file_is_no_answerless_store(s3, error):
    with pytest.raises(type(error)), files.answering(s3):
        raise error


def test_who_waits_does_it_again_and_hears_why(monkeypatch):
    monkeypatch.setattr(files, "RETRY_S", 0.0)
    tries, heard = [OSError(28, "No space left on device"), OSError("stale"), None], []

    def action():
        error = tries.pop(0)
        if error:
            raise error
        return "done"

    assert files.patiently(action, lambda error: heard.append(one_line(error))) == "done"
    assert heard == ["No space left on device", "stale"]


def test_patience_ends(monkeypatch):
    monkeypatch.setattr(files, "RETRY_S", 0.0)
    monkeypatch.setattr(files, "PATIENCE_S", 0.0)
    with pytest.raises(StorageAway, match="away"):
        files.patiently(lambda: (_ for _ in ()).throw(OSError("away")), lambda error: None)


def test_what_no_waiting_helps_is_raised_at_once():
    for error in (FileExistsError("x"), ValueError("y")):
        with pytest.raises(type(error)):
            files.patiently(lambda e=error: (_ for _ in ()).throw(e), lambda error: None)


def test_whoever_waits_may_give_up():
    def give_up(error):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        files.patiently(lambda: os.stat("/nowhere/at/all"), give_up)
