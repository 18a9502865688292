"""A GGUF file as the generator, by llama.cpp: small and fast on a machine without a graphics card.

llama.cpp comes as the wheel of `xllamacpp` and runs its own server in a process of its own; we are its client, the
same as for a server on another machine (remote.py). docs/decisions/0023-llama-cpp-by-its-wheel.md says why.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import json
import logging
import os
import secrets
import sys
from collections import deque
from collections.abc import AsyncGenerator, Sequence
from dataclasses import replace
from pathlib import Path

from inference.errors import AdapterRefused, EngineDied, EngineTimeout, ModelMissing
from inference.generation import Decoding, Generation, Message
from inference.llamacpp_file import about
from inference.remote import Patience, RemoteGenerator
from inference.remote_wire import RemoteBroken, RemoteUnavailable

logger = logging.getLogger(__name__)

LONGEST_CONTEXT = 4096  # tokens of one slot: prompts of three passages take a tenth of it, and memory is dear


class LlamaCpp:
    """The Generator port over one GGUF file. Started at the first need, ended by `close`, replaced when it dies.

    `slots` answers are written side by side; more wait inside llama.cpp. `timeout` and `start_timeout` are in seconds.
    The file holds one adapter, or none: "current" means that, and asking for another is refused.
    """

    def __init__(
        self, file: Path, *, threads: int, slots: int = 4, timeout: float = 60.0, start_timeout: float = 120.0
    ) -> None:
        if threads < 1 or slots < 1:
            raise ValueError(f"threads and slots must be 1 or more, got {threads} and {slots}")
        self._file = Path(file)
        self._threads = threads
        self._slots = slots
        self._patience = Patience(connect=5.0, silence=timeout, whole=timeout, tries=2)
        self._start_timeout = start_timeout
        self._adapter: str | None = None
        self._turn = asyncio.Lock()
        self._server: _Server | None = None
        self._closing = False

    @property
    def pid(self) -> int | None:
        """llama.cpp's process; None when there is none."""
        return self._server.process.pid if self._server and self._server.alive else None

    async def start(self) -> str | None:
        """Start llama.cpp if it is not running. The id of the file's adapter, None for a base model's.

        Raises ModelMissing, EngineDied or EngineTimeout.
        """
        await self._running()
        return self._adapter

    async def warm_up(self) -> None:
        """Write one token, so that the first student does not wait for pages of the file to be read."""
        hello = [Message(role="user", content="Hello")]
        async for _ in self.stream(hello, decoding=Decoding(temperature=0, max_new_tokens=1)):
            pass

    async def close(self) -> None:
        """End llama.cpp. Answers under way raise EngineDied."""
        self._closing = True
        async with self._turn:
            if self._server:
                await self._server.close()

    async def stream(
        self,
        messages: Sequence[Message],
        *,
        decoding: Decoding,
        subject: str | None = None,
        adapter: str = "current",
        conversation: str | None = None,
    ) -> AsyncGenerator[str | Generation, None]:
        """Pieces of text as they are written, then the Generation. Closing the iterator stops the work.

        Of the decoding, llama.cpp's penalty on repetition counts the prompt's words, those of the book, and is left
        out, and so is the ban on repeated n-grams, which it does not have. Raises EngineDied, EngineTimeout,
        ModelMissing, AdapterRefused or PromptTooLong.
        """
        server = await self._running()
        if adapter not in {"current", self._adapter or "base"}:
            raise AdapterRefused(f"{self._file.name} holds {self._adapter or 'no adapter'}, not {adapter!r}")
        try:
            async with contextlib.aclosing(server.generator.stream(messages, decoding=decoding)) as pieces:
                async for piece in pieces:
                    yield replace(piece, adapter=self._adapter) if isinstance(piece, Generation) else piece
        except (RemoteUnavailable, RemoteBroken) as error:
            if not await server.ends():
                raise
            raise EngineDied("llama.cpp ended during an answer; the log says how") from error

    async def _running(self) -> _Server:
        async with self._turn:
            if self._closing:
                raise EngineDied("the engine has been closed")
            if self._server and self._server.alive:
                return self._server
            if self._server:
                await self._server.close()
            found = await asyncio.to_thread(about, self._file)
            if importlib.util.find_spec("xllamacpp") is None:
                raise ModelMissing("llama.cpp is not installed: a GGUF file needs `pip install 'sahpathi[llamacpp]'`")
            self._adapter = found.adapter
            tuning = ["--threads", str(self._threads), "--slots", str(self._slots)]
            size = ["--context", str(min(found.context, LONGEST_CONTEXT))]
            command = ["--model", str(self._file.resolve()), *tuning, *size]
            self._server = await _Server.spawn(command, self._start_timeout, self._patience)
            return self._server


class _Server:
    """One process of llama.cpp, and our client to it."""

    generator: RemoteGenerator

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self._last_words: deque[str] = deque(maxlen=20)
        self._ending = False
        self._watch = asyncio.create_task(self._read_log())

    @classmethod
    async def spawn(cls, options: Sequence[str], within: float, patience: Patience) -> _Server:
        pipe = asyncio.subprocess.PIPE
        process = await asyncio.create_subprocess_exec(
            *[sys.executable, "-P", "-m", "inference.llamacpp_child", *options],
            env=_environment(),
            stdin=pipe,
            stdout=pipe,
            stderr=pipe,
            process_group=0,  # Ctrl-C in a terminal is for the service, which then closes us in order
        )
        server = cls(process)
        try:
            async with asyncio.timeout(within):
                server.generator = await server._handshake(patience)
        except TimeoutError:
            await server.close()
            raise EngineTimeout(f"llama.cpp was not ready within {within:g} s; is the model too large?") from None
        except BaseException:
            await server.close()
            raise
        logger.info("llama.cpp %d is ready", process.pid)
        return server

    @property
    def alive(self) -> bool:
        return self.process.returncode is None and not self._ending

    async def ends(self) -> bool:
        """Whether it is gone, or about to be: its connections break a moment before its end is known."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(1.0):
                await self.process.wait()
        return not self.alive

    async def close(self) -> None:
        """End it now, whatever it is doing, and wait until it is gone."""
        self._ending = self.alive  # by our doing, so that nobody need be told
        with contextlib.suppress(ProcessLookupError):
            self.process.kill()
        await self.process.wait()
        await asyncio.gather(self._watch, return_exceptions=True)
        if hasattr(self, "generator"):
            await self.generator.close()

    async def _handshake(self, patience: Patience) -> RemoteGenerator:
        if not (self.process.stdin and self.process.stdout):
            raise ValueError("the standard streams must be pipes")
        key = secrets.token_urlsafe(24)
        self.process.stdin.write(f"{key}\n".encode())
        line = await self.process.stdout.readline()
        if not line:
            raise EngineDied("llama.cpp ended while it started; the log says how")
        told = json.loads(line)
        if "url" not in told:
            raise ModelMissing(f"llama.cpp cannot serve this file ({told['error']}); export it again")
        return RemoteGenerator(told["url"], key=key, patience=patience)

    async def _read_log(self) -> None:
        if self.process.stderr is None:
            return
        async for line in self.process.stderr:
            self._last_words.append(line.decode("utf-8", "replace").rstrip())
        status = await self.process.wait()
        if not self._ending:
            logger.error("llama.cpp ended with status %d\n%s", status, "\n".join(self._last_words))


def _environment() -> dict[str, str]:
    """What the child inherits: not the service's own settings, which hold its secrets."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("SAHPATHI_")}
    package_root = str(Path(__file__).resolve().parents[1])
    path = os.pathsep.join(filter(None, [package_root, inherited.get("PYTHONPATH")]))
    return {**inherited, "PYTHONPATH": path, "PYTHONUNBUFFERED": "1"}
