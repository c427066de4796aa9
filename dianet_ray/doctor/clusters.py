"""Checks of a named cluster: what it has, the token for it, its nodes' GPUs."""

from __future__ import annotations

import os
import shlex
from pathlib import Path
from typing import Any

from dianet_ray.cluster import connection
from dianet_ray.doctor import gpus
from dianet_ray.doctor.installation import Check
from dianet_ray.errors import one_line
from dianet_ray.progress import count

GPU_ANSWER_S = 30.0
"""How long a node may take to give a task a part of its GPU: trials may occupy all of it."""


def check_cluster(joined: connection.Cluster) -> Check:
    """Report what the cluster, or the local Ray that a search would start, has to offer."""
    has = f"{count(joined.n_cpus, 'CPU')} and {count(joined.n_gpus, 'GPU')}"
    if joined.is_ours:
        return Check(
            "cluster", "ok", f"no cluster is named, so a search starts a local Ray with {has}"
        )
    found = f"{joined.address} answers: {count(joined.n_nodes, 'node')} with {has}"
    if joined.n_cpus:
        return Check("cluster", "ok", found)
    return Check("cluster", "warn", found, "start workers, unless an autoscaler adds them")


def check_token(address: str) -> Check:
    """Check where the token for a cluster comes from, without showing it."""
    if address == connection.LOCAL:
        return Check("token", "ok", "a local Ray needs no token")
    source, problem = _token_source()
    mode = os.environ.get("RAY_AUTH_MODE") or "not set"
    if mode.lower() != "token":
        found = f"RAY_AUTH_MODE is {mode}, {problem or f'so the token in {source} is not used'}"
        advice = (
            "a cluster without tokens runs whatever reaches it: set RAY_AUTH_MODE=token there "
            "and in this shell"
        )
        return Check("token", "warn", found, advice)
    if problem:
        advice = (
            "put the token of the cluster's head into RAY_AUTH_TOKEN, into the file that "
            "RAY_AUTH_TOKEN_PATH names, or into ~/.ray/auth_token"
        )
        return Check("token", "bad", problem, advice)
    # A process that can read the token can run code on the whole cluster.
    mode_bits = source.stat().st_mode & 0o777 if isinstance(source, Path) else 0
    if mode_bits & 0o077:
        found = f"{source} has mode {mode_bits:o}, so other users can read the token"
        return Check("token", "warn", found, f"chmod 600 {shlex.quote(str(source))}")
    return Check("token", "ok", f"found in {source}")


def _token_source() -> tuple[Path | str, str]:
    """Look for the token in Ray's own order; return where it is and what is wrong with it."""
    # The first source that is set decides, even where a later one has a valid token.
    if os.environ.get("RAY_AUTH_TOKEN", "").strip():
        return "RAY_AUTH_TOKEN", ""
    named = os.environ.get("RAY_AUTH_TOKEN_PATH")
    path = Path(named) if named else Path("~/.ray/auth_token").expanduser()
    try:
        return (
            path,
            "" if path.read_bytes().strip() else f"there is no token in {path}: it is empty",
        )
    except OSError as error:
        return path, f"there is no token in {path}: {one_line(error)}"


def check_node_gpus() -> list[Check]:
    """Check what torch can use on each node with GPUs, in a task that takes 1 % of one."""
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    asked = {}
    for node in ray.nodes():
        if node["Alive"] and node["Resources"].get("GPU"):
            there = NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
            # With no share of a GPU a task would see all of them, whatever Ray counts.
            task = ray.remote(num_cpus=0, num_gpus=0.01, max_retries=0, scheduling_strategy=there)
            name = f"node {node['NodeManagerAddress']} ({node['NodeManagerHostname']})"
            asked[task(gpus.usable_gpus).remote()] = name
    done, late = ray.wait(list(asked), num_returns=len(asked), timeout=GPU_ANSWER_S)
    for answer in late:
        ray.cancel(answer)
    busy = f"no part of a GPU became free within {GPU_ANSWER_S:g} s"
    return [
        *(check for one in done for check in _node_gpus(asked[one], one)),
        *(Check("GPU", "warn", f"{asked[one]}: {busy}", "check again later") for one in late),
    ]


def _node_gpus(node: str, answer: Any) -> list[Check]:
    import ray

    try:
        found, build = ray.get(answer)
    except Exception as error:  # anything can keep a task from running there
        problem = f"{node}: a task failed there: {one_line(error)}"
        return [Check("GPU", "bad", problem, "repair the node")]
    if found:
        return [gpus.check_of(gpu, build, f"{node}: ") for gpu in found]
    problem = f"{node}: Ray counts a GPU that {build} cannot use"
    return [Check("GPU", "bad", problem, gpus.gpu_advice(build))]
