"""`sahpathi inference`: the model on a machine of its own, for any client of OpenAI's API, Sahpathi's service first."""

from __future__ import annotations

import asyncio
import signal
import socket
from contextlib import nullcontext
from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer

from bot.cli.common import errors, load_settings, log_to_stderr, out
from bot.errors import SetupError

if TYPE_CHECKING:
    from bot.settings import Settings

LOCAL = {"127.0.0.1", "localhost", "::1"}


def inference(
    host: Annotated[str | None, typer.Option(help="Address to listen on (SAHPATHI_HOST).")] = None,
    port: Annotated[int | None, typer.Option(help="Port to listen on, 0 for a free one (SAHPATHI_PORT).")] = None,
) -> None:
    """Serve the model and its adapters to other machines, by OpenAI's API."""
    given = {name: value for name, value in (("host", host), ("port", port)) if value is not None}
    settings = load_settings(**given)
    log_to_stderr(settings.log_level)
    from bot.listening import listen

    try:
        listener = listen(settings.host, settings.port)
    except OSError as error:
        raise SetupError(
            f"Cannot listen on {settings.host} port {settings.port}: {error.strerror}. Stop what uses the port, or "
            "choose another with --port or SAHPATHI_PORT."
        ) from None
    try:
        asyncio.run(_serve(settings, listener))
    finally:
        listener.close()


async def _serve(settings: Settings, listener: socket.socket) -> None:
    import uvicorn

    from bot.compose import own_engine, shelf
    from inference.errors import InferenceError
    from inference.generation import Decoding
    from inference.server import create_app

    key = settings.generator_key.get_secret_value() if settings.generator_key else ""
    errors.print("Loading the model ...")
    engine = own_engine(settings)
    try:
        await engine.start()
        await engine.warm_up()
        base = settings.model.base.rstrip("/").rpartition("/")[2]
        app = create_app(
            engine, shelf(settings), base=base, key=key, decoding=Decoding(**settings.decoding.model_dump())
        )
        config = uvicorn.Config(
            app, log_config=None, access_log=False, server_header=False, timeout_graceful_shutdown=10
        )
        server = uvicorn.Server(config)
        # uvicorn's own handlers raise the signal again once it has stopped, which would end us before our clean-up.
        server.capture_signals = nullcontext  # type: ignore[assignment]
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, partial(setattr, server, "should_exit", True))
        _greet(listener, [model["id"] for model in await app.state.models.list()], keyed=bool(key))
        await server.serve(sockets=[listener])
    except InferenceError as error:
        raise SetupError(str(error)) from error
    finally:
        await engine.close()


def _greet(listener: socket.socket, models: list[str], *, keyed: bool) -> None:
    host, port = listener.getsockname()[:2]
    shown = "127.0.0.1" if host in {"0.0.0.0", "::"} else host  # noqa: S104  compared, not bound
    out.print(
        f"\nSahpathi's model is served at [bold]http://{shown}:{port}/v1[/bold]: {', '.join(models)}.\n"
        "Set SAHPATHI_GENERATOR_URL to this address where the service runs. Ctrl-C stops it.\n",
        soft_wrap=True,
    )
    if host not in LOCAL and not keyed:
        errors.print("Whoever reaches this address may use it: set SAHPATHI_GENERATOR_KEY, here and at the service.")
