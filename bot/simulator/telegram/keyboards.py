"""What `reply_markup` may hold, and how the phone shows it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from bot.simulator.config import Json
from bot.simulator.phones import Button
from bot.simulator.rules import Params
from bot.simulator.telegram.methods import OBJECTS

MARKUPS = {
    "inline_keyboard": "InlineKeyboardMarkup",
    "keyboard": "ReplyKeyboardMarkup",
    "remove_keyboard": "ReplyKeyboardRemove",
    "force_reply": "ForceReply",
}
_DEEDS = OBJECTS["InlineKeyboardButton"] - {"text", "icon_custom_emoji_id", "style"}  # what a press does
_ROWS = ("inline_keyboard", "keyboard")


def markup(params: Params) -> Json:
    """The markup, empty when there is none or something else in its place."""
    given = params.get("reply_markup")
    return given if isinstance(given, dict) else {}


def rows(markup: Json, name: str = "inline_keyboard") -> list[list[Json]]:
    """The rows of a keyboard. A KeyboardButton may be written as just its text."""
    given = markup.get(name)
    return [
        [{"text": button} if isinstance(button, str) else button for button in row if isinstance(button, str | dict)]
        for row in (given if isinstance(given, list) else [])
        if isinstance(row, list)
    ]


def shown(markup: Json, name: str = "inline_keyboard") -> list[list[Button]]:
    """The buttons as the phone shows them."""
    return [
        [
            Button(str(button.get("text", "")), str(button.get("callback_data", "")), url=str(button.get("url", "")))
            for button in row
        ]
        for row in rows(markup, name)
    ]


# ---- what the rules ask ----------------------------------------------------------------------------------------------


def is_markup(params: Params) -> bool:
    return not params.get("reply_markup") or bool(markup(params).keys() & MARKUPS.keys())


def is_inline(params: Params) -> bool:
    return not params.get("reply_markup") or "inline_keyboard" in markup(params)


def in_rows(params: Params) -> bool:
    """Whether keyboards are arrays of arrays of buttons."""
    for name in _ROWS:
        given = markup(params).get(name, [])
        if not isinstance(given, list) or not all(isinstance(row, list) for row in given):
            return False
        if any(not isinstance(button, str | dict) for row in given for button in row):
            return False
    return True


def named(params: Params) -> bool:
    return all(isinstance(button.get("text"), str) and button["text"] for _, button in _buttons(params))


def data_fits(params: Params) -> bool:
    found = [button["callback_data"] for _, button in _buttons(params) if "callback_data" in button]
    return all(isinstance(data, str) and 1 <= len(data.encode()) <= 64 for data in found)


def does_one_thing(params: Params) -> bool:
    inline = [button for name, button in _buttons(params) if name == "inline_keyboard"]
    return all(len(button.keys() & _DEEDS) == 1 for button in inline)


def placeholder_fits(params: Params) -> bool:
    text = markup(params).get("input_field_placeholder")
    return text is None or (isinstance(text, str) and 1 <= len(text) <= 64)


def documented(params: Params) -> bool:
    """Whether no object among the parameters has a field that its type does not have."""
    return all(fields.keys() <= OBJECTS[type_] for type_, fields in _objects(params))


def _objects(params: Params) -> Iterator[tuple[str, Mapping[str, object]]]:
    given = markup(params)
    yield from ((MARKUPS[key], given) for key in given.keys() & MARKUPS.keys())
    for name, button in _buttons(params):
        yield "InlineKeyboardButton" if name == "inline_keyboard" else "KeyboardButton", button
    if isinstance(params.get("link_preview_options"), dict):
        yield "LinkPreviewOptions", params["link_preview_options"]
    yield from (("BotCommand", command) for command in params.get("commands", ()) if isinstance(command, dict))


def _buttons(params: Params) -> Iterator[tuple[str, Json]]:
    for name in _ROWS:
        for row in rows(markup(params), name):
            yield from ((name, button) for button in row)
