"""What a search depends on beside Ray, as processes that can be taken away and given back.

An S3-compatible server (moto) and an MLflow server behind a proxy each, and a folder of a small
size of its own whose mount can be lost. Everything listens on loopback only.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from contextlib import suppress
from pathlib import Path
from types import TracebackType

from tests.support.clusters import free_port

CHUNK = 65536
FOLDER_BYTES = 16 * 2**20
STEP_BYTES = 4096


class Proxy:
    """Forwards a port of loopback to another one, until it is told to refuse or to be silent.

    Silent is what a cut network is: connections stay, nothing travels, and all that was sent
    arrives once it is back.
    """

    def __init__(self, target: int) -> None:
        self.port = free_port()
        self._target = target
        self._is_through = threading.Event()
        self._is_through.set()
        self._is_closed = False
        self._listener: socket.socket | None = None
        self._open: list[socket.socket] = []
        self.give_back()

    def take_away(self, *, is_silent: bool) -> None:
        """Refuse from now on and cut what is connected, or fall silent."""
        if is_silent:
            self._is_through.clear()
            return
        self._stop()

    def give_back(self) -> None:
        """Forward again."""
        self._is_through.set()
        if self._listener is None:
            self._listener = socket.create_server(("127.0.0.1", self.port))
            threading.Thread(target=self._accept, args=[self._listener], daemon=True).start()

    def close(self) -> None:
        """Let nothing through any more."""
        self._is_through.set()
        self._stop()

    def _stop(self) -> None:
        listener, self._listener = self._listener, None
        cut, self._open = self._open, []
        if listener is not None:
            cut.append(listener)
        for one in cut:
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)  # also wakes the thread that waits in it
            one.close()

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                near, _ = listener.accept()
                far = socket.create_connection(("127.0.0.1", self._target), 10)
            except OSError:
                if listener is not self._listener:
                    return
                continue  # the service itself is away: the connection is dropped
            far.settimeout(None)
            self._open += [near, far]
            for source, sink in ((near, far), (far, near)):
                threading.Thread(target=self._pump, args=[source, sink], daemon=True).start()

    def _pump(self, source: socket.socket, sink: socket.socket) -> None:
        with suppress(OSError):
            while content := source.recv(CHUNK):
                self._is_through.wait()
                sink.sendall(content)
        for one in (source, sink):
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)


class Server:
    """A server of another project in a process of its own, behind a proxy."""

    def __init__(
        self, words: list[str], path: str, log: Path, environment: dict[str, str]
    ) -> None:
        """Start `python -m *words --port PORT`, and wait until `path` answers."""
        self._port, self._log = free_port(), log
        self._command = [sys.executable, "-m", *words, "--port", str(self._port)]
        self._environment = {**os.environ, **environment}
        self._question = f"http://127.0.0.1:{self._port}{path}"
        self.start()
        self.proxy = Proxy(self._port)
        self.uri = f"http://127.0.0.1:{self.proxy.port}"

    def start(self) -> None:
        """Start it, again after `kill`, at the same port."""
        with self._log.open("ab") as output:
            self._process = subprocess.Popen(
                self._command,
                env=self._environment,
                cwd=self._log.parent,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        deadline = time.monotonic() + 90
        while not self._answers():
            if time.monotonic() > deadline or self._process.poll() is not None:
                raise RuntimeError(f"{self._command}: {self._log.read_text()[-2000:]}")
            time.sleep(0.2)

    def _answers(self) -> bool:
        try:
            urllib.request.urlopen(self._question, timeout=5).close()
        except urllib.error.HTTPError:
            return True
        except OSError:
            return False
        return True

    def kill(self) -> None:
        """Kill it with its workers, as a machine that loses its power."""
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, 9)
        self._process.wait()

    def close(self) -> None:
        """End it and its proxy."""
        self.proxy.close()
        self.kill()


def s3_server(folder: Path) -> Server:
    """Start an S3-compatible server that keeps everything in its memory."""
    words = ["moto.server", "-H", "127.0.0.1"]
    return Server(words, "/moto-api/", folder / "s3.log", {})


def mlflow_server(folder: Path) -> Server:
    """Start an MLflow server whose database and artifacts are in `folder`."""
    words = ["mlflow", "server", "--host", "127.0.0.1", "--workers", "1"]
    words += ["--backend-store-uri", f"sqlite:///{folder / 'server.db'}"]
    words += ["--artifacts-destination", str(folder / "server-artifacts")]
    quiet = {"MLFLOW_DISABLE_TELEMETRY": "true", "PYTHONWARNINGS": "ignore"}
    return Server(words, "/health", folder / "mlflow.log", quiet)


class Mount:
    """A small file system of its own, mounted where processes look for it; needs to be root.

    Full, it answers ENOSPC as any full disk. Lost, an empty folder is there instead, as where a
    network file system has gone.
    """

    def __init__(self, folder: Path) -> None:
        """Mount at `folder / "shared"`.

        Raises:
            PermissionError: this process may not mount; inside `unshare -rm` it may.
        """
        self._real, self.path = folder / "real", folder / "shared"
        self._filling: threading.Thread | None = None
        self._is_full = False
        for one in (self._real, self.path):
            one.mkdir()
        _mount("-t", "tmpfs", "-o", f"size={FOLDER_BYTES}", "none", self._real)
        self.give_back()

    def __enter__(self) -> Mount:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.make_room()
        for one in (self.path, self._real):
            subprocess.run(["umount", "-l", one], capture_output=True, check=False)

    def take_away(self) -> None:
        """Lose the mount; files that are open stay so."""
        subprocess.run(["umount", "-l", self.path], check=True)

    def give_back(self) -> None:
        """Mount it again; what was written below it meanwhile is hidden by it."""
        _mount("--bind", self._real, self.path)

    def fill(self) -> None:
        """Take all room, and what others free, until `make_room`."""
        self._is_full = True
        self._filling = threading.Thread(target=self._fill, daemon=True)
        self._filling.start()

    def make_room(self) -> None:
        """Give the room back."""
        self._is_full = False
        if self._filling is not None:
            self._filling.join()
        (self._real / "ballast").unlink(missing_ok=True)

    def _fill(self) -> None:
        size = FOLDER_BYTES
        with (self._real / "ballast").open("ab", buffering=0) as file:
            while self._is_full:
                try:
                    file.write(b"\0" * size)
                except OSError:
                    size = max(STEP_BYTES, size // 2)
                    if size == STEP_BYTES:
                        time.sleep(0.02)


def _mount(*words: object) -> None:
    done = subprocess.run(["mount", *map(str, words)], capture_output=True, text=True, check=False)
    if done.returncode:
        raise PermissionError(done.stderr.strip())


def can_mount(folder: Path) -> bool:
    """Say whether this process may mount."""
    place = folder / "try"
    place.mkdir()
    try:
        with Mount(place):
            return True
    except PermissionError:
        return False
    finally:
        shutil.rmtree(place, ignore_errors=True)
