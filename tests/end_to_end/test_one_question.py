"""One question through the real service: web, Telegram and WhatsApp, doubled webhooks, killed processes."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest

from tests.bot.simulator.driver import Driver, Json, driven, eventually
from tests.payloads.recorded import payload
from tests.servers import free_port, wait_for
from tests.service import Service
from tests.signing import twilio_signature

PUBLIC = "https://tutor.school.example"
QUESTION = "What is photosynthesis?"
QUOTES_ONLY = {"SAHPATHI_MODEL__ENABLED": "false"}
STUDENTS = {"telegram": "700100200", "twilio": "+919876543210"}  # of the payloads too
PATIENCE = 60.0


@pytest.fixture
def providers() -> Iterator[Driver]:
    """The providers of a service yet to be started, which is known by a public address. They report no reading."""
    with driven(f"http://127.0.0.1:{free_port()}", PUBLIC, receipts=("sent", "delivered")) as driver:
        yield driver


def service_of(home: Path, providers: Driver, processes: ExitStack, **settings: str) -> Service:
    """The service that the providers call, with every channel, not started yet."""
    port = str(httpx.URL(providers.config.service).port)
    service = Service(home, **(providers.config.environment() | {"SAHPATHI_PORT": port} | settings))
    processes.callback(service.stop)
    return service


def registered(providers: Driver) -> bool:
    """Whether the service has asked Telegram for its webhook."""
    return any(call["status"] == 200 for call in providers.calls("setWebhook"))


def replies(providers: Driver, channel: str) -> list[str]:
    """What the student of a channel was sent, in order."""
    students = [phone["student"] for phone in providers.get("students") if phone["provider"] == channel]
    if not students:
        return []
    shown = providers.phone(channel, STUDENTS[channel])["messages"]
    return [message["text"] for message in shown if message["from"] == "bot"]


def agree(providers: Driver, *channels: str) -> None:
    """Consent, which is asked for once and for all."""
    for channel in channels:
        providers.say(channel, STUDENTS[channel], "/agree")
    for channel in channels:
        eventually(lambda channel=channel: len(replies(providers, channel)) == 1, PATIENCE)  # type: ignore[misc]


def telegram_update(text: str, number: int = 5001) -> Json:
    update = payload("telegram/text")
    return update | {"update_id": number, "message": update["message"] | {"text": text}}


def whatsapp_form(text: str, sid: str = "SM" + "1" * 32) -> Json:
    return payload("whatsapp/text") | {"Body": text, "MessageSid": sid, "SmsMessageSid": sid}


def post_telegram(service: Service, providers: Driver, update: Json) -> httpx.Response:
    """Post an update as Telegram does, and wait for the acknowledgement, which the simulator would do by itself."""
    secret = providers.called("setWebhook")[-1]["secret_token"]
    headers = {"X-Telegram-Bot-Api-Secret-Token": secret}
    return httpx.post(f"{service.url}/webhooks/telegram", json=update, headers=headers, trust_env=False)


def post_whatsapp(service: Service, providers: Driver, form: Json, public: str = PUBLIC) -> httpx.Response:
    """Post a message signed for `public` as Twilio does; a proxy stands between."""
    token = providers.config.twilio.auth_token
    headers = {"X-Twilio-Signature": twilio_signature(token, f"{public}/webhooks/whatsapp", form)}
    return httpx.post(f"{service.url}/webhooks/whatsapp", data=form, headers=headers, trust_env=False)


def metrics(service: Service) -> str:
    return httpx.get(f"{service.url}/metrics", trust_env=False).text


def settled() -> None:
    """Give a second answer, if one were coming, the time to arrive."""
    time.sleep(1.5)


def test_the_same_question_on_every_channel_gets_the_same_sourced_answer_once(
    home: Path, providers: Driver, processes: ExitStack
) -> None:
    service = service_of(home, providers, processes, SAHPATHI_DECODING__TEMPERATURE="0")
    service.start()
    wait_for(lambda: registered(providers))
    assert providers.called("setWebhook")[0]["url"] == f"{PUBLIC}/webhooks/telegram"

    web = service.ask(QUESTION)
    assert web["route"] in {"generated", "quoted"}
    assert (web["sources"][0]["book"], web["sources"][0]["page"]) == ("Science, Class 7", 1)
    assert "food" in web["answer"]

    for _ in range(3):
        providers.say("telegram", STUDENTS["telegram"], QUESTION, provider_id="5001")
        providers.say("twilio", STUDENTS["twilio"], QUESTION, provider_id="SM" + "1" * 32)
    eventually(lambda: replies(providers, "telegram") and replies(providers, "twilio"), PATIENCE)
    settled()
    for name in ("telegram", "whatsapp"):
        assert f'sahpathi_messages_received_total{{channel="{name}",duplicate="true"}} 2.0' in metrics(service)
    (asked,), (asked_too,) = replies(providers, "telegram"), replies(providers, "twilio")
    assert "Do you agree?" in asked  # the question waits for consent, which is asked for once
    assert asked_too.endswith("1. Yes, I agree\n2. No")

    question = providers.last("telegram", STUDENTS["telegram"])
    providers.say("telegram", STUDENTS["telegram"], kind="press", message=question["id"], data="/agree")
    providers.say("twilio", STUDENTS["twilio"], "1")
    eventually(lambda: all(len(replies(providers, channel)) == 3 for channel in STUDENTS), PATIENCE)
    settled()
    (*_, telegram), (*_, whatsapp) = replies(providers, "telegram"), replies(providers, "twilio")
    assert [len(replies(providers, channel)) for channel in STUDENTS] == [3, 3]
    assert whatsapp == telegram + "\n\n1. 👍   2. 👎"
    assert telegram.startswith(web["answer"])
    assert "Science, Class 7" in telegram
    assert "page 1" in telegram

    eventually(lambda: 'sahpathi_rows{state="outbox.delivered"} 3.0' in metrics(service))
    assert providers.violations() == []
    assert service.stop() == 0
    assert "photosynthesis" not in service.log.read_text(encoding="utf-8").lower()


def test_without_a_public_address_telegram_is_polled(home: Path, providers: Driver, processes: ExitStack) -> None:
    telegram = {key: value for key, value in providers.config.environment().items() if "TELEGRAM" in key}
    port = str(httpx.URL(providers.config.service).port)
    service = Service(home, **telegram, **QUOTES_ONLY, SAHPATHI_PORT=port)
    processes.callback(service.stop)
    service.start()
    providers.say("telegram", STUDENTS["telegram"], "/agree")
    providers.say("telegram", STUDENTS["telegram"], QUESTION)
    eventually(lambda: len(replies(providers, "telegram")) == 2, PATIENCE)
    settled()
    assert len(replies(providers, "telegram")) == 2
    assert "page 1" in replies(providers, "telegram")[1]
    assert providers.calls("setWebhook") == []
    assert providers.violations() == []


def test_a_forged_webhook_is_refused_and_an_unknown_one_counted(
    home: Path, providers: Driver, processes: ExitStack
) -> None:
    service = service_of(home, providers, processes, **QUOTES_ONLY)
    service.start()
    wait_for(lambda: registered(providers))
    assert post_whatsapp(service, providers, whatsapp_form(QUESTION), "https://evil.example").status_code == 403
    unsigned = httpx.post(f"{service.url}/webhooks/telegram", json=telegram_update(QUESTION), trust_env=False)
    assert unsigned.status_code == 403
    strange = {"update_id": 9, "telepathy": {"text": "?"}}
    assert post_telegram(service, providers, strange).status_code == 200
    assert 'sahpathi_webhooks_unknown_total{channel="telegram",kind="telepathy"} 1.0' in metrics(service)
    assert "sahpathi_messages_received_total{" not in metrics(service)
    assert providers.sent("sendMessage") == []
    assert providers.sent("create") == []
