"""The real service as a process of its own."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any, ClassVar, Protocol

import httpx

from tests.servers import Process, free_port, wait_for

SAHPATHI = Path(sys.executable).with_name("sahpathi")
TEXTBOOKS = Path(__file__).parents[1] / "data" / "textbooks"
STARTUP_SECONDS = 120


class Starter(Protocol):
    """How a process of `sahpathi` comes into being."""

    def __call__(
        self,
        arguments: Sequence[str],
        *,
        env: Mapping[str, str],
        cwd: Path,
        stdin: IO[bytes],
        stdout: IO[bytes],
        stderr: IO[bytes],
    ) -> Process: ...


def installed(
    arguments: Sequence[str],
    *,
    env: Mapping[str, str],
    cwd: Path,
    stdin: IO[bytes],
    stdout: IO[bytes],
    stderr: IO[bytes],
) -> Process:
    """By the installed command, as an operator starts it."""
    return subprocess.Popen([str(SAHPATHI), *arguments], env=env, cwd=cwd, stdin=stdin, stdout=stdout, stderr=stderr)


def run(
    *arguments: str, env: Mapping[str, str], cwd: Path, start: Starter, typed: str = "", timeout: float = 120
) -> subprocess.CompletedProcess[str]:
    """Run a command to its end. `typed`: its standard input. Raises TimeoutExpired."""
    with tempfile.TemporaryFile() as stdin, tempfile.TemporaryFile() as stdout, tempfile.TemporaryFile() as stderr:
        stdin.write(typed.encode())
        stdin.seek(0)
        process = start(arguments, env=env, cwd=cwd, stdin=stdin, stdout=stdout, stderr=stderr)
        try:
            status = process.wait(timeout)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise
        said = []
        for stream in (stdout, stderr):
            stream.seek(0)
            said.append(stream.read().decode())
    return subprocess.CompletedProcess(arguments, status, *said)


def environment(home: Path, **settings: str) -> dict[str, str]:
    """The environment of a service of the tests: nothing of the developer's, state in `home`, books beside it."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("SAHPATHI_")}
    books = home.parent / "books"
    own = {"SAHPATHI_HOME": str(home), "PYTHONUNBUFFERED": "1"}
    return clean | own | ({"SAHPATHI_TEXTBOOKS": str(books)} if books.exists() else {}) | settings


SHELVES = ("class-7/science", "class-8/science")


def take_books(folder: Path, shelves: Sequence[str] = SHELVES) -> None:
    """Put some of the shipped textbooks beside a home folder within `folder`: folders of them, or single chapters."""
    for shelf in shelves:
        place = folder / "books" / shelf
        if (TEXTBOOKS / shelf).is_dir():
            shutil.copytree(TEXTBOOKS / shelf, place, dirs_exist_ok=True)
        else:
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(TEXTBOOKS / shelf, place)


def indexed_home(folder: Path, shelves: Sequence[str] = SHELVES, start: Starter = installed) -> Path:
    """A home folder within `folder`, with some of the shipped textbooks beside it and indexed."""
    home = folder / "home"
    take_books(folder, shelves)
    run("textbooks", "reindex", env=environment(home), cwd=folder, start=start, timeout=600).check_returncode()
    return home


class Service:
    """`sahpathi serve` or `sahpathi worker` as a process that can be killed and started again on the same home."""

    starter: ClassVar[Starter] = staticmethod(installed)

    def __init__(self, home: Path, command: str = "serve", *, name: str = "", **settings: str) -> None:
        """`name` tells the logs of several processes of one home apart."""
        self.port = int(settings.pop("SAHPATHI_PORT", 0)) or free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.name = name or command
        self.log = home.parent / f"{home.name}-{self.name}.log"
        self._command = command
        self._environment = environment(home, SAHPATHI_PORT=str(self.port), **settings)
        self._process: Process | None = None
        self._folder = home.parent

    def start(self) -> Service:
        self.launch()
        try:
            wait_for(self.ready, self._process, STARTUP_SECONDS)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.log.read_text(encoding='utf-8')[-3000:]}") from None
        return self

    def launch(self) -> None:
        """Start the process without waiting for it."""
        with self.log.open("ab") as log, Path(os.devnull).open("rb") as nothing:
            self._process = self.starter(
                [self._command], env=self._environment, cwd=self._folder, stdin=nothing, stdout=log, stderr=log
            )

    def ready(self) -> bool:
        """Whether it serves."""
        if self._command == "worker":
            return "worker is ready" in self.log.read_text(encoding="utf-8")
        try:
            return httpx.get(f"{self.url}/readyz", trust_env=False, timeout=2).status_code == 200
        except httpx.HTTPError:
            return False

    @property
    def ended(self) -> bool:
        """Whether the process is gone by itself."""
        return self._process is None or self._process.poll() is not None

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def kill(self) -> None:
        """SIGKILL: no chance to finish anything."""
        assert self._process is not None
        self._process.kill()
        self._process.wait()
        self.log.write_bytes(b"")

    def stop(self) -> int:
        """SIGTERM, as a container runtime would; returns the exit status."""
        if self._process is None or self._process.poll() is not None:
            return 0
        self._process.send_signal(signal.SIGTERM)
        return self._process.wait(60)

    def ask(self, question: str, **more: Any) -> dict[str, Any]:
        """POST /api/ask, as JSON."""
        reply = httpx.post(f"{self.url}/api/ask", json={"question": question, **more}, trust_env=False, timeout=120)
        assert reply.status_code == 200, reply.text
        answer: dict[str, Any] = reply.json()
        return answer
