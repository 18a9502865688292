"""What the Bot API's documentation demands. https://core.telegram.org/bots/api

Rules are named as there: by method or type, and field.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from operator import itemgetter

from bot.simulator.rules import Params, Rule, code_units
from bot.simulator.telegram import keyboards
from bot.simulator.telegram.methods import ACTIONS

LONGEST_TEXT = 4096
NO_QUERY = "query is too old and response timeout expired or query ID is invalid"
_COMMAND = re.compile(r"[a-z0-9_]{1,32}")
_SECRET = re.compile(r"[A-Za-z0-9_-]{1,256}")


@dataclass(frozen=True, slots=True)
class Refusal:
    """How the Bot API says no."""

    status: int
    description: str
    retry_after: int | None = None


def bad(description: str) -> Refusal:
    return Refusal(400, f"Bad Request: {description}")


BLOCKED = Refusal(403, "Forbidden: bot was blocked by the user")
ILL = Refusal(500, "Internal Server Error")
SUPPLANTED = Refusal(
    409, "Conflict: terminated by other getUpdates request; make sure that only one bot instance is running"
)

# ---- rules that take more than the parameters to check ---------------------------------------------------------------

R = Rule[Refusal]

UNAUTHORIZED = R("Authorizing your bot", "The address holds the bot's token.", Refusal(401, "Unauthorized"))
UNKNOWN_METHOD = R("Available methods", "The method is one that is played here.", Refusal(404, "Not Found"))
UNKNOWN_PARAMETER = R("Making requests", "A method is given its own parameters only; Telegram ignores others.")
CHAT_KNOWN = R("chat_id", "The chat exists: a student writes to the bot first.", bad("chat not found"))
MESSAGE_KNOWN = R("message_id", "The message to edit is one of the bot's own.", bad("message to edit not found"))
REPLY_KNOWN = R("ReplyParameters.message_id", "The message exists in the chat.", bad("message to be replied not found"))
NOT_MODIFIED = R(
    "editMessage*",
    "An edit changes the text or the buttons.",
    bad(
        "message is not modified: specified new message content and reply markup are exactly the same as a current "
        "content and reply markup of the message"
    ),
)
QUERY_KNOWN = R("answerCallbackQuery.callback_query_id", "The query was sent to the bot.", bad(NO_QUERY))
FILE_KNOWN = R("getFile.file_id", "The file was sent to the bot.", bad("invalid file_id"))
WEBHOOK_ACTIVE = R(
    "getUpdates",
    "getUpdates is not used while a webhook is set up.",
    Refusal(
        409,
        "Conflict: can't use getUpdates method while webhook is active; use deleteWebhook to delete the webhook first",
    ),
)
WEBHOOK_SECURE = R(
    "setWebhook.url",
    "The webhook is an HTTPS address; HTTP is taken only where the service has no other.",
    bad("bad webhook: An HTTPS URL must be provided for webhook"),
)
WEBHOOK_FOUND = R(
    "setWebhook.url",
    "The webhook is at the service's public address, which is all that the simulator calls.",
    bad("bad webhook: Failed to resolve host: Name or service not known"),
)
WEBHOOK_PORT = R(
    "setWebhook",
    "Ports currently supported for webhooks: 443, 80, 88, 8443.",
    bad("bad webhook: Webhook can be set up only on ports 80, 88, 443 or 8443"),
)


def required(method: str, field: str, missing: str) -> R:
    return R(f"{method}.{field}", "This parameter is required.", bad(missing))


def readable(method: str, field: str, type_: str) -> R:
    return R(f"{method}.{field}", f"The type is {type_}.", bad(f"can't parse parameter {field}"))


def formatted(description: str) -> R:
    return R("Formatting options", "Formatted text follows its parse mode.", bad(description))


# ---- rules about the parameters --------------------------------------------------------------------------------------


def _commands(params: Params) -> list[Mapping[str, str]]:
    return [command for command in params["commands"] if isinstance(command, dict)]


_TEXT = (
    R(
        "text",
        "1-4096 characters after entities parsing; spaces alone are none.",
        bad("text must be non-empty"),
        lambda params: bool(params["text"].strip()),
        itemgetter("text"),
    ),
    R(
        "text",
        "1-4096 characters after entities parsing.",
        bad("message is too long"),
        lambda params: code_units(params["text"]) <= LONGEST_TEXT,
        itemgetter("text"),
    ),
)
_DRAFT = (
    R(
        "sendMessageDraft.chat_id",
        "A private chat: the id of a user.",
        bad("chat not found"),
        lambda params: params["chat_id"] > 0,
        itemgetter("chat_id"),
    ),
    R(
        "sendMessageDraft.draft_id",
        "Non-zero.",
        bad("DRAFT_ID_INVALID"),
        lambda params: params["draft_id"] != 0,
        itemgetter("draft_id"),
    ),
    R(
        "sendMessageDraft.text",
        "0-4096 characters after entities parsing.",
        bad("message is too long"),
        lambda params: code_units(params.get("text", "")) <= LONGEST_TEXT,
        itemgetter("text"),
    ),
)
_OBJECTS = R("Available types", "An object has the fields of its type only.", None, keyboards.documented)
_MARKUP = (
    R("reply_markup", "A keyboard or its removal.", bad("object expected as reply markup"), keyboards.is_markup),
    R("reply_markup", "Array of button rows.", bad("can't parse reply keyboard markup"), keyboards.in_rows),
    R("InlineKeyboardButton.text", "Required.", bad('can\'t find field "text"'), keyboards.named),
    R(
        "InlineKeyboardButton.callback_data",
        "1-64 bytes.",
        bad("BUTTON_DATA_INVALID"),
        keyboards.data_fits,
        keyboards.markup,
    ),
    R(
        "InlineKeyboardButton",
        "Exactly one of the fields other than text, icon_custom_emoji_id, and style is used.",
        bad("can't parse inline keyboard button: Text buttons are unallowed in the inline keyboard"),
        keyboards.does_one_thing,
    ),
    R(
        "ReplyKeyboardMarkup.input_field_placeholder",
        "1-64 characters.",
        bad("REPLY_MARKUP_PLACEHOLDER_INVALID"),
        keyboards.placeholder_fits,
    ),
    _OBJECTS,
)
_EDITED = (
    R(
        "editMessage*.message_id",
        "chat_id and message_id are required if inline_message_id is not specified.",
        bad("message identifier is not specified"),
        lambda params: "inline_message_id" in params or ("chat_id" in params and "message_id" in params),
    ),
    R("editMessage*.reply_markup", "An inline keyboard only.", bad("inline keyboard expected"), keyboards.is_inline),
)

RULES: Mapping[str, tuple[R, ...]] = {
    "setWebhook": (
        R(
            "setWebhook.secret_token",
            "1-256 characters: A-Z, a-z, 0-9, _ and - only.",
            bad("secret token contains unallowed characters"),
            lambda params: not params.get("secret_token") or bool(_SECRET.fullmatch(params["secret_token"])),
        ),
        R(
            "setWebhook.max_connections",
            "1-100.",
            bad("MAX_CONNECTIONS_INVALID"),
            lambda params: 1 <= params.get("max_connections", 40) <= 100,
        ),
    ),
    "getUpdates": (
        R("getUpdates.limit", "1-100.", None, lambda params: 1 <= params.get("limit", 100) <= 100),
        R("getUpdates.timeout", "Positive.", None, lambda params: params.get("timeout", 0) >= 0),
    ),
    "sendMessage": (*_TEXT, *_MARKUP),
    "sendMessageDraft": _DRAFT,
    "editMessageText": (*_EDITED, *_TEXT, *_MARKUP),
    "editMessageReplyMarkup": (*_EDITED, *_MARKUP),
    "sendChatAction": (
        R(
            "sendChatAction.action",
            "One of the documented actions.",
            bad("wrong parameter action in request"),
            lambda params: params["action"] in ACTIONS,
            itemgetter("action"),
        ),
    ),
    "answerCallbackQuery": (
        R(
            "answerCallbackQuery.text",
            "0-200 characters.",
            bad("MESSAGE_TOO_LONG"),
            lambda params: len(params.get("text", "")) <= 200,
            itemgetter("text"),
        ),
    ),
    "setMyCommands": (
        R(
            "setMyCommands.commands",
            "At most 100 commands.",
            bad("BOT_COMMANDS_TOO_MUCH"),
            lambda params: len(params["commands"]) <= 100,
        ),
        R(
            "BotCommand.command",
            "1-32 characters: lowercase English letters, digits and underscores.",
            bad("BOT_COMMAND_INVALID"),
            lambda params: all(_COMMAND.fullmatch(command.get("command", "")) for command in _commands(params)),
        ),
        R(
            "BotCommand.description",
            "1-256 characters.",
            bad("BOT_COMMAND_DESCRIPTION_INVALID"),
            lambda params: all(1 <= len(command.get("description", "")) <= 256 for command in _commands(params)),
        ),
        _OBJECTS,
    ),
}
