"""The Cloud API after WhatsApp's 24 hours: what is too late is told apart, and a template asks the student to write."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator

import pytest

from bot.channels.cloud import CloudChannel
from bot.errors import OutsideWindow, SettingsError
from bot.ports import DeliveryState, Outgoing, StatusUpdate
from bot.settings import Settings
from tests.bot.channels.simulated import answer, cloud_of
from tests.bot.simulator.driver import Driver, Webhooks, eventually

LATE_PHONE = "+919800000047"  # has not written for longer than anybody remembers
LATE = "919800000047"


@pytest.fixture
async def inviting(meta: Driver) -> AsyncIterator[CloudChannel]:
    channel = cloud_of(meta, template="please_write", template_language="hi")
    yield channel
    await channel.close()


def reports(service: Webhooks, channel: CloudChannel) -> list[StatusUpdate]:
    return [report for delivery in service.deliveries for report in channel.statuses(delivery.request)]


async def test_a_refusal_at_once_says_that_it_is_too_late(meta: Driver, cloud: CloudChannel) -> None:
    meta.faults("cloud", answer("messages", 400, {"error": {"code": 131047, "message": "Re-engagement message"}}))
    with pytest.raises(OutsideWindow) as raised:
        await cloud.send(Outgoing(1, LATE, "Plants make food."))
    assert raised.value.code == "131047"


async def test_a_later_report_says_that_it_is_too_late(service: Webhooks, cloud: CloudChannel) -> None:
    sent = await cloud.send(Outgoing(47, LATE, "Plants make food."))
    (report,) = await asyncio.to_thread(eventually, lambda: reports(service, cloud))
    assert report == StatusUpdate(sent, DeliveryState.FAILED, 47, "131047", outside_window=True)


async def test_a_report_of_another_failure_is_not_about_the_window(
    meta: Driver, service: Webhooks, cloud: CloudChannel
) -> None:
    meta.refuse("cloud", LATE_PHONE, "131026")
    await cloud.send(Outgoing(26, LATE, "Plants make food."))
    (report,) = await asyncio.to_thread(eventually, lambda: reports(service, cloud))
    assert (report.code, report.outside_window, report.unwanted) == ("131026", False, True)


async def test_a_template_goes_to_a_student_outside_the_window(
    meta: Driver, service: Webhooks, inviting: CloudChannel
) -> None:
    assert await inviting.invite(LATE)
    (call,) = meta.sent("messages")
    assert call["template"] == {"name": "please_write", "language": {"code": "hi"}}
    assert meta.last("cloud", LATE_PHONE)["text"] == "[template please_write]"
    await asyncio.to_thread(eventually, lambda: len(service.deliveries) == 3)
    assert reports(service, inviting) == []
    assert meta.violations() == []


async def test_without_a_template_nothing_is_sent(meta: Driver, cloud: CloudChannel) -> None:
    assert not await cloud.invite(LATE)
    assert meta.called("messages") == []


async def test_a_template_that_is_not_delivered_is_told_to_the_operator(
    meta: Driver, service: Webhooks, inviting: CloudChannel, caplog: pytest.LogCaptureFixture
) -> None:
    meta.refuse("cloud", LATE_PHONE, "131026")
    await inviting.invite(LATE)
    await asyncio.to_thread(eventually, lambda: service.deliveries)
    with caplog.at_level(logging.WARNING, "bot.channels.cloud"):
        assert reports(service, inviting) == []
    assert "131026" in caplog.text
    assert LATE not in caplog.text


@pytest.mark.parametrize("language", ["english", "EN", "en-US"])
def test_what_cannot_be_a_language_is_one_clear_error(monkeypatch: pytest.MonkeyPatch, language: str) -> None:
    monkeypatch.setenv("SAHPATHI_CLOUD__TEMPLATE_LANGUAGE", language)
    with pytest.raises(SettingsError, match="SAHPATHI_CLOUD__TEMPLATE_LANGUAGE"):
        Settings.load()
