"""How a worker died: read from the text that Ray raises, and from what its process left behind."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

_REMEDY = "fewer workers (--max-workers) leave more to each"
FOR_MEMORY = f"killed for memory; {_REMEDY}"
WITHOUT_TRACE = f"killed by SIGKILL, it seems: the system sends it when memory runs out; {_REMEDY}"
SILENT = "it ended itself, silent for too long"
UNKNOWN = "its process died"
ANSWER_S = 20.0
"""How long a node may take to look at what a process left. The driver waits for it."""
_LAST_BYTES = 65536

_ADDRESS = re.compile(r"\bip: ([0-9a-f.:]+)", re.IGNORECASE)
_PID = re.compile(r"\bpid: ?(\d+)")
_SIGNAL = re.compile(r"\*\*\* (SIG[A-Z0-9]+) received")


@dataclass(frozen=True, slots=True)
class Death:
    """The end of a worker.

    Attributes:
        text: what Ray says.
        is_own: its process ended by itself or was killed for memory, and its node lives: another
            worker may end in the same way. Otherwise it went with its node.
        host: the address of its node; empty when Ray does not say.
        pid: its process; 0 when Ray does not say.
        is_for_memory: Ray killed it because its node ran out of memory.
    """

    text: str
    is_own: bool
    host: str = ""
    pid: int = 0
    is_for_memory: bool = False


def death_of(text: str) -> Death:
    """Read the text of the exception that Ray raised for a worker; needs a connection."""
    is_for_memory = "running low on memory" in text
    if not (is_for_memory or "worker process has died" in text):
        return Death(text, is_own=False)
    found, pid = _ADDRESS.search(text), _PID.search(text)
    host = found.group(1) if found else ""
    # A process that ended a moment before its node says nothing about its training.
    is_own = not host or bool(_living(host))
    return Death(text, is_own, host, int(pid.group(1)) if pid else 0, is_for_memory)


def cause_of(death: Death) -> str:
    """Say why a process ended, in words; asks its node, which may take `ANSWER_S`."""
    if death.is_for_memory:
        return FOR_MEMORY
    nodes = _living(death.host) if death.pid else []
    if not nodes:
        return UNKNOWN
    there = NodeAffinitySchedulingStrategy(nodes[0], soft=False)
    look = ray.remote(num_cpus=0, max_retries=0, scheduling_strategy=there)(_last_words)
    answer = look.remote(death.pid)
    try:
        return str(ray.get(answer, timeout=ANSWER_S))
    except Exception:  # anything can keep a task from running there, and it is only for a message
        return UNKNOWN


def _living(host: str) -> list[str]:
    """List the ids of the living nodes at an address."""
    nodes = (node for node in ray.nodes() if node["Alive"])
    return [node["NodeID"] for node in nodes if node["NodeManagerAddress"] == host]


def _last_words(pid: int) -> str:
    """Read on its node what a worker's process wrote to stderr before it ended."""
    # Ray tells a driver only that the connection broke. Its workers write the signal to a file.
    folder = Path(ray._private.worker._global_node.get_logs_dir_path())
    for path in folder.glob(f"worker-*-{pid}.err"):
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - _LAST_BYTES))
            words = file.read().decode(errors="replace")
        if signals := _SIGNAL.findall(words):
            return f"ended by {signals[-1]}"
        if "Timeout (" in words:  # of faulthandler, see `search.trial.watch`
            return SILENT
    return WITHOUT_TRACE
