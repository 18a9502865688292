"""Real servers on loopback and the programs that tests drive: on free ports, stopped at the end.

A program that is missing fails the test that needs it, since `make setup` installs it or says how: a test that was
passed over in silence proves nothing.
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Protocol, Self

import pytest

CHROMIUM_FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


def program(*names: str) -> str:
    """The path of the first of `names` that is installed; fails the test when none is."""
    found = next(filter(None, map(shutil.which, names)), None)
    if found is None:
        pytest.fail(f"{names[0]} is not installed: `make setup` says how")
    return found


def chromium() -> str:
    """The path of a real Chromium."""
    return program("chromium", "chromium-browser", "google-chrome")


def free_port() -> int:
    """A port that nobody listens on now, and that no outgoing connection is given.

    Of the ports that are, one that is closed for a moment may be taken by the very client that tries to reach it.
    """
    while True:
        port = random.SystemRandom().randrange(10_000, 32_000)  # not the seeded one: tests run side by side
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            with suppress(OSError):
                probe.bind(("127.0.0.1", port))
                return port


def answers(port: int) -> bool:
    """Whether somebody listens on a loopback port."""
    with socket.socket() as probe:
        probe.settimeout(0.5)
        return probe.connect_ex(("127.0.0.1", port)) == 0


class Process(Protocol):
    """What the tests use of a subprocess.Popen."""

    @property
    def pid(self) -> int: ...
    @property
    def returncode(self) -> int | None: ...
    def poll(self) -> int | None: ...
    def wait(self, timeout: float | None = None) -> int: ...
    def send_signal(self, sig: int, /) -> None: ...
    def kill(self) -> None: ...


def wait_for(ready: Callable[[], bool], process: Process | None = None, seconds: float = 60) -> None:
    """Poll until ready; fails at once when the process behind it has ended."""
    deadline = time.monotonic() + seconds
    while not ready():
        if process is not None and process.poll() is not None:
            raise AssertionError(f"the process ended with {process.returncode} before it was ready")
        if time.monotonic() > deadline:
            raise AssertionError(f"not ready within {seconds} seconds")
        time.sleep(0.05)


class Server:
    """A server on loopback that can be stopped and started again on the same port and folder."""

    def __init__(self, command: Sequence[str], port: int, *, goodbye: signal.Signals = signal.SIGTERM) -> None:
        """`goodbye`: the signal that asks it to stop."""
        self.command, self.port, self._goodbye = list(command), port, goodbye
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self._process = subprocess.Popen(self.command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        wait_for(lambda: answers(self.port), self._process)

    def stop(self) -> None:
        if self._process is not None:
            self._process.send_signal(self._goodbye)
            self._process.wait(30)
            self._process = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


class RedisServer(Server):
    """A real Redis that keeps nothing: a restart empties it."""

    def __init__(self, folder: Path) -> None:
        port = free_port()
        flags = ["--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", str(folder)]
        super().__init__([program("redis-server"), *flags], port)

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"


class ChromaServer(Server):
    """A real Chroma server."""

    def __init__(self, folder: Path) -> None:
        port = free_port()
        binary = str(Path(sys.executable).with_name("chroma"))
        super().__init__([binary, "run", "--path", str(folder), "--host", "127.0.0.1", "--port", str(port)], port)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"


class PostgresServer(Server):
    """A real PostgreSQL with one empty database; what is committed survives a restart.

    It refuses to run as root, as which tests run in a container; there it runs as nobody.
    """

    def __init__(self, folder: Path) -> None:
        port = free_port()
        self._as = [program("setpriv"), "--reuid=nobody", "--clear-groups"] if os.geteuid() == 0 else []
        self._data = folder / "postgres"
        self._data.mkdir()
        if self._as:
            shutil.chown(self._data, "nobody")
            self._open_parents()
        initdb = [_postgres("initdb"), "-D", str(self._data), "-U", "sahpathi", "-A", "trust", "--no-sync"]
        subprocess.run([*self._as, *initdb], check=True, stdout=subprocess.DEVNULL, cwd="/")
        flags = ["-D", str(self._data), "-p", str(port), "-h", "127.0.0.1", "-k", ""]
        # SIGINT is the fast shutdown: connections are cut, nothing is waited for
        super().__init__([*self._as, _postgres("postgres"), *flags], port, goodbye=signal.SIGINT)

    @property
    def url(self) -> str:
        return f"postgresql://sahpathi@127.0.0.1:{self.port}/postgres"

    def start(self) -> None:
        if self._as:
            self._open_parents()
        super().start()
        wait_for(
            lambda: (
                subprocess.run([_postgres("pg_isready"), "-q", "-h", "127.0.0.1", "-p", str(self.port)]).returncode == 0
            )
        )

    def _open_parents(self) -> None:
        """Pytest's folders are closed to everybody else, and a second run of tests closes the outer one again."""
        for parent in self._data.parents:
            if parent.owner() == "root" and not parent.stat().st_mode & 0o1:
                parent.chmod(parent.stat().st_mode | 0o11)


def _postgres(name: str) -> str:
    """A program of PostgreSQL, which Debian keeps out of the path."""
    kept = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"))
    return str(kept[-1]) if kept else program(name)
