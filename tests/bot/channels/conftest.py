"""The providers as the simulator plays them, and the channels that talk to it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest

from bot.channels.cloud import CloudChannel
from bot.channels.telegram import TelegramChannel
from bot.channels.whatsapp import WhatsAppChannel
from tests.bot.channels.simulated import ASHA, ASHA_PHONE, BOT, PUBLIC, cloud_of, confirmed, telegram_of, whatsapp_of
from tests.bot.simulator.driver import Driver, Webhooks, driven


@pytest.fixture(scope="session")
def running_service() -> Iterator[Webhooks]:
    with Webhooks() as server:
        yield server


@pytest.fixture(scope="session")
def running_providers(running_service: Webhooks) -> Iterator[Driver]:
    with driven(running_service.url, PUBLIC, telegram=BOT) as driver:
        yield driver


@pytest.fixture
def providers(running_providers: Driver, running_service: Webhooks) -> Driver:
    """The providers, with nothing in their memory, nor in that of the webhooks they call."""
    running_providers.reset()
    running_service.reset()
    return running_providers


@pytest.fixture
def service(providers: Driver, running_service: Webhooks) -> Webhooks:
    """What the providers call."""
    return running_service


@pytest.fixture
def bot_api(providers: Driver) -> Driver:
    return providers


@pytest.fixture
def asha(bot_api: Driver) -> str:
    """A student who may be written to: she has opened the chat, and the bot knows."""
    bot_api.say("telegram", ASHA, "/start", name="Asha")
    confirmed(bot_api)
    return ASHA


@pytest.fixture
async def telegram(bot_api: Driver) -> AsyncIterator[TelegramChannel]:
    channel = telegram_of(bot_api)
    yield channel
    await channel.close()


@pytest.fixture
def twilio_api(providers: Driver) -> Driver:
    """Twilio, with a student who has just written."""
    providers.say("twilio", ASHA_PHONE, "hello", name="Asha")
    return providers


@pytest.fixture
async def whatsapp(providers: Driver) -> AsyncIterator[WhatsAppChannel]:
    channel = whatsapp_of(providers)
    yield channel
    await channel.close()


@pytest.fixture
def meta(providers: Driver) -> Driver:
    return providers


@pytest.fixture
async def cloud(providers: Driver) -> AsyncIterator[CloudChannel]:
    channel = cloud_of(providers)
    yield channel
    await channel.close()
