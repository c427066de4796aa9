"""No recipe of cluster/ opens a port, switches authentication off or holds a credential."""

import re

import pytest
import yaml

from tests.support.recipes import (
    CLUSTER,
    FILES,
    KUBERAY,
    RAY_UP,
    RECORDS,
    cluster_spec,
    groups,
    load,
    name_of,
    pods,
    texts,
)


def start_commands():
    """Every command line that starts Ray, as it is run."""
    for path, text in texts():
        if path.suffix not in (".md", ".sh"):  # local.sh's are in its record
            for line in text.splitlines():
                if re.search(r"(?<![\w-])ray (start|symmetric-run) .*--", line):
                    yield path.name, line


def test_dashboards_listen_on_loopback():
    heads = [(n, line) for n, line in start_commands() if re.search("--head|symmetric-run", line)]
    assert {name for name, _ in heads} == {*RAY_UP, "local.txt", "slurm.sbatch"}
    for name, line in heads:
        assert re.search(r"--dashboard-host=127\.0\.0\.1(?!\d)", line), name


def test_nothing_listens_on_every_interface():
    for path in FILES:
        text = path.read_text()
        assert not re.search(
            r"\b0\.0\.0\.0\b|\[::\]|NodePort|LoadBalancer|hostNetwork|hostPort", text
        ), path
    for name in KUBERAY:
        assert cluster_spec(name)["headGroupSpec"]["serviceType"] == "ClusterIP"
        assert all("dashboard-host" not in group["rayStartParams"] for group in groups(name))
    for rule in load("aws.yaml")["provider"]["security_group"]["IpPermissions"]:
        assert (rule["FromPort"], rule["ToPort"]) == (22, 22)
    assert "--node-ip-address=127.0.0.2" in (RECORDS / "local.txt").read_text()


def test_token_authentication_is_on_everywhere():
    for path, text in texts():
        modes = set(re.findall(r"RAY_AUTH_MODE[=:]\s*(\S+?)(?=[`\s;)]|$)", text))
        assert modes <= {"token"}, path
    for name in RAY_UP:
        lines = [line for file, line in start_commands() if file == name]
        assert len(lines) == 2
        assert all("RAY_AUTH_MODE=token" in line for line in lines), name
    for name in ["local.sh", "slurm.sbatch", "submit.sh"]:
        assert re.search(r"(?m)^export .*\bRAY_AUTH_MODE=token\b", (CLUSTER / name).read_text()), (
            name
        )
    for name in KUBERAY:
        assert cluster_spec(name)["authOptions"] == {"mode": "token"}


CREDENTIAL = re.compile(
    r"""AKIA[0-9A-Z]{16} | -----BEGIN | \b[0-9a-fA-F]{32,}\b | ://[^/\s:@]+:[^/\s@]+@
    | (?i:token|password|secret|access_key(?:_id)?)\s*[:=]\s*["']?
      (?!\.\.\.|\$|token\b|=)[\w+/-]{4,}""",
    re.VERBOSE,
)


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_no_credential_is_written_down(path):
    found = CREDENTIAL.search(path.read_text())
    assert not found, found[0]


@pytest.mark.parametrize(
    "text",
    [
        "AWS_ACCESS_KEY_ID: AKIAABCDEFGHIJKLMNOP",
        "RAY_AUTH_TOKEN=4f5b6c7d8e9f",
        "password: hunter22",
        "postgresql://mlflow:hunter22@db",
    ],
)
def test_credentials_would_be_seen(text):
    assert CREDENTIAL.search(text)


@pytest.mark.parametrize("name", KUBERAY)
def test_secrets_reach_pods_by_reference_and_mlflow_s_only_the_head(name):
    assert all(
        one["kind"] != "Secret"
        for one in yaml.safe_load_all((CLUSTER / "kuberay" / name).read_text())
    )
    for n, pod in enumerate(pods(name)):
        (container,) = pod["containers"]
        secret = [
            one
            for one in container.get("env", [])
            if re.search("TOKEN|PASSWORD|SECRET|KEY|USERNAME", one["name"])
        ]
        assert all(set(one) == {"name", "valueFrom"} for one in secret)
        assert all("secretKeyRef" in one["valueFrom"] for one in secret)
        assert any(one["name"].startswith("MLFLOW") for one in container.get("env", [])) == (
            n == 0
        )
        assert [one["secretRef"]["name"] for one in container["envFrom"]] == ["dianet-storage"]
