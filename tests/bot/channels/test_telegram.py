from __future__ import annotations

import asyncio
import json
import logging
import traceback
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from bot.channels.telegram import WEBHOOK_PATH, TelegramChannel
from bot.errors import ForgedRequest, PermanentError, SahpathiError, SettingsError, TransientError, UnknownShape
from bot.ports import HttpRequest, Kind, Outgoing
from bot.web import webhooks
from tests.fakes import FakeTelegram

Payload = Callable[[str], dict[str, Any]]

PUBLIC = "https://tutor.school.example/"
SECRET = "s3cret-Token"
PART = Outgoing(7, "700100200", "Plants make food from light.", answer_id="ab" * 16, feedback=True)

# The library warns each time it makes a RetryAfter, about a later change of the type of its delay; we take both types.
RETRY_AFTER = pytest.mark.filterwarnings("ignore::telegram.warnings.PTBDeprecationWarning")


@pytest.fixture
async def behind_webhook(bot_api: FakeTelegram) -> AsyncIterator[TelegramChannel]:
    channel = TelegramChannel(bot_api.token, secret=SECRET, api_base=bot_api.url, public_url=PUBLIC, timeout=2.0)
    yield channel
    await channel.close()


def posted(update: object, secret: str | None = SECRET) -> HttpRequest:
    headers = {} if secret is None else {"x-telegram-bot-api-secret-token": secret}
    body = update if isinstance(update, bytes) else json.dumps(update).encode()
    return HttpRequest(WEBHOOK_PATH, headers, body)


# ---- start ---------------------------------------------------------------------------------------------------------


async def test_start_registers_the_webhook(bot_api: FakeTelegram, behind_webhook: TelegramChannel) -> None:
    await behind_webhook.start()
    (call,) = bot_api.called("setWebhook")
    assert call["url"] == "https://tutor.school.example/webhooks/telegram"
    assert call["secret_token"] == SECRET
    assert json.loads(call["allowed_updates"]) == ["message", "callback_query"]
    assert call["drop_pending_updates"] == "false"


async def test_start_without_a_public_url_makes_way_for_polling(
    bot_api: FakeTelegram, telegram: TelegramChannel
) -> None:
    bot_api.webhook = {"url": "https://old.example"}
    await telegram.start()
    assert bot_api.webhook == {"url": ""}
    assert bot_api.called("deleteWebhook")[0].get("drop_pending_updates") in (None, "false")


async def test_a_refused_token_is_a_setup_error(bot_api: FakeTelegram) -> None:
    channel = TelegramChannel("123456:wrong", secret=SECRET, api_base=bot_api.url)
    with pytest.raises(SettingsError, match="SAHPATHI_TELEGRAM__TOKEN"):
        await channel.start()
    await channel.close()


@pytest.mark.parametrize("token", ["", "hello", "123456:with space", "123456:abc\n", "/../x"])
def test_what_cannot_be_a_token_is_refused_at_once(token: str) -> None:
    with pytest.raises(SettingsError, match="BotFather"):
        TelegramChannel(token, secret=SECRET)


async def test_a_refused_address_is_a_setup_error(bot_api: FakeTelegram, behind_webhook: TelegramChannel) -> None:
    bot_api.fail("setWebhook", 400, description="Bad Request: bad webhook: Failed to resolve host")
    with pytest.raises(SettingsError, match=r"SAHPATHI_PUBLIC_URL"):
        await behind_webhook.start()


async def test_started_tries_again_until_telegram_answers(bot_api: FakeTelegram, telegram: TelegramChannel) -> None:
    bot_api.fail("getMe", 502, times=2)
    bot_api.fail("deleteWebhook", 500)
    await asyncio.wait_for(telegram.started(asyncio.Event()), 10)
    assert len(bot_api.called("getMe")) == 4


async def test_the_paths_of_both_sides_agree() -> None:
    assert webhooks.TELEGRAM == WEBHOOK_PATH


# ---- receive -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("secret", [None, "", "s3cret-token", "s3cret-Token ", "é"])
def test_a_wrong_secret_is_forged(telegram: TelegramChannel, payload: Payload, secret: str | None) -> None:
    with pytest.raises(ForgedRequest):
        telegram.receive(posted(payload("telegram/text"), secret))


def test_the_right_secret_is_parsed(telegram: TelegramChannel, payload: Payload) -> None:
    (inbound,) = telegram.receive(posted(payload("telegram/text")))
    assert inbound.kind is Kind.TEXT


@pytest.mark.parametrize("body", [b"", b"{", b"\xff\xfe", b"[" * 200_000, b"null"])
def test_malformed_json_is_an_unknown_shape(telegram: TelegramChannel, body: bytes) -> None:
    with pytest.raises(UnknownShape) as raised:
        telegram.receive(posted(body))
    assert raised.value.kind == "malformed"


async def test_start_teaches_the_bot_its_name(telegram: TelegramChannel, payload: Payload) -> None:
    request = posted(payload("telegram/group_mention"))
    with pytest.raises(TransientError):
        telegram.receive(request)
    await telegram.start()
    assert telegram.receive(request)[0].text.endswith("what is a root?")


async def test_a_press_is_acknowledged(bot_api: FakeTelegram, telegram: TelegramChannel, payload: Payload) -> None:
    await telegram.acknowledge(posted(payload("telegram/callback_up")))
    assert bot_api.called("answerCallbackQuery")[0]["callback_query_id"] == "3006978021745101234"


async def test_acknowledging_never_raises(bot_api: FakeTelegram, telegram: TelegramChannel, payload: Payload) -> None:
    bot_api.fail("answerCallbackQuery", 400, description="Bad Request: query is too old")
    await telegram.acknowledge(posted(payload("telegram/callback_up")))
    await telegram.acknowledge(posted(payload("telegram/text")))
    assert len(bot_api.called("answerCallbackQuery")) == 1


# ---- send ----------------------------------------------------------------------------------------------------------


async def test_send_is_plain_text_with_thumbs(bot_api: FakeTelegram, telegram: TelegramChannel) -> None:
    sent = await telegram.send(PART)
    (call,) = bot_api.sent
    assert sent == "2"
    assert (call["chat_id"], call["text"]) == ("700100200", PART.text)
    assert "parse_mode" not in call
    ((up, down),) = json.loads(call["reply_markup"])["inline_keyboard"]
    assert (up["text"], up["callback_data"]) == ("👍", f"rate:{'ab' * 16}:up")
    assert (down["text"], down["callback_data"]) == ("👎", f"rate:{'ab' * 16}:down")


@pytest.mark.parametrize("part", [Outgoing(1, "5", "Hello"), Outgoing(1, "5", "Hello", feedback=True),
                                  Outgoing(1, "5", "Hello", answer_id="a" * 32)])  # fmt: skip
async def test_no_thumbs_where_nothing_is_to_be_rated(
    bot_api: FakeTelegram, telegram: TelegramChannel, part: Outgoing
) -> None:
    await telegram.send(part)
    assert "reply_markup" not in bot_api.sent[0]


async def test_markup_in_an_answer_is_sent_as_written(bot_api: FakeTelegram, telegram: TelegramChannel) -> None:
    await telegram.send(Outgoing(1, "5", "if a<b & *c* then [x](y) _z"))
    assert bot_api.sent[0]["text"] == "if a<b & *c* then [x](y) _z"


async def test_the_longest_part_is_accepted(bot_api: FakeTelegram, telegram: TelegramChannel) -> None:
    parts = telegram.split("👍" * 5000)
    for part in parts:
        await telegram.send(Outgoing(1, "5", part))
    assert "".join(call["text"] for call in bot_api.sent) == "👍" * 5000


@RETRY_AFTER
async def test_flood_control_names_its_delay(bot_api: FakeTelegram, telegram: TelegramChannel) -> None:
    bot_api.fail("sendMessage", 429, description="Too Many Requests: retry after 17", retry_after=17)
    with pytest.raises(TransientError) as raised:
        await telegram.send(PART)
    assert (raised.value.retry_after, raised.value.code, raised.value.in_doubt) == (17.0, "429", False)


@pytest.mark.parametrize(
    ("status", "description"),
    [(403, "Forbidden: bot was blocked by the user"), (400, "Bad Request: chat not found"), (401, "Unauthorized")],
)
async def test_refusals_are_permanent(
    bot_api: FakeTelegram, telegram: TelegramChannel, status: int, description: str
) -> None:
    bot_api.fail("sendMessage", status, description=description)
    with pytest.raises(PermanentError) as raised:
        await telegram.send(PART)
    assert raised.value.code == str(status)


@pytest.mark.parametrize("status", [500, 502, 504])
async def test_an_ill_server_is_transient_and_leaves_doubt(
    bot_api: FakeTelegram, telegram: TelegramChannel, status: int
) -> None:
    bot_api.fail("sendMessage", status)
    with pytest.raises(TransientError) as raised:
        await telegram.send(PART)
    assert raised.value.in_doubt


async def test_silence_is_transient_and_leaves_doubt(bot_api: FakeTelegram) -> None:
    channel = TelegramChannel(bot_api.token, secret=SECRET, api_base=bot_api.url, timeout=0.2)
    bot_api.fail("sendMessage", None, accepted=True)
    with pytest.raises(TransientError) as raised:
        await channel.send(PART)
    assert raised.value.in_doubt
    assert len(bot_api.sent) == 1  # it was indeed accepted
    await channel.close()


async def test_an_unreachable_server_is_transient_without_doubt() -> None:
    channel = TelegramChannel("123456:abc", secret=SECRET, api_base="http://127.0.0.1:9", timeout=2.0)
    with pytest.raises(TransientError) as raised:
        await channel.send(PART)
    assert not raised.value.in_doubt
    await channel.typing("5")  # never raises
    await channel.close()


async def test_a_group_that_moved_is_followed(bot_api: FakeTelegram, telegram: TelegramChannel) -> None:
    moved = {"migrate_to_chat_id": -1009}
    bot_api.fail("sendMessage", 400, description="group chat was upgraded to a supergroup chat", parameters=moved)
    await telegram.send(PART)
    assert [call["chat_id"] for call in bot_api.sent] == ["-1009"]


async def test_typing_is_shown_and_never_raises(bot_api: FakeTelegram, telegram: TelegramChannel) -> None:
    await telegram.typing("700100200")
    assert bot_api.called("sendChatAction")[0]["action"] == "typing"
    bot_api.fail("sendChatAction", 403)
    await telegram.typing("700100200")


async def test_nobody_can_tell_what_became_of_a_part(telegram: TelegramChannel) -> None:
    assert await telegram.reconcile(PART) is None


# ---- secrets -------------------------------------------------------------------------------------------------------


@RETRY_AFTER
async def test_no_token_and_no_words_in_logs_or_errors(
    bot_api: FakeTelegram, caplog: pytest.LogCaptureFixture, payload: Payload
) -> None:
    caplog.set_level(logging.DEBUG)
    channel = TelegramChannel(bot_api.token, secret=SECRET, api_base=bot_api.url, timeout=0.2, backoff=0.01)
    wrong = TelegramChannel("123456:never-given-out", secret=SECRET, api_base=bot_api.url)
    away = TelegramChannel(bot_api.token, secret=SECRET, api_base="http://127.0.0.1:9")
    told = []

    async def failing(call: Callable[[], Any]) -> None:
        with pytest.raises(SahpathiError) as raised:
            await call()
        told.append("".join(traceback.format_exception(raised.value)))

    for status in (400, 401, 403, 429, 500, None):
        bot_api.fail("sendMessage", status, retry_after=1 if status == 429 else None)
        await failing(lambda: channel.send(PART))
    await failing(wrong.start)
    await failing(away.start)
    await failing(lambda: away.send(PART))
    await away.typing("5")
    stop = asyncio.Event()
    bot_api.fail("getUpdates", 409, description="Conflict")
    bot_api.fail("getUpdates", 500)
    bot_api.push(payload("telegram/text"))

    async def accept(inbound: object) -> None:
        stop.set()

    await asyncio.wait_for(channel.poll(accept, stop), 10)
    for opened in (channel, wrong, away):
        await opened.close()

    ours = [record for record in caplog.records if not record.name.startswith("uvicorn")]  # that is the stand-in
    logged = "\n".join(f"{record.getMessage()} {record.exc_text or ''}" for record in ours)
    assert "another program" in logged
    for secret in (bot_api.token.partition(":")[2], "never-given-out", PART.text, "What is photosynthesis?"):
        assert secret not in logged
        assert secret not in "\n".join(told)
