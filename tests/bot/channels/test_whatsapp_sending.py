from __future__ import annotations

import logging
import traceback
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import httpx
import pytest

from bot.channels.whatsapp import STATUS_PATH, WhatsAppChannel
from bot.errors import PermanentError, SahpathiError, TransientError, Unreachable
from bot.ports import Choice, DeliveryState, Outgoing
from tests.bot.channels.simulated import ASHA_PHONE, PUBLIC, answer, twilio_refusal, whatsapp_of
from tests.bot.simulator.driver import Delivery, Driver, Json, Webhooks, eventually

ASHA = f"whatsapp:{ASHA_PHONE}"
PART = Outgoing(42, ASHA, "Plants make food from light.\n\nSource: Science 7, page 3")


def last(twilio_api: Driver) -> Json:
    """The newest message on the student's phone."""
    return twilio_api.last("twilio", ASHA_PHONE)


async def test_send(twilio_api: Driver, whatsapp: WhatsAppChannel) -> None:
    sid = await whatsapp.send(PART)
    (call,) = twilio_api.sent("create")
    assert (call["From"], call["To"], call["Body"]) == (twilio_api.config.twilio.sender, ASHA, PART.text)
    assert call["StatusCallback"] == f"{PUBLIC}{STATUS_PATH}?part=42"
    assert (last(twilio_api)["id"], last(twilio_api)["text"]) == (sid, PART.text)
    assert twilio_api.violations() == []


async def test_the_status_callback_comes_back_with_our_id(
    twilio_api: Driver, whatsapp: WhatsAppChannel, running_service: Webhooks
) -> None:
    sid = await whatsapp.send(PART)
    ours = f"{STATUS_PATH}?part=42"

    def received() -> list[Delivery]:
        found = [call for call in running_service.deliveries if call.path_query == ours]
        return [call for call in found if (call.form["MessageSid"], call.form["MessageStatus"]) == (sid, "delivered")]

    (call,) = eventually(received)
    report = whatsapp.status(call.request)
    assert report is not None
    assert (report.outbox_id, report.state, report.provider_id) == (42, DeliveryState.DELIVERED, sid)


async def test_parts_of_a_long_reply_are_accepted(twilio_api: Driver, whatsapp: WhatsAppChannel) -> None:
    text = "A sentence of a very long answer. " * 200
    for part in whatsapp.split(text):
        await whatsapp.send(Outgoing(1, ASHA, part))
    assert " ".join(call["Body"] for call in twilio_api.sent("create")) == text.strip()
    assert twilio_api.violations() == []


@pytest.mark.parametrize(
    ("status", "code"),
    [(400, 21211), (400, 21610), (400, 21614), (400, 63016), (400, 63003), (400, 63024), (400, 21617), (422, None)],
)
async def test_what_concerns_this_student_is_permanent(
    twilio_api: Driver, whatsapp: WhatsAppChannel, status: int, code: int | None
) -> None:
    twilio_api.faults("twilio", twilio_refusal("create", status, code))
    with pytest.raises(PermanentError) as raised:
        await whatsapp.send(PART)
    assert raised.value.code == str(code or status)


@pytest.mark.parametrize("code", [21610, 63003, 63024])
async def test_a_student_who_unsubscribed_or_left_is_to_be_left_alone(
    twilio_api: Driver, whatsapp: WhatsAppChannel, code: int
) -> None:
    twilio_api.faults("twilio", twilio_refusal("create", 400, code))
    with pytest.raises(Unreachable):
        await whatsapp.send(PART)


@pytest.mark.parametrize(("address", "text", "code"), [("whatsapp:+0", "Hello", "21211"), (ASHA, "x" * 1601, "21617")])
async def test_what_breaks_a_rule_of_twilios_is_permanent(
    whatsapp: WhatsAppChannel, address: str, text: str, code: str
) -> None:
    """As the simulator refuses by itself, not by a fault."""
    with pytest.raises(PermanentError) as raised:
        await whatsapp.send(Outgoing(1, address, text))
    assert raised.value.code == code


async def test_choices_are_numbered_and_still_fit(twilio_api: Driver, whatsapp: WhatsAppChannel) -> None:
    subjects = tuple(Choice(f"Subject number {n}", f"/subject s{n}") for n in range(15))
    (part, *_) = whatsapp.split("Plants make food from light. " * 100)
    await whatsapp.send(Outgoing(1, ASHA, part, subjects))
    body = twilio_api.sent("create")[0]["Body"]
    assert body.startswith(part)
    assert body.endswith("15. Subject number 14")
    assert len(body) <= 1600
    assert twilio_api.violations() == []


@pytest.mark.parametrize(
    ("status", "code", "doubt"),
    [
        (429, 20429, False), (429, None, False), (400, 63018, False), (400, 63038, False),
        (401, 20003, False), (403, 20005, False), (404, 20404, False), (400, 63007, False),
        (500, 20500, True), (503, None, True), (302, None, True),
    ],
)  # fmt: skip
async def test_what_may_pass_is_transient(
    twilio_api: Driver, whatsapp: WhatsAppChannel, status: int, code: int | None, doubt: bool
) -> None:
    twilio_api.faults("twilio", twilio_refusal("create", status, code))
    with pytest.raises(TransientError) as raised:
        await whatsapp.send(PART)
    assert (raised.value.code, raised.value.in_doubt) == (str(code or status), doubt)
    assert await whatsapp.send(PART)


async def test_wrong_credentials_throw_nothing_away(twilio_api: Driver) -> None:
    channel = whatsapp_of(twilio_api, auth_token="mistyped")
    with pytest.raises(TransientError) as raised:
        await channel.send(PART)
    assert raised.value.code == "20003"
    with pytest.raises(TransientError):
        await channel.reconcile(PART)
    await channel.close()


async def test_an_unreachable_server_is_transient_without_doubt() -> None:
    channel = WhatsAppChannel("AC1", "token", "whatsapp:+1", public_url=PUBLIC, api_base="http://127.0.0.1:9")
    with pytest.raises(TransientError) as raised:
        await channel.send(PART)
    assert not raised.value.in_doubt
    await channel.close()


async def test_the_channel_can_be_used_again_after_close(twilio_api: Driver, whatsapp: WhatsAppChannel) -> None:
    await whatsapp.send(PART)
    await whatsapp.close()
    await whatsapp.close()
    await whatsapp.send(PART)
    assert len(twilio_api.sent("create")) == 2


# ---- parts in doubt ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["slow", "drop"])
async def test_a_part_whose_answer_was_lost_is_found(twilio_api: Driver, kind: str) -> None:
    channel = whatsapp_of(twilio_api, timeout=0.2)
    twilio_api.fault("twilio", kind, seconds=0.5, only=["create"], times=1)
    with pytest.raises(TransientError) as raised:
        await channel.send(PART)
    assert raised.value.in_doubt
    await channel.close()
    eventually(lambda: last(twilio_api)["text"] == PART.text)
    other = whatsapp_of(twilio_api)
    assert await other.reconcile(PART) == last(twilio_api)["id"]
    await other.close()


async def test_a_part_that_never_arrived_is_not_found(whatsapp: WhatsAppChannel) -> None:
    await whatsapp.send(Outgoing(1, ASHA, "Another answer"))
    await whatsapp.send(Outgoing(2, "whatsapp:+911111111111", PART.text))
    assert await whatsapp.reconcile(PART) is None


def listed(twilio_api: Driver) -> Json:
    """The list of messages, as Twilio gives it to us."""
    account = twilio_api.config.twilio
    basic = httpx.BasicAuth(account.sid, account.auth_token)
    page: Json = twilio_api.client.get(f"/2010-04-01/Accounts/{account.sid}/Messages.json", auth=basic).json()
    return page


@pytest.mark.parametrize(("age", "found"), [(timedelta(days=2), False), (timedelta(hours=2), True)])
async def test_yesterdays_reply_of_the_same_words_is_not_this_one(
    twilio_api: Driver, whatsapp: WhatsAppChannel, age: timedelta, found: bool
) -> None:
    sid = await whatsapp.send(PART)
    page = listed(twilio_api)
    for message in page["messages"]:
        message["date_created"] = format_datetime(datetime.now(UTC) - age)
    twilio_api.faults("twilio", answer("list", 200, page))
    assert await whatsapp.reconcile(PART) == (sid if found else None)


async def test_a_reply_on_record_for_another_part_is_not_this_one(twilio_api: Driver) -> None:
    recorded: set[str] = set()

    async def taken(sid: str) -> bool:
        return sid in recorded

    channel = whatsapp_of(twilio_api, taken=taken)
    recorded.add(await channel.send(PART))
    assert await channel.reconcile(PART) is None
    second = await channel.send(PART)
    assert await channel.reconcile(PART) == second
    await channel.close()


@pytest.mark.parametrize("kind", ["server_error", "rate_limit", "hang", "drop"])
async def test_a_failed_look_leaves_the_doubt(twilio_api: Driver, kind: str) -> None:
    channel = whatsapp_of(twilio_api, timeout=0.5)
    twilio_api.fault("twilio", kind, only=["list"])
    with pytest.raises(TransientError) as raised:
        await channel.reconcile(PART)
    assert raised.value.in_doubt
    await channel.close()


# ---- secrets -------------------------------------------------------------------------------------------------------


async def test_no_number_and_no_words_in_logs_or_errors(
    twilio_api: Driver, whatsapp: WhatsAppChannel, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    told = []
    for refused in ((400, 21211), (429, 20429), (500, None)):
        twilio_api.faults("twilio", twilio_refusal("create", *refused))
        with pytest.raises(SahpathiError) as raised:
            await whatsapp.send(PART)
        told.append("".join(traceback.format_exception(raised.value)))
    await whatsapp.send(PART)
    await whatsapp.reconcile(PART)
    twilio_api.faults("twilio", twilio_refusal("list", 500))
    with pytest.raises(SahpathiError) as raised:
        await whatsapp.reconcile(PART)
    told.append("".join(traceback.format_exception(raised.value)))
    ours = [record for record in caplog.records if not record.name.startswith("uvicorn")]  # that is the stand-in
    logged = "\n".join(f"{record.getMessage()} {record.exc_text or ''}" for record in ours)
    assert "found at the provider" in logged
    for secret in (ASHA_PHONE.removeprefix("+91"), "Plants make food", twilio_api.config.twilio.auth_token):
        assert secret not in logged
        assert secret not in "\n".join(told)
