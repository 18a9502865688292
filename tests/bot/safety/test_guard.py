"""A guard on another machine: what it says is heard, what it does not say in time stops nobody."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress

import pytest

from bot.ports import Action
from bot.safety.finding import Reading
from bot.safety.guard import Guard
from tests.servers import free_port

Start = Callable[[str, float], Awaitable[Guard]]


@pytest.fixture
async def start() -> AsyncIterator[Start]:
    """Starts a server that answers every chat with one text after a while, and a guard that asks it."""
    servers: list[asyncio.Server] = []
    guards: list[Guard] = []
    answering: set[asyncio.Task[None] | None] = set()
    stop = asyncio.Event()

    async def started(says: str, after: float = 0.0) -> Guard:
        async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            answering.add(asyncio.current_task())
            head = await reader.readuntil(b"\r\n\r\n")
            length = next(int(line.split(b":")[1]) for line in head.lower().split(b"\r\n") if b"content-length" in line)
            asked = json.loads(await reader.readexactly(length))
            assert asked["messages"][0]["role"] == "user"
            assert asked["model"] == "llama-guard"
            with suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), after)
            body = json.dumps({"choices": [{"message": {"content": says}}]}).encode() if says else b"{}"
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\n")
            writer.write(b"Content-Length: %d\r\n\r\n" % len(body) + body)
            await writer.drain()
            writer.close()

        port = free_port()
        servers.append(await asyncio.start_server(answer, "127.0.0.1", port))
        guards.append(Guard(f"http://127.0.0.1:{port}", "llama-guard", deadline=0.5))
        return guards[-1]

    yield started
    for guard in guards:
        await guard.close()
    stop.set()
    await asyncio.gather(*filter(None, answering), return_exceptions=True)
    for server in servers:
        server.close()


@pytest.mark.parametrize(
    ("says", "action", "category"),
    [
        ("unsafe\nS9", Action.REFUSE, "weapons"),
        ("unsafe\nS2,S11", Action.ESCALATE, "self_harm"),
        ("Yes", Action.REFUSE, "crime"),
        ("unsafe", Action.REFUSE, "crime"),
    ],
)
async def test_what_a_guard_says_is_a_finding(start: Start, says: str, action: Action, category: str) -> None:
    found = await (await start(says, 0.0)).judge(Reading.of("a question"))
    assert found is not None
    assert (found.action, found.category, found.layer) == (action, category, "guard")


@pytest.mark.parametrize("says", ["safe", "No", "unsafe\nS13", "I am a poem", ""])
async def test_what_is_safe_or_not_our_business_is_nothing(start: Start, says: str) -> None:
    assert await (await start(says, 0.0)).judge(Reading.of("a question")) is None


async def test_a_late_guard_stops_nobody_and_the_log_holds_no_word(
    start: Start, caplog: pytest.LogCaptureFixture
) -> None:
    guard = await start("unsafe\nS9", 5.0)
    with caplog.at_level(logging.DEBUG, logger="bot"):
        assert await guard.judge(Reading.of("Zubeida asks")) is None
    assert "gave no answer (TimeoutError)" in caplog.text
    assert "Zubeida" not in caplog.text


async def test_a_guard_that_is_away_stops_nobody() -> None:
    guard = Guard(f"http://127.0.0.1:{free_port()}", "llama-guard", deadline=0.5)
    assert await guard.judge(Reading.of("a question")) is None
    await guard.close()
