"""Answers that are none: the connection is cut, at once or after a long silence."""

from __future__ import annotations

import asyncio
from typing import Any

from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

HANG_UP = "simulator.hang_up"


class HangUps:
    """The outermost layer of the application: lets a response cut the connection beneath it.

    ASGI has no word for that. uvicorn's `send` is a method of the object that holds the connection, so it is taken
    from there; under another server the caller sees an internal error instead of a lost connection.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        transport: Any = getattr(getattr(send, "__self__", None), "transport", None)
        if scope["type"] == "http" and transport is not None:
            scope[HANG_UP] = transport.abort
        await self._app(scope, receive, send)


class Silence(Response):
    """No answer: the connection is cut after `seconds`, or when `closing` is set."""

    def __init__(self, seconds: float, closing: asyncio.Event) -> None:
        super().__init__()
        self._seconds = seconds
        self._closing = closing

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await pause(self._seconds, self._closing)
        hang_up = scope.get(HANG_UP)
        if hang_up is None:
            raise RuntimeError("this server cannot cut a connection")
        hang_up()
        while (await receive())["type"] != "http.disconnect":
            pass  # until the server has noticed


async def pause(seconds: float, closing: asyncio.Event) -> None:
    """Sleep, but not beyond the simulator's end."""
    if seconds <= 0:
        return
    try:
        async with asyncio.timeout(seconds):
            await closing.wait()
    except TimeoutError:
        return
