"""The files of cluster/ and the commands that they show, for the tests of the recipes."""

import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
CLUSTER = ROOT / "cluster"
RECORDS = ROOT / "tests" / "records"
README = (CLUSTER / "README.md").read_text()
FILES = sorted(path for path in CLUSTER.rglob("*") if path.is_file() and path.suffix != ".pyc")
RAY_UP = ["aws.yaml", "onprem.yaml"]
KUBERAY = ["raycluster.yaml", "rayjob.yaml"]


def load(name: str) -> Any:
    return yaml.safe_load((CLUSTER / name).read_text())


def name_of(path: Path) -> str:
    return path.relative_to(CLUSTER).as_posix()


def cluster_spec(name: str) -> Any:
    document = load(f"kuberay/{name}")
    return (
        document["spec"]
        if document["kind"] == "RayCluster"
        else document["spec"]["rayClusterSpec"]
    )


def groups(name: str) -> list[Any]:
    spec = cluster_spec(name)
    return [spec["headGroupSpec"], *spec["workerGroupSpecs"]]


def pods(name: str) -> list[Any]:
    return [group["template"]["spec"] for group in groups(name)]


def texts() -> Iterator[tuple[Path, str]]:
    """Every text that shows commands, its continued lines joined; of YAML comments and strings."""
    for path in [*FILES, *sorted(RECORDS.glob("*.txt"))]:
        text = re.sub(r"\\\n\s*(#\s*)?", " ", path.read_text())
        if path.suffix == ".yaml":
            comments = re.findall(r"(?m)#.*$", text)
            text = "\n".join([*comments, *strings(yaml.safe_load(text))])
        yield path, text.replace(r"\n", "\n")  # as bash quotes the lines of a job


def strings(node: Any) -> Iterator[str]:
    if isinstance(node, dict | list):
        for one in node.values() if isinstance(node, dict) else node:
            yield from strings(one)
    elif isinstance(node, str):
        yield node.strip()


def shown(pattern: str) -> Iterator[tuple[Path, list[str], list[str]]]:
    """Find commands: the file, the words that `pattern` groups, the flags up to the line's end."""
    for path, text in texts():
        for found in re.finditer(rf"(?m){pattern}([^\n`;)]*)", text):
            *words, rest = found.groups()
            yield path, words, re.findall(r"(?<![\w-])--[a-z][a-z-]+", rest.split(" -- ")[0])


def run(
    *words: object, cwd: Path | str = ROOT, **variables: object
) -> subprocess.CompletedProcess[str]:
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("RAY_", "SLURM"))}
    return subprocess.run(
        [str(word) for word in words],
        cwd=cwd,
        env=environment | {key: str(value) for key, value in variables.items()},
        capture_output=True,
        text=True,
        timeout=250,
    )


def stand_in(folder: Path, name: str, script: str) -> None:
    """Put a command first on PATH that does what `script` says."""
    path = folder / name
    path.write_text(f"#!/usr/bin/env bash\n{script}\n")
    path.chmod(0o755)
