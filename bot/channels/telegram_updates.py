"""Reads Telegram updates: their JSON in, Inbound out. Field names are those of the Bot API's Update and Message.

python-telegram-bot's own classes are left out of this on purpose. They parse a batch all or nothing, so one update of
a shape they do not expect would block polling for ever, and they log the whole batch, children's words included.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bot.channels.text import storable
from bot.choices import Understood, understood
from bot.errors import TransientError, UnknownShape
from bot.ports import Inbound, Kind

NAME = "telegram"

# What we ask Telegram to send. The rest is known, and ignored should it come all the same.
WANTED = ("message", "edited_message", "callback_query")
IGNORED = frozenset(
    {
        "channel_post", "edited_channel_post", "business_connection", "business_message",
        "edited_business_message", "deleted_business_messages", "guest_message", "message_reaction",
        "message_reaction_count", "inline_query", "chosen_inline_result", "shipping_query",
        "pre_checkout_query", "purchased_paid_media", "poll", "poll_answer", "my_chat_member", "chat_member",
        "chat_join_request", "chat_boost", "removed_chat_boost", "managed_bot",
    }
)  # fmt: skip

# A field of a message, and what we call it. In order: an animation also carries a document.
MEDIA = {
    "photo": "photo", "live_photo": "photo", "voice": "voice", "audio": "voice", "sticker": "sticker",
    "animation": "video", "video": "video", "video_note": "video", "document": "document", "location": "location",
    "venue": "location", "contact": "contact",
}  # fmt: skip

# Messages that Telegram writes into a chat by itself; nobody waits for an answer to them.
SERVICE = frozenset(
    {
        "new_chat_members", "left_chat_member", "chat_owner_left", "chat_owner_changed", "new_chat_title",
        "new_chat_photo", "delete_chat_photo", "group_chat_created", "supergroup_chat_created", "channel_chat_created",
        "message_auto_delete_timer_changed", "migrate_to_chat_id", "migrate_from_chat_id", "pinned_message",
        "successful_payment", "refunded_payment", "users_shared", "chat_shared", "gift", "unique_gift",
        "gift_upgrade_sent", "connected_website", "write_access_allowed", "passport_data", "proximity_alert_triggered",
        "boost_added", "chat_background_set", "checklist_tasks_done", "checklist_tasks_added",
        "direct_message_price_changed", "forum_topic_created", "forum_topic_edited", "forum_topic_closed",
        "forum_topic_reopened", "general_forum_topic_hidden", "general_forum_topic_unhidden", "giveaway_created",
        "giveaway_completed", "managed_bot_created", "paid_message_price_changed", "poll_option_added",
        "poll_option_deleted", "suggested_post_approved", "suggested_post_approval_failed", "suggested_post_declined",
        "suggested_post_paid", "suggested_post_refunded", "video_chat_scheduled", "video_chat_started",
        "video_chat_ended", "video_chat_participants_invited", "web_app_data",
    }
)  # fmt: skip

_COMMAND = re.compile(r"/(\w+)@(\w+)")


@dataclass(frozen=True, slots=True)
class Me:
    """Who the bot is on Telegram, without the "@"."""

    id: int
    username: str


def parse(update: object, me: Me | None) -> list[Inbound]:
    """The student's message in an update; an empty list when there is nothing to answer.

    Raises UnknownShape, and TransientError for a group's message while the bot does not know its own name.
    """
    match update:
        case {"update_id": int(number), "message": dict(message)}:
            return _message(str(number), message, me)
        case {"update_id": int(number), "edited_message": dict(message)}:
            # A question put right is asked anew. What else is edited (a caption, a place on the move) asks nothing.
            return _message(str(number), message, me) if "text" in message else []
        case {"update_id": int(number), "callback_query": dict(query)}:
            return _callback(str(number), query)
        case {"update_id": int(), **fields}:
            unknown = sorted(str(field) for field in fields if field not in IGNORED)
            if fields and not unknown:
                return []
            raise UnknownShape(unknown[0][:40] if unknown else "empty")
        case _:
            raise UnknownShape("malformed")


def callback_id(update: object) -> str | None:
    """The id of the button press in an update, if it is one."""
    match update:
        case {"callback_query": {"id": str(found)}}:
            return found
        case _:
            return None


def _callback(number: str, query: Mapping[str, Any]) -> list[Inbound]:
    match query:
        case {"data": str(data), "message": {"chat": {"id": int(chat)}}} if data.startswith("/"):
            return [Inbound(NAME, number, str(chat), *understood(storable(data)))]
        case _:  # a button of ours always stands for a command
            raise UnknownShape("callback_query")


def _message(number: str, message: Mapping[str, Any], me: Me | None) -> list[Inbound]:
    match message:
        case {"chat": {"id": int(chat), "type": str(chat_type)}}:
            text = _words(message)
        case _:
            raise UnknownShape("message")
    if chat_type == "private":
        text = _COMMAND.sub(r"/\1", text, count=1) if text.startswith("/") else text
    else:
        if me is None:
            raise TransientError("a group's message came before the bot knew its own name")
        meant = _meant_for(me, message, text)
        if meant is None:
            return []
        text = meant
    content = _content(message, storable(text))
    return [Inbound(NAME, number, str(chat), *content)] if content else []


def _words(message: Mapping[str, Any]) -> str:
    text = message.get("text", message.get("caption", ""))
    if not isinstance(text, str):
        raise UnknownShape("message")
    return text


def _content(message: Mapping[str, Any], text: str) -> Understood | None:
    """What was sent; None for a service message. Whatever we cannot name is "other": silence would puzzle a child."""
    if "text" in message:
        return understood(text)
    for field, name in MEDIA.items():
        if field in message:
            return Kind.UNSUPPORTED, name, None
    return None if message.keys() & SERVICE else (Kind.UNSUPPORTED, "other", None)


def _meant_for(me: Me, message: Mapping[str, Any], text: str) -> str | None:
    """A group's text without the bot's name; None unless it is a command to the bot, mentions it or replies to it.

    Nobody waits where another bot wrote, or a channel whose posts come here by themselves. An administrator who writes
    as the group does: Telegram shows a bot for the author then.
    """
    match message:
        case {"is_automatic_forward": True}:
            return None
        case {"from": {"is_bot": True}} if "sender_chat" not in message:
            return None
        case {"reply_to_message": {"from": {"id": int(author)}}}:
            replied = author == me.id
        case _:
            replied = False
    command = _COMMAND.match(text)
    if command:
        ours = command[2].casefold() == me.username.casefold()
        return f"/{command[1]}{text[command.end() :]}" if ours else None
    entities = message.get("entities", message.get("caption_entities", []))
    mentions = _mentions(me, text, entities if isinstance(entities, list) else [])
    return _without(text, mentions) if mentions or replied else None


def _mentions(me: Me, text: str, entities: Sequence[object]) -> list[tuple[int, int]]:
    """Where the bot is named, as (offset, end) in UTF-16 code units, the Bot API's unit."""
    found = []
    for entity in entities:
        match entity:
            case {"type": "mention", "offset": int(start), "length": int(length)}:
                if _cut_out(text, start, start + length).casefold() == f"@{me.username}".casefold():
                    found.append((start, start + length))
            case {"type": "text_mention", "offset": int(start), "length": int(length), "user": {"id": me.id}}:
                found.append((start, start + length))
    return found


def _cut_out(text: str, start: int, end: int) -> str:
    return text.encode("utf-16-le", "surrogatepass")[2 * start : 2 * end].decode("utf-16-le", "replace")


def _without(text: str, spans: Sequence[tuple[int, int]]) -> str:
    units = text.encode("utf-16-le", "surrogatepass")
    for start, end in sorted(spans, reverse=True):
        units = units[: 2 * start] + units[2 * end :]
    return units.decode("utf-16-le", "replace").strip()
