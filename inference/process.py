"""The model in a process of its own, and the client through which the service uses it.

A generation keeps a processor busy for seconds; in a process of its own, with a bounded number of threads and a lower
priority, it does not delay the webhooks. The process is started at the first need, ends with the service, and is
replaced when it dies. This module imports no torch: the service stays small.
"""

from __future__ import annotations

import asyncio
import logging
import os
import sys
from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

from inference.errors import EngineBusy, EngineDied, EngineTimeout, InferenceError, ModelMissing
from inference.generation import Decoding, Generation, Message
from inference.line import Call, Line
from inference.pipe import Child, EngineInfo, Limits

logger = logging.getLogger(__name__)

_CLOSED = "the engine has been closed"


class EngineProcess:
    """Generates text in a child process, for as many callers side by side as the engine has slots.

    `base` is a folder or the name of a model on the hub, `adapters` are the roots of a Shelf by precedence; `dtype`,
    `copies` and `slots` are the engine's (inference.engine.Engine), which may find room for fewer slots. `timeout`
    is the number of seconds one generation may take once its turn has come, `start_timeout` the same for starting up.
    Up to `waiting` requests wait in a line (inference.line.Line), each at most `patience` seconds.

    A process from which nothing has come for half of `timeout`, though it had work, is taken to hang and is ended; for
    `start_timeout` where it may be loading a model. When the process ends, however that comes, each request of which
    nothing was shown yet is tried once more.
    """

    def __init__(
        self,
        base: Path | str,
        adapters: Sequence[Path],
        *,
        threads: int,
        dtype: str = "auto",
        copies: int = 4,
        slots: int = 16,
        timeout: float = 120.0,
        start_timeout: float = 180.0,
        waiting: int = 64,
        patience: float = 120.0,
    ) -> None:
        if not adapters:
            raise ValueError("at least one root of adapters is needed, even if it is empty")
        local = isinstance(base, Path) or Path(base).is_dir()
        self._base = str(Path(base).resolve()) if local else str(base)
        self._local = local
        tuning = {"threads": threads, "dtype": dtype, "copies": copies, "slots": slots}
        self._command = _command(self._base, adapters, hub=not local, tuning=tuning)
        self._environment = _environment(threads, offline=local)
        self._timeout = timeout
        self._limits = Limits(start=start_timeout, silence=timeout / 2)
        self._patience = patience
        self._line = Line(waiting)
        self._child: Child | None = None
        self._starting: asyncio.Task[Child] | None = None
        self._closing = False
        self._requests = 0

    @property
    def info(self) -> EngineInfo | None:
        """What is running now; None when nothing is."""
        return self._child.info if self._child and self._child.alive else None

    @property
    def pid(self) -> int | None:
        """The model process; None when there is none."""
        return self._child.pid if self._child and self._child.alive else None

    @property
    def waiting(self) -> int:
        """Requests that wait for their turn."""
        return len(self._line)

    @property
    def under_way(self) -> int:
        """Requests that the model process has now."""
        return len(self._child.calls) if self._child else 0

    async def start(self) -> EngineInfo:
        """Start the model process if it is not running. Raises ModelMissing, EngineDied or EngineTimeout."""
        child = self._child
        if child and child.alive and not self._closing:
            return child.info
        starting = self._start()
        await asyncio.wait([starting])  # others wait for the same: it goes on when this caller gives up
        if starting.cancelled():
            raise EngineDied(_CLOSED)
        return starting.result().info

    async def warm_up(self) -> None:
        """Write one token with the current adapter, so that the first student waits for neither start nor merging."""
        hello = [Message(role="user", content="Hello")]
        async for _ in self.stream(hello, decoding=Decoding(temperature=0, max_new_tokens=1)):
            pass

    async def close(self) -> None:
        """End the model process. Generations under way, and those that wait, raise EngineDied."""
        self._closing = True
        self._turn_away(EngineDied, _CLOSED)
        if self._starting:
            self._starting.cancel()
            await asyncio.gather(self._starting, return_exceptions=True)
        if self._child:
            await self._child.close()

    async def stream(
        self,
        messages: Sequence[Message],
        *,
        decoding: Decoding,
        subject: str | None = None,
        adapter: str = "current",
        conversation: str | None = None,
    ) -> AsyncGenerator[str | Generation, None]:
        """Pieces of text as they are written, then the Generation. Closing the iterator stops the model.

        `conversation` names the conversation: those that wait take turns, and a canary gets its share of them
        (inference.adapters.Shelf).

        When the process dies before anything was shown, the request is tried once more in a new one, alone. Raises
        EngineBusy, EngineDied, EngineTimeout, ModelMissing, AdapterRefused or PromptTooLong.
        """
        request = {
            "messages": list(messages),
            "decoding": asdict(decoding),
            "subject": subject,
            "adapter": adapter,
            "conversation": conversation,
        }
        call = Call(request, conversation)
        self._join(call)
        item: str | Generation = ""
        try:
            while not isinstance(item, Generation):
                item = await call.next()
                yield item
        finally:
            if not call.over:  # the reader has gone
                call.finish()
                self._drop(call)

    def _join(self, call: Call) -> None:
        if self._closing:
            raise EngineDied(_CLOSED)
        if displaced := self._line.join(call):
            displaced.tell(EngineBusy.full(self._line.limit))
        call.within(self._patience, self._no_turn)
        self._admit()

    def _no_turn(self, call: Call) -> None:
        call.tell(EngineBusy.late(self._patience))
        self._drop(call)

    def _too_slow(self, call: Call) -> None:
        # Its neighbours may be well: this one alone is stopped, unless nothing comes from the process any more.
        call.tell(EngineTimeout(f"no answer within {self._timeout:g} s; the model may be too large for this machine"))
        self._drop(call)

    def _drop(self, call: Call) -> None:
        """Take a call that is over out of the line or the process."""
        self._line.leave(call)
        if self._child:
            self._child.cancel(call)
        self._admit()  # others may have waited for this one to have its turn alone

    def _admit(self) -> None:
        """Give the process what it has room for, and start one if there is none."""
        child = self._child
        if self._closing or not self._line:
            return
        if not (child and child.alive):
            self._start()
            return
        while call := self._line.next(child.calls, child.info.slots):
            self._requests += 1
            call.within(self._timeout, self._too_slow)
            child.ask(self._requests, call)

    def _ended(self, left: Sequence[Call]) -> None:
        """The process has ended, and these requests were under way."""
        again = 0
        for call in left:
            call.strikes += 1
            if call.over:
                continue
            if call.shown or call.strikes > 1 or self._closing:
                call.tell(EngineDied("the model process ended; the log says how"))
            else:
                call.within(self._patience, self._no_turn)
                self._line.try_again(call)
                again += 1
        if again:
            logger.warning("the model process died under %d requests, which are tried once more, one by one", again)
        self._admit()

    def _start(self) -> asyncio.Task[Child]:
        """The start under way, or a new one."""
        if self._starting is None:
            self._starting = asyncio.create_task(self._spawn())
            self._starting.add_done_callback(self._started)
        return self._starting

    def _started(self, starting: asyncio.Task[Child]) -> None:
        self._starting = None
        error = EngineDied(_CLOSED) if starting.cancelled() else starting.exception()
        if error is None:
            self._admit()
        else:
            self._turn_away(type(error) if isinstance(error, InferenceError) else EngineDied, str(error))

    async def _spawn(self) -> Child:
        if self._closing:
            raise EngineDied(_CLOSED)
        self._check_base()
        try:
            if self._child:
                await self._child.close()
            self._child = await Child.spawn(
                self._command, self._environment, self._limits, freed=self._admit, ended=self._ended
            )
        except OSError as error:
            raise EngineDied(f"the model process could not be started: {error}") from error
        return self._child

    def _check_base(self) -> None:
        if self._local and not Path(self._base).is_dir():
            raise ModelMissing.at(self._base)  # at once, without starting a process to find out

    def _turn_away(self, kind: type[InferenceError], reason: str) -> None:
        """Turn away everybody who waits."""
        for call in self._line.clear():
            call.tell(kind(reason))  # one for each: an exception that is raised twice mixes up its traces


def _command(base: str, adapters: Sequence[Path], *, hub: bool, tuning: Mapping[str, object]) -> list[str]:
    roots = [word for root in adapters for word in ("--adapters", str(Path(root).resolve()))]
    tuned = [word for name, value in tuning.items() for word in (f"--{name}", str(value))]
    # -P: a folder named `inference` in the working directory must not be taken for this package.
    start = [sys.executable, "-P", "-m", "inference.process"]
    return [*start, "--base", base, *(["--hub"] if hub else []), *roots, *tuned]


def _environment(threads: int, *, offline: bool) -> dict[str, str]:
    """What the child inherits: not the service's own settings, which hold its secrets."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("SAHPATHI_")}
    package_root = str(Path(__file__).resolve().parents[1])
    path = os.pathsep.join(filter(None, [package_root, inherited.get("PYTHONPATH")]))
    ours = {
        "PYTHONPATH": path,
        "PYTHONUNBUFFERED": "1",
        "OMP_NUM_THREADS": str(threads),
        "MKL_NUM_THREADS": str(threads),
        "OMP_WAIT_POLICY": "PASSIVE",  # threads that spin for each other cost ten times the speed on a busy machine
        "TOKENIZERS_PARALLELISM": "false",
        "HF_HUB_DISABLE_PROGRESS_BARS": "1",
        "TRANSFORMERS_VERBOSITY": "error",
        "MALLOC_ARENA_MAX": "2",  # each thread's own arena would keep what was freed elsewhere
    }
    return {**inherited, **ours, **({"HF_HUB_OFFLINE": "1"} if offline else {})}


if __name__ == "__main__":
    from inference.child import main

    main()
