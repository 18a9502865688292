"""`sahpathi serve` and `sahpathi worker`."""

from __future__ import annotations

import asyncio
import gc
import signal
import socket
from collections.abc import Callable
from contextlib import nullcontext
from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer

from bot.cli.common import errors, load_settings, log_to_stderr, out
from bot.errors import SetupError

if TYPE_CHECKING:
    from bot.settings import Settings


def serve(
    host: Annotated[str | None, typer.Option(help="Address to listen on (SAHPATHI_HOST).")] = None,
    port: Annotated[int | None, typer.Option(help="Port to listen on, 0 for a free one (SAHPATHI_PORT).")] = None,
) -> None:
    """Start the tutor: the chat page, the webhooks, and (without Redis) the answering itself."""
    given = {name: value for name, value in (("host", host), ("port", port)) if value is not None}
    settings = load_settings(**given)
    log_to_stderr(settings.log_level)
    listener = _listen(settings.host, settings.port)
    try:
        asyncio.run(_serve(settings, listener))
    finally:
        listener.close()


def worker() -> None:
    """Answer messages in a process of its own, beside `serve`. Needs SAHPATHI_REDIS_URL and SAHPATHI_CHROMA_URL."""
    settings = load_settings()
    log_to_stderr(settings.log_level)
    if settings.redis_url is None:
        raise SetupError(
            "A worker of its own takes its work from Redis: set SAHPATHI_REDIS_URL, for example "
            "redis://localhost:6379/0. Without Redis, `sahpathi serve` does everything in one process."
        )
    if settings.chroma_url is None:
        raise SetupError(
            "Several workers cannot share an embedded index: start a Chroma server (`chroma run`) and set "
            "SAHPATHI_CHROMA_URL, for example http://localhost:8001."
        )
    asyncio.run(_work(settings))


def _listen(host: str, port: int) -> socket.socket:
    """A bound socket, before anything slow is started. Raises SetupError when the port is taken."""
    from bot.listening import listen

    try:
        return listen(host, port)
    except OSError as error:
        raise SetupError(
            f"Cannot listen on {host} port {port}: {error.strerror}. Stop what uses the port, or choose another with "
            "--port or SAHPATHI_PORT."
        ) from None


async def _serve(settings: Settings, listener: socket.socket) -> None:
    import uvicorn

    from bot.compose import Role, running
    from bot.web.app import create_app

    role = Role.ALL if settings.redis_url is None else Role.WEB
    host, port = listener.getsockname()[:2]
    async with running(settings, role, say=errors.print) as services:
        config = uvicorn.Config(
            create_app(services), log_config=None, access_log=False, server_header=False, timeout_graceful_shutdown=10
        )
        server = uvicorn.Server(config)
        # uvicorn's own handlers raise the signal again once it has stopped, which would end us before our clean-up.
        server.capture_signals = nullcontext  # type: ignore[assignment]
        _on_stop(partial(setattr, server, "should_exit", True))
        shown = "127.0.0.1" if host in {"0.0.0.0", "::"} else host  # noqa: S104  compared, not bound
        out.print(
            f"\nSahpathi is ready. Open [bold]http://{shown}:{port}[/bold] and ask something. Ctrl-C stops it.\n",
            soft_wrap=True,
        )
        _settle()
        await server.serve(sockets=[listener])


async def _work(settings: Settings) -> None:
    from bot.compose import Role, running

    stop = asyncio.Event()
    _on_stop(stop.set)
    async with running(settings, Role.WORKER, say=errors.print):
        _settle()
        out.print("Sahpathi's worker is ready. Ctrl-C stops it.")
        await stop.wait()


def _settle() -> None:
    """Take what was made at start-up, which lives as long as we do, out of the collector's way.

    A full pass over it would stop the event loop for half a second, now and again.
    """
    gc.collect()
    gc.freeze()


def _on_stop(stop: Callable[[], None]) -> None:
    """Call `stop` on Ctrl-C and on SIGTERM, so that what is running is finished or left in order."""
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop)
