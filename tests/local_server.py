"""A real HTTP server on a free port of 127.0.0.1, in a thread, for whatever a test wants to be called."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable
from typing import Self

import uvicorn
from starlette.applications import Starlette
from starlette.routing import Route

TICK = 0.01


class LocalServer:
    """A Starlette application served by uvicorn in a thread. `with` starts and stops it."""

    def __init__(self) -> None:
        self.url = ""
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
        """Forget what happened, for the next test. What there is to forget, a subclass knows."""

    def routes(self) -> Iterable[Route]:
        raise NotImplementedError
