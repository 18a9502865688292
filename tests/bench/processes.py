"""The processes of the bench: how they are started, and what they use of the machine."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterable, Iterator, Mapping
from importlib.util import find_spec
from pathlib import Path

from bot.simulator.config import Config
from tests.bench.servers import PUBLIC, TELEGRAM_SECRET
from tests.servers import Server, free_port
from tests.service import SAHPATHI

UNLIMITED = "1000000/minute"  # three hundred students send what a whole state would
IDLE_SECONDS = 0.1  # of processor time in a second, all processes together


class Measured(Server):
    """A server whose process can be watched."""

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid


def bare() -> Measured:
    """The bare handler."""
    port = free_port()
    return Measured([sys.executable, "-m", "tests.bench.servers", "bare", str(port)], port)


def telegram(simulator: str) -> Measured:
    """python-telegram-bot's webhook server, which introduces itself at `simulator` first."""
    port = free_port()
    return Measured([sys.executable, "-m", "tests.bench.servers", "telegram", str(port), simulator], port)


def model() -> Measured:
    """The model, generating all the time."""
    port = free_port()
    return Measured([sys.executable, "-m", "tests.bench.servers", "model", str(port)], port)


def has_telegram() -> bool:
    """Whether python-telegram-bot's webhook server is installed: it wants tornado."""
    return find_spec("tornado") is not None


def simulator(service: str) -> Measured:
    """The providers, `sahpathi simulate`: they take what the service sends, and report to it on each part."""
    port = free_port()
    options = ["--port", str(port), "--service", service, "--public-url", PUBLIC]
    return Measured([str(SAHPATHI), "simulate", *options], port)


def settings(simulator: str, service_port: int) -> Mapping[str, str]:
    """What the service must be told to work with the providers at `simulator`: Telegram and Twilio."""
    config = Config(base_url=simulator, service=f"http://127.0.0.1:{service_port}", public_url=PUBLIC)
    return {name: value for name, value in config.environment().items() if "__CLOUD" not in name} | {
        "SAHPATHI_PORT": str(service_port),
        "SAHPATHI_TELEGRAM__SECRET": TELEGRAM_SECRET,
        "SAHPATHI_LIMITS__ASK": UNLIMITED,
        "SAHPATHI_LIMITS__ADDRESS": UNLIMITED,
    }


def resident(pid: int) -> int:
    """Resident bytes of a process and its children, shared pages counted once (Pss)."""
    total = 0
    for process in (pid, *children(pid)):
        rollup = Path(f"/proc/{process}/smaps_rollup").read_text(encoding="ascii")
        total += int(rollup.partition("\nPss:")[2].split()[0]) * 1024
    return total


def children(pid: int) -> Iterator[int]:
    """Every descendant of a process."""
    for task in Path(f"/proc/{pid}/task").iterdir():
        for child in (task / "children").read_text(encoding="ascii").split():
            yield int(child)
            yield from children(int(child))


def cpu_seconds(pid: int) -> float:
    """Processor time that a process has used so far, its threads included."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(") ")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def model_of(pid: int) -> dict[str, int]:
    """The model process of a service or a worker, if it has one."""
    found = next((child for child in children(pid) if b"inference.process" in _command(child)), None)
    return {"model": found} if found is not None else {}


def quiet(pids: Iterable[int]) -> bool:
    """Whether these processes do next to nothing for a second."""
    watched = [*pids]
    before = sum(map(cpu_seconds, watched))
    time.sleep(1)
    return sum(map(cpu_seconds, watched)) - before < IDLE_SECONDS


def _command(pid: int) -> bytes:
    return Path(f"/proc/{pid}/cmdline").read_bytes()
