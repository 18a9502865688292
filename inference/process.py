"""The model in a process of its own, and the client through which the service uses it.

A generation keeps a processor busy for seconds; in a process of its own, with a bounded number of threads and a lower
priority, it does not delay the webhooks. The process is started at the first need, ends with the service, and is
replaced when it dies. This module imports no torch: the service stays small.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import sys
from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from inference.errors import EngineDied, EngineTimeout, ModelMissing
from inference.generation import Decoding, Generation, Message
from inference.pipe import Child, EngineInfo, read_event

logger = logging.getLogger(__name__)


class EngineProcess:
    """Generates text in a child process. One generation at a time; others wait in the order in which they came.

    `base` is a folder or the name of a model on the hub, `adapters` are the roots of a Shelf by precedence. `timeout`
    is the number of seconds one generation may take once its turn has come, `start_timeout` the same for starting up.
    """

    def __init__(
        self,
        base: Path | str,
        adapters: Sequence[Path],
        *,
        threads: int,
        dtype: str = "auto",
        copies: int = 4,
        timeout: float = 120.0,
        start_timeout: float = 180.0,
    ) -> None:
        if not adapters:
            raise ValueError("at least one root of adapters is needed, even if it is empty")
        local = isinstance(base, Path) or Path(base).is_dir()
        self._base = str(Path(base).resolve()) if local else str(base)
        self._local = local
        self._command = _command(self._base, adapters, hub=not local, threads=threads, dtype=dtype, copies=copies)
        self._environment = _environment(threads, offline=local)
        self._timeout = timeout
        self._start_timeout = start_timeout
        self._turn = asyncio.Lock()  # its waiters are served first come, first served
        self._child: Child | None = None
        self._closing = asyncio.Event()
        self._requests = 0

    @property
    def info(self) -> EngineInfo | None:
        """What is running now; None when nothing is."""
        return self._child.info if self._child and self._child.alive else None

    @property
    def pid(self) -> int | None:
        """The model process; None when there is none."""
        return self._child.pid if self._child and self._child.alive else None

    async def start(self) -> EngineInfo:
        """Start the model process if it is not running. Raises ModelMissing, EngineDied or EngineTimeout."""
        async with self._turn:
            return (await self._running()).info

    async def warm_up(self) -> None:
        """Write one token with the current adapter, so that the first student waits for neither start nor merging."""
        hello = [Message(role="user", content="Hello")]
        async for _ in self.stream(hello, decoding=Decoding(temperature=0, max_new_tokens=1)):
            pass

    async def close(self) -> None:
        """End the model process. Generations under way raise EngineDied."""
        self._closing.set()
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

        `conversation` names the conversation, so that a canary gets its share of them (inference.adapters.Shelf).

        When the process dies before anything was shown, the request is tried once more in a new one. Raises EngineDied,
        EngineTimeout, ModelMissing, AdapterRefused or PromptTooLong.
        """
        request = {
            "messages": list(messages),
            "decoding": asdict(decoding),
            "subject": subject,
            "adapter": adapter,
            "conversation": conversation,
        }
        async with self._turn:
            shown = False
            for attempt in (1, 2):
                child = await self._running()
                try:
                    async with contextlib.aclosing(self._ask(child, request)) as events:
                        async for event in events:
                            shown = True
                            yield event
                except EngineDied:
                    if shown or attempt == 2 or self._closing.is_set():
                        raise
                    logger.warning("the model process died during a request, which is tried once more")
                else:
                    return

    async def _ask(self, child: Child, request: Mapping[str, Any]) -> AsyncGenerator[str | Generation, None]:
        self._requests += 1
        number = self._requests
        finished = False
        deadline = asyncio.get_running_loop().time() + self._timeout
        child.send({"do": "generate", "id": number, **request})
        try:
            while not finished:
                event = await self._next_event(child, number, deadline)
                finished = event["event"] != "text"
                yield read_event(event)
        finally:
            if not finished:
                child.send({"do": "cancel", "id": number})

    async def _next_event(self, child: Child, number: int, deadline: float) -> dict[str, Any]:
        try:
            async with asyncio.timeout_at(deadline):
                while (event := await child.event()).get("id") != number:
                    pass  # of an earlier request that was given up
        except TimeoutError:
            await child.kill()  # it does not answer; a new process is the only sure way back
            raise EngineTimeout(
                f"no answer within {self._timeout:g} s; the model may be too large for this machine"
            ) from None
        return event

    def _check_base(self) -> None:
        if self._local and not Path(self._base).is_dir():
            raise ModelMissing.at(self._base)  # at once, without starting a process to find out

    async def _running(self) -> Child:
        if self._closing.is_set():
            raise EngineDied("the engine has been closed")
        if self._child and self._child.alive:
            return self._child
        self._check_base()
        if self._child:
            await self._child.close()
        self._child = await Child.spawn(self._command, self._environment, self._start_timeout)
        if self._closing.is_set():  # close() came while it was starting
            await self._child.close()
            raise EngineDied("the engine has been closed")
        return self._child


def _command(base: str, adapters: Sequence[Path], *, hub: bool, threads: int, dtype: str, copies: int) -> list[str]:
    roots = [word for root in adapters for word in ("--adapters", str(Path(root).resolve()))]
    tuning = ["--threads", str(threads), "--dtype", dtype, "--copies", str(copies)]
    # -P: a folder named `inference` in the working directory must not be taken for this package.
    return [
        sys.executable,
        "-P",
        "-m",
        "inference.process",
        "--base",
        base,
        *(["--hub"] if hub else []),
        *roots,
        *tuning,
    ]


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
