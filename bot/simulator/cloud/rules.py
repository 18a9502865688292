"""What Meta's documentation demands of a call to /messages.

https://developers.facebook.com/documentation/business-messaging/whatsapp. A rule is named by its object and field, as
in the API's description.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import partial
from operator import itemgetter
from typing import Any

from bot.simulator.cloud.errors import UNSUPPORTED, Refusal, invalid, missing, wrong
from bot.simulator.cloud.objects import CONTENT, at, is_mark, kind_of
from bot.simulator.rules import Params, Rule
from bot.simulator.whatsapp import WINDOW

R = Rule[Refusal]
When = Callable[[Params], bool]

LONGEST_TEXT, LONGEST_BODY = 4096, 1024
_PHONE = re.compile(r"\+?[1-9]\d{6,14}")
_USER = re.compile(r"[A-Z]{2}\.[1-9]\d{6,14}")  # the id of a user: here it is made of the number that it hides
_BUTTONS, _SECTIONS, _ROWS = (f"interactive.action.{path}" for path in ("buttons[]", "sections[]", "sections[].rows[]"))

# ---- rules that take more than the parameters to check ---------------------------------------------------------------

AUTHORIZED = R(
    "Authorization",
    "The access token is given as a bearer token.",
    Refusal(401, 190, "Invalid OAuth access token - Cannot parse access token"),
)
NUMBER_OURS = R(
    "Phone-Number-ID",
    "The address names the business phone number's id.",
    Refusal(400, 100, "Unsupported post request. Object does not exist", subcode=33, type="GraphMethodException"),
)
READABLE = R("Content-Type", "The body is a JSON object.", invalid("The body is not a JSON object."))
MESSAGE_KNOWN = R(
    "MarkMessageRequestPayload.message_id", "The message came from a student.", invalid("Invalid message ID.")
)
CONTEXT_KNOWN = R("MessageContext.message_id", "The message replied to is in the chat.", wrong("Invalid context."))
IN_WINDOW = R("131047", WINDOW)


def stranger(place: str, field: str) -> R:
    refusal = Refusal(400, 100, f'Unexpected key "{field}" on param "{place}".')
    return R(f"{place}.{field}", "An object has the fields of its type only.", refusal)


# ---- how rules about the parameters are written ----------------------------------------------------------------------


def _text(name: str, path: str, high: int, low: int = 1) -> R:
    """Every text at a path has a length within bounds."""

    def keeps(params: Params) -> bool:
        return all(isinstance(value, str) and low <= len(value) <= high for value in at(params, path))

    field = path.rpartition(".")[2]
    refusal = wrong(f"Param {field} length invalid. Min length: {low}, Max length: {high}")
    return R(name, f"{low} to {high} characters.", refusal, keeps, partial(at, path=path))


def _needed(name: str, path: str, when: When) -> R:
    """Something is there."""
    refusal = missing(f"The parameter {path.replace('[]', '')} is required.")
    return R(name, "Required.", refusal, lambda params: not when(params) or bool(at(params, path)))


def _each(name: str, path: str, field: str) -> R:
    """Every object at a path has a field."""
    refusal = missing(f"The parameter {field} is required.")
    return R(
        name,
        "Required.",
        refusal,
        lambda params: all(isinstance(value, dict) and value.get(field) for value in at(params, path)),
    )


def _count(name: str, path: str, high: int, when: When) -> R:
    """There is at least one, and no more than so many."""
    what = path.removesuffix("[]").rpartition(".")[2]
    refusal = wrong(f"Invalid {what} count. Min allowed {what}: 1, Max allowed {what}: {high}")
    return R(name, f"1 to {high}.", refusal, lambda params: not when(params) or 1 <= len(at(params, path)) <= high)


def _unique(name: str, path: str) -> R:
    def keeps(params: Params) -> bool:
        values: Sequence[Any] = at(params, path)
        return len(values) == len(set(map(str, values)))

    return R(name, "Unique.", wrong(f"{path.rpartition('.')[2]} must be unique."), keeps)


def _is(kind: str) -> When:
    return lambda params: kind_of(params) == kind


def _interactive(*kinds: str) -> When:
    return lambda params: kind_of(params) == "interactive" and bool(set(at(params, "interactive.type")) & set(kinds))


def _written(name: str, pattern: re.Pattern[str], params: Params) -> bool:
    """Whether a parameter, where there is one, is written like this."""
    return name not in params or (isinstance(params[name], str) and bool(pattern.fullmatch(params[name])))


def _trimmed(params: Params) -> bool:
    return all(isinstance(value, str) and value == value.strip() for value in at(params, f"{_BUTTONS}.reply.id"))


def _sections_named(params: Params) -> bool:
    sections = at(params, _SECTIONS)
    return len(sections) < 2 or all(isinstance(section, dict) and section.get("title") for section in sections)


# ---- the rules -------------------------------------------------------------------------------------------------------

EVERY_CALL: tuple[R, ...] = (
    R(
        "BaseMessageProperties.messaging_product",
        "Always whatsapp.",
        Refusal(400, 100, "The parameter messaging_product is required."),
        lambda params: params.get("messaging_product") == "whatsapp",
    ),
)
MARK: tuple[R, ...] = (
    R(
        "MarkMessageRequestPayload.status",
        "Always read.",
        wrong("Param status must be one of {READ}"),
        lambda params: params["status"] == "read",
    ),
    _needed("MarkMessageRequestPayload.message_id", "message_id", is_mark),
    R(
        "typing_indicator.type",
        "Always text.",
        wrong("Param typing_indicator['type'] must be one of {TEXT}"),
        lambda params: "typing_indicator" not in params or at(params, "typing_indicator.type") == ["text"],
    ),
)
MESSAGE: tuple[R, ...] = (
    _needed("BaseMessageProperties.to", "to", lambda params: "recipient" not in params),
    R(
        "BaseMessageProperties.to",
        "A telephone number with its country code.",
        wrong("Recipient phone number is not valid."),
        lambda params: _written("to", _PHONE, params),
        itemgetter("to"),
    ),
    R(
        "BaseMessageProperties.recipient",
        "The id of a user: a country code, a period and what follows it.",
        wrong("Recipient is not valid."),
        lambda params: _written("recipient", _USER, params),
        itemgetter("recipient"),
    ),
    R(
        "BaseMessageProperties.recipient_type",
        "individual.",
        wrong("Param recipient_type must be one of {INDIVIDUAL}"),
        lambda params: params.get("recipient_type", "individual") == "individual",
    ),
    R("Message.type", "A type that is played here.", UNSUPPORTED, lambda params: kind_of(params) in CONTENT),
    R(
        "biz_opaque_callback_data",
        "At most 512 characters.",
        wrong("Param biz_opaque_callback_data must be at most 512 characters long."),
        lambda params: len(str(params.get("biz_opaque_callback_data", ""))) <= 512,
    ),
    _needed("TextMessage.text.body", "text.body", _is("text")),
    _text("TextMessage.text.body", "text.body", LONGEST_TEXT),
    _needed("InteractiveObject.type", "interactive.type", _is("interactive")),
    R(
        "InteractiveObject.type",
        "A type that is played here: button or list.",
        wrong("Param interactive['type'] is not valid"),
        lambda params: not _is("interactive")(params) or _interactive("button", "list")(params),
    ),
    _needed("BodyObject.text", "interactive.body.text", _is("interactive")),
    _text("BodyObject.text", "interactive.body.text", LONGEST_BODY),
    _needed("HeaderObject.type", "interactive.header.type", lambda params: bool(at(params, "interactive.header"))),
    _text("HeaderObject.text", "interactive.header.text", 60),
    _text("FooterObject.text", "interactive.footer.text", 60),
    _count("ActionObject.buttons", _BUTTONS, 3, _interactive("button")),
    R(
        "ActionObject.buttons.type",
        "Always reply.",
        wrong("Only reply buttons are allowed"),
        lambda params: at(params, f"{_BUTTONS}.type") == ["reply"] * len(at(params, _BUTTONS)),
    ),
    _each("ActionObject.buttons.reply", _BUTTONS, "reply"),
    _each("ActionObject.buttons.reply.id", f"{_BUTTONS}.reply", "id"),
    _each("ActionObject.buttons.reply.title", f"{_BUTTONS}.reply", "title"),
    _text("ActionObject.buttons.reply.id", f"{_BUTTONS}.reply.id", 256),
    _text("ActionObject.buttons.reply.title", f"{_BUTTONS}.reply.title", 20),
    _unique("ActionObject.buttons.reply.id", f"{_BUTTONS}.reply.id"),
    _unique("ActionObject.buttons.reply.title", f"{_BUTTONS}.reply.title"),
    R("ActionObject.buttons.reply.id", "No leading or trailing spaces.", wrong("Button id has spaces."), _trimmed),
    _needed("ActionObject.button", "interactive.action.button", _interactive("list")),
    _text("ActionObject.button", "interactive.action.button", 20),
    _count("ActionObject.sections", _SECTIONS, 10, _interactive("list")),
    _count("SectionObject.rows", _ROWS, 10, _interactive("list")),
    _text("SectionObject.title", f"{_SECTIONS}.title", 24),
    R("SectionObject.title", "Required with more sections than one.", missing("Section title."), _sections_named),
    _each("SectionObject.rows.id", _ROWS, "id"),
    _each("SectionObject.rows.title", _ROWS, "title"),
    _text("SectionObject.rows.id", f"{_ROWS}.id", 200),
    _text("SectionObject.rows.title", f"{_ROWS}.title", 24),
    _text("SectionObject.rows.description", f"{_ROWS}.description", 72, low=0),
    _unique("SectionObject.rows.id", f"{_ROWS}.id"),
    _needed("TemplateObject.name", "template.name", _is("template")),
    _needed("LanguageObject.code", "template.language.code", _is("template")),
)
