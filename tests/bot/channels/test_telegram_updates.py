from __future__ import annotations

import pytest

from bot.channels.telegram_updates import Me, callback_id, parse
from bot.errors import TransientError, UnknownShape
from bot.ports import Kind
from tests.payloads.recorded import payload

ME = Me(123456, "SahpathiTestBot")


def test_a_press_names_its_answer_and_its_query() -> None:
    update = payload("telegram/callback_up")
    (inbound,) = parse(update, ME)
    assert inbound.answer_id == "0123456789abcdef" * 2
    assert callback_id(update) == "3006978021745101234"
    assert callback_id(payload("telegram/text")) is None


def test_a_typed_thumb_is_about_the_latest_answer() -> None:
    assert parse(payload("telegram/text_thumb"), ME)[0].answer_id is None


@pytest.mark.parametrize("data", ["rate:abc:up", "What is a cell?", "👍", " /rate up abc", ""])
def test_a_made_up_press_is_unknown(data: str) -> None:
    update = payload("telegram/callback_up")
    update["callback_query"]["data"] = data
    with pytest.raises(UnknownShape):
        parse(update, ME)


@pytest.mark.parametrize(
    ("command", "kind", "text", "answer_id"),
    [("/class 7", Kind.COMMAND, "/class 7", None), ("/rate down " + "f" * 32, Kind.FEEDBACK, "down", "f" * 32),
     ("/rate sideways abc", Kind.COMMAND, "/rate sideways abc", None)],
)  # fmt: skip
def test_a_press_says_the_command_of_its_button(command: str, kind: Kind, text: str, answer_id: str | None) -> None:
    update = payload("telegram/callback_up")
    update["callback_query"]["data"] = command
    (inbound,) = parse(update, ME)
    assert (inbound.kind, inbound.text, inbound.answer_id) == (kind, text, answer_id)


@pytest.mark.parametrize(
    "update",
    [None, [], "text", {}, {"update_id": "1"}, {"update_id": 1}, {"update_id": 1, "message": 5},
     {"update_id": 1, "message": {}}, {"update_id": 1, "message": {"chat": {"id": 1, "type": "private"}, "text": 7}},
     {"update_id": 1, "callback_query": {"id": "1", "data": "/rate up a"}}],
)  # fmt: skip
def test_broken_updates_are_unknown_shapes(update: object) -> None:
    with pytest.raises(UnknownShape):
        parse(update, ME)


def test_something_new_in_a_private_chat_is_not_met_with_silence() -> None:
    update = payload("telegram/text")
    del update["message"]["text"]
    update["message"]["hologram"] = {}
    assert [(found.kind, found.text) for found in parse(update, ME)] == [(Kind.UNSUPPORTED, "other")]


def test_a_bot_in_a_group_is_not_answered() -> None:
    update = payload("telegram/group_mention")
    update["message"]["from"]["is_bot"] = True
    assert parse(update, ME) == []


def test_before_the_bot_knows_its_name_only_groups_must_wait() -> None:
    assert parse(payload("telegram/text"), None)
    with pytest.raises(TransientError):
        parse(payload("telegram/group_mention"), None)


def test_text_that_no_database_takes_is_repaired() -> None:
    update = payload("telegram/text")
    update["message"]["text"] = "why\0 \ud83d?"
    assert parse(update, ME)[0].text == "why \ufffd?"
