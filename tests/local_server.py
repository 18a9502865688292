"""A provider's stand-in: a real HTTP server on a free port of 127.0.0.1, in a thread, that fails on demand."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Self

import uvicorn
from starlette.applications import Starlette
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

Json = dict[str, Any]
TICK = 0.01


@dataclass(frozen=True)
class Failure:
    """What to do instead of answering. `status` None: never answer. `accepted`: do the work all the same."""

    status: int | None
    body: Json = field(default_factory=dict)
    accepted: bool = False


class LocalServer:
    """A Starlette application served by uvicorn in a thread. `with` starts and stops it."""

    def __init__(self) -> None:
        self.url = ""
        self._failures: dict[str, list[Failure]] = {}
        self.closing = threading.Event()
        app = Starlette(routes=list(self.routes()))
        config = uvicorn.Config(app, host="127.0.0.1", port=0, lifespan="off", log_config=None, log_level="warning")
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._server.run, name=type(self).__name__, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        while not self._server.started:
            if not self._thread.is_alive():
                raise RuntimeError(f"{type(self).__name__} did not start")
            time.sleep(TICK)
        port = self._server.servers[0].sockets[0].getsockname()[1]
        self.url = f"http://127.0.0.1:{port}"
        return self

    def __exit__(self, *_: object) -> None:
        self.closing.set()
        self._server.should_exit = True
        self._thread.join(timeout=10)

    def reset(self) -> None:
        """Forget all that happened, for the next test."""
        self._failures.clear()

    def routes(self) -> Iterable[Route]:
        raise NotImplementedError

    def fail_next(self, method: str, failure: Failure, times: int) -> None:
        self._failures.setdefault(method, []).extend([failure] * times)

    def failure(self, method: str) -> Failure | None:
        waiting = self._failures.get(method)
        return waiting.pop(0) if waiting else None

    async def fallen(self, failure: Failure) -> Response:
        """The failure's answer. Silence ends when the server does."""
        if failure.status is None:
            await asyncio.to_thread(self.closing.wait)
        return JSONResponse(failure.body, failure.status or 503)
