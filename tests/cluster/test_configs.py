"""The recipes of cluster/ are well formed and of the versions that the project pins."""

import json
import os
import re
import runpy
import shutil
import subprocess
import sys
from pathlib import Path

import jsonschema
import pytest

from tests.support.recipes import (
    CLUSTER,
    FILES,
    KUBERAY,
    RAY_UP,
    ROOT,
    cluster_spec,
    load,
    name_of,
    pods,
    run,
)

SHELL = [path for path in FILES if path.suffix in (".sh", ".sbatch")]
RAY = re.search(r"(?m)^ray==(\S+)$", (ROOT / "constraints.txt").read_text())[1]


def tool(name):
    """Find a checker beside this Python, or on the PATH where the wheel is tested."""
    places = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    found = shutil.which(name, path=places)
    assert found, f"{name} is not installed"
    return found


@pytest.mark.parametrize("path", SHELL, ids=name_of)
def test_shell_is_clean(path):
    found = run(tool("shellcheck"), path)
    assert found.returncode == 0, found.stdout


def test_the_dockerfile_is_clean():
    found = run(tool("hadolint"), CLUSTER / "Dockerfile")
    assert found.returncode == 0, found.stdout


@pytest.mark.parametrize("name", RAY_UP)
def test_ray_up_files_follow_the_schema_that_ray_ships(name):
    import ray

    schema = json.loads((Path(ray.__file__).parent / "autoscaler/ray-schema.json").read_text())
    jsonschema.validate(load(name), schema)


def test_aws_workers_are_spot_with_gpus_and_the_head_is_neither():
    config = load("aws.yaml")
    types = config["available_node_types"]
    head = types.pop(config["head_node_type"])
    assert "InstanceMarketOptions" not in head["node_config"]
    assert head["resources"] == {"CPU": 0, "GPU": 0}
    for worker in types.values():
        assert worker["node_config"]["InstanceMarketOptions"] == {"MarketType": "spot"}
        assert worker["resources"]["GPU"] > 0
        assert worker["max_workers"] <= config["max_workers"]


@pytest.mark.parametrize(
    ("name", "kind"), [("raycluster.yaml", "RayCluster"), ("rayjob.yaml", "RayJob")]
)
def test_kubernetes_manifests_have_their_required_fields(name, kind):
    document = load(f"kuberay/{name}")
    assert set(document) == {"apiVersion", "kind", "metadata", "spec"}
    assert document["apiVersion"] == "ray.io/v1"
    assert document["kind"] == kind
    assert re.fullmatch(r"[a-z0-9]([a-z0-9-]{0,48}[a-z0-9])?", document["metadata"]["name"])
    spec = cluster_spec(name)
    assert spec["enableInTreeAutoscaling"] is True
    assert spec["autoscalerOptions"]["version"] == "v2"
    assert spec["headGroupSpec"]["rayStartParams"]["num-cpus"] == "0"
    for group in spec["workerGroupSpecs"]:
        assert group["groupName"]
        assert group["minReplicas"] <= group["replicas"] <= group["maxReplicas"]


def test_a_ray_job_cleans_up_and_tries_again():
    spec = load("kuberay/rayjob.yaml")["spec"]
    assert spec["submissionMode"] == "K8sJobMode"
    assert spec["shutdownAfterJobFinishes"] is True
    assert spec["ttlSecondsAfterFinished"] > 0
    assert spec["backoffLimit"] > 0
    assert "runtimeEnvYAML" not in spec  # the image has everything


@pytest.mark.parametrize(("status", "repeated"), [(0, False), (1, True), (2, False), (137, True)])
def test_a_ray_job_is_not_repeated_for_a_mistake_of_the_user(tmp_path, status, repeated):
    """RayJob repeats whatever fails, each time with a new cluster."""
    (tmp_path / "python").write_text(f"#!/bin/sh\nexit {status}\n")
    (tmp_path / "python").chmod(0o755)
    done = subprocess.run(
        ["/bin/sh", "-c", load("kuberay/rayjob.yaml")["spec"]["entrypoint"]],
        env={"PATH": f"{tmp_path}:/usr/bin:/bin"},
        capture_output=True,
        text=True,
    )
    assert (done.returncode != 0) == repeated
    assert ("NOT SEARCHED" in done.stdout) == (status == 2)


@pytest.mark.parametrize("name", KUBERAY)
def test_pods_share_one_user_one_image_and_the_volumes(name):
    users = [pod["securityContext"] for pod in pods(name)]
    assert all(user == users[0] for user in users)
    assert users[0]["runAsNonRoot"] is True
    assert users[0]["runAsUser"] > 0
    assert users[0]["fsGroup"] == users[0]["runAsGroup"]
    for pod in pods(name):
        (container,) = pod["containers"]
        kinds = {volume["name"]: set(volume) - {"name"} for volume in pod["volumes"]}
        assert kinds["shared"] == {"nfs"}
        assert {mount["name"] for mount in container["volumeMounts"]} == set(kinds)
        assert container["resources"]["requests"] == container["resources"]["limits"]
    gpus = [
        pod["containers"][0]["resources"]["limits"].get("nvidia.com/gpu") for pod in pods(name)
    ]
    assert gpus[0] is None  # the head has none
    assert all(int(count) >= 1 for count in gpus[1:])


@pytest.mark.parametrize("name", KUBERAY)
def test_kubernetes_clusters_run_the_pinned_ray(name):
    assert cluster_spec(name)["rayVersion"] == RAY
    images = {pod["containers"][0]["image"] for pod in pods(name)}
    assert images == {f"registry.example.org/dianet-ray:ray{RAY}-gpu"}


def test_every_image_carries_the_pinned_ray():
    for path in FILES:
        for tag in re.findall(r"dianet-ray:(\S+?)(?=[\s`\"]|$)", path.read_text()):
            assert tag in (f"ray{RAY}-cpu", f"ray{RAY}-gpu"), path


def test_the_dockerfile_starts_from_the_pinned_ray_and_copies_what_exists():
    text = (CLUSTER / "Dockerfile").read_text()
    base = re.search(r"(?m)^FROM rayproject/ray:(\S+)-py311-\$\{DEVICE\}$", text)
    assert base[1] == RAY
    for line in re.findall(r"(?m)^COPY (.+)$", text):
        for source in line.split()[:-1]:
            assert (ROOT / source).exists(), source
    assert re.findall(r"(?m)^USER (\S+)$", text)[-1] not in ("0", "root")
    assert set(re.findall(r"https?://([^/\s]+)", text)) == {"download.pytorch.org"}


@pytest.mark.parametrize("path", [p for p in FILES if p.name != "README.md"], ids=name_of)
def test_the_head_of_a_file_says_what_was_run(path):
    head = path.read_text().split("\n\n")[0] if path.suffix == ".yaml" else path.read_text()[:1500]
    assert re.search(r"# (Not run|Not built|Run on|Run against)\b|Run it after", head)


def test_the_runtime_environment_is_what_its_script_writes():
    written = runpy.run_path(str(CLUSTER / "runtime_env.py"))["runtime_env"]()
    assert (CLUSTER / "runtime_env.yaml").read_text() == written, (
        "pyproject.toml or constraints.txt changed: accept it with python cluster/runtime_env.py"
    )


def test_the_runtime_environment_leaves_ray_torch_and_secrets_out():
    found = load("runtime_env.yaml")
    assert set(found) == {"pip"}
    constraint, *packages = found["pip"]["packages"]
    assert constraint == "-c ${RAY_RUNTIME_ENV_CREATE_WORKING_DIR}/constraints.txt"
    names = {package.split("==")[0] for package in packages}
    assert {"mlflow", "optuna", "s3fs"} <= names
    assert not names & {"ray", "torch"}
    assert all(re.fullmatch(r"[a-z0-9-]+==[0-9][\w.]*", package) for package in packages)
