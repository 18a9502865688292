from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

import httpx
import pytest
from fastapi import FastAPI

from bot.channels.telegram import TelegramChannel
from bot.channels.whatsapp import WhatsAppChannel
from bot.choices import thumbs
from bot.ports import DeliveryState, Inbound, Kind, Outgoing, StatusUpdate
from bot.web.webhooks import LARGEST_BODY, TELEGRAM, WHATSAPP, WHATSAPP_STATUS, Intake, routes
from tests.bot.channels.simulated import ASHA, BOT, confirmed, telegram_of
from tests.bot.simulator.driver import Driver, driven
from tests.payloads.recorded import Json, payload
from tests.signing import twilio_signature

PUBLIC = "https://tutor.school.example/study"  # behind a proxy that adds a prefix
TOKEN = "an-auth-token-of-this-test"
SECRET = {"X-Telegram-Bot-Api-Secret-Token": "s3cret"}
FORM = {"Content-Type": "application/x-www-form-urlencoded"}


@dataclass
class Inbox:
    """What the service would store and count."""

    messages: list[Inbound] = field(default_factory=list)
    reports: list[StatusUpdate] = field(default_factory=list)
    unknown: list[tuple[str, str]] = field(default_factory=list)
    full: bool = False
    known: bool = True

    async def accept(self, inbound: Inbound) -> None:
        if self.full:
            raise OSError("disk full")
        self.messages.append(inbound)

    async def status(self, report: StatusUpdate) -> bool:
        self.reports.append(report)
        return self.known

    def count(self, channel: str, kind: str) -> None:
        self.unknown.append((channel, kind))


@pytest.fixture
def inbox() -> Inbox:
    return Inbox()


@pytest.fixture(scope="module")
def running_bot_api() -> Iterator[Driver]:
    with driven("http://127.0.0.1:9", PUBLIC, telegram=BOT) as driver:
        yield driver


@pytest.fixture
def bot_api(running_bot_api: Driver) -> Driver:
    """The Bot API, with nothing in its memory."""
    running_bot_api.reset()
    return running_bot_api


@pytest.fixture
async def telegram(bot_api: Driver) -> AsyncIterator[TelegramChannel]:
    channel = telegram_of(bot_api, secret="s3cret", public_url=PUBLIC)
    yield channel
    await channel.close()


@pytest.fixture
async def http(inbox: Inbox, telegram: TelegramChannel) -> AsyncIterator[httpx.AsyncClient]:
    whatsapp = WhatsAppChannel("AC" + "0" * 32, TOKEN, "whatsapp:+14155238886", public_url=PUBLIC)
    async with client(inbox, telegram=telegram, whatsapp=whatsapp) as opened:
        yield opened


def client(inbox: Inbox, **channels: Any) -> httpx.AsyncClient:
    app = FastAPI()
    app.include_router(routes(Intake(inbox.accept, inbox.status, inbox.count), **({"cloud": None} | channels)))
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    return httpx.AsyncClient(transport=transport, base_url="http://10.0.0.7:8000")


async def post_signed(http: httpx.AsyncClient, fields: list[tuple[str, str]], path: str = WHATSAPP) -> httpx.Response:
    """As Twilio posts to the public address, and the proxy passes on to ours."""
    signature = twilio_signature(TOKEN, PUBLIC + path, fields)
    headers = {"X-Twilio-Signature": signature, "X-Forwarded-Host": "evil.example"} | FORM
    return await http.post(path, content=urlencode(fields), headers=headers)


# ---- telegram ------------------------------------------------------------------------------------------------------


async def test_an_update_is_stored_and_answered(http: httpx.AsyncClient, inbox: Inbox) -> None:
    answer = await http.post(TELEGRAM, json=payload("telegram/text_hindi"), headers=SECRET)
    assert answer.status_code == 200
    assert [(found.kind, found.text) for found in inbox.messages] == [(Kind.TEXT, "प्रकाश संश्लेषण क्या है? 🌱")]


@pytest.mark.parametrize("headers", [{}, {"X-Telegram-Bot-Api-Secret-Token": "guess"}])
async def test_a_forged_update_is_403(http: httpx.AsyncClient, inbox: Inbox, headers: dict[str, str]) -> None:
    answer = await http.post(TELEGRAM, json=payload("telegram/text"), headers=headers)
    assert answer.status_code == 403
    assert "secret" in answer.json()["detail"]
    assert (inbox.messages, inbox.unknown) == ([], [])


async def pressed(bot_api: Driver, telegram: TelegramChannel) -> Json:
    """The update about a thumb under a message that was really sent."""
    bot_api.say("telegram", ASHA, "hello")
    sent = await telegram.send(Outgoing(1, ASHA, "Plants make food.", thumbs("ab" * 16)))
    bot_api.say("telegram", ASHA, kind="press", message=sent, data=f"/rate up {'ab' * 16}")
    return confirmed(bot_api)[-1]


async def test_a_press_is_acknowledged_only_once_it_is_stored(
    http: httpx.AsyncClient, inbox: Inbox, bot_api: Driver, telegram: TelegramChannel
) -> None:
    press = await pressed(bot_api, telegram)
    inbox.full = True
    assert (await http.post(TELEGRAM, json=press, headers=SECRET)).status_code == 500
    assert bot_api.called("answerCallbackQuery") == []
    inbox.full = False
    assert (await http.post(TELEGRAM, json=press, headers=SECRET)).status_code == 200
    (call,) = bot_api.calls("answerCallbackQuery")
    assert (call["parameters"]["callback_query_id"], call["status"]) == (press["callback_query"]["id"], 200)
    assert [(found.text, found.answer_id) for found in inbox.messages] == [("up", "ab" * 16)]
    assert bot_api.violations() == []


@pytest.mark.parametrize(
    ("body", "kind"), [(b"{not json", "malformed"), (b'{"update_id": 1, "hologram": {}}', "hologram")]
)
async def test_what_we_do_not_know_is_200_and_counted(
    http: httpx.AsyncClient, inbox: Inbox, body: bytes, kind: str
) -> None:
    answer = await http.post(TELEGRAM, content=body, headers=SECRET)
    assert answer.status_code == 200
    assert inbox.unknown == [("telegram", kind)]


async def test_a_group_waits_until_the_bot_knows_its_name(
    http: httpx.AsyncClient, inbox: Inbox, telegram: TelegramChannel
) -> None:
    update = payload("telegram/group_mention")
    assert (await http.post(TELEGRAM, json=update, headers=SECRET)).status_code == 503
    await telegram.start()
    assert (await http.post(TELEGRAM, json=update, headers=SECRET)).status_code == 200
    assert len(inbox.messages) == 1


# ---- whatsapp ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["text", "text_hindi", "voice", "empty"])
async def test_a_message_is_stored_and_answered_with_empty_twiml(
    http: httpx.AsyncClient, inbox: Inbox, name: str
) -> None:
    form = payload(f"whatsapp/{name}")
    answer = await post_signed(http, list(form.items()))
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("application/xml")
    assert answer.text.endswith("<Response/>")
    assert [found.provider_id for found in inbox.messages] == [form["MessageSid"]]


async def test_repeated_and_empty_fields_reach_the_signature(http: httpx.AsyncClient, inbox: Inbox) -> None:
    fields = [*payload("whatsapp/text").items(), ("Tag", "b"), ("Tag", ""), ("Tag", "a+b&c=d")]
    assert (await post_signed(http, fields)).status_code == 200
    assert len(inbox.messages) == 1


@pytest.mark.parametrize("path", [WHATSAPP, WHATSAPP_STATUS])
async def test_a_forged_message_is_403(http: httpx.AsyncClient, inbox: Inbox, path: str) -> None:
    answer = await http.post(path, data=payload("whatsapp/text"), headers={"X-Twilio-Signature": "AAAA"})
    assert answer.status_code == 403
    assert answer.json()["detail"]
    assert (inbox.messages, inbox.reports) == ([], [])


async def test_a_signature_for_the_address_we_are_seen_at_is_403(http: httpx.AsyncClient, inbox: Inbox) -> None:
    form = payload("whatsapp/text")
    signature = twilio_signature(TOKEN, f"http://10.0.0.7:8000{WHATSAPP}", form)
    answer = await http.post(WHATSAPP, data=form, headers={"X-Twilio-Signature": signature})
    assert answer.status_code == 403
    assert not inbox.messages


async def test_an_unknown_message_is_200_and_counted(http: httpx.AsyncClient, inbox: Inbox) -> None:
    answer = await post_signed(http, list(payload("whatsapp/sms").items()))
    assert answer.status_code == 200
    assert inbox.unknown == [("whatsapp", "not_whatsapp")]


@pytest.mark.parametrize("known", [True, False])
async def test_a_report_is_applied(http: httpx.AsyncClient, inbox: Inbox, known: bool) -> None:
    inbox.known = known
    form = list(payload("whatsapp/status_undelivered").items())
    answer = await post_signed(http, form, f"{WHATSAPP_STATUS}?part=42")
    assert answer.status_code == 204
    (report,) = inbox.reports
    assert (report.outbox_id, report.state, report.code) == (42, DeliveryState.FAILED, "63016")


async def test_a_report_that_changes_nothing_is_not_applied(http: httpx.AsyncClient, inbox: Inbox) -> None:
    form = list(payload("whatsapp/status_queued").items())
    assert (await post_signed(http, form, WHATSAPP_STATUS)).status_code == 204
    assert (inbox.reports, inbox.unknown) == ([], [])


@pytest.mark.parametrize("body", ["ü=1", "&".join(f"f{n}=1" for n in range(1001))])
async def test_a_form_that_cannot_be_read_is_400(http: httpx.AsyncClient, body: str) -> None:
    answer = await http.post(WHATSAPP, content=body.encode(), headers=FORM)
    assert answer.status_code == 400


# ---- both ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", [TELEGRAM, WHATSAPP, WHATSAPP_STATUS])
async def test_a_channel_that_is_not_configured_is_404(inbox: Inbox, path: str) -> None:
    async with client(inbox, telegram=None, whatsapp=None) as http:
        assert (await http.post(path)).status_code == 404


@pytest.mark.parametrize("path", [TELEGRAM, WHATSAPP, WHATSAPP_STATUS])
async def test_a_body_too_large_is_413_whatever_was_announced(http: httpx.AsyncClient, path: str) -> None:
    sent = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal sent
        while sent < 10 * LARGEST_BODY:
            sent += 65536
            yield b"x" * 65536

    answer = await http.post(path, content=endless(), headers=SECRET)
    assert answer.status_code == 413
    assert sent <= 2 * LARGEST_BODY  # the rest was never read


async def test_the_largest_body_allowed_is_read(http: httpx.AsyncClient, inbox: Inbox) -> None:
    update = payload("telegram/text")
    room = LARGEST_BODY - len(json.dumps(update)) + len(update["message"]["text"])
    update["message"]["text"] = "x" * room
    body = json.dumps(update).encode()
    assert len(body) == LARGEST_BODY
    assert (await http.post(TELEGRAM, content=body, headers=SECRET)).status_code == 200
    assert (await http.post(TELEGRAM, content=body + b" ", headers=SECRET)).status_code == 413
    assert len(inbox.messages) == 1


async def test_what_cannot_be_stored_is_500_so_that_it_comes_again(http: httpx.AsyncClient, inbox: Inbox) -> None:
    inbox.full = True
    assert (await http.post(TELEGRAM, json=payload("telegram/text"), headers=SECRET)).status_code == 500
    assert (await post_signed(http, list(payload("whatsapp/text").items()))).status_code == 500
