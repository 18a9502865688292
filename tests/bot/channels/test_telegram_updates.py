from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bot.channels.telegram_updates import Me, callback_id, parse, rating_data
from bot.errors import TransientError, UnknownShape
from bot.ports import Kind

Payload = Callable[[str], dict[str, Any]]

ME = Me(123456, "SahpathiTestBot")
ASHA = "700100200"
CLASS = "-1001987654321"
FILES = Path(__file__).parents[2] / "payloads" / "telegram"

ANSWERED = {
    "text": (ASHA, Kind.TEXT, "What is photosynthesis?"),
    "text_hindi": (ASHA, Kind.TEXT, "प्रकाश संश्लेषण क्या है? 🌱"),
    "text_thumb": (ASHA, Kind.FEEDBACK, "up"),
    "command": (ASHA, Kind.COMMAND, "/start class7"),
    "command_addressed": (ASHA, Kind.COMMAND, "/help"),
    "photo": (ASHA, Kind.UNSUPPORTED, "photo"),
    "voice": (ASHA, Kind.UNSUPPORTED, "voice"),
    "sticker": (ASHA, Kind.UNSUPPORTED, "sticker"),
    "document": (ASHA, Kind.UNSUPPORTED, "document"),
    "video": (ASHA, Kind.UNSUPPORTED, "video"),
    "animation": (ASHA, Kind.UNSUPPORTED, "video"),
    "location": (ASHA, Kind.UNSUPPORTED, "location"),
    "contact": (ASHA, Kind.UNSUPPORTED, "contact"),
    "poll_message": (ASHA, Kind.UNSUPPORTED, "other"),
    "callback_up": (ASHA, Kind.FEEDBACK, "up"),
    "callback_down_old": (ASHA, Kind.FEEDBACK, "down"),
    "group_mention": (CLASS, Kind.TEXT, "🌱🌱  what is a root?"),
    "group_text_mention": (CLASS, Kind.TEXT, "what is a cell?"),
    "group_reply": (CLASS, Kind.TEXT, "Explain more"),
    "group_command": (CLASS, Kind.COMMAND, "/help me"),
    "group_photo_mention": (CLASS, Kind.UNSUPPORTED, "photo"),
}
IGNORED = {
    "pinned_message", "edited_message", "channel_post", "my_chat_member", "group_chatter", "group_other_mention",
    "group_reply_to_pupil", "group_command_bare", "group_command_other_bot",
}  # fmt: skip
UNKNOWN = {"unknown_kind": "star_gift_auction", "callback_foreign": "callback_query"}


def test_every_payload_file_is_in_one_table() -> None:
    assert {file.stem for file in FILES.glob("*.json")} == ANSWERED.keys() | IGNORED | UNKNOWN.keys()


@pytest.mark.parametrize("name", sorted(ANSWERED))
def test_answered(payload: Payload, name: str) -> None:
    update = payload(f"telegram/{name}")
    (inbound,) = parse(update, ME)
    assert (inbound.address, inbound.kind, inbound.text) == ANSWERED[name]
    assert (inbound.channel, inbound.provider_id) == ("telegram", str(update["update_id"]))


@pytest.mark.parametrize("name", sorted(IGNORED))
def test_ignored(payload: Payload, name: str) -> None:
    assert parse(payload(f"telegram/{name}"), ME) == []


@pytest.mark.parametrize("name", sorted(UNKNOWN))
def test_unknown(payload: Payload, name: str) -> None:
    with pytest.raises(UnknownShape) as raised:
        parse(payload(f"telegram/{name}"), ME)
    assert raised.value.kind == UNKNOWN[name]


def test_a_press_names_its_answer_and_its_query(payload: Payload) -> None:
    update = payload("telegram/callback_up")
    (inbound,) = parse(update, ME)
    assert inbound.answer_id == "0123456789abcdef" * 2
    assert callback_id(update) == "3006978021745101234"
    assert callback_id(payload("telegram/text")) is None


def test_a_typed_thumb_is_about_the_latest_answer(payload: Payload) -> None:
    assert parse(payload("telegram/text_thumb"), ME)[0].answer_id is None


@pytest.mark.parametrize(
    "data", ["rate::up", "rate:" + "a" * 33 + ":up", "rate:abc:sideways", "rate:abc:up:down", "rate:a b:up", ""]
)
def test_a_made_up_press_is_unknown(payload: Payload, data: str) -> None:
    update = payload("telegram/callback_up")
    update["callback_query"]["data"] = data
    with pytest.raises(UnknownShape):
        parse(update, ME)


def test_rating_data_round_trips_within_64_bytes(payload: Payload) -> None:
    update = payload("telegram/callback_up")
    update["callback_query"]["data"] = data = rating_data("f" * 32, "down")
    assert len(data.encode()) <= 64
    (inbound,) = parse(update, ME)
    assert (inbound.answer_id, inbound.text) == ("f" * 32, "down")


@pytest.mark.parametrize(
    "update",
    [None, [], "text", {}, {"update_id": "1"}, {"update_id": 1}, {"update_id": 1, "message": 5},
     {"update_id": 1, "message": {}}, {"update_id": 1, "message": {"chat": {"id": 1, "type": "private"}, "text": 7}},
     {"update_id": 1, "callback_query": {"id": "1", "data": "rate:a:up"}}],
)  # fmt: skip
def test_broken_updates_are_unknown_shapes(update: object) -> None:
    with pytest.raises(UnknownShape):
        parse(update, ME)


def test_something_new_in_a_private_chat_is_not_met_with_silence(payload: Payload) -> None:
    update = payload("telegram/text")
    del update["message"]["text"]
    update["message"]["hologram"] = {}
    assert [(found.kind, found.text) for found in parse(update, ME)] == [(Kind.UNSUPPORTED, "other")]


def test_a_bot_in_a_group_is_not_answered(payload: Payload) -> None:
    update = payload("telegram/group_mention")
    update["message"]["from"]["is_bot"] = True
    assert parse(update, ME) == []


def test_before_the_bot_knows_its_name_only_groups_must_wait(payload: Payload) -> None:
    assert parse(payload("telegram/text"), None)
    with pytest.raises(TransientError):
        parse(payload("telegram/group_mention"), None)


def test_text_that_no_database_takes_is_repaired(payload: Payload) -> None:
    update = payload("telegram/text")
    update["message"]["text"] = "why\0 \ud83d?"
    assert parse(update, ME)[0].text == "why \ufffd?"
