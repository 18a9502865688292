"""The service's end of the model process: starting it, its pipes, and what it says. See child.py for the other end."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from inference.errors import BY_NAME, EngineDied, EngineTimeout, InferenceError
from inference.generation import Generation

logger = logging.getLogger(__name__)

_LINE_LIMIT = 1 << 20  # bytes; asyncio's own limit of 64 KiB is less than some library's warning
_CLOSE_SECONDS = 5.0
_LEVELS = logging.getLevelNamesMapping()


@dataclass(frozen=True, slots=True)
class EngineInfo:
    """What the model process says of itself once it is ready."""

    dtype: str
    device: str
    parameters: int
    context: int  # tokens
    base_sha256: str
    adapters: tuple[str, ...]


class Child:
    """One model process: its pipes, and the tasks that read them."""

    info: EngineInfo

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        if not (process.stdin and process.stdout and process.stderr):
            raise ValueError("all three standard streams must be pipes")
        self._process = process
        self._stdin, self._stdout, self._stderr = process.stdin, process.stdout, process.stderr
        self._events: asyncio.Queue[dict[str, Any] | None] = asyncio.Queue()
        self._last_words: deque[str] = deque(maxlen=20)
        self._ending = False  # by our doing, so that nobody need be told
        self._readers = [asyncio.create_task(self._read_events()), asyncio.create_task(self._read_log())]
        self.alive = True

    @classmethod
    async def spawn(cls, command: Sequence[str], environment: Mapping[str, str], timeout: float) -> Child:  # noqa: ASYNC109  covers several awaits
        process = await asyncio.create_subprocess_exec(
            *command,
            env=environment,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            limit=_LINE_LIMIT,
            process_group=0,  # Ctrl-C in a terminal is for the service, which then closes us in order
        )
        child = cls(process)
        try:
            async with asyncio.timeout(timeout):
                child.info = _read_handshake(await child.event())
        except TimeoutError:
            await child.kill()
            raise EngineTimeout(f"the model process was not ready within {timeout:g} s") from None
        except BaseException:
            await child.kill()
            raise
        logger.info("model process %d ready: %s on %s", child.pid, child.info.dtype, child.info.device)
        return child

    @property
    def pid(self) -> int:
        return self._process.pid

    def send(self, message: Mapping[str, Any]) -> None:
        """Queue a line for the child. Does not wait: a cancellation must go out while its sender is being closed."""
        if self.alive and not self._stdin.is_closing():
            self._stdin.write(json.dumps(message).encode() + b"\n")

    async def event(self) -> dict[str, Any]:
        """The next event. Raises EngineDied when there will be none."""
        event = await self._events.get() if self.alive or not self._events.empty() else None
        if event is None:
            raise EngineDied("the model process ended; the log says how")
        return event

    async def close(self) -> None:
        """Let the child end by closing its standard input; insist after a while."""
        self._ending = self.alive
        self._stdin.close()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_CLOSE_SECONDS):
                await self._process.wait()
        await self.kill()

    async def kill(self) -> None:
        """End the child now, whatever it is doing, and wait until it is gone."""
        self._ending = self._ending or self.alive
        self.alive = False
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()
        await self._process.wait()
        await asyncio.gather(*self._readers, return_exceptions=True)

    async def _read_events(self) -> None:
        try:
            async for line in self._stdout:
                self._events.put_nowait(json.loads(line))
        finally:
            self.alive = False
            self._events.put_nowait(None)

    async def _read_log(self) -> None:
        while True:
            try:
                line = await self._stderr.readline()
            except ValueError:  # a line longer than the limit; asyncio has dropped it
                continue
            if not line:
                break
            text = line.decode("utf-8", "replace").rstrip()
            level, _, rest = text.partition(" ")
            logger.log(_LEVELS.get(level, logging.DEBUG), "%s", rest if level in _LEVELS else text)
            self._last_words.append(text)
        status = await self._process.wait()
        if not self._ending:
            logger.error("model process %d ended with status %d\n%s", self.pid, status, "\n".join(self._last_words))


def read_event(event: Mapping[str, Any]) -> str | Generation:
    """What an event of a request says. Raises the error it reports."""
    if event["event"] == "text":
        return str(event["text"])
    if event["event"] == "done":
        return Generation(**event["generation"])
    raise _error(event)


def _read_handshake(event: Mapping[str, Any]) -> EngineInfo:
    if event["event"] != "ready":
        raise _error(event)
    facts = {name: value for name, value in event.items() if name != "event"}
    return EngineInfo(**{**facts, "adapters": tuple(facts["adapters"])})


def _error(event: Mapping[str, Any]) -> InferenceError:
    kind = BY_NAME.get(event.get("kind", ""), InferenceError)
    return kind(event.get("message", "the model process sent something unknown"))
