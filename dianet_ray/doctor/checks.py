"""What keeps this machine, or a cluster, from running a search, and what to do about it.

Each check looks at one thing and answers with `Check` records; none leaves anything behind, and
one that itself fails becomes a bad record. No token and no password of a tracking store is shown.
"""

from __future__ import annotations

import os
import shlex
import shutil
import sys
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from itertools import islice
from pathlib import Path
from typing import Any

from dianet_ray.cluster import connection
from dianet_ray.doctor import installation
from dianet_ray.doctor.installation import INSTALL, Check
from dianet_ray.errors import InputError
from dianet_ray.storage import files
from dianet_ray.storage.outputs import output_path
from dianet_ray.tracking import store

LEAST_FREE_GB = 5.0
GPU_ANSWER_S = 30.0
"""How long a node may take to show its GPU to a task: all of its shares may be taken."""

MARKER = ".doctor-"
"""Not the prefix of a search's own marker, which the next driver there takes away."""

ADVICE = {
    "Ray": INSTALL,
    "cluster": "start it, or correct --address or RAY_ADDRESS; versions and token are its head's",
    "MLflow": "start or repair it, or name another: --tracking-uri, MLFLOW_TRACKING_URI",
}
"""What to do after a check's `InputError`, which says what is wrong."""


def examine(
    paths: Sequence[Path], *, address: str | None, tracking_uri: str | None
) -> Iterator[Check]:
    """Check everything in order; each record comes as soon as it is known.

    Raises:
        InputError: a path, an address or a tracking store that every command refuses.
    """
    named = connection.named_address(address)
    connection.check_protocol(named)
    return _checks([output_path(path) for path in paths], named, _named_store(tracking_uri))


def _named_store(given: str | None) -> str | None:
    uri = given or os.environ.get(store.URI_VARIABLE)
    return store.choose_uri(uri) if uri else None


def _checks(paths: Sequence[Path], address: str, uri: str | None) -> Iterator[Check]:
    yield installation.check_python(sys.version_info)
    yield from _safely("packages", installation.check_packages)
    yield from _safely("torch", installation.check_torch)
    yield from _safely("faces", installation.check_cascade)
    yield from _safely("Ray", installation.check_ray)
    with ExitStack() as stack:
        joined, check = _join(address, stack)
        yield check
        yield from _safely("token", check_token, address)
        if not paths:
            yield Check("storage", "ok", "no PATH was given: none was checked")
        for path in paths:
            yield from _safely("storage", check_storage, path, on_nodes=joined is not None)
        yield from _safely("MLflow", check_mlflow, uri, paths)
        yield from _safely("GPU", installation.check_gpu)
        if joined is not None and joined.n_gpus:
            yield from _safely("GPU", check_node_gpus)


def _safely(name: str, check: Callable[..., Any], *args: Any, **also: Any) -> list[Check]:
    try:
        found = check(*args, **also)
    except Exception as error:  # whatever a broken installation raises
        return [_failed(name, error)]
    return [found] if isinstance(found, Check) else list(found)


def _failed(name: str, error: Exception) -> Check:
    if isinstance(error, InputError):
        return Check(name, "bad", str(error), ADVICE.get(name, "change what it names"))
    found = f"this check failed: {type(error).__name__}: {files.reason(error)}"
    return Check(name, "bad", found, f"repair what it names; packages: {INSTALL}")


def _join(address: str, stack: ExitStack) -> tuple[connection.Cluster | None, Check]:
    """Join the named cluster until the stack closes; no local Ray is started."""
    try:
        if address == connection.LOCAL:
            return None, check_cluster(connection.local_cluster())
        joined = stack.enter_context(connection.connected(address))
    except Exception as error:
        return None, _failed("cluster", error)
    return joined, check_cluster(joined)


def check_cluster(joined: connection.Cluster) -> Check:
    """Say what a cluster that answered, or the local Ray that would be started, offers."""
    has = f"{joined.n_cpus:g} CPUs and {joined.n_gpus:g} GPUs"
    if joined.is_ours:
        return Check("cluster", "ok", f"none is named: a local Ray with {has} would be started")
    found = f"{joined.address} answers: {joined.n_nodes} nodes with {has}"
    if joined.n_cpus:
        return Check("cluster", "ok", found)
    return Check("cluster", "warn", found, "start workers, unless an autoscaler brings them")


def check_token(address: str) -> Check:
    """Check where the token comes from that a named cluster asks for; never show it."""
    if address == connection.LOCAL:
        return Check("token", "ok", "a local Ray needs none of yours")
    source, problem = _token_source()
    mode = os.environ.get("RAY_AUTH_MODE") or "not set"
    if mode.lower() != "token":
        found = f"RAY_AUTH_MODE is {mode}, {problem or f'so the token in {source} is not used'}"
        advice = "a cluster without runs whatever reaches it: set RAY_AUTH_MODE=token there, here"
        return Check("token", "warn", found, advice)
    if problem:
        advice = (
            "put the token of the cluster's head into RAY_AUTH_TOKEN, into the file that "
            "RAY_AUTH_TOKEN_PATH names, or into ~/.ray/auth_token"
        )
        return Check("token", "bad", problem, advice)
    mode_bits = source.stat().st_mode & 0o777 if isinstance(source, Path) else 0
    if mode_bits & 0o077:
        found = f"{source} has mode {mode_bits:o}: others can use the token"
        return Check("token", "warn", found, f"chmod 600 {shlex.quote(str(source))}")
    return Check("token", "ok", f"found in {source}")


def _token_source() -> tuple[Path | str, str]:
    """Look for the token where Ray does, in Ray's order; return the place and what is wrong."""
    if os.environ.get("RAY_AUTH_TOKEN", "").strip():
        return "RAY_AUTH_TOKEN", ""
    named = os.environ.get("RAY_AUTH_TOKEN_PATH")
    path = Path(named) if named else Path("~/.ray/auth_token").expanduser()
    try:
        return path, "" if path.read_bytes().strip() else f"no token is in {path}: it is empty"
    except OSError as error:
        return path, f"no token is in {path}: {files.reason(error)}"


def check_storage(path: Path, *, on_nodes: bool = False) -> list[Check]:
    """Check that a folder can hold IMAGES or STUDY, used from every node if asked."""
    marker = path / f"{MARKER}{uuid.uuid4().hex}"
    with _left_as_found(path):
        try:
            found = [_use(path, marker)]
            if found[0].state == "ok":
                found += _check_room(path)
            if found[0].state != "bad" and on_nodes:
                found += _on_nodes(path, marker.name if found[0].state == "ok" else None)
        finally:
            files.remove(marker)
    return found


@contextmanager
def _left_as_found(path: Path) -> Iterator[None]:
    """Take away the folders that come into being, unless somebody has used them."""
    folders = [] if files.is_remote(path) else [path, *path.parents]
    missing = [folder for folder in folders if not os.path.lexists(folder)]
    try:
        yield
    finally:
        for folder in missing:
            with suppress(OSError):
                folder.rmdir()


def _use(path: Path, marker: Path) -> Check:
    """List, write, read and create exclusively; leaves `marker`, with its name in it."""
    advice = f"give uid {os.getuid()} the right to use it, or choose another folder"
    if files.is_remote(path):
        advice = "see to bucket, endpoint and credentials: environment, or the machine's role"
    entries: list[str] = []
    is_new = not (files.is_remote(path) or os.path.lexists(path))
    try:
        entries = files.names(path)
        files.make_folder(path)
        files.create(marker, marker.name.encode())
        files.read(marker)
    except files.failures(InputError) as error:
        if not entries or files.is_remote(path):  # a data set is never in a store
            return Check("storage", "bad", f"{path}: {files.reason(error)}", advice)
        found = f"{path}: can be read, not written: {files.reason(error)}"
        return Check("storage", "warn", found, f"{advice}; for a data set reading is enough")
    try:
        files.create(marker, b"")
    except FileExistsError:
        does = "does not exist yet, can be made, " if is_new else "readable, "
        return Check("storage", "ok", f"{path}: {does}writable, creates files exclusively")
    found = f"{path}: a second creation replaces a file, so two drivers could write one study"
    return Check("storage", "bad", found, "use a store with conditional writes (If-None-Match)")


def _check_room(path: Path) -> list[Check]:
    if files.is_remote(path):
        return []
    free_gb = shutil.disk_usage(path).free / 1e9
    if free_gb >= LEAST_FREE_GB:
        return []
    found = f"{path}: {free_gb:.1f} GB are free"
    return [Check("storage", "warn", found, f"free {LEAST_FREE_GB:g} GB, or use another folder")]


def _on_nodes(path: Path, marker: str | None) -> list[Check]:
    """Let every node use a folder as this one does, and compare versions.

    Args:
        path: the folder.
        marker: a file that is in it; None where only reading is asked for.
    """
    from dianet_ray.cluster.nodes import Nodes
    from dianet_ray.cluster.probe import Probe, digest, versions

    if marker is None:
        reads = [(file, digest(file)) for file in _some_file(path)]
        probe, does = Probe(tuple(reads), None, "", versions()), "read"
    else:
        probe, does = Probe((), path, marker, versions()), "read and write"
    nodes = Nodes(probe)
    nodes.wait_for_answers()
    advice = "repair the node, or take it away: a search gives it no trials"
    bad = [Check("storage", "bad", f"{path}: {line}", advice) for line in nodes.problems]
    good = f"{path}: {len(nodes.good)} nodes {does} it, with this machine's versions"
    return bad or [Check("storage", "ok", good)]


def _some_file(folder: Path) -> list[Path]:
    """Find one file in a folder, however deep; none where there is none."""
    found = (Path(above) / name for above, _, names in os.walk(folder) for name in sorted(names))
    return list(islice(found, 1))


def check_mlflow(uri: str | None, paths: Sequence[Path]) -> Check:
    """Check the named tracking store; without one, say which file a search would write.

    Raises:
        InputError: the store cannot be used.
    """
    if uri is not None:
        store.check_store(uri)
        return Check("MLflow", "ok", f"{store.shown(uri)} can be used")
    if any(map(files.is_remote, paths)):
        found = "no store is named, and a study in an object store has none beside it"
        return Check("MLflow", "warn", found, "give --tracking-uri or set MLFLOW_TRACKING_URI")
    found = "no store is named: a search would write mlflow.db beside its study"
    if paths:
        found += f", {store.default_uri(paths[-1])} for {paths[-1]}"
    return Check("MLflow", "ok", found)


def check_node_gpus() -> list[Check]:
    """Ask each node whose GPUs Ray counts, on a sliver of one, what torch can use there."""
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    asked = {}
    for node in ray.nodes():
        if node["Alive"] and node["Resources"].get("GPU"):
            there = NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
            task = ray.remote(num_cpus=0, num_gpus=0.01, max_retries=0, scheduling_strategy=there)
            name = f"node {node['NodeManagerAddress']} ({node['NodeManagerHostname']})"
            asked[task(installation.usable_gpus).remote()] = name
    done, late = ray.wait(list(asked), num_returns=len(asked), timeout=GPU_ANSWER_S)
    for answer in late:
        ray.cancel(answer)
    busy = f"no share of a GPU was free within {GPU_ANSWER_S:g} s"
    return [
        *(_node_gpu(asked[one], one) for one in done),
        *(Check("GPU", "warn", f"{asked[one]}: {busy}", "ask again later") for one in late),
    ]


def _node_gpu(node: str, answer: Any) -> Check:
    import ray

    try:
        gpus, build = ray.get(answer)
    except Exception as error:  # whatever keeps a task from running there
        said = str(error).strip().rpartition("\n")[2][:300] or type(error).__name__
        return Check("GPU", "bad", f"{node}: a task fails there: {said}", "repair the node")
    if gpus:
        return Check("GPU", "ok", f"{node}: torch can use {gpus}")
    found = f"{node}: Ray counts a GPU, {build} cannot use it"
    return Check("GPU", "bad", found, installation.gpu_advice(build))
