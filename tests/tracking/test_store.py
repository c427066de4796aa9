import contextlib
import os
import socket
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from dianet_ray.errors import InputError
from dianet_ray.tracking import store
from tests.support.http_server import serve

server = pytest.fixture(serve)


def refusal(uri, **options):
    with pytest.raises(InputError) as error:
        store.check_store(uri, **options)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_a_port_where_nothing_listens_is_refused_at_once():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        uri = f"http://127.0.0.1:{free.getsockname()[1]}"
    assert f"at {uri}" in refusal(uri)


def test_a_server_that_never_answers_is_refused_in_time():
    with socket.create_server(("127.0.0.1", 0)) as silent:
        uri = f"http://127.0.0.1:{silent.getsockname()[1]}"
        assert uri in refusal(uri, timeout_s=0.5)


@pytest.mark.parametrize(("status", "words"), [(401, "credentials"), (404, "status 404")])
def test_a_server_that_refuses_is_named_with_its_status(server, status, words):
    handler, uri = server
    handler.status = status
    assert words in refusal(uri)


def test_a_server_that_answers_is_taken(server):
    handler, uri = server
    handler.status = 200
    store.check_store(uri)


PROXIES = ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY", "no_proxy", "NO_PROXY")


@pytest.mark.parametrize("variable", PROXIES[:4])
def test_a_proxy_that_does_not_answer_is_not_blamed_on_the_server(server, monkeypatch, variable):
    handler, uri = server
    handler.status = 200
    for name in PROXIES:
        monkeypatch.delenv(name, raising=False)
    store.check_store(uri)
    for address in ("http://me:secret@localhost:1", "me:secret@localhost:1", "localhost:1"):
        monkeypatch.setenv(variable, address)
        said = refusal(uri)
        assert f"the proxy localhost of {variable}" in said
        assert "add 127.0.0.1 to no_proxy" in said
        assert "secret" not in said
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    store.check_store(uri)


def test_a_password_in_the_address_is_not_repeated():
    assert "secret" not in refusal("http://user:secret@127.0.0.1:1")


def test_a_database_file_needs_its_folder_and_must_be_one(tmp_path):
    assert "folder must exist" in refusal(f"sqlite:///{tmp_path}/no/mlflow.db")
    (tmp_path / "mlflow.db").write_text("this is a letter to my aunt")
    assert "SQLite database" in refusal(f"sqlite:///{tmp_path}/mlflow.db")
    store.check_store(f"sqlite:///{tmp_path}/new.db")


def test_a_database_file_that_cannot_be_written_is_refused(tmp_path):
    folder = tmp_path
    if os.geteuid() == 0:
        folder = Path("/proc")  # where even root makes no file
    tmp_path.chmod(0o500)
    assert "writable" in refusal(f"sqlite:///{folder}/mlflow.db")


def test_a_folder_is_no_database_file(tmp_path):
    assert "is a folder" in refusal(f"sqlite:///{tmp_path}")


def test_asking_a_database_connects_and_makes_no_tables(tmp_path):
    store.check_store(f"sqlite+pysqlite:///{tmp_path}/x.db")  # the way that servers are asked
    with contextlib.closing(sqlite3.connect(tmp_path / "x.db")) as connection:
        assert connection.execute("SELECT * FROM sqlite_master").fetchall() == []


def test_a_database_server_that_is_not_there_is_refused_without_its_password():
    text = refusal("postgresql://me:secret@127.0.0.1:1/mlflow")
    assert "secret" not in text
    assert "postgresql://me@127.0.0.1:1/mlflow" in text


@pytest.mark.mlflow
def test_importing_mlflow_is_not_part_of_the_time_that_a_server_has(server):
    handler, uri = server
    handler.status = 200
    program = f"from dianet_ray.tracking import store; store.check_store({uri!r}, timeout_s=0.5)"
    asked = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert asked.returncode == 0, asked.stderr


@pytest.mark.parametrize(
    ("uri", "hint"),
    [
        ("http://there:5000", "http://there:5000"),
        ("https://me:secret@there", "https://there"),
        ("https://secret@there", "https://there"),
        ("sqlite:////a/m.db", "mlflow ui --backend-store-uri sqlite:////a/m.db"),
        ("sqlite:////a@b:c/m y.db", "mlflow ui --backend-store-uri 'sqlite:////a@b:c/m y.db'"),
        ("mysql://me:se@cret@h:3/d", "mlflow ui --backend-store-uri mysql://me@h:3/d"),
        (
            "postgresql://h/d?user=me&password=secret&a=b",
            "mlflow ui --backend-store-uri 'postgresql://h/d?user=me&password=...&a=b'",
        ),
    ],
)
def test_the_hint_opens_the_store_and_tells_no_secret(uri, hint):
    assert store.ui_hint(uri) == hint
    assert store.shown(uri) in hint


def test_inside_a_submitted_job_a_relative_database_is_refused(monkeypatch):
    monkeypatch.setenv("RAY_JOB_CONFIG_JSON_ENV_VAR", "{}")
    assert store.choose_uri("sqlite:////data/m.db") == "sqlite:////data/m.db"
    with pytest.raises(InputError, match="absolute"):
        store.choose_uri("sqlite:///m.db")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:///m.db")
    with pytest.raises(InputError, match="absolute"):
        store.choose_uri(None, Path("/data/study"))


def test_the_store_is_the_one_given_else_the_variables_else_beside_the_study(monkeypatch):
    study = Path("/data/study")
    assert store.choose_uri(None, study) == "sqlite:////data/mlflow.db"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://there:5000")
    assert store.choose_uri(None, study) == "http://there:5000"
    assert store.choose_uri("http://here:5000", study) == "http://here:5000"


def test_without_a_study_and_without_an_address_nothing_is_guessed():
    with pytest.raises(InputError, match="--tracking-uri"):
        store.choose_uri(None)


def test_a_relative_database_is_made_absolute():
    assert store.choose_uri("sqlite:///mlflow.db") == f"sqlite:///{Path.cwd()}/mlflow.db"


@pytest.mark.parametrize("uri", ["./mlruns", "file:///tmp/mlruns", "ftp://there"])
def test_an_address_that_is_no_store_is_refused(uri):
    with pytest.raises(InputError, match="a tracking store is"):
        store.choose_uri(uri)


def test_the_experiment_is_the_one_given_else_the_variables_else_ours(monkeypatch):
    assert store.choose_experiment(None) == "dianet-ray"
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "mine")
    assert store.choose_experiment(None) == "mine"
    assert store.choose_experiment("this") == "this"


def test_artifacts_go_beside_the_database_and_where_a_server_says():
    study = Path("/data/study")
    assert store.artifact_location("http://there", study) is None
    assert (
        store.artifact_location("sqlite:////other/m.db", study) == "file:///other/mlflow-artifacts"
    )
    assert (
        store.artifact_location("postgresql://there/m", study) == "file:///data/mlflow-artifacts"
    )


@pytest.mark.mlflow
def test_a_deleted_experiment_is_refused(client):
    name = "deleted"
    client.delete_experiment(store.experiment_id(client, name, None))
    with pytest.raises(InputError, match="is deleted"):
        store.experiment_id(client, name, None)


def test_a_study_in_an_object_store_needs_a_tracking_store_that_is_named(s3):
    with pytest.raises(InputError, match="give --tracking-uri or set MLFLOW_TRACKING_URI"):
        store.choose_uri(None, s3)
    assert store.choose_uri("http://there", s3) == "http://there"
    where = store.artifact_location("postgresql://there/db", s3 / "study")
    assert where == f"{s3}/mlflow-artifacts"


@pytest.mark.mlflow
def test_processes_that_make_one_database_at_once_do_not_break_it(tmp_path):
    """Two studies of a folder that start together: MLflow's migrations know of no other."""
    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    code = f"from dianet_ray.tracking.store import connect; connect({uri!r}).search_experiments()"
    makers = [subprocess.Popen([sys.executable, "-c", code]) for _ in range(3)]
    assert [maker.wait(timeout=250) for maker in makers] == [0, 0, 0]


@pytest.mark.mlflow
def test_a_broken_database_is_one_line_with_the_way_out(tmp_path):
    path = tmp_path / "mlflow.db"
    with contextlib.closing(sqlite3.connect(path)) as database:
        database.execute("create table alembic_version (version_num text)")
        database.execute("insert into alembic_version values ('unknown')")
        database.commit()
    with pytest.raises(
        InputError, match=r"must be usable: .*; move it away, and .*track"
    ) as error:
        store.connect(f"sqlite:///{path}")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("folder", ["a?b", "c%41d", "plain", "e#f %3F"])
def test_a_folder_that_is_there_is_meant_as_it_was_typed(tmp_path, folder):
    (tmp_path / folder).mkdir()
    chosen = store.choose_uri(f"sqlite:///{tmp_path}/{folder}/my.db")
    assert chosen == store.default_uri(tmp_path / folder / "study").replace("mlflow.db", "my.db")
    assert store.choose_uri(chosen) == chosen
    assert store.choose_uri(f"sqlite:///{tmp_path}/{folder}/my.db?timeout=30") == chosen


def moved_store(tmp_path):
    """A store whose folder was moved after an experiment was made in it."""
    uri = store.default_uri(tmp_path / "old" / "study")
    (tmp_path / "old").mkdir()
    client = store.connect(uri)
    location = store.artifact_location(uri, tmp_path / "old" / "study")
    experiment = store.experiment_id(client, "moved", location)
    (tmp_path / "old").rename(tmp_path / "new")
    study = tmp_path / "new" / "study"
    uri = store.default_uri(study)
    return store.connect(uri), experiment, store.artifact_location(uri, study)


@pytest.mark.mlflow
def test_in_a_store_that_was_moved_it_is_said_where_the_artifacts_go(tmp_path, caplog):
    client, experiment, location = moved_store(tmp_path)
    assert store.experiment_id(client, "moved", location) == experiment
    assert f"in {tmp_path}/old/mlflow-artifacts, which was not there" in caplog.text
    assert f"in {tmp_path}/new/mlflow-artifacts, write" in caplog.text
    assert (tmp_path / "old" / "mlflow-artifacts").is_dir()
    caplog.clear()
    store.experiment_id(client, "moved", location)
    assert caplog.text == ""


@pytest.mark.mlflow
def test_artifacts_that_cannot_go_where_the_store_keeps_them_are_one_line(tmp_path):
    client, _, location = moved_store(tmp_path)
    (tmp_path / "old").write_text("a file in the way")
    with pytest.raises(InputError, match=r"old/mlflow-artifacts.* cannot be made: .*collect"):
        store.experiment_id(client, "moved", location)
