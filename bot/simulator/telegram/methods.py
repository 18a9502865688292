"""The methods of the Bot API that are played here, their parameters, and the objects these may hold.

https://core.telegram.org/bots/api. Every name is the documentation's.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum


class Type(StrEnum):
    """How a parameter is read. JSON: an object or array, JSON-serialized when it comes in a form."""

    INTEGER = "Integer"
    STRING = "String"
    BOOLEAN = "Boolean"
    CHAT = "Integer or String"
    JSON = "JSON"
    FILE = "InputFile"


@dataclass(frozen=True, slots=True)
class Field:
    """A parameter. `missing`: what Telegram says when a required one is not given; None for an optional one."""

    name: str
    type: Type
    missing: str | None = None


def _optional(type_: Type, *names: str) -> tuple[Field, ...]:
    return tuple(Field(name, type_) for name in names)


_CHAT = Field("chat_id", Type.CHAT, "chat_id is empty")
_TEXT = Field("text", Type.STRING, "message text is empty")
_MARKED_UP = (
    *_optional(Type.STRING, "parse_mode"),
    *_optional(Type.JSON, "entities", "link_preview_options"),
)
_EDITED = (
    *_optional(Type.CHAT, "chat_id"),
    *_optional(Type.INTEGER, "message_id"),
    *_optional(Type.STRING, "business_connection_id", "inline_message_id"),
    *_optional(Type.JSON, "reply_markup"),
)

METHODS: Mapping[str, tuple[Field, ...]] = {
    "getMe": (),
    "setWebhook": (
        *_optional(Type.STRING, "url", "ip_address", "secret_token"),
        *_optional(Type.FILE, "certificate"),
        *_optional(Type.INTEGER, "max_connections"),
        *_optional(Type.JSON, "allowed_updates"),
        *_optional(Type.BOOLEAN, "drop_pending_updates"),
    ),
    "deleteWebhook": _optional(Type.BOOLEAN, "drop_pending_updates"),
    "getWebhookInfo": (),
    "getUpdates": (
        *_optional(Type.INTEGER, "offset", "limit", "timeout"),
        *_optional(Type.JSON, "allowed_updates"),
    ),
    "sendMessage": (
        _CHAT,
        _TEXT,
        *_MARKED_UP,
        *_optional(Type.STRING, "business_connection_id", "message_effect_id"),
        *_optional(Type.INTEGER, "message_thread_id", "direct_messages_topic_id"),
        *_optional(Type.BOOLEAN, "disable_notification", "protect_content", "allow_paid_broadcast"),
        *_optional(Type.JSON, "suggested_post_parameters", "reply_parameters", "reply_markup"),
    ),
    "sendMessageDraft": (
        Field("chat_id", Type.INTEGER, "chat_id is empty"),
        Field("draft_id", Type.INTEGER, "draft_id is empty"),
        *_optional(Type.STRING, "text", "parse_mode"),
        *_optional(Type.INTEGER, "message_thread_id"),
        *_optional(Type.JSON, "entities"),
    ),
    "editMessageText": (_TEXT, *_MARKED_UP, *_EDITED, *_optional(Type.JSON, "rich_message")),
    "editMessageReplyMarkup": _EDITED,
    "sendChatAction": (
        _CHAT,
        Field("action", Type.STRING, "wrong parameter action in request"),
        *_optional(Type.STRING, "business_connection_id"),
        *_optional(Type.INTEGER, "message_thread_id"),
    ),
    "answerCallbackQuery": (
        Field("callback_query_id", Type.STRING, "query is too old and response timeout expired or query ID is invalid"),
        *_optional(Type.STRING, "text", "url"),
        *_optional(Type.BOOLEAN, "show_alert"),
        *_optional(Type.INTEGER, "cache_time"),
    ),
    "setMyCommands": (
        Field("commands", Type.JSON, "can't parse commands list JSON object"),
        *_optional(Type.JSON, "scope"),
        *_optional(Type.STRING, "language_code"),
    ),
    "getFile": (Field("file_id", Type.STRING, "invalid file_id"),),
}

OBJECTS: Mapping[str, frozenset[str]] = {
    "InlineKeyboardMarkup": frozenset({"inline_keyboard"}),
    "ReplyKeyboardMarkup": frozenset(
        {"keyboard", "is_persistent", "resize_keyboard", "one_time_keyboard", "input_field_placeholder", "selective"}
    ),
    "ReplyKeyboardRemove": frozenset({"remove_keyboard", "selective"}),
    "ForceReply": frozenset({"force_reply", "input_field_placeholder", "selective"}),
    "InlineKeyboardButton": frozenset(
        {
            "text", "icon_custom_emoji_id", "style", "url", "callback_data", "web_app", "login_url",
            "switch_inline_query", "switch_inline_query_current_chat", "switch_inline_query_chosen_chat", "copy_text",
            "callback_game", "pay",
        }
    ),
    "KeyboardButton": frozenset(
        {
            "text", "icon_custom_emoji_id", "style", "request_users", "request_chat", "request_managed_bot",
            "request_contact", "request_location", "request_poll", "web_app",
        }
    ),
    "LinkPreviewOptions": frozenset(
        {"is_disabled", "url", "prefer_small_media", "prefer_large_media", "show_above_text"}
    ),
    "BotCommand": frozenset({"command", "description"}),
}  # fmt: skip

ACTIONS = frozenset(
    {
        "typing", "upload_photo", "record_video", "upload_video", "record_voice", "upload_voice", "upload_document",
        "choose_sticker", "find_location", "record_video_note", "upload_video_note",
    }
)  # fmt: skip
