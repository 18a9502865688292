"""The real service as real processes, with the providers' stand-ins beside it."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.fakes import FakeTelegram, FakeTwilio
from tests.servers import free_port, wait_for

SAHPATHI = Path(sys.executable).with_name("sahpathi")
PAYLOADS = Path(__file__).parents[1] / "payloads"
TEXTBOOKS = Path(__file__).parents[2] / "data" / "textbooks"
STARTUP_SECONDS = 120


def environment(home: Path, **settings: str) -> dict[str, str]:
    """The environment of a service of the tests: nothing of the developer's, state in `home`, books beside it."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("SAHPATHI_")}
    books = home.parent / "books"
    own = {"SAHPATHI_HOME": str(home), "PYTHONUNBUFFERED": "1"}
    return clean | own | ({"SAHPATHI_TEXTBOOKS": str(books)} if books.exists() else {}) | settings


class Service:
    """`sahpathi serve` or `sahpathi worker` as a process that can be killed and started again on the same home."""

    def __init__(self, home: Path, command: str = "serve", **settings: str) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.log = home.parent / f"{home.name}-{command}.log"
        self._command = [str(SAHPATHI), command]
        self._environment = environment(home, SAHPATHI_PORT=str(self.port), **settings)
        self._process: subprocess.Popen[bytes] | None = None
        self._folder = home.parent

    def start(self) -> Service:
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                self._command, env=self._environment, cwd=self._folder, stdout=log, stderr=subprocess.STDOUT
            )
        try:
            wait_for(self._ready, self._process, STARTUP_SECONDS)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.log.read_text(encoding='utf-8')[-3000:]}") from None
        return self

    def _ready(self) -> bool:
        if self._command[-1] == "worker":
            return "worker is ready" in self.log.read_text(encoding="utf-8")
        try:
            return httpx.get(f"{self.url}/readyz", trust_env=False, timeout=2).status_code == 200
        except httpx.HTTPError:
            return False

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


@pytest.fixture(scope="session")
def indexed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home folder with some of the shipped textbooks indexed, to be copied by each test with the books."""
    home = tmp_path_factory.mktemp("indexed") / "home"
    for shelf in ("class-7/science", "class-8/science"):
        shutil.copytree(TEXTBOOKS / shelf, home.parent / "books" / shelf)
    subprocess.run(
        [str(SAHPATHI), "textbooks", "reindex"], env=environment(home), cwd=home.parent, check=True, capture_output=True
    )
    return home


@pytest.fixture
def home(indexed: Path, tmp_path: Path) -> Path:
    """A fresh copy of the indexed home."""
    shutil.copytree(indexed, tmp_path / "service")
    shutil.copytree(indexed.parent / "books", tmp_path / "books")
    return tmp_path / "service"


@pytest.fixture
def processes() -> Iterator[ExitStack]:
    """Whatever a test starts is stopped at its end."""
    with ExitStack() as stack:
        yield stack


@pytest.fixture
def bot_api() -> Iterator[FakeTelegram]:
    with FakeTelegram() as server:
        yield server


@pytest.fixture
def twilio_api() -> Iterator[FakeTwilio]:
    with FakeTwilio() as server:
        yield server


def payload(name: str) -> dict[str, Any]:
    """One of the recorded payloads."""
    content: dict[str, Any] = json.loads((PAYLOADS / f"{name}.json").read_text(encoding="utf-8"))
    return content
