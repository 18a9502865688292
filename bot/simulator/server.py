"""Runs the simulator: in this process until it is stopped, or in a thread beside a test."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import uvicorn

from bot.listening import listen
from bot.simulator.app import Simulator
from bot.simulator.config import Config

GRACE_SECONDS = 2
START_SECONDS = 20.0


class Server(uvicorn.Server):
    """uvicorn, with long polls and hanging calls ended before it waits for them."""

    def __init__(self, simulator: Simulator) -> None:
        self._simulator = simulator
        config = uvicorn.Config(
            simulator,
            lifespan="off",
            ws="none",
            log_config=None,
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=GRACE_SECONDS,
        )
        super().__init__(config)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        await self._simulator.close()
        await super().shutdown(sockets)


@contextmanager
def running(config: Config) -> Iterator[Simulator]:
    """A simulator on a free port of this machine, in a thread of its own; its address is `config.base_url`."""
    listener = listen("127.0.0.1", 0)
    simulator = Simulator(replace(config, base_url=f"http://127.0.0.1:{listener.getsockname()[1]}"))
    server = Server(simulator)
    thread = threading.Thread(target=lambda: asyncio.run(server.serve([listener])), name="simulator", daemon=True)
    thread.start()
    try:
        _wait(server, thread)
        yield simulator
    finally:
        server.should_exit = True
        thread.join(START_SECONDS)
        listener.close()


def _wait(server: Server, thread: threading.Thread) -> None:
    deadline = time.monotonic() + START_SECONDS
    while not server.started:
        if not thread.is_alive() or time.monotonic() > deadline:
            raise RuntimeError("the simulator did not start")
        time.sleep(0.01)
