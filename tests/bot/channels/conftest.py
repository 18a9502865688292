"""The providers' stand-ins and the recorded payloads."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from bot.channels.telegram import TelegramChannel
from bot.channels.whatsapp import WhatsAppChannel
from tests.fakes import FakeTelegram, FakeTwilio

PAYLOADS = Path(__file__).parents[2] / "payloads"
PUBLIC = "https://tutor.school.example"
SENDER = "whatsapp:+14155238886"

Payload = Callable[[str], dict[str, Any]]


@pytest.fixture
def payload() -> Payload:
    """Reads tests/payloads/<name>.json."""

    def read(name: str) -> dict[str, Any]:
        content: dict[str, Any] = json.loads((PAYLOADS / f"{name}.json").read_text(encoding="utf-8"))
        return content

    return read


@pytest.fixture(scope="session")
def running_bot_api() -> Iterator[FakeTelegram]:
    with FakeTelegram() as server:
        yield server


@pytest.fixture
def bot_api(running_bot_api: FakeTelegram) -> FakeTelegram:
    """The Bot API, with nothing in its memory."""
    running_bot_api.reset()
    return running_bot_api


@pytest.fixture
async def telegram(bot_api: FakeTelegram) -> AsyncIterator[TelegramChannel]:
    """A polling channel with little patience."""
    channel = TelegramChannel(bot_api.token, secret="s3cret-Token", api_base=bot_api.url, timeout=2.0, backoff=0.01)
    yield channel
    await channel.close()


@pytest.fixture(scope="session")
def running_twilio_api() -> Iterator[FakeTwilio]:
    with FakeTwilio() as server:
        yield server


@pytest.fixture
def twilio_api(running_twilio_api: FakeTwilio) -> FakeTwilio:
    """Twilio, with nothing in its memory."""
    running_twilio_api.reset()
    return running_twilio_api


@pytest.fixture
async def whatsapp(twilio_api: FakeTwilio) -> AsyncIterator[WhatsAppChannel]:
    channel = WhatsAppChannel(
        twilio_api.account_sid, twilio_api.auth_token, SENDER, public_url=PUBLIC, api_base=twilio_api.url, timeout=2.0
    )
    yield channel
    await channel.close()
