"""The shapes in which providers document what they post, kept from their machine-readable specifications in brief.

    python -m tests.payloads.shapes FOLDER

writes them anew from the specifications in FOLDER, without a word of their prose. A shape is an object's fields and
their types, "?" behind a type that may be missing; or the subtypes that it may be one of.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from tests.bot.simulator.documented import read

Json = dict[str, Any]
Shapes = Mapping[str, Json]
FACTS = Path(__file__).parent / "documented"
ARRAY = "Array of "
SCALARS: Mapping[str, tuple[type, ...]] = {
    "String": (str,), "Integer": (int,), "Float": (int, float), "Boolean": (bool,), "True": (bool,),
}  # fmt: skip
_WORDS = {"string": "String", "integer": "Integer", "number": "Float", "boolean": "Boolean"}
# The description of Meta's API has two schemas of each of these names, and refers to the one for what we send.
_MEANT = {
    "BaseMessageProperties": "BaseMessageProperties_1",
    "TextMessage": "TextMessage_2",
    "ContactObject": "ContactObject_1",
    "ErrorObject": "ErrorObject_2",
    **{f"{kind}Message": f"{kind}Message_1" for kind in
       ("Reaction", "Audio", "Document", "Image", "Sticker", "Video", "Location")},
}  # fmt: skip
_MESSAGE = {"from": "String", "id": "String", "timestamp": "String", "type": "String"}
# What Meta's pages on its webhooks document and the description of the API does not (yet).
# https://developers.facebook.com/documentation/business-messaging/whatsapp/webhooks/reference/messages
PAGES: Shapes = {
    "Change.value": {"subtypes": ["ErrorsValue", "TemplateStatusValue"]},
    "ErrorsValue": {"messaging_product": "String", "metadata": "Metadata", "errors": "Array of ErrorObject_2"},
    "TemplateStatusValue": {
        "event": "String", "message_template_id": "Integer", "message_template_name": "String",
        "message_template_language": "String", "reason": "String?",
    },
    "IncomingMessage": {"subtypes": ["EditMessage", "RevokeMessage", "WelcomeMessage"]},
    "EditMessage": {**_MESSAGE, "edit": "EditMessage.edit"},
    "EditMessage.edit": {"original_message_id": "String", "message": "EditMessage.edit.message"},
    "EditMessage.edit.message": {
        "context": "Context", "type": "String", "text": "TextMessage_2.text?", "image": "ImageMessage_1.image?",
    },
    "RevokeMessage": {**_MESSAGE, "revoke": "RevokeMessage.revoke"},
    "RevokeMessage.revoke": {"original_message_id": "String"},
    "WelcomeMessage": _MESSAGE,
    "TextMessage_2": {"from": "String?", "from_user_id": "String?", "group_id": "String?", "context": "Context?"},
    "Context": {
        "from": "String?", "id": "String?", "forwarded": "Boolean?", "frequently_forwarded": "Boolean?",
        "referred_product": "ContextObject.referred_product?",
    },
    "ContactProfile": {"user_id": "String?"},
    "ContactProfile.profile": {"username": "String?"},
    "InteractiveMessageReply.interactive": {"nfm_reply": "FlowReply?"},
    "FlowReply": {"name": "String", "body": "String", "response_json": "String"},
    "LocationMessage_1.location": {"address": "String?", "name": "String?"},
    "UnsupportedMessage": {"unsupported": "UnsupportedMessage.unsupported?"},
    "UnsupportedMessage.unsupported": {"type": "String"},
    "SystemMessage.system": {"user_id": "String?", "previous_user_id": "String?"},
    "Statuses": {"biz_opaque_callback_data": "String?", "recipient_user_id": "String?"},
}  # fmt: skip


# ---- kept from the specifications ----------------------------------------------------------------------------------


def telegram(spec: Json) -> dict[str, Json]:
    """Update, and every type that it may hold."""
    kept: dict[str, Json] = {}
    wanted = ["Update"]
    while wanted:
        name = wanted.pop()
        if name in kept or name not in spec["types"]:
            continue
        given = spec["types"][name]
        fields = given.get("fields", [])
        kept[name] = {field["name"]: " or ".join(field["types"]) + "?" * (not field["required"]) for field in fields}
        if given.get("subtypes"):
            kept[name] = {"subtypes": given["subtypes"]}
        named = [type_ for field in fields for type_ in field["types"]] + given.get("subtypes", [])
        wanted += [type_.rpartition(ARRAY)[2] for type_ in named]
    return kept


def cloud(spec: Json) -> dict[str, Json]:
    """WebhookPayload, and every schema that it may hold; what stands within another is named after its place."""
    reading = _Reading(spec["components"]["schemas"])
    reading.type_of("WebhookPayload", reading.schemas["WebhookPayload"])
    return reading.kept


class _Reading:
    """Schemas on their way to shapes."""

    def __init__(self, schemas: Json) -> None:
        self.schemas = schemas
        self.kept: dict[str, Json] = {}

    def type_of(self, name: str, schema: Json) -> str:
        """The type's name, kept if it is an object; `name` is for one without a name of its own."""
        if "$ref" in schema:
            name, schema = self._referred(schema["$ref"])
        if schema.get("type") in _WORDS:
            return _WORDS[schema["type"]]
        if schema.get("type") == "array":
            return ARRAY + self.type_of(name, schema["items"])
        if name not in self.kept:
            self.kept[name] = {}  # before its fields: they may hold it again
            choices = [self.type_of(name, choice) for choice in schema.get("oneOf", ())]
            self.kept[name] = {"subtypes": choices} if choices else dict(self._fields(name, schema))
        return name

    def _referred(self, reference: str) -> tuple[str, Json]:
        written = reference.rpartition("/")[2]
        name = _MEANT.get(written, written)
        return name, self.schemas[name]

    def _fields(self, name: str, schema: Json) -> Iterator[tuple[str, str]]:
        for part in schema.get("allOf", ()):
            yield from self._fields(name, self._referred(part["$ref"])[1] if "$ref" in part else part)
        for field, inner in schema.get("properties", {}).items():
            yield field, self.type_of(f"{name}.{field}", inner) + "?" * (field not in schema.get("required", ()))
        for reference in schema.get("discriminator", {}).get("mapping", {}).values():
            for field, inner in self._referred(reference)[1]["properties"].items():
                yield field, self.type_of(f"{name}.{field}", inner) + "?"


SPECIFICATIONS = {
    "telegram": ("telegram_bot_api.json", telegram),
    "cloud": ("whatsapp_business_messaging_api_v23.0.yaml", cloud),
}


def kept(provider: str) -> dict[str, Json]:
    """The shapes kept of a provider's specification."""
    shapes: dict[str, Json] = json.loads((FACTS / f"{provider}.json").read_text(encoding="utf-8"))
    return shapes


def documented(provider: str) -> dict[str, Json]:
    """These, with what only the provider's pages document."""
    shapes = kept(provider)
    for name, more in PAGES.items() if provider == "cloud" else ():
        known = shapes.setdefault(name, {})
        shapes[name] = {"subtypes": known["subtypes"] + more["subtypes"]} if "subtypes" in more else known | more
    return shapes


# ---- held against them ---------------------------------------------------------------------------------------------


def mismatches(value: object, type_: str, shapes: Shapes, place: str = "") -> Iterator[str]:
    """Where a value is not of its documented type: "message.text: not a String", say."""
    if " or " in type_:
        yield from _closest(value, type_.split(" or "), shapes, place)
    elif type_.startswith(ARRAY):
        yield from _array(value, type_.removeprefix(ARRAY), shapes, place)
    elif type_ in SCALARS:
        if not isinstance(value, SCALARS[type_]) or (isinstance(value, bool) and bool not in SCALARS[type_]):
            yield f"{place}: not a {type_}"
    elif "subtypes" in shapes[type_]:
        yield from _closest(value, shapes[type_]["subtypes"], shapes, place)
    else:
        yield from _object(value, shapes[type_], shapes, place)


def _closest(value: object, types: list[str], shapes: Shapes, place: str) -> Iterator[str]:
    """The fewest mismatches with one of the types."""
    yield from min((list(mismatches(value, type_, shapes, place)) for type_ in types), key=len)


def _array(value: object, type_: str, shapes: Shapes, place: str) -> Iterator[str]:
    if isinstance(value, list):
        for number, item in enumerate(value):
            yield from mismatches(item, type_, shapes, f"{place}[{number}]")
    else:
        yield f"{place}: not an array"


def _object(value: object, fields: Json, shapes: Shapes, place: str) -> Iterator[str]:
    if not isinstance(value, dict):
        yield f"{place}: not an object"
        return
    for name, type_ in fields.items():
        if name in value:
            yield from mismatches(value[name], type_.removesuffix("?"), shapes, f"{place}.{name}".lstrip("."))
        elif not type_.endswith("?"):
            yield f"{place}.{name}: missing".lstrip(".")
    yield from (f"{place}.{name}: not documented".lstrip(".") for name in value.keys() - fields.keys())


def sample(type_: str, shapes: Shapes) -> Any:
    """The least that is of a type: an object with the fields that it must have."""
    if " or " in type_:
        return sample(type_.split(" or ")[0], shapes)
    if type_.startswith(ARRAY):
        return [sample(type_.removeprefix(ARRAY), shapes)]
    if type_ in SCALARS:
        return {"String": "text", "Integer": 1, "Float": 1.0, "Boolean": False, "True": True}[type_]
    if "subtypes" in shapes[type_]:
        return sample(shapes[type_]["subtypes"][0], shapes)
    return {name: sample(field, shapes) for name, field in shapes[type_].items() if not field.endswith("?")}


def main(folder: Path) -> None:
    FACTS.mkdir(exist_ok=True)
    for provider, (name, keep) in SPECIFICATIONS.items():
        shapes = sorted(keep(read(folder / name)).items())
        lines = [f"{json.dumps(type_)}: {json.dumps(shape)}" for type_, shape in shapes]
        (FACTS / f"{provider}.json").write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
