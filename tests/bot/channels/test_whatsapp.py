from __future__ import annotations

from collections.abc import Iterable, Mapping

import pytest

from bot.channels import whatsapp as module
from bot.channels.whatsapp import STATUS_PATH, WEBHOOK_PATH, WhatsAppChannel
from bot.errors import ForgedRequest, UnknownShape
from bot.ports import HttpRequest, Kind
from bot.web import webhooks
from tests.bot.channels.simulated import PUBLIC
from tests.payloads.recorded import payload
from tests.signing import twilio_signature

Fields = Iterable[tuple[str, str]]

TOKEN = "an-auth-token-of-this-test"


@pytest.fixture
def whatsapp() -> WhatsAppChannel:
    """A channel that only reads: it never calls Twilio."""
    return WhatsAppChannel("AC" + "0" * 32, TOKEN, "whatsapp:+14155238886", public_url=PUBLIC)


def signed(
    form: Mapping[str, str] | Fields, path_query: str = WEBHOOK_PATH, *, public: str = PUBLIC, token: str = TOKEN
) -> HttpRequest:
    """The request as Twilio sends it to `public`."""
    fields = tuple(form.items() if isinstance(form, Mapping) else form)
    return HttpRequest(
        path_query, {"x-twilio-signature": twilio_signature(token, public + path_query, fields)}, b"", fields
    )


# ---- signature -----------------------------------------------------------------------------------------------------


def test_the_host_that_a_proxy_shows_plays_no_part(whatsapp: WhatsAppChannel) -> None:
    request = signed(payload("whatsapp/text"))
    proxied = {**request.headers, "host": "10.0.0.7:8000", "x-forwarded-host": "evil.example"}
    assert whatsapp.receive(HttpRequest(request.path_query, proxied, b"", request.form))


@pytest.mark.parametrize("public", ["http://tutor.school.example", "https://evil.example", "https://10.0.0.7:8000"])
def test_a_signature_for_another_address_is_forged(whatsapp: WhatsAppChannel, public: str) -> None:
    request = signed(payload("whatsapp/text"), public=public)
    named = {**request.headers, "host": public.partition("//")[2], "x-forwarded-proto": public.partition(":")[0]}
    with pytest.raises(ForgedRequest):
        whatsapp.receive(HttpRequest(request.path_query, named, b"", request.form))


@pytest.mark.parametrize("headers", [{}, {"x-twilio-signature": ""}, {"x-twilio-signature": "AAAA"}])
def test_a_missing_or_wrong_signature_is_forged(whatsapp: WhatsAppChannel, headers: dict[str, str]) -> None:
    form = tuple(payload("whatsapp/text").items())
    for read in (whatsapp.receive, whatsapp.status):
        with pytest.raises(ForgedRequest):
            read(HttpRequest(WEBHOOK_PATH, headers, b"", form))


def test_a_changed_field_is_forged(whatsapp: WhatsAppChannel) -> None:
    request = signed(payload("whatsapp/text"))
    changed = tuple((key, "+1" if key == "From" else value) for key, value in request.form)
    with pytest.raises(ForgedRequest):
        whatsapp.receive(HttpRequest(request.path_query, request.headers, b"", changed))


def test_a_changed_query_is_forged(whatsapp: WhatsAppChannel) -> None:
    request = signed(payload("whatsapp/status_sent"), f"{STATUS_PATH}?part=1")
    with pytest.raises(ForgedRequest):
        whatsapp.status(HttpRequest(f"{STATUS_PATH}?part=2", request.headers, b"", request.form))


def test_another_account_s_token_is_forged(whatsapp: WhatsAppChannel) -> None:
    with pytest.raises(ForgedRequest):
        whatsapp.receive(signed(payload("whatsapp/text"), token="another"))


def test_repeated_fields_are_all_signed(whatsapp: WhatsAppChannel) -> None:
    repeated = [*payload("whatsapp/text").items(), ("Tag", "b"), ("Tag", "a"), ("Tag", "b")]
    request = signed(repeated)
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


@pytest.mark.parametrize(
    ("text", "command"), [("STOP", "/stop"), (" Stop ", "/stop"), ("START", "/start"), ("unsubscribe", "/stop")]
)
def test_the_words_that_businesses_taught_are_commands(whatsapp: WhatsAppChannel, text: str, command: str) -> None:
    (inbound,) = whatsapp.receive(signed(payload("whatsapp/text") | {"Body": text}))
    assert (inbound.kind, inbound.text) == (Kind.COMMAND, command)


def test_a_sentence_that_begins_like_one_is_a_question(whatsapp: WhatsAppChannel) -> None:
    form = payload("whatsapp/text") | {"Body": "Stop codons: what are they?"}
    (inbound,) = whatsapp.receive(signed(form))
    assert inbound.kind is Kind.TEXT


def test_the_number_is_nowhere_but_in_the_address(whatsapp: WhatsAppChannel) -> None:
    (inbound,) = whatsapp.receive(signed(payload("whatsapp/text")))
    assert "9876543210" not in inbound.text + inbound.provider_id + str(inbound.answer_id)


# ---- status --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("query", ["", "?part=", "?part=x", "?part=-1", "?part=२"])
def test_a_report_without_our_id_still_names_the_message(whatsapp: WhatsAppChannel, query: str) -> None:
    report = whatsapp.status(signed(payload("whatsapp/status_sent"), STATUS_PATH + query))
    assert report is not None
    assert report.outbox_id is None
    assert report.provider_id.startswith("SM")


@pytest.mark.parametrize("name", ["status_unknown", "unknown"])
def test_an_unknown_status_is_an_unknown_shape(whatsapp: WhatsAppChannel, name: str) -> None:
    with pytest.raises(UnknownShape):
        whatsapp.status(signed(payload(f"whatsapp/{name}"), STATUS_PATH))


def test_the_paths_of_both_sides_agree() -> None:
    assert (webhooks.WHATSAPP, webhooks.WHATSAPP_STATUS) == (module.WEBHOOK_PATH, module.STATUS_PATH)
