from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from bot.channels.telegram import Accept, TelegramChannel
from bot.ports import Choice, Inbound, Outgoing
from tests.bot.channels.simulated import ASHA, answer, bot_refusal, pending
from tests.bot.simulator.driver import Driver
from tests.payloads.recorded import Json, payload


async def until(condition: Callable[[], object]) -> None:
    """Return once the condition holds; fail when it never does. Lets the channel poll meanwhile."""
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110  the condition belongs to another thread's server
            await asyncio.sleep(0.01)


@asynccontextmanager
async def polling(channel: TelegramChannel, accept: Accept, **more: Any) -> AsyncIterator[None]:
    stop = asyncio.Event()
    task = asyncio.create_task(channel.poll(accept, stop, **more))
    try:
        yield
    finally:
        stop.set()
        await asyncio.wait_for(task, 10)


async def nothing(inbound: Inbound) -> None:
    """Accept a message and forget it."""


def ask(bot_api: Driver, number: int, provider_id: str = "") -> int:
    """Send a question. Returns its update's number."""
    return int(bot_api.say("telegram", ASHA, f"question {number}", provider_id=provider_id)["provider_id"])


def updates(*given: Json) -> Json:
    """getUpdates giving just these."""
    return answer("getUpdates", 200, {"ok": True, "result": list(given)})


async def test_messages_arrive_in_order_and_are_confirmed(bot_api: Driver, telegram: TelegramChannel) -> None:
    numbers = [ask(bot_api, n) for n in range(3)]
    seen: list[Inbound] = []

    async def accept(inbound: Inbound) -> None:
        seen.append(inbound)

    async with polling(telegram, accept):
        await until(lambda: not pending(bot_api))
        numbers.append(ask(bot_api, 3))
        await until(lambda: not pending(bot_api))
    assert [found.provider_id for found in seen] == [str(number) for number in numbers]
    assert [found.text for found in seen] == [f"question {n}" for n in range(4)]


async def test_nothing_is_confirmed_before_it_is_stored(bot_api: Driver, telegram: TelegramChannel) -> None:
    first = ask(bot_api, 1)
    storing, stored = asyncio.Event(), asyncio.Event()

    async def accept(inbound: Inbound) -> None:
        storing.set()
        await stored.wait()

    async with polling(telegram, accept):
        await asyncio.wait_for(storing.wait(), 10)
        assert pending(bot_api) == 1
        assert bot_api.last("telegram", ASHA)["state"] == "sent"
        assert all("offset" not in call for call in bot_api.called("getUpdates"))
        stored.set()
        await until(lambda: not pending(bot_api))
    assert bot_api.called("getUpdates")[1]["offset"] == str(first + 1)
    assert bot_api.last("telegram", ASHA)["state"] == "delivered"


async def test_what_could_not_be_stored_is_fetched_again(
    bot_api: Driver, telegram: TelegramChannel, caplog: pytest.LogCaptureFixture
) -> None:
    numbers = [ask(bot_api, n) for n in range(3)]
    tried: list[str] = []
    kept: list[str] = []

    async def accept(inbound: Inbound) -> None:
        tried.append(inbound.provider_id)
        if tried.count(inbound.provider_id) == 1 and inbound.provider_id == str(numbers[1]):
            raise OSError("disk full")
        kept.append(inbound.provider_id)

    async with polling(telegram, accept):
        await until(lambda: not pending(bot_api))
    assert kept == [str(number) for number in numbers]
    assert tried == [str(numbers[n]) for n in (0, 1, 1, 2)]
    assert "fetched again" in caplog.text


async def test_a_restart_misses_nothing(bot_api: Driver, telegram: TelegramChannel) -> None:
    ask(bot_api, 1)
    seen: list[str] = []
    stop = asyncio.Event()

    async def crash(inbound: Inbound) -> None:
        seen.append(inbound.text)
        stop.set()  # ends right after the commit, before the offset is sent

    async def accept(inbound: Inbound) -> None:
        seen.append(inbound.text)

    await asyncio.wait_for(telegram.poll(crash, stop), 10)
    async with polling(telegram, accept):
        ask(bot_api, 2)
        await until(lambda: not pending(bot_api))
    assert seen == ["question 1", "question 1", "question 2"]  # the inbox knows the second as a duplicate


async def test_updates_may_be_numbered_anew_after_a_quiet_time(bot_api: Driver, telegram: TelegramChannel) -> None:
    """The first long poll brings an update, the second one ends with nothing."""
    seen: list[str] = []

    async def accept(inbound: Inbound) -> None:
        seen.append(inbound.provider_id)

    bot_api.faults("telegram", updates(payload("telegram/text") | {"update_id": 900_000}), updates())
    async with polling(telegram, accept):
        await until(lambda: len(bot_api.called("getUpdates")) == 3)
        ask(bot_api, 2, provider_id="17")
        await until(lambda: not pending(bot_api))
    assert [call.get("offset") for call in bot_api.called("getUpdates")][:3] == [None, "900001", None]
    assert seen == ["900000", "17"]


async def test_unknown_kinds_are_counted_and_passed_over(bot_api: Driver, telegram: TelegramChannel) -> None:
    """Telegram sends no kind that was not asked for; but what it sent must not stop what follows."""
    names = ("unknown_kind", "edited_channel_post", "text")
    bot_api.faults(
        "telegram", updates(*(payload(f"telegram/{name}") | {"update_id": n} for n, name in enumerate(names, 500)))
    )
    seen: list[Inbound] = []
    counted: list[tuple[str, str]] = []

    async def accept(inbound: Inbound) -> None:
        seen.append(inbound)

    async with polling(telegram, accept, unknown=lambda channel, kind: counted.append((channel, kind))):
        await until(lambda: bot_api.called("getUpdates")[-1].get("offset") == "503" if seen else False)
    assert counted == [("telegram", "star_gift_auction")]
    assert [found.text for found in seen] == ["What is photosynthesis?"]


async def test_a_press_is_acknowledged_after_it_is_stored(
    bot_api: Driver, telegram: TelegramChannel, asha: str
) -> None:
    sent = await telegram.send(Outgoing(1, asha, "Plants make food.", (Choice("👍", "/rate up 1"),)))
    bot_api.say("telegram", asha, kind="press", message=sent, data="/rate up 1")
    acknowledged_before: list[int] = []

    async def accept(inbound: Inbound) -> None:
        acknowledged_before.append(len(bot_api.called("answerCallbackQuery")))

    async with polling(telegram, accept):
        await until(lambda: not pending(bot_api))
    assert acknowledged_before == [0]
    assert [call["status"] for call in bot_api.calls("answerCallbackQuery")] == [200]
    assert bot_api.violations() == []


@pytest.mark.parametrize("status", [500, 502, 401])
async def test_polling_outlives_an_ill_server(bot_api: Driver, telegram: TelegramChannel, status: int) -> None:
    await telegram.start()
    bot_api.faults("telegram", bot_refusal("getUpdates", status, times=2))
    ask(bot_api, 1)
    seen: list[str] = []

    async def accept(inbound: Inbound) -> None:
        seen.append(inbound.text)

    async with polling(telegram, accept):
        await until(lambda: not pending(bot_api))
    assert seen == ["question 1"]
    assert [call["status"] for call in bot_api.calls("getUpdates")][:3] == [status, status, 200]


async def test_a_second_poller_is_reported_once(
    bot_api: Driver, telegram: TelegramChannel, caplog: pytest.LogCaptureFixture
) -> None:
    bot_api.faults(
        "telegram", bot_refusal("getUpdates", 409, "Conflict: terminated by other getUpdates request", times=3)
    )
    ask(bot_api, 1)
    async with polling(telegram, nothing):
        await until(lambda: not pending(bot_api))
    told = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert len(told) == 1
    assert "another program" in told[0].getMessage()


async def test_stop_does_not_wait_for_the_long_poll(bot_api: Driver, telegram: TelegramChannel) -> None:
    stop = asyncio.Event()
    task = asyncio.create_task(telegram.poll(nothing, stop))
    await until(lambda: bot_api.called("getUpdates"))  # a poll of 30 seconds is open now
    stop.set()
    await asyncio.wait_for(task, 10)
