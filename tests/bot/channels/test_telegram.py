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
from bot.ports import Choice, HttpRequest, Kind, Outgoing
from bot.web import webhooks
from tests.bot.channels.simulated import ASHA, PUBLIC, SECRET, bot_call, bot_refusal, confirmed, telegram_of
from tests.bot.simulator.driver import Driver, eventually
from tests.payloads.recorded import payload

THUMBS = tuple(Choice(sign, f"/rate {word} {'ab' * 16}") for sign, word in (("👍", "up"), ("👎", "down")))
PART = Outgoing(7, ASHA, "Plants make food from light.", THUMBS)


@pytest.fixture
async def behind_webhook(bot_api: Driver) -> AsyncIterator[TelegramChannel]:
    channel = telegram_of(bot_api, public_url=PUBLIC + "/")
    yield channel
    await channel.close()


def posted(update: object, secret: str | None = SECRET) -> HttpRequest:
    headers = {} if secret is None else {"x-telegram-bot-api-secret-token": secret}
    body = update if isinstance(update, bytes) else json.dumps(update).encode()
    return HttpRequest(WEBHOOK_PATH, headers, body)


# ---- start ---------------------------------------------------------------------------------------------------------


async def test_start_registers_the_webhook(bot_api: Driver, behind_webhook: TelegramChannel) -> None:
    await behind_webhook.start()
    (call,) = bot_api.called("setWebhook")
    assert call["url"] == "https://tutor.school.example/webhooks/telegram"
    assert call["secret_token"] == SECRET
    assert json.loads(call["allowed_updates"]) == ["message", "edited_message", "callback_query"]
    assert call["drop_pending_updates"] == "false"
    assert bot_call(bot_api, "getWebhookInfo")["url"] == call["url"]
    assert bot_api.violations() == []


async def test_start_without_a_public_url_makes_way_for_polling(bot_api: Driver, telegram: TelegramChannel) -> None:
    bot_call(bot_api, "setWebhook", url=f"{PUBLIC}/old")
    await telegram.start()
    assert bot_call(bot_api, "getWebhookInfo")["url"] == ""
    assert bot_api.called("deleteWebhook")[0].get("drop_pending_updates") in (None, "false")


async def test_a_refused_token_is_a_setup_error(bot_api: Driver) -> None:
    channel = telegram_of(bot_api, token="123456:wrong")
    with pytest.raises(SettingsError, match="SAHPATHI_TELEGRAM__TOKEN"):
        await channel.start()
    await channel.close()


@pytest.mark.parametrize("token", ["", "hello", "123456:with space", "123456:abc\n", "/../x"])
def test_what_cannot_be_a_token_is_refused_at_once(token: str) -> None:
    with pytest.raises(SettingsError, match="BotFather"):
        TelegramChannel(token, secret=SECRET)


async def test_a_refused_address_is_a_setup_error(bot_api: Driver) -> None:
    channel = telegram_of(bot_api, public_url="https://nowhere.example")
    with pytest.raises(SettingsError, match=r"SAHPATHI_PUBLIC_URL") as raised:
        await channel.start()
    assert "failed to resolve host" in str(raised.value)
    await channel.close()


async def test_started_tries_again_until_telegram_answers(bot_api: Driver, telegram: TelegramChannel) -> None:
    bot_api.faults("telegram", bot_refusal("getMe", 502, times=2), bot_refusal("deleteWebhook", 500))
    await asyncio.wait_for(telegram.started(asyncio.Event()), 10)
    assert [call["status"] for call in bot_api.calls("getMe")] == [502, 502, 200, 200]
    assert [call["status"] for call in bot_api.calls("deleteWebhook")] == [500, 200]


async def test_the_paths_of_both_sides_agree() -> None:
    assert webhooks.TELEGRAM == WEBHOOK_PATH


# ---- receive -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("secret", [None, "", "s3cret-token", "s3cret-Token ", "é"])
def test_a_wrong_secret_is_forged(telegram: TelegramChannel, secret: str | None) -> None:
    with pytest.raises(ForgedRequest):
        telegram.receive(posted(payload("telegram/text"), secret))


def test_the_right_secret_is_parsed(telegram: TelegramChannel) -> None:
    (inbound,) = telegram.receive(posted(payload("telegram/text")))
    assert inbound.kind is Kind.TEXT


@pytest.mark.parametrize("body", [b"", b"{", b"\xff\xfe", b"[" * 200_000, b"null"])
def test_malformed_json_is_an_unknown_shape(telegram: TelegramChannel, body: bytes) -> None:
    with pytest.raises(UnknownShape) as raised:
        telegram.receive(posted(body))
    assert raised.value.kind == "malformed"


async def test_start_teaches_the_bot_its_name(telegram: TelegramChannel) -> None:
    request = posted(payload("telegram/group_mention"))
    with pytest.raises(TransientError):
        telegram.receive(request)
    await telegram.start()
    assert telegram.receive(request)[0].text.endswith("what is a root?")


async def pressed(bot_api: Driver, telegram: TelegramChannel) -> HttpRequest:
    """The webhook of a thumb under a message that was really sent."""
    sent = await telegram.send(PART)
    bot_api.say("telegram", ASHA, kind="press", message=sent, data=PART.choices[0].command)
    (update,) = confirmed(bot_api)
    return posted(update)


async def test_a_press_is_acknowledged(bot_api: Driver, telegram: TelegramChannel, asha: str) -> None:
    request = await pressed(bot_api, telegram)
    assert bot_api.last("telegram", asha)["buttons"][0][0]["waiting"]
    await telegram.acknowledge(request)
    (call,) = bot_api.called("answerCallbackQuery")
    assert call["callback_query_id"] == json.loads(request.body)["callback_query"]["id"]
    assert not bot_api.last("telegram", asha)["buttons"][0][0]["waiting"]
    assert bot_api.violations() == []


async def test_acknowledging_never_raises(bot_api: Driver, telegram: TelegramChannel) -> None:
    await telegram.acknowledge(
        posted(payload("telegram/callback_up"))
    )  # a query that Telegram does not know (any more)
    await telegram.acknowledge(posted(payload("telegram/text")))
    (call,) = bot_api.calls("answerCallbackQuery")
    assert call["status"] == 400


# ---- send ----------------------------------------------------------------------------------------------------------


async def test_send_is_plain_text_with_thumbs(bot_api: Driver, telegram: TelegramChannel, asha: str) -> None:
    sent = await telegram.send(PART)
    (call,) = bot_api.sent("sendMessage")
    assert (call["chat_id"], call["text"]) == (asha, PART.text)
    assert "parse_mode" not in call
    ((up, down),) = json.loads(call["reply_markup"])["inline_keyboard"]
    assert (up["text"], up["callback_data"]) == ("👍", f"/rate up {'ab' * 16}")
    assert (down["text"], down["callback_data"]) == ("👎", f"/rate down {'ab' * 16}")
    shown = bot_api.last("telegram", asha)
    assert (shown["id"], shown["text"]) == (sent, PART.text)
    assert bot_api.violations() == []


async def test_no_buttons_where_nothing_is_to_be_chosen(bot_api: Driver, telegram: TelegramChannel, asha: str) -> None:
    await telegram.send(Outgoing(1, asha, "Hello"))
    assert "reply_markup" not in bot_api.sent("sendMessage")[0]


@pytest.mark.parametrize(
    ("labels", "rows"),
    [(["Class 6", "Class 7", "Class 8", "All classes"], [3, 1]), (["General knowledge", "Science"], [1, 1])],
)
async def test_buttons_stand_in_rows_that_a_phone_shows_whole(
    bot_api: Driver, telegram: TelegramChannel, asha: str, labels: list[str], rows: list[int]
) -> None:
    await telegram.send(Outgoing(1, asha, "Which?", tuple(Choice(label, "/class 7") for label in labels)))
    keyboard = bot_api.last("telegram", asha)["buttons"]
    assert [len(row) for row in keyboard] == rows
    assert [button["text"] for row in keyboard for button in row] == labels


async def test_the_menu_stays_beside_the_keyboard(bot_api: Driver, telegram: TelegramChannel, asha: str) -> None:
    await telegram.send(Outgoing(1, asha, "Hello", menu=("Class", "Subject", "Help")))
    markup = json.loads(bot_api.sent("sendMessage")[0]["reply_markup"])
    assert [[key["text"] for key in row] for row in markup["keyboard"]] == [["Class", "Subject"], ["Help"]]
    assert markup["is_persistent"]
    assert markup["resize_keyboard"]
    keyboard = bot_api.phone("telegram", asha)["keyboard"]
    assert [[key["text"] for key in row] for row in keyboard] == [["Class", "Subject"], ["Help"]]


async def test_markup_in_an_answer_is_sent_as_written(bot_api: Driver, telegram: TelegramChannel, asha: str) -> None:
    await telegram.send(Outgoing(1, asha, "if a<b & *c* then [x](y) _z"))
    assert bot_api.sent("sendMessage")[0]["text"] == "if a<b & *c* then [x](y) _z"
    assert bot_api.shown("telegram", asha)[-1] == "if a<b & *c* then [x](y) _z"


async def test_the_longest_part_is_accepted(bot_api: Driver, telegram: TelegramChannel, asha: str) -> None:
    parts = telegram.split("👍" * 5000)
    for part in parts:
        await telegram.send(Outgoing(1, asha, part))
    assert "".join(call["text"] for call in bot_api.sent("sendMessage")) == "👍" * 5000
    assert bot_api.violations() == []


async def test_flood_control_names_its_delay(bot_api: Driver, telegram: TelegramChannel) -> None:
    bot_api.fault("telegram", "rate_limit", seconds=17)
    with pytest.raises(TransientError) as raised:
        await telegram.send(PART)
    assert (raised.value.retry_after, raised.value.code, raised.value.in_doubt) == (17.0, "429", False)


@pytest.mark.parametrize(
    ("status", "description"),
    [(403, "Forbidden: bot was blocked by the user"), (400, "Bad Request: chat not found"), (401, "Unauthorized")],
)
async def test_refusals_are_permanent(
    bot_api: Driver, telegram: TelegramChannel, asha: str, status: int, description: str
) -> None:
    bot_api.faults("telegram", bot_refusal("sendMessage", status, description))
    with pytest.raises(PermanentError) as raised:
        await telegram.send(PART)
    assert raised.value.code == str(status)
    assert bot_api.sent("sendMessage") == []


async def test_a_student_who_blocked_the_bot_and_one_who_never_wrote_are_refused(
    bot_api: Driver, telegram: TelegramChannel, asha: str
) -> None:
    """As the simulator refuses by itself, not by a fault."""
    bot_api.refuse("telegram", asha, "403")
    for address, code in ((asha, "403"), ("700100999", "400")):
        with pytest.raises(PermanentError) as raised:
            await telegram.send(Outgoing(1, address, "Hello"))
        assert raised.value.code == code


@pytest.mark.parametrize("status", [500, 502, 504])
async def test_an_ill_server_is_transient_and_leaves_doubt(
    bot_api: Driver, telegram: TelegramChannel, status: int
) -> None:
    bot_api.faults("telegram", bot_refusal("sendMessage", status))
    with pytest.raises(TransientError) as raised:
        await telegram.send(PART)
    assert raised.value.in_doubt


@pytest.mark.parametrize("kind", ["slow", "drop"])
async def test_silence_is_transient_and_leaves_doubt(bot_api: Driver, asha: str, kind: str) -> None:
    channel = telegram_of(bot_api, timeout=0.2)
    bot_api.fault("telegram", kind, seconds=0.5, only=["sendMessage"], times=1)
    with pytest.raises(TransientError) as raised:
        await channel.send(PART)
    assert raised.value.in_doubt
    eventually(lambda: bot_api.shown("telegram", asha)[-1] == PART.text)  # it was indeed accepted
    assert len(bot_api.sent("sendMessage")) == 1
    await channel.close()


async def test_an_unreachable_server_is_transient_without_doubt() -> None:
    channel = TelegramChannel("123456:abc", secret=SECRET, api_base="http://127.0.0.1:9", timeout=2.0)
    with pytest.raises(TransientError) as raised:
        await channel.send(PART)
    assert not raised.value.in_doubt
    await channel.typing("5", "1")  # never raises
    await channel.close()


async def test_a_group_that_moved_is_followed(bot_api: Driver, telegram: TelegramChannel) -> None:
    moved = "700100900"  # another chat: the simulator has no groups
    bot_api.say("telegram", moved, "hello")
    description = "Bad Request: group chat was upgraded to a supergroup chat"
    bot_api.faults("telegram", bot_refusal("sendMessage", 400, description, migrate_to_chat_id=int(moved)))
    sent = await telegram.send(PART)
    assert [call["chat_id"] for call in bot_api.called("sendMessage")] == [PART.address, moved]
    assert bot_api.last("telegram", moved)["id"] == sent


async def test_typing_is_shown_and_never_raises(bot_api: Driver, telegram: TelegramChannel, asha: str) -> None:
    await telegram.typing(asha, "1")
    assert bot_api.called("sendChatAction")[0]["action"] == "typing"
    assert bot_api.phone("telegram", asha)["typing"] > 0
    bot_api.refuse("telegram", asha, "403")
    await telegram.typing(asha, "1")
    assert [call["status"] for call in bot_api.calls("sendChatAction")] == [200, 403]


async def test_nobody_can_tell_what_became_of_a_part(telegram: TelegramChannel) -> None:
    assert await telegram.reconcile(PART) is None


# ---- secrets -------------------------------------------------------------------------------------------------------


async def test_no_token_and_no_words_in_logs_or_errors(bot_api: Driver, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    channel = telegram_of(bot_api, timeout=0.2)
    wrong = telegram_of(bot_api, token="123456:never-given-out")
    away = telegram_of(bot_api, api_base="http://127.0.0.1:9")
    told = []

    async def failing(call: Callable[[], Any]) -> None:
        with pytest.raises(SahpathiError) as raised:
            await call()
        told.append("".join(traceback.format_exception(raised.value)))

    for status in (400, 401, 403, 500):
        bot_api.faults("telegram", bot_refusal("sendMessage", status))
        await failing(lambda: channel.send(PART))
    for kind in ("rate_limit", "hang"):
        bot_api.fault("telegram", kind, only=["sendMessage"], times=1)
        await failing(lambda: channel.send(PART))
    await failing(wrong.start)
    await failing(away.start)
    await failing(lambda: away.send(PART))
    await away.typing("5", "1")
    stop = asyncio.Event()
    bot_api.faults("telegram", bot_refusal("getUpdates", 409, "Conflict"), bot_refusal("getUpdates", 500))
    bot_api.say("telegram", ASHA, "What is photosynthesis?")

    async def accept(inbound: object) -> None:
        stop.set()

    await asyncio.wait_for(channel.poll(accept, stop), 10)
    for opened in (channel, wrong, away):
        await opened.close()

    ours = [record for record in caplog.records if not record.name.startswith("uvicorn")]  # that is the stand-in
    logged = "\n".join(f"{record.getMessage()} {record.exc_text or ''}" for record in ours)
    assert "another program" in logged
    token = bot_api.config.telegram.token.partition(":")[2]
    for secret in (token, "never-given-out", PART.text, "What is photosynthesis?"):
        assert secret not in logged
        assert secret not in "\n".join(told)
