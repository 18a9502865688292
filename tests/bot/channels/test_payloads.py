"""Every kind of message and report that a provider documents, through the real channels and the real application."""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import asdict
from typing import Any

import httpx
import pytest

from bot.channels.cloud import CloudChannel
from bot.channels.telegram import TelegramChannel
from bot.channels.whatsapp import WhatsAppChannel
from bot.compose import Role, Services, running
from bot.errors import UnknownShape
from bot.ports import HttpRequest, Inbound, Profile, StatusUpdate
from bot.settings import Settings
from bot.web.app import create_app
from tests.bot.channels.posting import posted
from tests.bot.channels.simulated import cloud_of, telegram_of, whatsapp_of
from tests.bot.simulator.driver import Driver
from tests.payloads.recorded import PROVIDERS, Json, expected, names

CASES = [(provider, name) for provider in PROVIDERS for name in expected(provider)]
KINDS = {"unsupported": "cannot be read", "text": "is asked", "command": "is a command", "feedback": "is a thumb"}


@pytest.mark.parametrize("provider", PROVIDERS)
def test_every_payload_has_an_expectation(provider: str) -> None:
    assert names(provider) == sorted(expected(provider))


@pytest.mark.parametrize("provider", PROVIDERS)
def test_the_expectations_are_of_every_sort(provider: str) -> None:
    """Else a table that says "ignored" throughout would be kept by a channel that does nothing."""
    table = expected(provider).values()
    assert {found["kind"] for entry in table for found in entry.get("inbound", ())} == KINDS.keys()
    assert any("unknown" in entry for entry in table)
    assert any(entry.keys() <= {"path"} for entry in table)
    states = {report["state"] for entry in table for report in entry.get("reports", ())}
    assert states == (set() if provider == "telegram" else {"sent", "delivered", "read", "failed"})


# ---- the channels ----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def channels(running_providers: Driver) -> dict[str, Any]:
    """One of each; the bot has learnt its name. They hold no connection that a test would use."""
    telegram = telegram_of(running_providers)

    async def learn() -> None:
        await telegram.start()
        await telegram.close()

    asyncio.run(learn())
    return {"telegram": telegram, "whatsapp": whatsapp_of(running_providers), "cloud": cloud_of(running_providers)}


@pytest.mark.parametrize(("provider", "name"), CASES)
def test_received(channels: dict[str, Any], running_providers: Driver, provider: str, name: str) -> None:
    request = posted(provider, name, running_providers.config).request()
    wanted = {key: value for key, value in expected(provider)[name].items() if key != "path"}
    assert read(channels[provider], request) == wanted


def read(channel: TelegramChannel | WhatsAppChannel | CloudChannel, request: HttpRequest) -> Json:
    """What a channel makes of a request, as the expectations are written."""
    try:
        found = {"inbound": inbound(channel, request), "reports": reports(channel, request)}
    except UnknownShape as shape:
        return {"unknown": shape.kind}
    return {key: value for key, value in found.items() if value}


def inbound(channel: TelegramChannel | WhatsAppChannel | CloudChannel, request: HttpRequest) -> list[Json]:
    if "/status" in request.path_query:
        return []
    found = channel.receive(request)
    assert all((one.channel, one.profile) == (channel.name, Profile()) for one in found)
    return [_shown(one, leave=("channel", "profile")) for one in found]


def reports(channel: TelegramChannel | WhatsAppChannel | CloudChannel, request: HttpRequest) -> list[Json]:
    if isinstance(channel, CloudChannel):
        found = channel.statuses(request)
    elif isinstance(channel, WhatsAppChannel) and "/status" in request.path_query:
        found = [report for report in [channel.status(request)] if report is not None]
    else:
        found = []
    return [_shown(report, keep=("outbox_id", "code")) for report in found]


def _shown(found: Inbound | StatusUpdate, *, keep: Iterable[str] = (), leave: Iterable[str] = ()) -> Json:
    """The fields, without those that say nothing."""
    fields = {key: value for key, value in asdict(found).items() if key not in leave}
    return {key: value for key, value in fields.items() if value or key in keep}


# ---- the application -------------------------------------------------------------------------------------------------


@asynccontextmanager
async def application(services: Services) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(create_app(services))
    async with httpx.AsyncClient(transport=transport, base_url="http://10.0.0.7:8000") as client:
        yield client


@pytest.fixture
def settings(bot_api: Driver, redis_url: str, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """A web process: it receives, and leaves the answers to workers, of which there are none here."""
    for name, value in (bot_api.config.environment() | {"SAHPATHI_REDIS_URL": redis_url}).items():
        monkeypatch.setenv(name, value)
    return Settings()


async def registered(providers: Driver) -> str:
    """The secret that the service has asked Telegram to show."""
    async with asyncio.timeout(10):
        while not (calls := providers.called("setWebhook")):  # noqa: ASYNC110  the condition is another thread's
            await asyncio.sleep(0.01)
    secret: str = calls[-1]["secret_token"]
    return secret


def unknown(metrics: str, channel: str) -> Counter[str]:
    """How many webhooks of which unknown kind were counted."""
    pattern = rf'sahpathi_webhooks_unknown_total\{{channel="{channel}",kind="([^"]*)"\}} (\d+)'
    return Counter({kind: int(count) for kind, count in re.findall(pattern, metrics)})


@pytest.mark.redis
@pytest.mark.parametrize("provider", PROVIDERS)
async def test_posted_to_the_application(settings: Settings, bot_api: Driver, provider: str) -> None:
    table = expected(provider)
    async with running(settings, Role.WEB) as services, application(services) as http:
        secret = await registered(bot_api)
        answers = {}
        for name in table:
            call = posted(provider, name, bot_api.config, secret=secret)
            answers[name] = (await http.post(call.path, content=call.body, headers=dict(call.headers))).status_code
        metrics = (await http.get("/metrics")).text
    assert answers == {name: 204 if "path" in entry else 200 for name, entry in table.items()}
    kinds = Counter(entry["unknown"] for entry in table.values() if "unknown" in entry)
    assert unknown(metrics, provider) == kinds
    accepted = [found["provider_id"] for entry in table.values() for found in entry.get("inbound", ())]
    assert len(accepted) == len(set(accepted))
    assert f'sahpathi_messages_received_total{{channel="{provider}",duplicate="false"}} {len(accepted)}.0' in metrics
    assert 'duplicate="true"' not in metrics


@pytest.mark.redis
@pytest.mark.parametrize("provider", PROVIDERS)
async def test_unsigned_the_application_takes_none_of_them(settings: Settings, bot_api: Driver, provider: str) -> None:
    async with running(settings, Role.WEB) as services, application(services) as http:
        for name in expected(provider):
            call = posted(provider, name, bot_api.config)
            headers = {"content-type": call.headers["content-type"]}
            answer = await http.post(call.path, content=call.body, headers=headers)
            assert answer.status_code == 403, name
        assert "sahpathi_messages_received_total{" not in (await http.get("/metrics")).text
