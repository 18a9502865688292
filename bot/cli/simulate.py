"""`sahpathi simulate`: Telegram and WhatsApp played on this machine, with a page that shows the students' phones."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
from contextlib import nullcontext
from functools import partial
from typing import TYPE_CHECKING, Annotated
from urllib.parse import urlsplit

import typer

from bot.cli.common import log_to_stderr, out
from bot.errors import SetupError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from bot.simulator.config import Config
    from bot.simulator.faults import Fault
    from bot.simulator.server import Server

LOOPBACK = "127.0.0.1"
STOP_SECONDS = 30.0
FAULTS = "What goes wrong, as provider:kind=probability[:seconds], such as telegram:drop=0.1 or cloud:slow=0.5:3."


def simulate(
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port to listen on, 0 for a free one.")] = 8090,
    host: Annotated[str, typer.Option(help="Address to listen on; 0.0.0.0 in a container.")] = LOOPBACK,
    service: Annotated[str, typer.Option(help="Where the tutor listens.")] = "http://127.0.0.1:8000",
    public_url: Annotated[str, typer.Option(help="The address that webhooks are signed for, if another.")] = "",
    start: Annotated[bool, typer.Option(help="Start the tutor too, with the settings it needs.")] = False,
    fault: Annotated[list[str] | None, typer.Option(help=FAULTS)] = None,
    seed: Annotated[int, typer.Option(help="The same seed gives the same faults.")] = 0,
) -> None:
    """Play Telegram, Twilio and WhatsApp Cloud for a tutor on this machine. No account and no internet is needed."""
    from bot.simulator.config import Config

    log_to_stderr("WARNING")
    faults = [_fault(text) for text in fault or ()]
    listener = _listen(host, port)
    try:
        shown = LOOPBACK if host in {"0.0.0.0", "::"} else host  # noqa: S104  compared, not bound
        config = Config(
            base_url=f"http://{shown}:{listener.getsockname()[1]}",
            service=_address("--service", service),
            public_url=_address("--public-url", public_url) if public_url else "",
        )
        asyncio.run(_simulate(config, listener, faults, seed, start=start))
    finally:
        listener.close()


def _fault(text: str) -> tuple[str, Fault]:
    """A provider's name and its fault. Raises SetupError."""
    from pydantic import ValidationError

    from bot.simulator.config import Provider
    from bot.simulator.faults import Fault

    provider, _, rest = text.partition(":")
    kind, _, numbers = rest.partition("=")
    probability, _, seconds = numbers.partition(":")
    try:
        wanted = {"kind": kind, "probability": probability or "1", "seconds": seconds or None}
        return Provider(provider).value, Fault.model_validate(wanted)
    except (ValueError, ValidationError):
        raise SetupError(f"--fault {text} cannot be read. {FAULTS}") from None


def _address(option: str, url: str) -> str:
    """Raises SetupError for what is no address."""
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise SetupError(f"{option} must be an address such as http://127.0.0.1:8000, and {url} is none.")
    return url.rstrip("/")


def _listen(host: str, port: int) -> socket.socket:
    """Raises SetupError when the port is taken."""
    from bot.listening import listen

    try:
        return listen(host, port)
    except OSError as error:
        raise SetupError(
            f"Cannot listen on {host} port {port}: {error.strerror}. Choose another with --port."
        ) from None


async def _simulate(
    config: Config, listener: socket.socket, faults: Sequence[tuple[str, Fault]], seed: int, *, start: bool
) -> None:
    from bot.simulator.app import Simulator
    from bot.simulator.config import Provider
    from bot.simulator.server import Server

    simulator = Simulator(config)
    for provider in Provider:
        simulator.world.faults.arm(provider, [found for name, found in faults if name == provider], seed)
    server = Server(simulator)
    # uvicorn's own handlers raise the signal again once it has stopped, which would end us before our clean-up.
    server.capture_signals = nullcontext  # type: ignore[assignment]
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, partial(setattr, server, "should_exit", True))
    _explain(config, start=start)
    if start:
        await _with_tutor(config, server, listener)
    else:
        await server.serve(sockets=[listener])


def _explain(config: Config, *, start: bool) -> None:
    out.print(f"\nThe students' phones: [bold]{config.base_url}[/bold]. Ctrl-C stops it.", soft_wrap=True)
    if not start:
        out.print("\nStart the tutor with these settings, in the environment or in .env:\n")
        for name, value in config.environment().items():
            out.print(f"{name}={value}", soft_wrap=True, markup=False)
        out.print("")


async def _with_tutor(config: Config, server: Server, listener: socket.socket) -> None:
    """Serve as long as the tutor runs, and end it with us."""
    tutor = await asyncio.create_subprocess_exec(*_command(config), env=_environment(config.environment()))
    serving, running = asyncio.create_task(server.serve(sockets=[listener])), asyncio.create_task(tutor.wait())
    await asyncio.wait({serving, running}, return_when=asyncio.FIRST_COMPLETED)
    stopped, server.should_exit = server.should_exit, True
    await serving
    if not stopped:
        raise SetupError(f"The tutor ended with status {tutor.returncode}; what it said stands above.")
    if tutor.returncode is None:  # Ctrl-C may have reached it too
        tutor.terminate()
    try:
        async with asyncio.timeout(STOP_SECONDS):
            await running
    except TimeoutError:
        tutor.kill()


def _command(config: Config) -> list[str]:
    parts = urlsplit(config.service)
    host, port = parts.hostname or LOOPBACK, str(parts.port or 80)
    return [sys.executable, "-c", "from bot.cli import main; main()", "serve", "--host", host, "--port", port]


def _environment(settings: Mapping[str, str]) -> dict[str, str]:
    return dict(os.environ) | dict(settings)
