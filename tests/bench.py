"""`make bench`: the figures of docs/benchmarks.md, measured on the real service as a newcomer would run it.

    python -m tests.bench [--json]

Prints a Markdown table. Nothing here is asserted: a noisy machine must not fail a test run.
"""

from __future__ import annotations

import asyncio
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from tests.end_to_end.conftest import SAHPATHI, Service, payload
from tests.fakes import FakeTelegram, FakeTwilio

PUBLIC = "https://tutor.school.example"
HOOK = "/webhooks/whatsapp"
RATE = 50  # webhooks a second under load
LOAD_SECONDS = 20
QUESTIONS = (
    "What is photosynthesis?", "What is a cell?", "Why do we see lightning before thunder?", "What is a fraction?",
    "What is the Preamble?", "Where does the Ganga begin?", "What is force?", "How is a shadow formed?",
)  # fmt: skip


@dataclass(frozen=True)
class Figure:
    """One row: what was measured, the value, and what the project aims at."""

    name: str
    value: str
    goal: str


def quantile(values: list[float], share: float) -> float:
    """The value below which `share` of the values lie."""
    return sorted(values)[min(len(values) - 1, int(share * len(values)))]


def help_seconds() -> Figure:
    """Median wall time of `sahpathi --help` over seven runs after one warm-up."""
    times = []
    for _ in range(8):
        began = time.perf_counter()
        subprocess.run([str(SAHPATHI), "--help"], check=True, stdout=subprocess.DEVNULL)
        times.append(time.perf_counter() - began)
    return Figure("`sahpathi --help`", f"{statistics.median(times[1:]):.2f} s", "under 0.5 s")


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


@contextmanager
def service(home: Path, twilio: FakeTwilio, telegram: FakeTelegram) -> Iterator[Service]:
    """The service with both channels, the shipped model and books."""
    settings = {
        "SAHPATHI_PUBLIC_URL": PUBLIC,
        "SAHPATHI_TWILIO__ACCOUNT_SID": twilio.account_sid,
        "SAHPATHI_TWILIO__AUTH_TOKEN": twilio.auth_token,
        "SAHPATHI_TWILIO__FROM": "whatsapp:+14155238886",
        "SAHPATHI_TWILIO__API_BASE": twilio.url,
        "SAHPATHI_TELEGRAM__TOKEN": telegram.token,
        "SAHPATHI_TELEGRAM__API_BASE": telegram.url,
        "SAHPATHI_LIMITS__ASK": "100000/minute",
        "SAHPATHI_LIMITS__ADDRESS": "100000/minute",
    }
    made = Service(home, **settings)
    try:
        yield made
    finally:
        made.kill()


def first_answer(made: Service) -> Figure:
    """From the start of the process with an empty home, index to be built, to the first answer."""
    began = time.perf_counter()
    made.start()
    answer = made.ask(QUESTIONS[0])
    seconds = time.perf_counter() - began
    return Figure(f"first answer from an empty home ({answer['route']})", f"{seconds:.1f} s", "under 60 s")


def answer_seconds(made: Service) -> list[Figure]:
    """Wall time of one question at a time."""
    times, routes = [], []
    for question in QUESTIONS * 2:
        began = time.perf_counter()
        routes.append(made.ask(question)["route"])
        times.append(time.perf_counter() - began)
    shares = ", ".join(f"{route} {routes.count(route)}" for route in sorted(set(routes)))
    median, worst = statistics.median(times), quantile(times, 0.95)
    return [Figure(f"one answer, p50 / p95 ({shares})", f"{median:.2f} / {worst:.2f} s", "")]


def webhook(twilio: FakeTwilio, number: int, text: str) -> tuple[bytes, dict[str, str]]:
    """A signed body as Twilio posts it."""
    sid = f"SM{number:032d}"
    form = payload("whatsapp/text") | {"MessageSid": sid, "Body": text, "From": f"whatsapp:+9198{number % 400:08d}"}
    request = httpx.Request("POST", PUBLIC + HOOK, data=form)
    signature = twilio.sign(PUBLIC + HOOK, form.items())
    return request.read(), {
        "X-Twilio-Signature": signature, "Content-Type": "application/x-www-form-urlencoded",
    }  # fmt: skip


async def post(client: httpx.AsyncClient, body: bytes, headers: dict[str, str]) -> float:
    """Milliseconds until the acknowledgement."""
    began = time.perf_counter()
    reply = await client.post(HOOK, content=body, headers=headers)
    reply.raise_for_status()
    return (time.perf_counter() - began) * 1000


async def idle(made: Service, twilio: FakeTwilio) -> Figure:
    """Webhooks one at a time, each answered before the next: greetings, so that nothing else runs."""
    times = []
    async with httpx.AsyncClient(base_url=made.url, trust_env=False) as client:
        for number in range(120):
            times.append(await post(client, *webhook(twilio, number, "hello")))
            await asyncio.sleep(0.1)
    median, p99 = statistics.median(times[20:]), quantile(times[20:], 0.99)
    return Figure("webhook acknowledged, idle, p50 / p99", f"{median:.1f} / {p99:.1f} ms", "p50 under 5 ms")


async def loaded(made: Service, twilio: FakeTwilio) -> list[Figure]:
    """RATE webhooks a second in open loop; every one asks a question, so the model generates all the while."""
    times: list[float] = []

    async def one(client: httpx.AsyncClient, number: int) -> None:
        times.append(await post(client, *webhook(twilio, 1000 + number, QUESTIONS[number % len(QUESTIONS)])))

    limits = httpx.Limits(max_connections=200, max_keepalive_connections=200)
    async with httpx.AsyncClient(base_url=made.url, trust_env=False, limits=limits, timeout=30) as client:
        began = time.perf_counter()
        async with asyncio.TaskGroup() as group:
            for number in range(RATE * LOAD_SECONDS):
                await asyncio.sleep(max(0.0, began + number / RATE - time.perf_counter()))
                group.create_task(one(client, number))
    settled = times[RATE:]
    p50, p95, p99 = statistics.median(settled), quantile(settled, 0.95), quantile(settled, 0.99)
    name = f"webhook acknowledged, {RATE}/s while generating, p50 / p95 / p99"
    return [Figure(name, f"{p50:.1f} / {p95:.1f} / {p99:.1f} ms", "p99 under 30 ms")]


def measured(say: Callable[[str], None]) -> list[Figure]:
    """Everything, in one run."""
    figures = [help_seconds()]
    with ExitStack() as stack:
        home = Path(stack.enter_context(tempfile.TemporaryDirectory())) / "home"
        twilio, telegram = stack.enter_context(FakeTwilio()), stack.enter_context(FakeTelegram())
        with service(home, twilio, telegram) as made:
            say("starting from an empty home ...")
            figures.append(first_answer(made))
            say("asking one at a time ...")
            figures += answer_seconds(made)
            say("webhooks, idle ...")
            figures.append(asyncio.run(idle(made, twilio)))
            figures.append(
                Figure("resident memory, service and model", f"{resident(made.pid) / 1e9:.2f} GB", "under 1.5 GB")
            )
            say("webhooks under load ...")
            figures += asyncio.run(loaded(made, twilio))
    return figures


def machine() -> str:
    """The processor and what runs on it."""
    names = Path("/proc/cpuinfo").read_text(encoding="utf-8") if Path("/proc/cpuinfo").exists() else ""
    name = next((line.partition(": ")[2] for line in names.splitlines() if line.startswith("model name")), "")
    return f"{os.cpu_count()} cores {name or platform.processor()}, Python {platform.python_version()}"


def main() -> None:
    """Print the table, or JSON."""
    figures = measured(lambda line: print(line, file=sys.stderr))
    if "--json" in sys.argv[1:]:
        print(json.dumps({"machine": machine(), "figures": [vars(figure) for figure in figures]}, ensure_ascii=False))
        return
    print(f"Machine: {machine()}\n\n| figure | measured | goal |\n|---|---|---|")
    for figure in figures:
        print(f"| {figure.name} | {figure.value} | {figure.goal} |")


if __name__ == "__main__":
    main()
