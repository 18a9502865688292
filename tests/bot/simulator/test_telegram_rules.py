"""Each rule of the Bot API, broken: Telegram's own refusal, and a violation that names the rule."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from bot.simulator.telegram.formatting import Unparsable, parse
from bot.simulator.telegram.rules import RULES
from tests.bot.simulator.driver import Driver, Json

ASHA = "700100200"


def call(simulator: Driver, method: str, params: Json) -> httpx.Response:
    return simulator.client.post(f"/bot{simulator.config.telegram.token}/{method}", json=params)


def keyboard(*buttons: Json) -> Json:
    return {"reply_markup": {"inline_keyboard": [list(buttons)]}}


def sent(**more: Any) -> Json:
    return {"chat_id": ASHA, "text": "Hi", **more}


UP = {"text": "up", "callback_data": "up"}
REFUSED = [
    ("sendMessage", {"text": "Hi"}, "chat_id is empty", "sendMessage.chat_id"),
    ("sendMessage", {"chat_id": ASHA}, "message text is empty", "sendMessage.text"),
    ("sendMessage", sent(text=""), "message text is empty", "sendMessage.text"),
    ("sendMessage", sent(text=" \n "), "text must be non-empty", "text"),
    ("sendMessage", sent(text="<b> </b>", parse_mode="HTML"), "text must be non-empty", "text"),
    ("sendMessage", sent(text="a" * 4097), "message is too long", "text"),
    ("sendMessage", sent(text="👍" * 2049), "message is too long", "text"),
    ("sendMessage", sent(text="<b>Hi", parse_mode="HTML"), "can't parse entities", "Formatting options"),
    ("sendMessage", sent(parse_mode="Word"), "unsupported parse_mode", "Formatting options"),
    ("sendMessage", sent(chat_id="1"), "chat not found", "chat_id"),
    ("sendMessage", sent(disable_notification="perhaps"), "can't parse", "sendMessage.disable_notification"),
    ("sendMessage", sent(text=["Hi"]), "can't parse", "sendMessage.text"),
    ("sendMessage", sent(message_thread_id="x"), "can't parse", "sendMessage.message_thread_id"),
    ("sendMessage", sent(reply_markup="{"), "can't parse", "sendMessage.reply_markup"),
    ("sendMessage", sent(reply_markup=5), "can't parse", "sendMessage.reply_markup"),
    ("sendMessage", sent(reply_markup={"buttons": []}), "object expected", "reply_markup"),
    ("sendMessage", sent(reply_markup={"inline_keyboard": [UP]}), "can't parse reply keyboard", "reply_markup"),
    ("sendMessage", sent(reply_parameters={"message_id": 1}), "replied not found", "ReplyParameters.message_id"),
    ("sendMessage", sent(**keyboard({"callback_data": "x"})), 'can\'t find field "text"', "InlineKeyboardButton.text"),
    ("sendMessage", sent(**keyboard({"text": "x"})), "Text buttons are unallowed", "InlineKeyboardButton"),
    ("sendMessage", sent(**keyboard(UP | {"url": "https://x"})), "Text buttons are unallowed", "InlineKeyboardButton"),
    ("sendMessage", sent(**keyboard({"text": "x", "callback_data": "क" * 22})), "BUTTON_DATA_INVALID",
     "InlineKeyboardButton.callback_data"),
    ("sendMessage", sent(**keyboard({"text": "x", "callback_data": ""})), "BUTTON_DATA_INVALID",
     "InlineKeyboardButton.callback_data"),
    ("sendMessage", sent(reply_markup={"keyboard": [["6"]], "input_field_placeholder": "x" * 65}), "PLACEHOLDER",
     "ReplyKeyboardMarkup.input_field_placeholder"),
    ("sendMessageDraft", {"chat_id": -100123, "draft_id": 1}, "chat not found", "sendMessageDraft.chat_id"),
    ("sendMessageDraft", {"chat_id": ASHA, "draft_id": 0}, "DRAFT_ID_INVALID", "sendMessageDraft.draft_id"),
    ("sendMessageDraft", {"chat_id": ASHA}, "draft_id is empty", "sendMessageDraft.draft_id"),
    ("sendMessageDraft", {"chat_id": ASHA, "draft_id": 1, "text": "a" * 4097}, "message is too long",
     "sendMessageDraft.text"),
    ("editMessageText", {"text": "Hi"}, "message identifier is not specified", "editMessage*.message_id"),
    ("editMessageText", sent(message_id=1), "message to edit not found", "message_id"),
    ("editMessageText", {"text": "Hi", "inline_message_id": "x"}, "message to edit not found", "message_id"),
    ("editMessageText", sent(message_id=1, reply_markup={"keyboard": [["6"]]}), "inline keyboard expected",
     "editMessage*.reply_markup"),
    ("editMessageText", {"chat_id": ASHA, "message_id": 1}, "message text is empty", "editMessageText.text"),
    ("editMessageReplyMarkup", {"chat_id": ASHA}, "message identifier is not specified", "editMessage*.message_id"),
    ("sendChatAction", {"chat_id": ASHA, "action": "dancing"}, "wrong parameter action", "sendChatAction.action"),
    ("sendChatAction", {"chat_id": ASHA}, "wrong parameter action", "sendChatAction.action"),
    ("answerCallbackQuery", {}, "query ID is invalid", "answerCallbackQuery.callback_query_id"),
    ("answerCallbackQuery", {"callback_query_id": "1"}, "query ID is invalid",
     "answerCallbackQuery.callback_query_id"),
    ("answerCallbackQuery", {"callback_query_id": "1", "text": "x" * 201}, "MESSAGE_TOO_LONG",
     "answerCallbackQuery.text"),
    ("setMyCommands", {}, "can't parse commands list", "setMyCommands.commands"),
    ("setMyCommands", {"commands": [{"command": "Start", "description": "x"}]}, "BOT_COMMAND_INVALID",
     "BotCommand.command"),
    ("setMyCommands", {"commands": [{"command": "start"}]}, "BOT_COMMAND_DESCRIPTION_INVALID",
     "BotCommand.description"),
    ("setMyCommands", {"commands": [{"command": "a", "description": "x"}] * 101}, "BOT_COMMANDS_TOO_MUCH",
     "setMyCommands.commands"),
    ("setWebhook", {"secret_token": "with space"}, "unallowed characters", "setWebhook.secret_token"),
    ("setWebhook", {"secret_token": "x" * 257}, "unallowed characters", "setWebhook.secret_token"),
    ("setWebhook", {"max_connections": 101}, "MAX_CONNECTIONS", "setWebhook.max_connections"),
    ("getFile", {}, "invalid file_id", "getFile.file_id"),
    ("getFile", {"file_id": "x"}, "invalid file_id", "getFile.file_id"),
]  # fmt: skip


@pytest.mark.parametrize(("method", "params", "description", "rule"), REFUSED)
def test_a_broken_rule_is_refused_and_recorded(
    simulator: Driver, method: str, params: Json, description: str, rule: str
) -> None:
    simulator.say("telegram", ASHA, "hello")
    response = call(simulator, method, params)
    body = response.json()
    assert (response.status_code, body["ok"], body["error_code"]) == (400, False, 400)
    assert body["description"].startswith("Bad Request: ")
    assert description in body["description"]
    (violation,) = simulator.violations()
    assert (violation["rule"], violation["method"]) == (rule, method)
    assert description in violation["answer"]
    assert simulator.shown("telegram", ASHA) == ["hello"]


OVERLOOKED = [
    ("sendMessage", sent(disable_web_page_preview=True), "Making requests"),
    ("sendMessage", sent(link_preview_options={"off": True}), "Available types"),
    ("sendMessage", sent(**keyboard(UP | {"colour": "red"})), "Available types"),
    ("sendMessage", sent(reply_markup={"keyboard": [["6"]], "sticky": True}), "Available types"),
    ("setMyCommands", {"commands": [{"command": "a", "description": "b", "c": "d"}]}, "Available types"),
    ("getUpdates", {"limit": 101}, "getUpdates.limit"),
    ("getUpdates", {"timeout": -1}, "getUpdates.timeout"),
]


@pytest.mark.parametrize(("method", "params", "rule"), OVERLOOKED)
def test_what_telegram_overlooks_is_recorded_all_the_same(
    simulator: Driver, method: str, params: Json, rule: str
) -> None:
    simulator.say("telegram", ASHA, "hello")
    assert call(simulator, method, params).json()["ok"]
    assert simulator.broken() == [rule]


def test_an_edit_that_changes_nothing_is_refused(simulator: Driver) -> None:
    simulator.say("telegram", ASHA, "hello")
    message = call(simulator, "sendMessage", sent(**keyboard(UP))).json()["result"]["message_id"]
    for method, params in (
        ("editMessageText", sent(message_id=message, **keyboard(UP))),
        ("editMessageReplyMarkup", {"chat_id": ASHA, "message_id": message, **keyboard(UP)}),
    ):
        body = call(simulator, method, params).json()
        assert body["description"].startswith("Bad Request: message is not modified")
    assert simulator.broken() == ["editMessage*"] * 2


def test_a_students_message_is_not_the_bots_to_edit(simulator: Driver) -> None:
    said = simulator.say("telegram", ASHA, "hello")
    assert not call(simulator, "editMessageText", sent(message_id=int(said["message"]))).json()["ok"]


def test_a_method_that_is_not_there_is_not_found(simulator: Driver) -> None:
    assert call(simulator, "sendHologram", {}).status_code == 404
    assert simulator.broken() == ["Available methods"]


def test_limits_themselves_are_allowed(simulator: Driver) -> None:
    simulator.say("telegram", ASHA, "hello")
    longest = "👍" * 2048
    assert call(simulator, "sendMessage", sent(text=longest)).json()["result"]["text"] == longest
    assert call(simulator, "sendMessage", sent(**keyboard({"text": "x", "callback_data": "क" * 21}))).json()["ok"]
    marked = sent(text=f"<b>{'a' * 4096}</b>", parse_mode="HTML")
    assert call(simulator, "sendMessage", marked).json()["ok"]
    assert simulator.violations() == []


def test_every_rule_about_parameters_is_broken_by_a_test() -> None:
    named = {rule for _, _, _, rule in REFUSED} | {rule for _, _, rule in OVERLOOKED}
    assert {rule.name for rules in RULES.values() for rule in rules} <= named


# ---- formatting options ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("mode", "text", "plain", "entities"),
    [
        ("HTML", "<b>a<i>b</i></b>", "ab", [("bold", 0, 2), ("italic", 1, 1)]),
        ("HTML", 'a &lt; <a href="https://x">b</a>', "a < b", [("text_link", 4, 1)]),
        ("HTML", "<code>x</code>&#33;", "x!", [("code", 0, 1)]),
        ("MarkdownV2", "*a _b_* \\. ||c||", "a b . c", [("bold", 0, 3), ("italic", 2, 1), ("spoiler", 6, 1)]),
        ("MarkdownV2", "[a](https://x/\\)) `1.5`", "a 1.5", [("text_link", 0, 1), ("code", 2, 3)]),
        ("MarkdownV2", "```\nx = 1\n```", "\nx = 1\n", [("pre", 0, 7)]),
        ("Markdown", "*a* 1.5 - _b_", "a 1.5 - b", [("bold", 0, 1), ("italic", 8, 1)]),
        (None, "*a* <b>", "*a* <b>", []),
    ],
)
def test_formatted_text_becomes_plain(
    mode: str | None, text: str, plain: str, entities: list[tuple[str, int, int]]
) -> None:
    parsed, found = parse(text, mode)
    assert parsed == plain
    assert [(entity["type"], entity["offset"], entity["length"]) for entity in found] == entities


@pytest.mark.parametrize(
    ("mode", "text", "reason"),
    [
        ("HTML", "<h1>x</h1>", 'Unsupported start tag "h1"'),
        ("HTML", "1 < 2", "Unexpected end of name token"),
        ("HTML", "<b>x</i>", "Unexpected end tag"),
        ("HTML", "<b>x", "Can't find end tag"),
        ("MarkdownV2", "1.5", "Character '.' is reserved"),
        ("MarkdownV2", "*x", "Can't find end of bold entity"),
        ("MarkdownV2", "*x _y* z_", "Can't find end of the entity"),
        ("MarkdownV2", "`x", "Can't find end of the entity"),
        ("Markdown", "_x", "Can't find end of italic entity"),
    ],
)
def test_wrong_formatting_is_refused(mode: str, text: str, reason: str) -> None:
    with pytest.raises(Unparsable, match=reason):
        parse(text, mode)
