"""The Cloud API, driven as Meta documents it."""

from __future__ import annotations

import hashlib
import hmac
import json
from typing import Any

import httpx
import pytest

from bot.simulator.cloud.rules import EVERY_CALL, MARK, MESSAGE
from tests.bot.simulator.driver import Delivery, Driver, Json, Webhooks, driven, eventually

ASHA = "+919876543210"
TO = "919876543210"
BUTTON = {"type": "reply", "reply": {"id": "up", "title": "👍"}}
ROW = {"id": "7", "title": "Class 7", "description": "Science and mathematics"}


def post(simulator: Driver, body: Json | bytes, *, token: str = "", number: str = "") -> httpx.Response:
    cloud = simulator.config.cloud
    return simulator.client.post(
        f"/v23.0/{number or cloud.phone_number_id}/messages",
        content=body if isinstance(body, bytes) else json.dumps(body).encode(),
        headers={"Authorization": f"Bearer {token or cloud.access_token}", "Content-Type": "application/json"},
    )


def text(body: str = "Hello", **more: Any) -> Json:
    return {"messaging_product": "whatsapp", "to": TO, "type": "text", "text": {"body": body}} | more


def interactive(kind: str, action: Json, body: Any = "Choose", **more: Any) -> Json:
    content = {"type": kind, "body": {"text": body}, "action": action} | more
    return {"messaging_product": "whatsapp", "to": TO, "type": "interactive", "interactive": content}


def buttons(*given: Json, **more: Any) -> Json:
    return interactive("button", {"buttons": list(given)}, **more)


def reply(title: Any = "x", id_: Any = "y") -> Json:
    return {"type": "reply", "reply": {"id": id_, "title": title}}


def listing(*sections: Json, button: Any = "Choose") -> Json:
    return interactive("list", {"button": button, "sections": list(sections)})


def rows(*given: Json, **more: Any) -> Json:
    return {"rows": list(given)} | more


def mark(message_id: str, **more: Any) -> Json:
    return {"messaging_product": "whatsapp", "status": "read", "message_id": message_id} | more


def contents(service: Webhooks, name: str) -> list[Json]:
    """All the `messages` or `statuses` that came, in order."""
    values = [json.loads(delivery.body)["entry"][0]["changes"][0]["value"] for delivery in service.deliveries]
    return [item for value in values for item in value.get(name, [])]


def signed(simulator: Driver, delivery: Delivery) -> bool:
    digest = hmac.new(simulator.config.cloud.app_secret.encode(), delivery.body, hashlib.sha256).hexdigest()
    return delivery.headers["x-hub-signature-256"] == f"sha256={digest}"


# ---- what the service sends ------------------------------------------------------------------------------------------


def test_a_message_is_answered_shown_and_reported(simulator: Driver, service: Webhooks) -> None:
    simulator.say("cloud", ASHA, "hello", name="Asha")
    answer = post(simulator, text("Plants make food.", biz_opaque_callback_data="part 7")).json()
    assert answer["messaging_product"] == "whatsapp"
    assert answer["contacts"] == [{"input": TO, "wa_id": TO}]
    message_id = answer["messages"][0]["id"]
    assert message_id.startswith("wamid.")
    eventually(lambda: len(contents(service, "statuses")) == 3)
    statuses = contents(service, "statuses")
    assert [status["status"] for status in statuses] == ["sent", "delivered", "read"]
    for status in statuses:
        assert (status["id"], status["recipient_id"]) == (message_id, TO)
        assert status["biz_opaque_callback_data"] == "part 7"
    assert all(signed(simulator, delivery) for delivery in service.deliveries)
    shown = simulator.last("cloud", ASHA)
    assert (shown["id"], shown["text"], shown["state"]) == (message_id, "Plants make food.", "read")
    assert simulator.violations() == []


def test_buttons_and_lists_are_shown_and_pressed(simulator: Driver, service: Webhooks) -> None:
    simulator.say("cloud", ASHA, "hello")
    up = post(simulator, buttons(BUTTON)).json()["messages"][0]["id"]
    row = post(simulator, listing(rows(ROW))).json()["messages"][0]["id"]
    assert simulator.last("cloud", ASHA)["buttons"][0][0]["description"] == ROW["description"]
    simulator.say("cloud", ASHA, kind="press", message=up, data="up")
    simulator.say("cloud", ASHA, kind="press", message=row, data="7")
    eventually(lambda: len(contents(service, "messages")) == 3)
    pressed, chosen = contents(service, "messages")[1:]
    assert pressed["context"] == {"from": simulator.config.cloud.display_number, "id": up}
    assert pressed["interactive"] == {"type": "button_reply", "button_reply": {"id": "up", "title": "👍"}}
    assert chosen["interactive"] == {"type": "list_reply", "list_reply": ROW}
    assert simulator.shown("cloud", ASHA)[-2:] == ["👍", "Class 7"]
    assert simulator.violations() == []


def test_a_student_may_be_reached_by_a_user_id(simulator: Driver) -> None:
    simulator.say("cloud", ASHA, "hello")
    body = {"messaging_product": "whatsapp", "recipient": f"IN.{TO}", "text": {"body": "Plants make food."}}
    assert post(simulator, body).json()["contacts"] == [{"input": f"IN.{TO}", "user_id": f"IN.{TO}"}]
    assert simulator.shown("cloud", ASHA) == ["hello", "Plants make food."]
    assert simulator.violations() == []


def test_a_template_reaches_who_never_wrote(simulator: Driver, service: Webhooks) -> None:
    template = {
        "name": "welcome",
        "language": {"code": "hi", "policy": "deterministic"},
        "components": [{"type": "body", "parameters": [{"type": "text", "text": "Asha"}]}],
    }
    body = {"messaging_product": "whatsapp", "to": TO, "type": "template", "template": template}
    assert post(simulator, body).status_code == 200
    assert simulator.shown("cloud", ASHA) == ["[template welcome] Asha"]
    assert simulator.violations() == []


def test_who_never_wrote_gets_nothing_else(simulator: Driver, service: Webhooks) -> None:
    assert post(simulator, text()).status_code == 200
    (status,) = eventually(lambda: contents(service, "statuses"))
    assert (status["status"], status["errors"][0]["code"]) == ("failed", 131047)
    assert simulator.broken() == ["131047"]


def test_a_mark_makes_what_came_before_read_and_shows_typing(simulator: Driver) -> None:
    first = simulator.say("cloud", ASHA, "one")
    second = simulator.say("cloud", ASHA, "two")
    simulator.say("cloud", ASHA, "three")
    eventually(lambda: simulator.last("cloud", ASHA)["state"] == "delivered")
    answer = post(simulator, mark(second["provider_id"], typing_indicator={"type": "text"}))
    assert answer.json() == {"success": True}
    phone = simulator.phone("cloud", ASHA)
    assert [message["state"] for message in phone["messages"]] == ["read", "read", "delivered"]
    assert 20 < phone["typing"] <= 25
    assert first["message"] == phone["messages"][0]["id"]
    post(simulator, text("Here"))
    assert simulator.phone("cloud", ASHA)["typing"] == 0


@pytest.mark.parametrize("code", ["131047", "131026"])
def test_some_refusals_come_later(simulator: Driver, service: Webhooks, code: str) -> None:
    simulator.say("cloud", ASHA, "hello")
    simulator.refuse("cloud", ASHA, code)
    assert post(simulator, text()).status_code == 200
    (status,) = eventually(lambda: contents(service, "statuses"))
    assert (status["status"], str(status["errors"][0]["code"])) == ("failed", code)


def test_a_busy_pair_is_refused_at_once(simulator: Driver) -> None:
    simulator.refuse("cloud", ASHA, "131056")
    assert post(simulator, text()).json()["error"]["code"] == 131056
    assert simulator.violations() == []


# ---- broken rules ----------------------------------------------------------------------------------------------------

ELEVEN = [ROW | {"id": str(number), "title": f"Row {number}"} for number in range(11)]
REFUSED = [
    (text(messaging_product="sms"), 100, "BaseMessageProperties.messaging_product"),
    (text(to=None), 131009, "BaseMessageProperties.to"),
    ({"messaging_product": "whatsapp", "type": "text", "text": {"body": "x"}}, 131008, "BaseMessageProperties.to"),
    (text(to="whatsapp:+91"), 131009, "BaseMessageProperties.to"),
    (text(recipient_type="group"), 131009, "BaseMessageProperties.recipient_type"),
    (text(recipient="Asha"), 131009, "BaseMessageProperties.recipient"),
    (text(type="hologram") | {}, 100, "message.text"),
    ({"messaging_product": "whatsapp", "to": TO, "type": "audio"}, 131051, "Message.type"),
    (text(biz_opaque_callback_data="x" * 513), 131009, "biz_opaque_callback_data"),
    (text(reply_markup={}), 100, "message.reply_markup"),
    (text(text={"body": "x", "colour": "red"}), 100, "text.colour"),
    (text(text={"preview_url": True}), 131008, "TextMessage.text.body"),
    (text(""), 131009, "TextMessage.text.body"),
    (text("a" * 4097), 131009, "TextMessage.text.body"),
    (text(context={"message_id": "wamid.x"}), 131009, "MessageContext.message_id"),
    (interactive("", {}), 131009, "InteractiveObject.type"),
    (interactive("flow", {}), 131009, "InteractiveObject.type"),
    ({"messaging_product": "whatsapp", "to": TO, "type": "interactive"}, 131008, "InteractiveObject.type"),
    (buttons(BUTTON, body={}), 131009, "BodyObject.text"),
    (buttons(BUTTON, body="a" * 1025), 131009, "BodyObject.text"),
    (buttons(BUTTON, header={"text": "x"}), 131008, "HeaderObject.type"),
    (buttons(BUTTON, header={"type": "text", "text": "x" * 61}), 131009, "HeaderObject.text"),
    (buttons(BUTTON, footer={"text": "x" * 61}), 131009, "FooterObject.text"),
    (buttons(), 131009, "ActionObject.buttons"),
    (buttons(*(reply(str(n), str(n)) for n in range(4))), 131009, "ActionObject.buttons"),
    (buttons({"type": "url", "reply": {"id": "x", "title": "y"}}), 131009, "ActionObject.buttons.type"),
    (buttons({"type": "reply"}), 131008, "ActionObject.buttons.reply"),
    (buttons({"type": "reply", "reply": {"title": "x"}}), 131008, "ActionObject.buttons.reply.id"),
    (buttons({"type": "reply", "reply": {"id": "x"}}), 131008, "ActionObject.buttons.reply.title"),
    (buttons(reply("a" * 21)), 131009, "ActionObject.buttons.reply.title"),
    (buttons(reply(id_="a" * 257)), 131009, "ActionObject.buttons.reply.id"),
    (buttons(reply(id_=" up")), 131009, "ActionObject.buttons.reply.id"),
    (buttons(reply("a", "1"), reply("b", "1")), 131009, "ActionObject.buttons.reply.id"),
    (buttons(reply("a", "1"), reply("a", "2")), 131009, "ActionObject.buttons.reply.title"),
    (interactive("list", {"sections": [rows(ROW)]}), 131008, "ActionObject.button"),
    (listing(rows(ROW), button="a" * 21), 131009, "ActionObject.button"),
    (listing(), 131009, "ActionObject.sections"),
    (listing(*(rows(title="x") for _ in range(11))), 131009, "ActionObject.sections"),
    (listing(rows()), 131009, "SectionObject.rows"),
    (listing(rows(*ELEVEN[:6], title="a"), rows(*ELEVEN[6:], title="b")), 131009, "SectionObject.rows"),
    (listing(rows(ROW, title="a" * 25)), 131009, "SectionObject.title"),
    (listing(rows(ELEVEN[0]), rows(ELEVEN[1])), 131008, "SectionObject.title"),
    (listing(rows({"title": "x"})), 131008, "SectionObject.rows.id"),
    (listing(rows({"id": "x"})), 131008, "SectionObject.rows.title"),
    (listing(rows(ROW | {"id": "a" * 201})), 131009, "SectionObject.rows.id"),
    (listing(rows(ROW | {"title": "a" * 25})), 131009, "SectionObject.rows.title"),
    (listing(rows(ROW | {"description": "a" * 73})), 131009, "SectionObject.rows.description"),
    (listing(rows(ROW, ROW)), 131009, "SectionObject.rows.id"),
    (text(type="template", template={"language": {"code": "hi"}}), 100, "message.text"),
    (
        {"messaging_product": "whatsapp", "to": TO, "type": "template", "template": {"language": {"code": "hi"}}},
        131008,
        "TemplateObject.name",
    ),
    (
        {"messaging_product": "whatsapp", "to": TO, "type": "template", "template": {"name": "x"}},
        131008,
        "LanguageObject.code",
    ),
    (mark("wamid.x"), 100, "MarkMessageRequestPayload.message_id"),
    ({"messaging_product": "whatsapp", "status": "read"}, 131008, "MarkMessageRequestPayload.message_id"),
    (mark("wamid.x", status="seen"), 131009, "MarkMessageRequestPayload.status"),
    (mark("wamid.x", typing_indicator={"type": "voice"}), 131009, "typing_indicator.type"),
    (mark("wamid.x", to=TO), 100, "message.to"),
]


@pytest.mark.parametrize(("body", "code", "rule"), REFUSED)
def test_a_broken_rule_is_refused_and_recorded(simulator: Driver, body: Json, code: int, rule: str) -> None:
    simulator.say("cloud", ASHA, "hello")
    response = post(simulator, body)
    error = response.json()["error"]
    assert (response.status_code, error["code"], error["type"]) == (400, code, "OAuthException")
    assert error["fbtrace_id"]
    assert simulator.broken() == [rule]
    assert simulator.shown("cloud", ASHA) == ["hello"]


def test_every_rule_about_parameters_is_broken_by_a_test() -> None:
    assert {rule.name for rule in (*EVERY_CALL, *MARK, *MESSAGE)} <= {rule for _, _, rule in REFUSED}


def test_limits_themselves_are_allowed(simulator: Driver) -> None:
    simulator.say("cloud", ASHA, "hello")
    for body in (
        text("क" * 4096),
        {"messaging_product": "whatsapp", "to": ASHA, "text": {"body": "the type may be left out"}},
        buttons(*(reply(str(n) * 20, str(n) * 256) for n in range(3)), body="a" * 1024),
        listing(rows(*ELEVEN[:5], title="a" * 24), rows(*ELEVEN[5:10], title="b"), button="a" * 20),
    ):
        assert post(simulator, body).status_code == 200
    assert simulator.violations() == []


def test_the_token_and_the_number_must_be_ours(simulator: Driver) -> None:
    assert post(simulator, text(), token="another").status_code == 401
    wrong = post(simulator, text(), number="123")
    assert (wrong.status_code, wrong.json()["error"]["error_subcode"]) == (400, 33)
    assert post(simulator, b"{").status_code == 400
    assert simulator.broken() == ["Authorization", "Phone-Number-ID", "Content-Type"]


# ---- what students send ----------------------------------------------------------------------------------------------


def test_a_message_comes_signed(simulator: Driver, service: Webhooks) -> None:
    said = simulator.say("cloud", ASHA, "क्या है?", name="Asha")
    (delivery,) = eventually(lambda: service.deliveries)
    assert delivery.path_query == "/webhooks/cloud"
    assert signed(simulator, delivery)
    body = json.loads(delivery.body)
    assert (body["object"], body["entry"][0]["id"]) == (
        "whatsapp_business_account",
        simulator.config.cloud.business_id,
    )
    change = body["entry"][0]["changes"][0]
    assert change["field"] == "messages"
    assert change["value"]["metadata"]["phone_number_id"] == simulator.config.cloud.phone_number_id
    assert change["value"]["contacts"] == [{"profile": {"name": "Asha"}, "wa_id": TO}]
    (message,) = change["value"]["messages"]
    assert (message["from"], message["id"], message["type"]) == (TO, said["provider_id"], "text")
    assert message["text"] == {"body": "क्या है?"}


def test_a_failed_webhook_is_called_again_while_others_go_ahead(simulator: Driver, service: Webhooks) -> None:
    service.answers = [500]
    simulator.say("cloud", ASHA, "one")
    simulator.say("cloud", ASHA, "two")
    eventually(lambda: len(service.deliveries) == 3)
    assert sorted(message["text"]["body"] for message in contents(service, "messages")) == ["one", "one", "two"]
    eventually(lambda: {message["state"] for message in simulator.phone("cloud", ASHA)["messages"]} == {"delivered"})


@pytest.mark.parametrize(("kind", "type_"), [("photo", "image"), ("voice", "audio"), ("sticker", "sticker")])
def test_a_file_is_fetched_with_the_token(simulator: Driver, service: Webhooks, kind: str, type_: str) -> None:
    simulator.say("cloud", ASHA, kind=kind)
    (message,) = eventually(lambda: contents(service, "messages"))
    assert message["type"] == type_
    headers = {"Authorization": f"Bearer {simulator.config.cloud.access_token}"}
    client = simulator.client
    described = client.get(f"/v23.0/{message[type_]['id']}", headers=headers).json()
    assert described["sha256"] == message[type_]["sha256"]
    file = client.get(described["url"], headers=headers)
    assert (len(file.content), file.headers["content-type"]) == (described["file_size"], described["mime_type"])
    assert client.get(described["url"]).status_code == 401
    assert client.get("/v23.0/123", headers=headers).status_code == 400
    assert simulator.broken() == ["Authorization", "Phone-Number-ID"]


@pytest.mark.parametrize(("kind", "field"), [("contact", "contacts"), ("location", "location"), ("edited", "errors")])
def test_other_kinds_arrive(simulator: Driver, service: Webhooks, kind: str, field: str) -> None:
    said = simulator.say("cloud", ASHA, "hello")
    simulator.say("cloud", ASHA, "x", kind=kind, message=said["message"])
    eventually(lambda: len(contents(service, "messages")) == 2)
    assert field in contents(service, "messages")[-1]


def test_the_service_is_asked_for_the_challenge(simulator: Driver, service: Webhooks) -> None:
    assert simulator.post("cloud/verify") == {"verified": False, "status": 403}
    service.verify_token = simulator.config.cloud.verify_token
    assert simulator.post("cloud/verify") == {"verified": True, "status": 200}
    with driven("http://127.0.0.1:9") as lonely:
        assert lonely.post("cloud/verify") == {"verified": False, "status": None}
