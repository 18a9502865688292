from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import pytest

from bot.channels import whatsapp as module
from bot.channels.whatsapp import STATUS_PATH, WEBHOOK_PATH, WhatsAppChannel
from bot.errors import ForgedRequest, UnknownShape
from bot.ports import DeliveryState, HttpRequest, Kind
from bot.web import webhooks
from tests.fakes import FakeTwilio

Payload = Callable[[str], dict[str, Any]]
Fields = Iterable[tuple[str, str]]

PUBLIC = "https://tutor.school.example"
FILES = Path(__file__).parents[2] / "payloads" / "whatsapp"

ANSWERED = {
    "text": (Kind.TEXT, "What is photosynthesis?"),
    "text_hindi": (Kind.TEXT, "प्रकाश संश्लेषण क्या है? & 50% + 🌱"),
    "command": (Kind.COMMAND, "/help"),
    "thumb_up": (Kind.FEEDBACK, "up"),
    "thumb_down": (Kind.FEEDBACK, "down"),
    "image": (Kind.UNSUPPORTED, "photo"),
    "voice": (Kind.UNSUPPORTED, "voice"),
    "video": (Kind.UNSUPPORTED, "video"),
    "document": (Kind.UNSUPPORTED, "document"),
    "sticker": (Kind.UNSUPPORTED, "sticker"),
    "contact": (Kind.UNSUPPORTED, "contact"),
    "location": (Kind.UNSUPPORTED, "location"),
    "button": (Kind.TEXT, "Explain more"),
    "button_command": (Kind.COMMAND, "/help"),
    "empty": (Kind.UNSUPPORTED, "other"),
}
UNKNOWN = {"sms": "not_whatsapp", "unknown": "no_message"}
STATUSES = {
    "status_queued": None,
    "status_sent": (DeliveryState.SENT, ""),
    "status_delivered": (DeliveryState.DELIVERED, ""),
    "status_read": (DeliveryState.READ, ""),
    "status_undelivered": (DeliveryState.FAILED, "63016"),
    "status_failed": (DeliveryState.FAILED, "63024"),
}


def signed(
    twilio: FakeTwilio, form: Mapping[str, str] | Fields, path_query: str = WEBHOOK_PATH, *, public: str = PUBLIC
) -> HttpRequest:
    """The request as Twilio sends it to `public`."""
    fields = tuple(form.items() if isinstance(form, Mapping) else form)
    return HttpRequest(path_query, {"x-twilio-signature": twilio.sign(public + path_query, fields)}, b"", fields)


# ---- signature -----------------------------------------------------------------------------------------------------


def test_the_host_that_a_proxy_shows_plays_no_part(
    twilio_api: FakeTwilio, whatsapp: WhatsAppChannel, payload: Payload
) -> None:
    request = signed(twilio_api, payload("whatsapp/text"))
    proxied = {**request.headers, "host": "10.0.0.7:8000", "x-forwarded-host": "evil.example"}
    assert whatsapp.receive(HttpRequest(request.path_query, proxied, b"", request.form))


@pytest.mark.parametrize("public", ["http://tutor.school.example", "https://evil.example", "https://10.0.0.7:8000"])
def test_a_signature_for_another_address_is_forged(
    twilio_api: FakeTwilio, whatsapp: WhatsAppChannel, payload: Payload, public: str
) -> None:
    request = signed(twilio_api, payload("whatsapp/text"), public=public)
    named = {**request.headers, "host": public.partition("//")[2], "x-forwarded-proto": public.partition(":")[0]}
    with pytest.raises(ForgedRequest):
        whatsapp.receive(HttpRequest(request.path_query, named, b"", request.form))


@pytest.mark.parametrize("headers", [{}, {"x-twilio-signature": ""}, {"x-twilio-signature": "AAAA"}])
def test_a_missing_or_wrong_signature_is_forged(
    whatsapp: WhatsAppChannel, payload: Payload, headers: dict[str, str]
) -> None:
    form = tuple(payload("whatsapp/text").items())
    for read in (whatsapp.receive, whatsapp.status):
        with pytest.raises(ForgedRequest):
            read(HttpRequest(WEBHOOK_PATH, headers, b"", form))


def test_a_changed_field_is_forged(twilio_api: FakeTwilio, whatsapp: WhatsAppChannel, payload: Payload) -> None:
    request = signed(twilio_api, payload("whatsapp/text"))
    changed = tuple((key, "+1" if key == "From" else value) for key, value in request.form)
    with pytest.raises(ForgedRequest):
        whatsapp.receive(HttpRequest(request.path_query, request.headers, b"", changed))


def test_a_changed_query_is_forged(twilio_api: FakeTwilio, whatsapp: WhatsAppChannel, payload: Payload) -> None:
    request = signed(twilio_api, payload("whatsapp/status_sent"), f"{STATUS_PATH}?part=1")
    with pytest.raises(ForgedRequest):
        whatsapp.status(HttpRequest(f"{STATUS_PATH}?part=2", request.headers, b"", request.form))


def test_another_account_s_token_is_forged(whatsapp: WhatsAppChannel, payload: Payload) -> None:
    with pytest.raises(ForgedRequest):
        whatsapp.receive(signed(FakeTwilio(auth_token="another"), payload("whatsapp/text")))


def test_repeated_fields_are_all_signed(twilio_api: FakeTwilio, whatsapp: WhatsAppChannel, payload: Payload) -> None:
    repeated = [*payload("whatsapp/text").items(), ("Tag", "b"), ("Tag", "a"), ("Tag", "b")]
    request = signed(twilio_api, repeated)
    assert whatsapp.receive(request)
    fewer = tuple(field for field in request.form if field != ("Tag", "a"))
    with pytest.raises(ForgedRequest):
        whatsapp.receive(HttpRequest(request.path_query, request.headers, b"", fewer))


def test_the_worked_example_of_the_documentation() -> None:
    """The example request of Twilio's page on webhook security: a known answer, not one of our own making."""
    channel = WhatsAppChannel("AC1", "12345", "whatsapp:+1", public_url="https://mycompany.com")
    form = (
        ("CallSid", "CA1234567890ABCDE"),
        ("Caller", "+14158675309"),
        ("Digits", "1234"),
        ("From", "+14158675309"),
        ("To", "+18005551212"),
    )
    genuine = {"x-twilio-signature": "RSOYDt4T1cUTdK1PDd93/VVr8B8="}
    with pytest.raises(UnknownShape):  # past the signature
        channel.receive(HttpRequest("/myapp.php?foo=1&bar=2", genuine, b"", form))


# ---- receive -------------------------------------------------------------------------------------------------------


def test_every_payload_file_is_in_one_table() -> None:
    assert {file.stem for file in FILES.glob("*.json")} == {
        *ANSWERED, *UNKNOWN, *STATUSES, "status_unknown",
    }  # fmt: skip


@pytest.mark.parametrize("name", sorted(ANSWERED))
def test_answered(twilio_api: FakeTwilio, whatsapp: WhatsAppChannel, payload: Payload, name: str) -> None:
    form = payload(f"whatsapp/{name}")
    (inbound,) = whatsapp.receive(signed(twilio_api, form))
    assert (inbound.kind, inbound.text) == ANSWERED[name]
    assert (inbound.channel, inbound.provider_id) == ("whatsapp", form["MessageSid"])
    assert (inbound.address, inbound.answer_id) == ("whatsapp:+919876543210", None)


@pytest.mark.parametrize("name", sorted(UNKNOWN))
def test_unknown(twilio_api: FakeTwilio, whatsapp: WhatsAppChannel, payload: Payload, name: str) -> None:
    with pytest.raises(UnknownShape) as raised:
        whatsapp.receive(signed(twilio_api, payload(f"whatsapp/{name}")))
    assert raised.value.kind == UNKNOWN[name]


def test_the_number_is_nowhere_but_in_the_address(
    twilio_api: FakeTwilio, whatsapp: WhatsAppChannel, payload: Payload
) -> None:
    (inbound,) = whatsapp.receive(signed(twilio_api, payload("whatsapp/text")))
    assert "9876543210" not in inbound.text + inbound.provider_id + str(inbound.answer_id)


# ---- status --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", sorted(STATUSES))
def test_status(twilio_api: FakeTwilio, whatsapp: WhatsAppChannel, payload: Payload, name: str) -> None:
    form = payload(f"whatsapp/{name}")
    report = whatsapp.status(signed(twilio_api, form, f"{STATUS_PATH}?part=42"))
    if report is None:
        assert STATUSES[name] is None
    else:
        assert (report.state, report.code) == STATUSES[name]
        assert (report.provider_id, report.outbox_id) == (form["MessageSid"], 42)


@pytest.mark.parametrize("query", ["", "?part=", "?part=x", "?part=-1", "?part=२"])
def test_a_report_without_our_id_still_names_the_message(
    twilio_api: FakeTwilio, whatsapp: WhatsAppChannel, payload: Payload, query: str
) -> None:
    report = whatsapp.status(signed(twilio_api, payload("whatsapp/status_sent"), STATUS_PATH + query))
    assert report is not None
    assert report.outbox_id is None
    assert report.provider_id.startswith("SM")


@pytest.mark.parametrize("name", ["status_unknown", "unknown"])
def test_an_unknown_status_is_an_unknown_shape(
    twilio_api: FakeTwilio, whatsapp: WhatsAppChannel, payload: Payload, name: str
) -> None:
    with pytest.raises(UnknownShape):
        whatsapp.status(signed(twilio_api, payload(f"whatsapp/{name}"), STATUS_PATH))


def test_the_paths_of_both_sides_agree() -> None:
    assert (webhooks.WHATSAPP, webhooks.WHATSAPP_STATUS) == (module.WEBHOOK_PATH, module.STATUS_PATH)
