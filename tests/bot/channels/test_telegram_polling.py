from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from bot.channels.telegram import Accept, TelegramChannel
from bot.ports import Inbound
from tests.fakes import FakeTelegram

Payload = Callable[[str], dict[str, Any]]


async def eventually(condition: Callable[[], object]) -> None:
    """Return once the condition holds; fail when it never does."""
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


def question(number: int, payload: Payload) -> dict[str, Any]:
    message = payload("telegram/text")["message"] | {"text": f"question {number}"}
    return {"message": message}


async def test_messages_arrive_in_order_and_are_confirmed(
    bot_api: FakeTelegram, telegram: TelegramChannel, payload: Payload
) -> None:
    numbers = [bot_api.push(question(n, payload)) for n in range(3)]
    seen: list[Inbound] = []

    async def accept(inbound: Inbound) -> None:
        seen.append(inbound)

    async with polling(telegram, accept):
        await eventually(lambda: not bot_api.updates)
        numbers.append(bot_api.push(question(3, payload)))
        await eventually(lambda: not bot_api.updates)
    assert [found.provider_id for found in seen] == [str(number) for number in numbers]
    assert [found.text for found in seen] == [f"question {n}" for n in range(4)]


async def test_nothing_is_confirmed_before_it_is_stored(
    bot_api: FakeTelegram, telegram: TelegramChannel, payload: Payload
) -> None:
    first = bot_api.push(question(1, payload))
    storing, stored = asyncio.Event(), asyncio.Event()

    async def accept(inbound: Inbound) -> None:
        storing.set()
        await stored.wait()

    async with polling(telegram, accept):
        await asyncio.wait_for(storing.wait(), 10)
        assert [update["update_id"] for update in bot_api.updates] == [first]
        assert all("offset" not in call for call in bot_api.called("getUpdates"))
        stored.set()
        await eventually(lambda: not bot_api.updates)
    assert bot_api.called("getUpdates")[1]["offset"] == str(first + 1)


async def test_what_could_not_be_stored_is_fetched_again(
    bot_api: FakeTelegram, telegram: TelegramChannel, payload: Payload, caplog: pytest.LogCaptureFixture
) -> None:
    numbers = [bot_api.push(question(n, payload)) for n in range(3)]
    tried: list[str] = []
    kept: list[str] = []

    async def accept(inbound: Inbound) -> None:
        tried.append(inbound.provider_id)
        if tried.count(inbound.provider_id) == 1 and inbound.provider_id == str(numbers[1]):
            raise OSError("disk full")
        kept.append(inbound.provider_id)

    async with polling(telegram, accept):
        await eventually(lambda: not bot_api.updates)
    assert kept == [str(number) for number in numbers]
    assert tried == [str(numbers[n]) for n in (0, 1, 1, 2)]
    assert "fetched again" in caplog.text


async def test_a_restart_misses_nothing(bot_api: FakeTelegram, telegram: TelegramChannel, payload: Payload) -> None:
    bot_api.push(question(1, payload))
    seen: list[str] = []
    stop = asyncio.Event()

    async def crash(inbound: Inbound) -> None:
        seen.append(inbound.text)
        stop.set()  # ends right after the commit, before the offset is sent

    async def accept(inbound: Inbound) -> None:
        seen.append(inbound.text)

    await asyncio.wait_for(telegram.poll(crash, stop), 10)
    async with polling(telegram, accept):
        bot_api.push(question(2, payload))
        await eventually(lambda: not bot_api.updates)
    assert seen == ["question 1", "question 1", "question 2"]  # the inbox knows the second as a duplicate


async def test_updates_may_be_numbered_anew_after_a_quiet_time(
    bot_api: FakeTelegram, telegram: TelegramChannel, payload: Payload
) -> None:
    seen: list[str] = []

    async def accept(inbound: Inbound) -> None:
        seen.append(inbound.provider_id)

    bot_api.push({"update_id": 900_000} | question(1, payload))
    async with polling(telegram, accept):
        await eventually(lambda: seen and not bot_api.updates)
        bot_api.idle.set()  # the long poll ends with nothing
        await eventually(lambda: "offset" not in bot_api.called("getUpdates")[-1])
        bot_api.push({"update_id": 17} | question(2, payload))
        await eventually(lambda: not bot_api.updates)
    assert seen == ["900000", "17"]


async def test_unknown_kinds_are_counted_and_passed_over(
    bot_api: FakeTelegram, telegram: TelegramChannel, payload: Payload
) -> None:
    for name in ("unknown_kind", "edited_message", "text"):
        bot_api.push({key: value for key, value in payload(f"telegram/{name}").items() if key != "update_id"})
    seen: list[Inbound] = []
    counted: list[tuple[str, str]] = []

    async def accept(inbound: Inbound) -> None:
        seen.append(inbound)

    async with polling(telegram, accept, unknown=lambda channel, kind: counted.append((channel, kind))):
        await eventually(lambda: not bot_api.updates)
    assert counted == [("telegram", "star_gift_auction")]
    assert [found.text for found in seen] == ["What is photosynthesis?"]


async def test_a_press_is_acknowledged_after_it_is_stored(
    bot_api: FakeTelegram, telegram: TelegramChannel, payload: Payload
) -> None:
    bot_api.push({"callback_query": payload("telegram/callback_up")["callback_query"]})
    acknowledged_before: list[int] = []

    async def accept(inbound: Inbound) -> None:
        acknowledged_before.append(len(bot_api.called("answerCallbackQuery")))

    async with polling(telegram, accept):
        await eventually(lambda: not bot_api.updates)
    assert acknowledged_before == [0]
    assert len(bot_api.called("answerCallbackQuery")) == 1


@pytest.mark.parametrize("status", [500, 502, 401])
async def test_polling_outlives_an_ill_server(
    bot_api: FakeTelegram, telegram: TelegramChannel, payload: Payload, status: int
) -> None:
    await telegram.start()
    bot_api.fail("getUpdates", status, times=2)
    bot_api.push(question(1, payload))
    seen: list[str] = []

    async def accept(inbound: Inbound) -> None:
        seen.append(inbound.text)

    async with polling(telegram, accept):
        await eventually(lambda: not bot_api.updates)
    assert seen == ["question 1"]


async def test_a_second_poller_is_reported_once(
    bot_api: FakeTelegram, telegram: TelegramChannel, payload: Payload, caplog: pytest.LogCaptureFixture
) -> None:
    bot_api.fail("getUpdates", 409, description="Conflict: terminated by other getUpdates request", times=3)
    bot_api.push(question(1, payload))

    async def accept(inbound: Inbound) -> None:
        return None

    async with polling(telegram, accept):
        await eventually(lambda: not bot_api.updates)
    told = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert len(told) == 1
    assert "another program" in told[0].getMessage()


async def test_stop_does_not_wait_for_the_long_poll(bot_api: FakeTelegram, telegram: TelegramChannel) -> None:
    async def accept(inbound: Inbound) -> None:
        return None

    stop = asyncio.Event()
    task = asyncio.create_task(telegram.poll(accept, stop))
    await eventually(lambda: bot_api.called("getUpdates"))  # a poll of 30 seconds is open now
    stop.set()
    await asyncio.wait_for(task, 10)
