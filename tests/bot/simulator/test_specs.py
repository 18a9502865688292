"""What our rule tables name, held against the facts of the providers' machine-readable specifications."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from bot.simulator.cloud.objects import OBJECTS as CLOUD_OBJECTS
from bot.simulator.config import Config, Provider
from bot.simulator.phones import Bubble, Phone
from bot.simulator.telegram import messages
from bot.simulator.telegram.methods import METHODS, OBJECTS, Type
from bot.simulator.twilio import rules
from bot.simulator.twilio.messages import Message, Messages
from tests.bot.simulator.documented import MESSAGES, SPECIFICATIONS, facts, read

Json = dict[str, Any]
# Documented, though not in this description of the API: the first is part of a message, and of the status that reports
# on it; the last came later, for students who hide their number.
BEYOND = {"biz_opaque_callback_data", "typing_indicator", "recipient"}
# The specifications themselves are too large to ship. Where they lie beside the checkout, or where the variable says,
# there is one test more, which compares the facts with them; a folder that lacks them fails it.
BESIDE = Path(__file__).parents[4] / "shared" / "corpus" / "specs"
GIVEN = os.environ.get("SAHPATHI_SPECS")
SPECS = Path(GIVEN) if GIVEN else BESIDE if BESIDE.is_dir() else None
JSON_TYPES = ("Array", "InlineKeyboard", "LinkPreview", "Reply", "Input", "SuggestedPost", "BotCommandScope")


@pytest.fixture(scope="module")
def bot_api() -> Json:
    return facts("telegram_bot_api.json")


@pytest.fixture(scope="module")
def twilio_api() -> Json:
    return facts("twilio_api_v2010.json")


@pytest.fixture(scope="module")
def cloud_api() -> Json:
    return facts("whatsapp_business_messaging_api_v23.0.yaml")


if SPECS is not None:

    @pytest.mark.parametrize("name", SPECIFICATIONS)
    def test_the_facts_are_those_of_the_specifications(name: str) -> None:
        assert SPECS is not None
        assert facts(name) == SPECIFICATIONS[name](read(SPECS / name))


@pytest.mark.parametrize("method", METHODS)
def test_telegrams_parameters_are_the_documented_ones(bot_api: Json, method: str) -> None:
    documented = {field["name"]: field for field in bot_api["methods"][method].get("fields", [])}
    ours = {field.name: field for field in METHODS[method]}
    assert ours.keys() == documented.keys()
    for name, field in documented.items():
        ours_type = ours[name].type
        first = field["types"][0]
        if ours_type is Type.JSON:
            assert first.startswith(JSON_TYPES), name
        else:
            assert " or ".join(field["types"]) == ours_type.value, name
        required = ours[name].missing is not None
        # An edit's text is required here: rich messages, the other choice, are not played. An empty url is one.
        assert required == field["required"] or (method, name) in {("editMessageText", "text"), ("setWebhook", "url")}


@pytest.mark.parametrize("type_", OBJECTS)
def test_telegrams_objects_have_the_documented_fields(bot_api: Json, type_: str) -> None:
    assert OBJECTS[type_] == {field["name"] for field in bot_api["types"][type_]["fields"]}


def test_what_telegram_sends_has_documented_fields_only(bot_api: Json) -> None:
    types = {name: {field["name"] for field in type_.get("fields", [])} for name, type_ in bot_api["types"].items()}
    bubble = Bubble("7", mine=False, kind="text", text="/start", edited=1.0, markup={"inline_keyboard": []})
    phone = Phone(Provider.TELEGRAM, "700", "Asha")
    for message in (messages.of_bot(Config().telegram, phone, bubble), messages.of_student(phone, bubble, None)):
        assert message.keys() <= types["Message"]
        assert message["from"].keys() <= types["User"]
        assert message["chat"].keys() <= types["Chat"]


def test_twilios_parameters_are_the_documented_ones(twilio_api: Json) -> None:
    path = twilio_api["paths"][MESSAGES]
    form = path["post"]["requestBody"]["content"]["application/x-www-form-urlencoded"]["schema"]["properties"]
    assert form.keys() == rules.CREATE
    assert {item["name"] for item in path["get"]["parameters"] if item["in"] == "query"} == rules.LIST


def test_twilios_message_has_the_documented_fields(twilio_api: Json) -> None:
    documented = twilio_api["components"]["schemas"]["api.v2010.account.message"]["properties"].keys()
    message = Message("AC1", "SM1", "whatsapp:+1", "whatsapp:+2", "Hello")
    assert message.resource().keys() == documented == rules.RESOURCE
    listed = twilio_api["paths"][MESSAGES]["get"]["responses"]["200"]["content"]["application/json"]["schema"]
    assert Messages().page("AC1", {}).keys() == listed["properties"].keys()


@pytest.mark.parametrize("name", CLOUD_OBJECTS)
def test_the_cloud_apis_objects_have_the_documented_fields(cloud_api: Json, name: str) -> None:
    if name not in BEYOND:
        assert CLOUD_OBJECTS[name] - BEYOND <= documented_fields(cloud_api["components"]["schemas"], name)


def documented_fields(schemas: Json, name: str) -> set[str]:
    """The fields at "Schema.field.field", through lists and alternatives."""
    schema, *path = name.split(".")
    found = [schemas[schema]]
    for step in path:
        found = [inner for outer in found for inner in properties(schemas, outer, step)]
    return {field for inner in found for part in alternatives(schemas, inner) for field in part.get("properties", {})}


def properties(schemas: Json, schema: Json, name: str) -> list[Json]:
    parts = [part["properties"][name] for part in alternatives(schemas, schema) if name in part.get("properties", {})]
    return [part.get("items", part) for part in parts]


def alternatives(schemas: Json, schema: Json) -> list[Json]:
    if "$ref" in schema:
        return alternatives(schemas, schemas[schema["$ref"].rpartition("/")[2]])
    inner = [*schema.get("oneOf", []), *schema.get("allOf", [])]
    return [schema, *(part for choice in inner for part in alternatives(schemas, choice))]


def test_the_cloud_apis_limits_are_the_documented_ones(cloud_api: Json) -> None:
    schemas = cloud_api["components"]["schemas"]
    section = schemas["SectionObject"]["properties"]
    row = section["rows"]["items"]["properties"]
    assert schemas["BodyObject"]["properties"]["text"]["maxLength"] == 1024
    assert [row[name]["maxLength"] for name in ("id", "title", "description")] == [200, 24, 72]
    assert (section["rows"]["maxItems"], section["title"]["maxLength"]) == (10, 24)
    button = schemas["ActionObject"]["oneOf"][1]["properties"]["buttons"]
    assert button["maxItems"] == 3
    reply = button["items"]["properties"]["reply"]["properties"]
    assert [reply[name]["maxLength"] for name in ("id", "title")] == [256, 20]
