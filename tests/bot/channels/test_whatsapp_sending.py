from __future__ import annotations

import logging
import traceback
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from bot.channels.whatsapp import STATUS_PATH, WhatsAppChannel
from bot.errors import PermanentError, SahpathiError, TransientError
from bot.ports import DeliveryState, HttpRequest, Outgoing
from tests.fakes import FakeTwilio

PUBLIC = "https://tutor.school.example"
SENDER = "whatsapp:+14155238886"
ASHA = "whatsapp:+919876543210"
PART = Outgoing(
    42, ASHA, "Plants make food from light.\n\nSource: Science 7, page 3", answer_id="ab" * 16, feedback=True
)


async def test_send(twilio_api: FakeTwilio, whatsapp: WhatsAppChannel) -> None:
    sid = await whatsapp.send(PART)
    (call,) = twilio_api.sent
    assert sid == twilio_api.messages[0]["sid"]
    assert (call["From"], call["To"], call["Body"]) == (SENDER, ASHA, PART.text)
    assert call["StatusCallback"] == f"{PUBLIC}{STATUS_PATH}?part=42"


async def test_the_status_callback_comes_back_with_our_id(twilio_api: FakeTwilio, whatsapp: WhatsAppChannel) -> None:
    sid = await whatsapp.send(PART)
    url = twilio_api.messages[0]["status_callback"]
    form = (("MessageSid", sid), ("MessageStatus", "delivered"))
    request = HttpRequest(url.removeprefix(PUBLIC), {"x-twilio-signature": twilio_api.sign(url, form)}, b"", form)
    report = whatsapp.status(request)
    assert report is not None
    assert (report.outbox_id, report.state, report.provider_id) == (42, DeliveryState.DELIVERED, sid)


async def test_parts_of_a_long_reply_are_accepted(twilio_api: FakeTwilio, whatsapp: WhatsAppChannel) -> None:
    text = "A sentence of a very long answer. " * 200
    for part in whatsapp.split(text):
        await whatsapp.send(Outgoing(1, ASHA, part))
    assert " ".join(call["Body"] for call in twilio_api.sent) == text.strip()


@pytest.mark.parametrize(
    ("status", "code"),
    [(400, 21211), (400, 21610), (400, 21614), (400, 63016), (400, 63003), (400, 63024), (400, 21617), (422, None)],
)
async def test_what_concerns_this_student_is_permanent(
    twilio_api: FakeTwilio, whatsapp: WhatsAppChannel, status: int, code: int | None
) -> None:
    twilio_api.fail("create", status, code)
    with pytest.raises(PermanentError) as raised:
        await whatsapp.send(PART)
    assert raised.value.code == str(code or status)


@pytest.mark.parametrize(
    ("status", "code", "doubt"),
    [
        (429, 20429, False), (429, None, False), (400, 63018, False), (400, 63038, False),
        (401, 20003, False), (403, 20005, False), (404, 20404, False), (400, 63007, False),
        (500, 20500, True), (503, None, True), (302, None, True),
    ],
)  # fmt: skip
async def test_what_may_pass_is_transient(
    twilio_api: FakeTwilio, whatsapp: WhatsAppChannel, status: int, code: int | None, doubt: bool
) -> None:
    twilio_api.fail("create", status, code)
    with pytest.raises(TransientError) as raised:
        await whatsapp.send(PART)
    assert (raised.value.code, raised.value.in_doubt) == (str(code or status), doubt)
    assert await whatsapp.send(PART)


async def test_wrong_credentials_throw_nothing_away(twilio_api: FakeTwilio) -> None:
    channel = WhatsAppChannel(
        twilio_api.account_sid, "mistyped", SENDER, public_url=PUBLIC, api_base=twilio_api.url, timeout=2.0
    )
    with pytest.raises(TransientError) as raised:
        await channel.send(PART)
    assert raised.value.code == "20003"
    with pytest.raises(TransientError):
        await channel.reconcile(PART)
    await channel.close()


async def test_an_unreachable_server_is_transient_without_doubt() -> None:
    channel = WhatsAppChannel("AC1", "token", SENDER, public_url=PUBLIC, api_base="http://127.0.0.1:9")
    with pytest.raises(TransientError) as raised:
        await channel.send(PART)
    assert not raised.value.in_doubt
    await channel.close()


async def test_the_channel_can_be_used_again_after_close(twilio_api: FakeTwilio, whatsapp: WhatsAppChannel) -> None:
    await whatsapp.send(PART)
    await whatsapp.close()
    await whatsapp.close()
    await whatsapp.send(PART)
    assert len(twilio_api.sent) == 2


# ---- parts in doubt ------------------------------------------------------------------------------------------------


async def test_a_part_whose_answer_was_lost_is_found(twilio_api: FakeTwilio) -> None:
    channel = WhatsAppChannel(
        twilio_api.account_sid, twilio_api.auth_token, SENDER, public_url=PUBLIC, api_base=twilio_api.url, timeout=0.2
    )
    twilio_api.fail("create", None, accepted=True)
    with pytest.raises(TransientError) as raised:
        await channel.send(PART)
    assert raised.value.in_doubt
    await channel.close()
    other = WhatsAppChannel(
        twilio_api.account_sid, twilio_api.auth_token, SENDER, public_url=PUBLIC, api_base=twilio_api.url
    )
    assert await other.reconcile(PART) == twilio_api.messages[0]["sid"]
    await other.close()


async def test_a_part_that_never_arrived_is_not_found(twilio_api: FakeTwilio, whatsapp: WhatsAppChannel) -> None:
    await whatsapp.send(Outgoing(1, ASHA, "Another answer"))
    await whatsapp.send(Outgoing(2, "whatsapp:+911111111111", PART.text))
    assert await whatsapp.reconcile(PART) is None


async def test_yesterdays_reply_of_the_same_words_is_not_this_one(
    twilio_api: FakeTwilio, whatsapp: WhatsAppChannel
) -> None:
    await whatsapp.send(PART)
    twilio_api.messages[0]["date_created"] = format_datetime(datetime.now(UTC) - timedelta(days=2))
    assert await whatsapp.reconcile(PART) is None


async def test_a_reply_on_record_for_another_part_is_not_this_one(twilio_api: FakeTwilio) -> None:
    recorded: set[str] = set()

    async def taken(sid: str) -> bool:
        return sid in recorded

    channel = WhatsAppChannel(
        twilio_api.account_sid, twilio_api.auth_token, SENDER, public_url=PUBLIC, api_base=twilio_api.url, taken=taken
    )
    recorded.add(await channel.send(PART))
    assert await channel.reconcile(PART) is None
    second = await channel.send(PART)
    assert await channel.reconcile(PART) == second
    await channel.close()


@pytest.mark.parametrize("status", [500, 429, None])
async def test_a_failed_look_leaves_the_doubt(twilio_api: FakeTwilio, status: int | None) -> None:
    channel = WhatsAppChannel(
        twilio_api.account_sid, twilio_api.auth_token, SENDER, public_url=PUBLIC, api_base=twilio_api.url, timeout=0.5
    )
    twilio_api.fail("list", status)
    with pytest.raises(TransientError) as raised:
        await channel.reconcile(PART)
    assert raised.value.in_doubt
    await channel.close()


# ---- secrets -------------------------------------------------------------------------------------------------------


async def test_no_number_and_no_words_in_logs_or_errors(
    twilio_api: FakeTwilio, whatsapp: WhatsAppChannel, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    told = []
    for status, code in ((400, 21211), (429, 20429), (500, None)):
        twilio_api.fail("create", status, code)
        with pytest.raises(SahpathiError) as raised:
            await whatsapp.send(PART)
        told.append("".join(traceback.format_exception(raised.value)))
    await whatsapp.send(PART)
    await whatsapp.reconcile(PART)
    twilio_api.fail("list", 500)
    with pytest.raises(SahpathiError) as raised:
        await whatsapp.reconcile(PART)
    told.append("".join(traceback.format_exception(raised.value)))
    ours = [record for record in caplog.records if not record.name.startswith("uvicorn")]  # that is the stand-in
    logged = "\n".join(f"{record.getMessage()} {record.exc_text or ''}" for record in ours)
    assert "found at the provider" in logged
    for secret in ("9876543210", "Plants make food", twilio_api.auth_token):
        assert secret not in logged
        assert secret not in "\n".join(told)
