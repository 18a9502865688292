"""Processes of `sahpathi` that start at once, forked from one that has loaded the libraries and nothing of ours.

Each is a process of its own, with its arguments, environment, folder, standard streams, signals and exit status, and
every line of ours runs in it from the first one on. What it is spared is to load torch and its like, which takes
seconds, and which a test run would otherwise do a hundred times over. tests/bot/cli/test_commands.py shows that it does
what the installed command does.

Linux only: the requests go through a socket that keeps them apart. This file is both sides; it is run as a script for
the one that forks.
"""

from __future__ import annotations

import atexit
import gc
import importlib
import json
import os
import select
import signal
import socket
import struct
import subprocess
import sys
import threading
import traceback
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import IO, Any, NoReturn

# What `sahpathi serve`, `worker` and `textbooks` load, sooner or later. One that is missing here costs time only.
LIBRARIES = (
    "torch", "sentence_transformers", "transformers.models.bert.modeling_bert", "safetensors.torch", "scipy.sparse",
    "chromadb", "chromadb.api.rust", "bm25s", "rapidfuzz", "snowballstemmer", "markdownify", "lxml.html",
    "sqlalchemy.ext.asyncio", "sqlalchemy.dialects.sqlite.aiosqlite", "alembic.config", "psycopg", "limits.aio",
    "redis.asyncio", "taskiq.api", "taskiq_redis", "pydantic.v1", "pydantic_settings", "fastapi", "jinja2", "httpx",
    "uvicorn.lifespan.on", "uvicorn.protocols.http.auto", "uvicorn.protocols.websockets.auto", "python_multipart",
    "aiohttp", "telegram", "twilio.rest", "phonenumbers", "prometheus_client", "argon2", "itsdangerous", "yaml",
    "typer", "rich.table", "rich.prompt", "rich.progress",
)  # fmt: skip
OURS = {"bot", "inference", "rag", "training"}
STREAMS = (0, 1, 2)
LONGEST_REQUEST = 1 << 17  # bytes
NUMBER = struct.Struct("i")


class Forked:
    """A process of `sahpathi`, with what the tests use of subprocess.Popen."""

    def __init__(self, report: int) -> None:
        """`report`: the end of a pipe that tells its number and, once it has ended, its exit status."""
        self._report = report
        self.returncode: int | None = None
        self.pid = self._told()

    def poll(self) -> int | None:
        """The exit status, or None while it runs; a signal that ended it is negative."""
        if self.returncode is None and select.select([self._report], [], [], 0)[0]:
            self._end()
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Wait for its end. Raises TimeoutExpired."""
        if self.returncode is None and not select.select([self._report], [], [], timeout)[0]:
            assert timeout is not None
            raise subprocess.TimeoutExpired("sahpathi", timeout)
        status = self.poll()
        assert status is not None
        return status

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def _end(self) -> None:
        self.returncode = self._told()
        os.close(self._report)

    def _told(self) -> int:
        told = os.read(self._report, NUMBER.size)
        assert told, "the process that forks has died"
        number: int = NUMBER.unpack(told)[0]
        return number


class ForkServer:
    """The process that forks. It ends with the one that made it."""

    def __init__(self) -> None:
        self._connection, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-P", __file__, str(theirs.fileno())],
                env={name: value for name, value in os.environ.items() if not name.startswith("SAHPATHI_")},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
            )

    def start(
        self, arguments: Sequence[str], *, env: Mapping[str, str], cwd: Path, files: Sequence[IO[bytes]]
    ) -> Forked:
        """Run `sahpathi` with these arguments. `files`: its standard input, output and error."""
        report, theirs = os.pipe()
        request = json.dumps({"arguments": [*arguments], "env": dict(env), "cwd": str(cwd)}).encode()
        try:
            socket.send_fds(self._connection, [request], [*(file.fileno() for file in files), theirs])
        finally:
            os.close(theirs)
        return Forked(report)


def forked(
    arguments: Sequence[str],
    *,
    env: Mapping[str, str],
    cwd: Path,
    stdin: IO[bytes],
    stdout: IO[bytes],
    stderr: IO[bytes],
) -> Forked:
    """Start `sahpathi` with these arguments: a tests.service.Starter."""
    return _server().start(arguments, env=env, cwd=cwd, files=(stdin, stdout, stderr))


@cache
def _server() -> ForkServer:
    """The one of this process."""
    return ForkServer()


# ---- the process that forks ------------------------------------------------------------------------------------------


def main() -> None:
    """Load the libraries; fork at each request."""
    connection = socket.socket(fileno=int(sys.argv[1]))
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # as bot.cli does: before torch is loaded
    for name in LIBRARIES:
        importlib.import_module(name)
    assert not OURS & set(sys.modules)
    gc.collect()
    gc.freeze()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for the wardens
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the test run, at whose end we end
    _become(*_forked(connection))
    _end(_run())


def _forked(connection: socket.socket) -> tuple[dict[str, Any], list[int]]:
    """In a process for the next request: the request and its streams. The process that forks never returns."""
    while True:
        message, files, _, _ = socket.recv_fds(connection, LONGEST_REQUEST, len(STREAMS) + 1)
        if not message:
            os._exit(0)
        if not os.fork():
            break
        for file in files:
            os.close(file)
    connection.close()
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    *streams, report = files
    if pid := os.fork():
        _guard(pid, report, streams)
    os.close(report)
    return json.loads(message), streams


def _guard(pid: int, report: int, streams: Sequence[int]) -> NoReturn:
    """Be the parent of a process: tell its number, and its exit status when it has ended."""
    for stream in (*STREAMS, *streams):
        os.close(stream)
    os.write(report, NUMBER.pack(pid))
    _, status = os.waitpid(pid, 0)
    with suppress(BrokenPipeError):  # nobody waits for it any more
        os.write(report, NUMBER.pack(os.waitstatus_to_exitcode(status)))
    os._exit(0)


def _become(request: dict[str, Any], streams: Sequence[int]) -> None:
    """Take on what the request says, as a process that was started with it has from its beginning."""
    for stream, given in zip(STREAMS, streams, strict=True):
        os.dup2(given, stream)
        os.close(given)
    sys.stdin = open(0, encoding="utf-8", closefd=False)  # noqa: SIM115  as long as the process
    sys.stdout = open(1, "w", buffering=1, encoding="utf-8", closefd=False)  # noqa: SIM115
    sys.stderr = open(2, "w", buffering=1, encoding="utf-8", errors="backslashreplace", closefd=False)  # noqa: SIM115
    sys.argv = ["sahpathi", *request["arguments"]]
    os.environ.clear()
    os.environ.update(request["env"])
    os.chdir(request["cwd"])
    signal.signal(signal.SIGINT, signal.default_int_handler)


def _run() -> int:
    """Run `sahpathi`. Returns the exit status, as the interpreter would make it of how the command ended."""
    try:
        from bot.cli import main as sahpathi

        sahpathi()
    except SystemExit as end:
        if isinstance(end.code, str):
            print(end.code, file=sys.stderr)
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:  # noqa: BLE001  whatever it was, it ends the process
        traceback.print_exc()
        return 1
    return 0


def _end(status: int) -> NoReturn:
    """End as the interpreter does, but for taking all that was loaded apart, which would copy it first."""
    threading._shutdown()  # type: ignore[attr-defined]  # waits for threads
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


if __name__ == "__main__":
    main()
