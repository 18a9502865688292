"""Twilio after WhatsApp's 24 hours: what is too late is told apart, and a template asks the student to write."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator

import pytest

from bot.channels.whatsapp import INVITATION_PATH, STATUS_PATH, WhatsAppChannel
from bot.errors import OutsideWindow, PermanentError, SettingsError, TransientError
from bot.ports import DeliveryState, Outgoing, StatusUpdate
from bot.settings import Settings
from tests.bot.channels.simulated import ASHA_PHONE, PUBLIC, answer, twilio_refusal, whatsapp_of
from tests.bot.simulator.driver import Delivery, Driver, Webhooks, eventually

TEMPLATE = "HX" + "b" * 32
ASHA = f"whatsapp:{ASHA_PHONE}"
LATE_PHONE = "+919800000016"  # has not written for longer than anybody remembers
LATE = f"whatsapp:{LATE_PHONE}"


@pytest.fixture
async def inviting(twilio_api: Driver) -> AsyncIterator[WhatsAppChannel]:
    channel = whatsapp_of(twilio_api, template_sid=TEMPLATE)
    yield channel
    await channel.close()


def failures(service: Webhooks, path_query: str) -> list[Delivery]:
    found = [delivery for delivery in service.deliveries if delivery.path_query == path_query]
    return [delivery for delivery in found if delivery.form["MessageStatus"] == "failed"]


async def reported(service: Webhooks, channel: WhatsAppChannel, part: int) -> StatusUpdate | None:
    """What the channel makes of the callback that says that a part failed."""
    path = f"{STATUS_PATH}?part={part}"
    (delivery,) = await asyncio.to_thread(eventually, lambda: failures(service, path))
    return channel.status(delivery.request)


# ---- what is too late ------------------------------------------------------------------------------------------------


async def test_a_refusal_at_once_says_that_it_is_too_late(twilio_api: Driver, whatsapp: WhatsAppChannel) -> None:
    twilio_api.faults("twilio", twilio_refusal("create", 400, 63016))
    with pytest.raises(OutsideWindow) as raised:
        await whatsapp.send(Outgoing(1, ASHA, "Plants make food."))
    assert raised.value.code == "63016"


async def test_another_refusal_says_so_too(twilio_api: Driver, whatsapp: WhatsAppChannel) -> None:
    twilio_api.faults("twilio", twilio_refusal("create", 400, 21211))
    with pytest.raises(PermanentError) as raised:
        await whatsapp.send(Outgoing(1, ASHA, "Plants make food."))
    assert not isinstance(raised.value, OutsideWindow)


async def test_a_later_report_says_that_it_is_too_late(service: Webhooks, whatsapp: WhatsAppChannel) -> None:
    sid = await whatsapp.send(Outgoing(16, LATE, "Plants make food."))
    report = await reported(service, whatsapp, 16)
    assert report == StatusUpdate(sid, DeliveryState.FAILED, 16, "63016", outside_window=True)


async def test_a_report_of_another_failure_is_not_about_the_window(
    twilio_api: Driver, service: Webhooks, whatsapp: WhatsAppChannel
) -> None:
    twilio_api.refuse("twilio", ASHA_PHONE, "63024")
    await whatsapp.send(Outgoing(24, ASHA, "Plants make food."))
    report = await reported(service, whatsapp, 24)
    assert report is not None
    assert (report.state, report.code) == (DeliveryState.FAILED, "63024")
    assert (report.outside_window, report.unwanted) == (False, True)


async def test_a_part_in_doubt_that_came_too_late_is_not_taken_for_sent(twilio_api: Driver) -> None:
    channel = whatsapp_of(twilio_api, timeout=0.5)
    part = Outgoing(17, LATE, "Plants make food.")
    twilio_api.faults("twilio", {"kind": "drop", "only": ["create"], "times": 1})
    with pytest.raises(TransientError):
        await channel.send(part)
    await asyncio.to_thread(eventually, lambda: twilio_api.last("twilio", LATE_PHONE)["state"] == "failed")
    with pytest.raises(OutsideWindow):
        await channel.reconcile(part)
    await channel.close()


# ---- the template ----------------------------------------------------------------------------------------------------


async def test_a_template_goes_to_a_student_outside_the_window(
    twilio_api: Driver, service: Webhooks, inviting: WhatsAppChannel
) -> None:
    assert await inviting.invite(LATE)
    (call,) = twilio_api.sent("create")
    assert call == {
        "From": twilio_api.config.twilio.sender,
        "To": LATE,
        "ContentSid": TEMPLATE,
        "StatusCallback": f"{PUBLIC}{INVITATION_PATH}",
    }
    assert TEMPLATE in twilio_api.last("twilio", LATE_PHONE)["text"]
    await asyncio.to_thread(eventually, lambda: twilio_api.last("twilio", LATE_PHONE)["state"] == "read")
    assert twilio_api.violations() == []


async def test_without_a_template_nothing_is_sent(twilio_api: Driver, whatsapp: WhatsAppChannel) -> None:
    assert not await whatsapp.invite(LATE)
    assert twilio_api.called("create") == []


async def test_reports_on_a_template_are_nobodys_part(service: Webhooks, inviting: WhatsAppChannel) -> None:
    await inviting.invite(LATE)

    def read() -> list[Delivery]:
        return [call for call in service.deliveries if call.form.get("MessageStatus") == "read"]

    await asyncio.to_thread(eventually, read)
    assert [inviting.status(call.request) for call in service.deliveries if "MessageStatus" in call.form] == [None] * 4


async def test_a_template_that_whatsapp_does_not_take_is_told_to_the_operator(
    twilio_api: Driver, service: Webhooks, inviting: WhatsAppChannel, caplog: pytest.LogCaptureFixture
) -> None:
    twilio_api.refuse("twilio", LATE_PHONE, "63016")
    await inviting.invite(LATE)
    (delivery,) = await asyncio.to_thread(eventually, lambda: failures(service, INVITATION_PATH))
    with caplog.at_level(logging.WARNING, "bot.channels.whatsapp"):
        assert inviting.status(delivery.request) is None
    assert "63016" in caplog.text
    assert LATE_PHONE.removeprefix("+91") not in caplog.text


async def test_a_template_that_twilio_does_not_know_is_permanent(twilio_api: Driver, inviting: WhatsAppChannel) -> None:
    twilio_api.faults("twilio", answer("create", 400, {"code": 21655, "message": "The ContentSid is Invalid"}))
    with pytest.raises(PermanentError) as raised:
        await inviting.invite(LATE)
    assert raised.value.code == "21655"


# ---- its setting -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("sid", ["HX1", "MG" + "a" * 32, "HX" + "g" * 32, f"HX{'a' * 33}"])
def test_what_cannot_be_a_template_is_one_clear_error(monkeypatch: pytest.MonkeyPatch, sid: str) -> None:
    monkeypatch.setenv("SAHPATHI_TWILIO__TEMPLATE_SID", sid)
    with pytest.raises(SettingsError, match="SAHPATHI_TWILIO__TEMPLATE_SID: must be a content SID"):
        Settings.load()


def test_a_template_is_read_and_none_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    assert Settings.load().twilio.template_sid is None
    monkeypatch.setenv("SAHPATHI_TWILIO__TEMPLATE_SID", TEMPLATE)
    assert Settings.load().twilio.template_sid == TEMPLATE
