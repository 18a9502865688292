"""The objects of a message, their fields as the documentation names them, and how to look into one.

https://developers.facebook.com/documentation/business-messaging/whatsapp
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from bot.simulator.rules import Params

OBJECTS: Mapping[str, frozenset[str]] = {
    "BaseMessageProperties": frozenset(
        {"messaging_product", "recipient_type", "to", "recipient", "type", "context", "biz_opaque_callback_data"}
    ),
    "MessageContext": frozenset({"message_id"}),
    "TextMessage.text": frozenset({"body", "preview_url"}),
    "InteractiveObject": frozenset({"type", "header", "body", "footer", "action"}),
    "HeaderObject": frozenset({"type", "text", "sub_text", "image", "video", "document"}),
    "BodyObject": frozenset({"text"}),
    "FooterObject": frozenset({"text"}),
    "ActionObject": frozenset({"button", "buttons", "sections"}),
    "ActionObject.buttons": frozenset({"type", "reply"}),
    "ActionObject.buttons.reply": frozenset({"id", "title"}),
    "SectionObject": frozenset({"title", "rows"}),
    "SectionObject.rows": frozenset({"id", "title", "description"}),
    "TemplateObject": frozenset({"name", "language", "components"}),
    "LanguageObject": frozenset({"code", "policy"}),
    "TemplateComponent": frozenset({"type", "sub_type", "index", "parameters"}),
    "MarkMessageRequestPayload": frozenset({"messaging_product", "status", "message_id", "typing_indicator"}),
    "typing_indicator": frozenset({"type"}),
}
CONTENT = {"text": "text", "interactive": "interactive", "template": "template"}  # a type, and the field that holds it

# Where each object stands in a message; "[]" goes through a list.
_PLACES = {
    "context": "MessageContext",
    "text": "TextMessage.text",
    "interactive": "InteractiveObject",
    "interactive.header": "HeaderObject",
    "interactive.body": "BodyObject",
    "interactive.footer": "FooterObject",
    "interactive.action": "ActionObject",
    "interactive.action.buttons[]": "ActionObject.buttons",
    "interactive.action.buttons[].reply": "ActionObject.buttons.reply",
    "interactive.action.sections[]": "SectionObject",
    "interactive.action.sections[].rows[]": "SectionObject.rows",
    "template": "TemplateObject",
    "template.language": "LanguageObject",
    "template.components[]": "TemplateComponent",
    "typing_indicator": "typing_indicator",
}


def at(params: Params, path: str) -> list[Any]:
    """Every value at a path: none when something on the way is missing or of another kind."""
    values: list[Any] = [params]
    for step in path.split("."):
        name, through, _ = step.partition("[]")
        values = [value[name] for value in values if isinstance(value, dict) and name in value]
        if through:
            values = [item for value in values if isinstance(value, list) for item in value]
    return values


def is_mark(params: Params) -> bool:
    """Whether this marks a message as read, rather than sends one."""
    return "status" in params


def kind_of(params: Params) -> str:
    """The message's type, which may be left out for a text."""
    return str(params.get("type", "text"))


def strangers(params: Params) -> Iterator[tuple[str, str]]:
    """Fields that no object documents, as (object, field)."""
    if is_mark(params):
        own = OBJECTS["MarkMessageRequestPayload"]
    else:
        own = OBJECTS["BaseMessageProperties"] | {CONTENT.get(kind_of(params), "")}
    yield from (("message", name) for name in params.keys() - own)
    for path, object_ in _PLACES.items():
        for value in at(params, path):
            if isinstance(value, dict):
                yield from ((path, name) for name in value.keys() - OBJECTS[object_])
