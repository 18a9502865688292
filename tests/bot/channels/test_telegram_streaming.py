"""Drafts and the list of commands, through the real client against the simulator."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator

import pytest

from bot.channels.telegram import TelegramChannel
from bot.ports import Outgoing
from tests.bot.simulator.driver import Driver, Webhooks, driven

ASHA = "700100200"


@pytest.fixture(scope="module")
def started() -> Iterator[Driver]:
    with Webhooks() as webhooks, driven(webhooks.url) as driver:
        yield driver


@pytest.fixture
def simulator(started: Driver) -> Driver:
    started.reset()
    started.say("telegram", ASHA, "What is photosynthesis?")
    return started


@pytest.fixture
async def channel(simulator: Driver) -> AsyncIterator[TelegramChannel]:
    commands = {"": [("help", "How to ask")], "hi": [("help", "सवाल कैसे पूछें")]}
    made = TelegramChannel(
        simulator.config.telegram.token, secret="s", api_base=simulator.url, commands=commands, timeout=5
    )
    yield made
    await made.close()


async def test_an_answer_is_seen_growing_and_then_is_one_message(simulator: Driver, channel: TelegramChannel) -> None:
    assert await channel.preview(ASHA, 7, "Plants make **food**.")
    assert simulator.phone("telegram", ASHA)["draft"] == "Plants make food."
    assert await channel.preview(ASHA, 7, "Plants make **food**. They need light.")
    await channel.send(Outgoing(1, ASHA, "Plants make food. They need light."))
    assert simulator.phone("telegram", ASHA)["draft"] == ""
    assert simulator.shown("telegram", ASHA)[1:] == ["Plants make food. They need light."]
    assert simulator.violations() == []


async def test_a_long_draft_shows_what_fits(simulator: Driver, channel: TelegramChannel) -> None:
    assert await channel.preview(ASHA, 7, "Plants make food. " * 400)
    assert 3000 < len(simulator.phone("telegram", ASHA)["draft"]) <= 4096
    assert simulator.violations() == []


async def test_groups_have_no_drafts(simulator: Driver, channel: TelegramChannel) -> None:
    assert not await channel.preview("-1001234567890", 7, "Plants make food.")
    assert simulator.get("calls", method="sendMessageDraft") == []


async def test_a_provider_that_is_tired_of_it_is_heard(simulator: Driver, channel: TelegramChannel) -> None:
    simulator.fault("telegram", "rate_limit")
    assert not await channel.preview(ASHA, 7, "Plants make food.")


async def test_the_commands_are_listed_in_the_phones_language(simulator: Driver, channel: TelegramChannel) -> None:
    await channel.start()
    calls = [call["parameters"] for call in simulator.get("calls", method="setMyCommands")]
    assert [call.get("language_code", "") for call in calls] == ["", "hi"]
    assert json.loads(calls[1]["commands"]) == [{"command": "help", "description": "सवाल कैसे पूछें"}]
    assert simulator.violations() == []
