"""The service's end of the model process: starting it, its pipes, and what is under way in it.

See child.py for the other end.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from inference.errors import BY_NAME, EngineDied, EngineTimeout, InferenceError
from inference.generation import Generation
from inference.line import Call

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
    slots: int  # requests decoded together
    base_sha256: str
    adapters: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Limits:
    """Seconds without any sign of life after which the process is taken to hang.

    It makes a sign at every step, but loading a model is one step. That may be what it does while a request which it
    has taken waits for its first word: then it has as long as for its start.
    """

    start: float
    silence: float


class Child:
    """One model process: its pipes, the tasks that read them, and the calls it was given and has not settled.

    `freed` is called whenever a call is settled, `ended` once with those left when the process has ended.
    """

    info: EngineInfo

    def __init__(
        self,
        process: asyncio.subprocess.Process,
        limits: Limits,
        freed: Callable[[], None],
        ended: Callable[[Sequence[Call]], None],
    ) -> None:
        if not (process.stdin and process.stdout and process.stderr):
            raise ValueError("all three standard streams must be pipes")
        self._process = process
        self._stdin, self._stdout, self._stderr = process.stdin, process.stdout, process.stderr
        self._limits = limits
        self._freed, self._ended = freed, ended
        self._quiet = 0.0  # seconds without a sign of life, while it owed one
        self._last_words: deque[str] = deque(maxlen=20)
        self._ending = False  # by our doing, so that nobody need be told
        self.calls: dict[int, Call] = {}
        self.alive = True
        self._readers = [asyncio.create_task(self._read_log())]
        self._watcher: asyncio.Task[None] | None = None

    @classmethod
    async def spawn(
        cls,
        command: Sequence[str],
        environment: Mapping[str, str],
        limits: Limits,
        *,
        freed: Callable[[], None],
        ended: Callable[[Sequence[Call]], None],
    ) -> Child:
        process = await asyncio.create_subprocess_exec(
            *command,
            env=environment,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            limit=_LINE_LIMIT,
            process_group=0,  # Ctrl-C in a terminal is for the service, which then closes us in order
        )
        child = cls(process, limits, freed, ended)
        try:
            async with asyncio.timeout(limits.start):
                child.info = _read_handshake(await child._event())
        except TimeoutError:
            await child.kill()
            raise EngineTimeout(f"the model process was not ready within {limits.start:g} s") from None
        except BaseException:
            await child.kill()
            raise
        child._readers.append(asyncio.create_task(child._read_events()))
        child._watcher = asyncio.create_task(child._watch())
        logger.info("model process %d ready: %s on %s", child.pid, child.info.dtype, child.info.device)
        return child

    @property
    def pid(self) -> int:
        return self._process.pid

    def ask(self, number: int, call: Call) -> None:
        """Give it a request. `number` must be greater than any before."""
        if not self.calls:
            self._quiet = 0.0  # until now it owed us nothing
        call.number, call.taken = number, False
        self.calls[number] = call
        self._send({"do": "generate", "id": number, **call.request})

    def cancel(self, call: Call) -> None:
        """Have it stop a call that is over for us, and that stays among `calls` until the process says it is gone."""
        if self.calls.get(call.number) is call:
            self._send({"do": "cancel", "id": call.number})

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
        self._kill()
        await self._process.wait()
        if self._watcher:
            self._watcher.cancel()
        await asyncio.gather(*self._readers, return_exceptions=True)

    def _kill(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()

    def _send(self, message: Mapping[str, Any]) -> None:
        # Does not wait: a cancellation must go out while its sender is being closed.
        if self.alive and not self._stdin.is_closing():
            self._stdin.write(json.dumps(message).encode() + b"\n")

    async def _event(self) -> dict[str, Any] | None:
        """The next one; None when there will be none."""
        line = await self._stdout.readline()
        return json.loads(line) if line else None

    async def _read_events(self) -> None:
        try:
            while event := await self._event():
                self._quiet = 0.0
                self._hear(event)
        except Exception:
            logger.exception("what model process %d says cannot be read", self.pid)
            self._kill()
        self.alive = False  # not reached when the loop itself is being closed, where nobody is left to be told
        left, self.calls = list(self.calls.values()), {}
        self._ended(left)

    def _hear(self, event: Mapping[str, Any]) -> None:
        call = self.calls.get(event.get("id", 0))
        if call is None:
            return  # a mere sign of life, or of a request that was settled before
        match event["event"]:
            case "taken":
                call.taken = True
                return
            case "text":
                call.tell(str(event["text"]))
                return
            case "done":
                call.tell(Generation(**event["generation"]))
            case "error":
                call.tell(_error(event))
        del self.calls[call.number]  # after "cancelled" too
        self._freed()

    async def _watch(self) -> None:
        """End a process that owes us a sign of life for too long."""
        # Looks are counted and not the clock, so that a service which was itself held up blames nobody.
        look = self._limits.silence / 4
        while self.alive:
            await asyncio.sleep(look)
            self._quiet += look
            loading = any(call.taken and not call.shown for call in self.calls.values())
            if self.calls and self._quiet > (self._limits.start if loading else self._limits.silence):
                logger.error("model process %d hangs: no sign of life for %.0f s", self.pid, self._quiet)
                self._kill()
                break

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


def _read_handshake(event: Mapping[str, Any] | None) -> EngineInfo:
    if event is None:
        raise EngineDied("the model process ended before it was ready; the log says how")
    if event["event"] != "ready":
        raise _error(event)
    facts = {name: value for name, value in event.items() if name != "event"}
    return EngineInfo(**{**facts, "adapters": tuple(facts["adapters"])})


def _error(event: Mapping[str, Any]) -> InferenceError:
    kind = BY_NAME.get(event.get("kind", ""), InferenceError)
    return kind(event.get("message", "the model process sent something unknown"))
