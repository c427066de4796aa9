"""Every check has a good and a bad end; no secret is shown, nothing is left behind."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from dianet_ray.cluster.connection import LOCAL, Bundle, Cluster
from dianet_ray.doctor import clusters, folders
from dianet_ray.doctor.checks import check_mlflow
from dianet_ray.doctor.clusters import check_cluster, check_node_gpus, check_token
from dianet_ray.doctor.folders import check_storage
from dianet_ray.doctor.installation import Check
from dianet_ray.errors import InputError
from dianet_ray.storage import files
from dianet_ray.storage.addresses import located
from tests.support.command_line import run
from tests.support.http_server import serve

ROOT = Path(__file__).parents[2]
SECRET = "a5e1f0c4b3d2"
tracking_server = pytest.fixture(serve)


@pytest.fixture
def home(tmp_path, monkeypatch):
    """A home without a token, in an environment that names none."""
    for name in ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def write_token(path, mode=0o600, text=f"{SECRET}\n"):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(mode)
    return path


def states(checks):
    """Every record is one line, and says what to do unless all is well."""
    for check in checks:
        assert "\n" not in check.found + check.advice
        assert bool(check.advice) == (check.state != "ok"), check
        assert SECRET not in check.found + check.advice
    return [check.state for check in checks]


# the token


def test_a_local_ray_needs_no_token(home):
    assert states([check_token(LOCAL)]) == ["ok"]


@pytest.mark.parametrize("mode", ["token", "TOKEN"])
def test_a_token_is_found_in_the_variable_the_named_file_and_the_home(home, monkeypatch, mode):
    monkeypatch.setenv("RAY_AUTH_MODE", mode)
    default = write_token(home / ".ray" / "auth_token")
    assert check_token("head:6379").found == f"found in {default}"
    named = write_token(home / "elsewhere")
    monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", str(named))
    assert check_token("head:6379").found == f"found in {named}"
    monkeypatch.setenv("RAY_AUTH_TOKEN", SECRET)
    check = check_token("head:6379")
    assert (states([check]), check.found) == (["ok"], "found in RAY_AUTH_TOKEN")


def test_a_missing_or_empty_token_is_bad_where_ray_would_miss_it(home, monkeypatch):
    monkeypatch.setenv("RAY_AUTH_MODE", "token")
    monkeypatch.setenv("RAY_AUTH_TOKEN", " ")
    default = home / ".ray" / "auth_token"
    check = check_token("head:6379")
    assert (states([check]), str(default) in check.found) == (["bad"], True)
    assert "RAY_AUTH_TOKEN_PATH" in check.advice
    write_token(default, text="\n")
    assert check_token("head:6379").found == f"there is no token in {default}: it is empty"
    write_token(default)
    monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", str(home))  # Ray looks no further
    assert check_token("head:6379").found == f"there is no token in {home}: Is a directory"


@pytest.mark.parametrize(("mode", "state"), [(0o600, "ok"), (0o640, "warn"), (0o604, "warn")])
def test_a_token_that_others_can_read_is_said(home, monkeypatch, mode, state):
    monkeypatch.setenv("RAY_AUTH_MODE", "token")
    path = write_token(home / ".ray" / "auth_token", mode)
    check = check_token("head:6379")
    assert states([check]) == [state]
    assert check.advice == ("" if state == "ok" else f"chmod 600 {path}")


@pytest.mark.parametrize("mode", [None, "disabled"])
def test_without_token_authentication_a_cluster_is_open(home, monkeypatch, mode):
    write_token(home / ".ray" / "auth_token")
    if mode:
        monkeypatch.setenv("RAY_AUTH_MODE", mode)
    check = check_token("head:6379")
    assert states([check]) == ["warn"]
    assert "auth_token is not used" in check.found
    assert "RAY_AUTH_MODE=token" in check.advice


# folders


def test_a_folder_can_be_used_and_is_left_as_it_was(place):
    files.put(place / "mine", b"1")
    new = place / "a" / "b"
    assert states(check_storage(place)) == ["ok"]
    assert states(check_storage(new)) == ["ok"]
    assert files.names(place) == ["mine"]


def test_a_new_folder_is_told_from_one_that_is_there(tmp_path):
    assert "can be made" in check_storage(tmp_path / "a")[0].found
    assert "can be read and written" in check_storage(tmp_path)[0].found


def test_folders_made_for_the_check_stay_when_somebody_uses_them(tmp_path, monkeypatch):
    def use(path):
        (path / "theirs").touch()
        return []

    monkeypatch.setattr(folders, "_check_room", use)
    check_storage(tmp_path / "a" / "b")
    assert list(tmp_path.rglob("*")) == [tmp_path / n for n in ("a", "a/b", "a/b/theirs")]


@pytest.mark.parametrize("name", ["file", "file/below"])
def test_a_path_that_cannot_be_a_folder_is_bad(tmp_path, name):
    (tmp_path / "file").touch()
    (check,) = check_storage(tmp_path / name)
    assert states([check]) == ["bad"]
    assert "Not a directory" in check.found
    assert list(tmp_path.iterdir()) == [tmp_path / "file"]


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="a place where not even root writes")
def test_a_place_that_can_only_be_read_will_do_for_a_data_set():
    (check,) = check_storage(Path("/proc"))
    assert states([check]) == ["warn"]
    assert "can be read but not written" in check.found
    assert states(check_storage(Path("/proc/new"))) == ["bad"]


def test_a_disk_that_is_nearly_full_is_said(tmp_path, monkeypatch):
    monkeypatch.setattr(folders, "LEAST_FREE_GB", 1e9)
    checks = check_storage(tmp_path)
    assert states(checks) == ["ok", "warn"]
    assert "GB are free" in checks[1].found


def test_a_bucket_that_is_not_there_is_bad(s3):
    (check,) = check_storage(located("s3://no-such-bucket/folder"))
    assert states([check]) == ["bad"]
    assert "bucket does not exist" in check.found


def test_a_store_that_ignores_exclusive_creation_is_bad(s3):
    """As an older MinIO or a gateway does: the condition never reaches what stores the file."""

    def forget(params, **_):
        params["headers"].pop("If-None-Match", None)

    files.names(s3)  # makes the client
    events = s3.fs.s3.meta.events
    events.register("before-call.s3.PutObject", forget)
    try:
        (check,) = check_storage(s3)
    finally:
        events.unregister("before-call.s3.PutObject", forget)
    assert states([check]) == ["bad"]
    assert "two drivers could write one study" in check.found
    assert files.names(s3) == []


# the tracking store


def test_without_a_store_it_is_said_which_file_a_search_writes(tmp_path):
    check = check_mlflow(None, [tmp_path / "images", tmp_path / "study"])
    assert states([check]) == ["ok"]
    assert f"sqlite:///{tmp_path / 'mlflow.db'} for {tmp_path / 'study'}" in check.found
    assert states([check_mlflow(None, [])]) == ["ok"]


def test_a_study_in_a_bucket_needs_a_store_that_is_named(s3):
    check = check_mlflow(None, [s3])
    assert (states([check]), "MLFLOW_TRACKING_URI" in check.advice) == (["warn"], True)


def test_a_database_is_checked_and_not_made(tmp_path):
    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    assert states([check_mlflow(uri, [])]) == ["ok"]
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(InputError, match="folder must exist"):
        check_mlflow(f"sqlite:///{tmp_path / 'no' / 'mlflow.db'}", [])


def test_a_server_that_answers_is_shown_without_its_credentials(tracking_server):
    handler, uri = tracking_server
    handler.status = 200
    check = check_mlflow(uri.replace("//", f"//me:{SECRET}@"), [])
    assert (states([check]), check.found) == (["ok"], f"{uri} can be used")


# a cluster


def test_what_a_cluster_offers_is_said():
    check = check_cluster(Cluster("c", (Bundle(4, 1), Bundle(2, 0))))
    assert "2 nodes with 6 CPUs and 1 GPU" in check.found
    assert states([check]) == ["ok"]
    assert states([check_cluster(Cluster("c", (Bundle(0, 0),)))]) == ["warn"]
    assert "local Ray with 2 CPUs" in check_cluster(Cluster(LOCAL, (Bundle(2, 0),))).found


# the command


def test_a_fit_machine_is_status_0_and_one_line_per_check(monkeypatch, capsys, tmp_path):
    status, stdout, stderr = run(monkeypatch, capsys, "doctor", tmp_path / "study")
    lines = [line for line in stdout.splitlines() if not line.startswith(" ")]
    assert (status, stderr) == (0, ""), stdout
    assert [line.split()[1] for line in lines] == [
        *("Python", "packages", "torch", "faces", "Ray", "scratch", "cluster", "token"),
        *("storage", "MLflow", "GPU"),
    ]
    assert {line.split()[0] for line in lines} <= {"ok", "warn"}
    assert list(tmp_path.iterdir()) == []


def test_without_a_path_it_is_said_that_none_was_checked(monkeypatch, capsys):
    status, stdout, _ = run(monkeypatch, capsys, "doctor")
    assert (status, "no PATH was given" in stdout) == (0, True)


@pytest.mark.parametrize("uri", ["http://me:{}@127.0.0.1:9", "postgresql://me:{}@127.0.0.1:9/db"])
def test_what_is_bad_is_status_1_with_what_to_do_and_without_secrets(
    monkeypatch, capsys, home, uri
):
    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:9")
    monkeypatch.setenv("RAY_AUTH_MODE", "token")
    monkeypatch.setenv("RAY_AUTH_TOKEN", SECRET)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri.format(SECRET))
    status, stdout, stderr = run(monkeypatch, capsys, "doctor")
    assert status == 1
    lines = stdout.splitlines()
    for name, says in (("cluster", "no Ray cluster answers"), ("MLflow", "must answer")):
        (number,) = [n for n, line in enumerate(lines) if line.startswith(f"bad   {name}")]
        assert says in lines[number]
        assert lines[number + 1].startswith("                to do: ")
    assert "found in RAY_AUTH_TOKEN" in stdout
    assert SECRET not in stdout + stderr


def test_json_is_one_document(monkeypatch, capsys, tmp_path):
    status, stdout, _ = run(monkeypatch, capsys, "doctor", tmp_path, "--json")
    found = json.loads(stdout)
    assert (status, found["is_fit"]) == (0, True)
    assert set(found["checks"][0]) == {"name", "state", "found", "advice"}
    (tmp_path / "file").touch()
    words = ["doctor", tmp_path, tmp_path / "file", "--json"]
    status, stdout, _ = run(monkeypatch, capsys, *words)
    found = json.loads(stdout)
    assert (status, found["is_fit"]) == (1, False)
    assert [one["name"] for one in found["checks"] if one["state"] == "bad"] == ["storage"]


def test_a_check_that_fails_itself_is_a_bad_line_and_the_others_go_on(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "cv2", None)  # as if it were not installed
    status, stdout, stderr = run(monkeypatch, capsys, "doctor")
    assert (status, stderr) == (1, "")
    bad = [line for line in stdout.splitlines() if line.startswith("bad")]
    assert len(bad) == 1
    assert "faces" in bad[0]
    assert "cv2" in bad[0]
    assert "GPU" in stdout


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["ftp://server/folder"], "s3://BUCKET/FOLDER"),
        (["--address", "http://head:8265"], "ray job submit"),
        (["--tracking-uri", "ftp://server"], "a tracking store is"),
        (["--tracking-uri", f"http://[me:{SECRET}@there"], "is no address of a store"),
    ],
)
def test_what_every_command_refuses_is_status_2(monkeypatch, capsys, words, says):
    status, stdout, stderr = run(monkeypatch, capsys, "doctor", *words)
    assert (status, stdout, stderr.count("\n")) == (2, "", 1)
    assert says in stderr
    assert SECRET not in stderr


# on real nodes


@pytest.mark.ray
def test_nodes_use_the_folder_and_nothing_is_left(ray_local, tmp_path):
    checks = check_storage(tmp_path / "study", on_nodes=True)
    assert states(checks) == ["ok", "ok"]
    assert "1 node " in checks[1].found
    assert list(tmp_path.iterdir()) == []


@pytest.mark.ray
def test_a_folder_that_only_this_machine_sees_is_bad(ray_local, tmp_path, monkeypatch):
    """A node finds its own folder of that name there, without what this machine wrote."""
    monkeypatch.setattr(folders, "_use", lambda path, marker: Check("storage", "ok", ""))
    checks = check_storage(tmp_path, on_nodes=True)
    assert states(checks) == ["ok", "bad"]
    assert f"{tmp_path} is not the driver's folder" in checks[1].found


@pytest.mark.ray
def test_a_node_of_another_version_is_bad(ray_local, tmp_path, monkeypatch):
    monkeypatch.setattr("dianet_ray.cluster.probe.versions", lambda: {"torch": "9.9"})
    checks = check_storage(tmp_path, on_nodes=True)
    assert states(checks) == ["ok", "bad"]
    assert "torch" in checks[1].found
    assert "the driver has 9.9" in checks[1].found


@pytest.mark.ray
def test_a_gpu_in_rays_books_that_torch_cannot_use_is_bad(ray_local, monkeypatch):
    monkeypatch.setattr(clusters, "GPU_ANSWER_S", 200.0)  # a busy machine is slow to import torch
    checks = check_node_gpus()
    assert states(checks) == ["bad"]
    assert "Ray counts a GPU that torch" in checks[0].found


@pytest.mark.ray
def test_gpus_that_are_all_taken_are_no_verdict(ray_local, monkeypatch):
    import ray
    from ray.util.placement_group import placement_group, remove_placement_group

    taken = placement_group([{"GPU": 2}])
    ray.get(taken.ready())
    monkeypatch.setattr(clusters, "GPU_ANSWER_S", 1.0)
    try:
        checks = check_node_gpus()
    finally:
        remove_placement_group(taken)
    assert states(checks) == ["warn"]


@pytest.mark.ray
def test_a_cluster_is_asked_from_another_process(ray_local, tmp_path):
    import ray

    address = ray.get_runtime_context().gcs_address
    words = [sys.executable, "-m", "dianet_ray", "doctor", tmp_path, "--address", address]
    found = subprocess.run([*map(str, words), "--json"], cwd=ROOT, capture_output=True, text=True)
    checks = [(one["name"], one["state"]) for one in json.loads(found.stdout)["checks"]]
    assert found.returncode == 1, found.stdout  # for its GPUs, which are none
    assert checks.count(("storage", "ok")) == 2
    assert ("cluster", "ok") in checks
    assert [one for one in checks if one[1] == "bad"] == [("GPU", "bad")]
    assert list(tmp_path.iterdir()) == []
