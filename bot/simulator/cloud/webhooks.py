"""What Meta posts to the service: JSON, signed with the app's secret."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import secrets
import time
from collections.abc import Callable

from bot.simulator import whatsapp
from bot.simulator.cloud.errors import Failure
from bot.simulator.config import Config, Json, Provider
from bot.simulator.courier import Parcel, Policy
from bot.simulator.media import File
from bot.simulator.phones import Phone
from bot.simulator.said import Kind, Said

UNSUPPORTED = {
    "code": 131051,
    "title": "Message type unknown",
    "message": "Message type unknown",
    "error_data": {"details": "Message type is currently not supported."},
}
_MEDIA = {Kind.PHOTO: "image", Kind.VOICE: "audio", Kind.STICKER: "sticker"}
_RAVI = {
    "name": {"first_name": "Ravi", "formatted_name": "Ravi"},
    "phones": [{"phone": "+91 98000 00000", "type": "CELL", "wa_id": "919800000000"}],
}
_PLACE = {"latitude": 25.5941, "longitude": 85.1376, "name": "Golghar", "address": "Patna, Bihar"}


def new_id() -> str:
    return "wamid." + base64.b64encode(b"HBgM" + secrets.token_bytes(24)).decode("ascii")


def message(config: Config, phone: Phone, said: Said, message_id: str, file: File | None) -> Json:
    """A student's message. `file` is what it consists of besides text."""
    value: Json = {
        "from": phone.student.removeprefix("+"),
        "id": message_id,
        "timestamp": str(int(time.time())),
    }
    if said.kind is Kind.PRESS:
        return value | _press(config, phone, said)
    return value | _content(said, file)


def _content(said: Said, file: File | None) -> Json:
    match said.kind, file:
        case Kind.PHOTO | Kind.VOICE | Kind.STICKER, File():
            more: Json = {"caption": said.text} if said.kind is Kind.PHOTO and said.text else {}
            more |= {"voice": True} if said.kind is Kind.VOICE else {}
            more |= {"animated": False} if said.kind is Kind.STICKER else {}
            name = _MEDIA[said.kind]
            return {"type": name, name: {"id": file.id, "mime_type": file.content_type, "sha256": file.sha256} | more}
        case Kind.CONTACT, _:
            return {"type": "contacts", "contacts": [_RAVI]}
        case Kind.LOCATION, _:
            return {"type": "location", "location": _PLACE}
        case Kind.EDITED, _:
            return {"type": "unsupported", "errors": [UNSUPPORTED]}
        case _:
            return {"type": "text", "text": {"body": said.text}}


def _press(config: Config, phone: Phone, said: Said) -> Json:
    """A press of a reply button or a list's row, or of a template's button, which says its payload."""
    title = said.text or whatsapp.label(phone, said.message, said.data)
    context = {"context": {"from": config.cloud.display_number, "id": said.message}} if said.message else {}
    bubble = phone.bubbles.get(said.message)
    kind = str(bubble.markup.get("type", "")) if bubble is not None else "button"
    if kind == "template":
        return context | {"type": "button", "button": {"payload": said.data, "text": title}}
    reply: Json = {"id": said.data, "title": title}
    if kind == "list":
        reply["description"] = whatsapp.description(phone, said.message, said.data)
    name = "list_reply" if kind == "list" else "button_reply"
    return context | {"type": "interactive", "interactive": {"type": name, name: reply}}


def status(phone: Phone, message_id: str, state: str, data: str, failure: Failure | None) -> Json:
    """A report on a message of the service's. `data` is what came with it as biz_opaque_callback_data."""
    report: Json = {
        "id": message_id,
        "status": state,
        "timestamp": str(int(time.time())),
        "recipient_id": phone.student.removeprefix("+"),
    }
    if data:
        report["biz_opaque_callback_data"] = data
    if failure is not None:
        return report | {"errors": [failure.body()]}
    conversation = {"id": hashlib.sha256(phone.student.encode()).hexdigest()[:32], "origin": {"type": "service"}}
    pricing = {"billable": False, "pricing_model": "PMP", "category": "service"}
    return report | ({"conversation": conversation, "pricing": pricing} if state in {"sent", "delivered"} else {})


def envelope(config: Config, content: Json) -> bytes:
    """The body of a webhook that holds `messages` or `statuses`."""
    number = {"display_phone_number": config.cloud.display_number, "phone_number_id": config.cloud.phone_number_id}
    value = {"messaging_product": "whatsapp", "metadata": number} | content
    entry = {"id": config.cloud.business_id, "changes": [{"value": value, "field": "messages"}]}
    return json.dumps({"object": "whatsapp_business_account", "entry": [entry]}, separators=(",", ":")).encode()


def from_student(config: Config, phone: Phone, content: Json) -> bytes:
    contact = {"profile": {"name": phone.name}, "wa_id": phone.student.removeprefix("+")}
    return envelope(config, {"contacts": [contact], "messages": [content]})


def parcel(
    config: Config,
    body: bytes,
    lane: str,
    delivered: Callable[[], None] = lambda: None,
    given_up: Callable[[], None] = lambda: None,
) -> Parcel:
    """A signed call. Meta repeats it until it is answered 200, and lets others go ahead meanwhile."""
    signature = hmac.new(config.cloud.app_secret.encode(), body, hashlib.sha256).hexdigest()
    return Parcel(
        Provider.CLOUD,
        lane,
        config.cloud.webhook_path,
        body,
        {
            "Content-Type": "application/json",
            "X-Hub-Signature-256": f"sha256={signature}",
            "User-Agent": "facebookexternalua",
        },
        Policy(config.pace.attempts, in_order=False, refused_too=True),
        delivered=delivered,
        given_up=given_up,
    )
