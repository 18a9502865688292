"""One question through the real service: web, Telegram and WhatsApp, doubled webhooks, killed processes."""

from __future__ import annotations

import time
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest

from tests.end_to_end.conftest import Service, payload
from tests.fakes import FakeTelegram, FakeTwilio
from tests.servers import chroma_server, wait_for

PUBLIC = "https://tutor.school.example"
QUESTION = "What is photosynthesis?"
QUOTES_ONLY = {"SAHPATHI_MODEL__ENABLED": "false"}


def telegram_settings(api: FakeTelegram) -> dict[str, str]:
    return {"SAHPATHI_TELEGRAM__TOKEN": api.token, "SAHPATHI_TELEGRAM__API_BASE": api.url}


def twilio_settings(api: FakeTwilio) -> dict[str, str]:
    return {
        "SAHPATHI_TWILIO__ACCOUNT_SID": api.account_sid,
        "SAHPATHI_TWILIO__AUTH_TOKEN": api.auth_token,
        "SAHPATHI_TWILIO__FROM": "whatsapp:+14155238886",
        "SAHPATHI_TWILIO__API_BASE": api.url,
        "SAHPATHI_PUBLIC_URL": PUBLIC,
    }


def telegram_update(text: str, number: int = 5001) -> dict[str, object]:
    update = payload("telegram/text")
    update["update_id"] = number
    update["message"]["text"] = text
    return update


def whatsapp_form(text: str, sid: str = "SM" + "1" * 32) -> dict[str, str]:
    return payload("whatsapp/text") | {"Body": text, "MessageSid": sid, "SmsMessageSid": sid}


def settled() -> None:
    """Give a second answer, if one were coming, the time to arrive."""
    time.sleep(1.5)


def test_the_same_question_on_every_channel_gets_the_same_sourced_answer_once(
    home: Path, bot_api: FakeTelegram, twilio_api: FakeTwilio, processes: ExitStack
) -> None:
    settings = telegram_settings(bot_api) | twilio_settings(twilio_api) | {"SAHPATHI_DECODING__TEMPERATURE": "0"}
    service = Service(home, **settings)
    processes.callback(service.stop)
    service.start()
    wait_for(lambda: bot_api.webhook["url"] == f"{PUBLIC}/webhooks/telegram")

    web = service.ask(QUESTION)
    assert web["route"] in {"generated", "quoted"}
    assert (web["sources"][0]["book"], web["sources"][0]["page"]) == ("Science, Class 7", 1)
    assert "food" in web["answer"]

    for _ in range(3):
        assert bot_api.deliver(telegram_update(QUESTION), url=f"{service.url}/webhooks/telegram").status_code == 200
        to = f"{service.url}/webhooks/whatsapp"
        form = whatsapp_form(QUESTION)
        assert twilio_api.deliver(form, public_url=f"{PUBLIC}/webhooks/whatsapp", to=to).status_code == 200
    wait_for(lambda: bool(bot_api.sent) and bool(twilio_api.sent), seconds=60)
    settled()
    (telegram,), (whatsapp,) = bot_api.sent, twilio_api.sent
    assert telegram["text"] == whatsapp["Body"]
    assert telegram["text"].startswith(web["answer"])
    assert "Science, Class 7" in telegram["text"]
    assert "page 1" in telegram["text"]

    (sent,) = twilio_api.messages
    assert twilio_api.report(sent["sid"], "delivered", to=service.url).status_code == 204
    metrics = httpx.get(f"{service.url}/metrics", trust_env=False).text
    assert 'sahpathi_rows{state="outbox.delivered"} 1.0' in metrics
    assert service.stop() == 0
    assert "photosynthesis" not in service.log.read_text(encoding="utf-8").lower()


@pytest.mark.parametrize("channel", ["telegram", "whatsapp"])
def test_a_question_acknowledged_before_a_kill_is_answered_once_after_it(
    home: Path, bot_api: FakeTelegram, twilio_api: FakeTwilio, processes: ExitStack, channel: str
) -> None:
    service = Service(home, **telegram_settings(bot_api), **twilio_settings(twilio_api), **QUOTES_ONLY)
    processes.callback(service.stop)
    service.start()
    wait_for(lambda: bool(bot_api.webhook["url"]))

    def deliver() -> httpx.Response:
        if channel == "telegram":
            return bot_api.deliver(telegram_update(QUESTION), url=f"{service.url}/webhooks/telegram")
        return twilio_api.deliver(
            whatsapp_form(QUESTION), public_url=f"{PUBLIC}/webhooks/whatsapp", to=f"{service.url}/webhooks/whatsapp"
        )

    def sent() -> list[dict[str, object]]:
        return bot_api.sent if channel == "telegram" else twilio_api.sent

    assert deliver().status_code == 200
    service.kill()
    assert sent() == []  # killed between the acknowledgement and the answer
    service.start()
    assert deliver().status_code == 200  # the provider retries all the same
    wait_for(lambda: bool(sent()), seconds=60)
    settled()
    assert len(sent()) == 1


def test_without_a_public_address_telegram_is_polled(home: Path, bot_api: FakeTelegram, processes: ExitStack) -> None:
    service = Service(home, **telegram_settings(bot_api), **QUOTES_ONLY)
    processes.callback(service.stop)
    service.start()
    bot_api.push(telegram_update(QUESTION, 6001))
    wait_for(lambda: bool(bot_api.sent), seconds=60)
    settled()
    assert len(bot_api.sent) == 1
    assert "page 1" in bot_api.sent[0]["text"]


def test_a_forged_webhook_is_refused_and_an_unknown_one_counted(
    home: Path, bot_api: FakeTelegram, twilio_api: FakeTwilio, processes: ExitStack
) -> None:
    service = Service(home, **telegram_settings(bot_api), **twilio_settings(twilio_api), **QUOTES_ONLY)
    processes.callback(service.stop)
    service.start()
    wait_for(lambda: bool(bot_api.webhook["url"]))
    to = f"{service.url}/webhooks/whatsapp"
    forged = twilio_api.deliver(whatsapp_form(QUESTION), public_url="https://evil.example/webhooks/whatsapp", to=to)
    assert forged.status_code == 403
    unsigned = httpx.post(f"{service.url}/webhooks/telegram", json=telegram_update(QUESTION), trust_env=False)
    assert unsigned.status_code == 403
    strange = {"update_id": 9, "telepathy": {"text": "?"}}
    assert bot_api.deliver(strange, url=f"{service.url}/webhooks/telegram").status_code == 200
    metrics = httpx.get(f"{service.url}/metrics", trust_env=False).text
    assert 'sahpathi_webhooks_unknown_total{channel="telegram"' in metrics
    assert bot_api.sent == []
    assert twilio_api.sent == []


@pytest.mark.redis
def test_a_worker_in_a_second_process_answers_and_its_death_loses_nothing(
    home: Path, tmp_path: Path, redis_url: str, bot_api: FakeTelegram, processes: ExitStack
) -> None:
    chroma = processes.enter_context(chroma_server(tmp_path / "chroma"))
    shared = {
        "SAHPATHI_REDIS_URL": redis_url, "SAHPATHI_CHROMA_URL": chroma, "SAHPATHI_PUBLIC_URL": PUBLIC,
        "SAHPATHI_WORKER__LEASE_SECONDS": "3", "SAHPATHI_WORKER__SWEEP_SECONDS": "0.5",
    } | telegram_settings(bot_api) | QUOTES_ONLY  # fmt: skip
    web, worker = Service(home, **shared), Service(home, "worker", **shared)
    for service in (web, worker):
        processes.callback(service.stop)
    web.start()
    wait_for(lambda: bool(bot_api.webhook["url"]))
    worker.start()
    answer = web.ask(QUESTION)
    assert answer["sources"][0]["page"] == 1

    worker.kill()
    assert bot_api.deliver(telegram_update(QUESTION), url=f"{web.url}/webhooks/telegram").status_code == 200
    settled()
    assert bot_api.sent == []
    worker.start()
    wait_for(lambda: bool(bot_api.sent), seconds=60)
    settled()
    assert len(bot_api.sent) == 1
