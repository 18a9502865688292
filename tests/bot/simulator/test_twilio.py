"""Twilio as its own client and its own validator meet it."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from twilio.base.exceptions import TwilioRestException
from twilio.request_validator import RequestValidator
from twilio.rest import Client

from bot.simulator.twilio.rules import CREATE_RULES, LIST_RULES
from tests.bot.simulator.driver import Delivery, Driver, Json, Webhooks, driven, eventually

ASHA = "+919876543210"
TO = f"whatsapp:{ASHA}"
TEMPLATE = "HX" + "a" * 32


@pytest.fixture
def twilio(simulator: Driver) -> Any:
    return client_of(simulator)


def client_of(simulator: Driver, token: str = "") -> Any:
    account = simulator.config.twilio
    client = Client(account.sid, token or account.auth_token)
    client.api.base_url = simulator.url
    return client


def create(simulator: Driver, twilio: Any, body: str = "Hello", **more: Any) -> Any:
    return twilio.messages.create(**{"from_": simulator.config.twilio.sender, "to": TO, "body": body} | more)


def folder(simulator: Driver) -> str:
    return f"{simulator.url}/2010-04-01/Accounts/{simulator.config.twilio.sid}/Messages"


def posted(simulator: Driver, fields: Json) -> httpx.Response:
    """A message created without the client's own checks."""
    return simulator.client.post(f"{folder(simulator)}.json", data=fields, auth=credentials(simulator))


def credentials(simulator: Driver) -> tuple[str, str]:
    return simulator.config.twilio.sid, simulator.config.twilio.auth_token


def signed(simulator: Driver, delivery: Delivery, public: str) -> bool:
    shown = delivery.headers["x-twilio-signature"]
    validator = RequestValidator(simulator.config.twilio.auth_token)
    return bool(validator.validate(public + delivery.path_query, delivery.form, shown))


# ---- what the service sends ------------------------------------------------------------------------------------------


def test_a_message_is_shown_and_kept(simulator: Driver, twilio: Any) -> None:
    simulator.say("twilio", ASHA, "hello", name="Asha")
    sent = create(simulator, twilio, "Plants make food.")
    assert (sent.status, sent.direction, sent.to, sent.body) == ("queued", "outbound-api", TO, "Plants make food.")
    assert sent.date_created is not None
    assert sent.sid.startswith("SM")
    eventually(lambda: twilio.messages(sent.sid).fetch().status == "read")
    fetched = twilio.messages(sent.sid).fetch()
    assert (fetched.body, fetched.error_code, fetched.num_media) == ("Plants make food.", None, "0")
    assert fetched.date_sent is not None
    shown = simulator.last("twilio", ASHA)
    assert (shown["id"], shown["from"], shown["state"]) == (sent.sid, "bot", "read")
    assert simulator.violations() == []


def test_each_state_is_reported_and_signed(simulator: Driver, service: Webhooks, twilio: Any) -> None:
    simulator.say("twilio", ASHA, "hello")
    sent = create(simulator, twilio, status_callback=f"{service.url}/status?part=7")
    eventually(lambda: len(reports(service)) == 4)
    assert [report.form["MessageStatus"] for report in reports(service)] == ["queued", "sent", "delivered", "read"]
    for report in reports(service):
        assert report.path_query == "/status?part=7"
        assert signed(simulator, report, service.url)
        assert (report.form["MessageSid"], report.form["To"]) == (sent.sid, TO)


def reports(service: Webhooks) -> list[Delivery]:
    return [delivery for delivery in service.deliveries if delivery.path_query.startswith("/status")]


def test_messages_are_listed_newest_first_and_filtered(simulator: Driver, twilio: Any) -> None:
    other = "+919876500000"
    for student in (ASHA, other):
        simulator.say("twilio", student, "hello")
    for number in range(7):
        create(simulator, twilio, f"Part {number}")
    create(simulator, twilio, "Another", to=f"whatsapp:{other}")
    sender = simulator.config.twilio.sender
    listed = twilio.messages.list(to=TO, from_=sender, page_size=3)
    assert [message.body for message in listed] == [f"Part {number}" for number in reversed(range(7))]
    assert [message.body for message in twilio.messages.list(from_=sender, limit=2)] == ["Another", "Part 6"]
    assert {message.direction for message in twilio.messages.list(to=sender)} == {"inbound"}
    today = listed[0].date_created.date()
    assert len(twilio.messages.list(to=TO, date_sent=today)) == 7
    assert twilio.messages.list(to=TO, date_sent_before=today.replace(year=2000)) == []
    assert simulator.violations() == []


@pytest.mark.parametrize("code", ["63016", "63018", "63024"])
def test_some_refusals_come_later(simulator: Driver, service: Webhooks, twilio: Any, code: str) -> None:
    simulator.say("twilio", ASHA, "hello")
    simulator.refuse("twilio", ASHA, code)
    sent = create(simulator, twilio, status_callback=f"{service.url}/status")
    eventually(lambda: len(reports(service)) == 2)
    last = reports(service)[-1].form
    assert (last["MessageStatus"], last["ErrorCode"]) == ("failed", code)
    assert twilio.messages(sent.sid).fetch().error_code == int(code)
    assert simulator.last("twilio", ASHA)["state"] == "failed"


def test_an_unsubscribed_number_is_refused_at_once(simulator: Driver, twilio: Any) -> None:
    simulator.refuse("twilio", TO, "21610")
    with pytest.raises(TwilioRestException) as raised:
        create(simulator, twilio)
    assert (raised.value.status, raised.value.code) == (400, 21610)
    assert simulator.violations() == []


def test_who_never_wrote_may_get_a_template_only(simulator: Driver, service: Webhooks, twilio: Any) -> None:
    create(simulator, twilio, status_callback=f"{service.url}/status")
    eventually(lambda: [report.form for report in reports(service) if report.form.get("ErrorCode") == "63016"])
    assert simulator.broken() == ["63016"]
    twilio.messages.create(
        from_=simulator.config.twilio.sender, to=TO, content_sid=TEMPLATE, content_variables='{"1": "Asha"}'
    )
    assert simulator.shown("twilio", ASHA)[-1] == f'[template {TEMPLATE}] {{"1": "Asha"}}'
    assert simulator.broken() == ["63016"]


# ---- the account -----------------------------------------------------------------------------------------------------


def test_the_account_is_described_to_its_owner(simulator: Driver, twilio: Any) -> None:
    sid = simulator.config.twilio.sid
    account = twilio.api.accounts(sid).fetch()
    assert (account.sid, account.owner_account_sid) == (sid, sid)
    assert (account.status, account.type) == ("active", "Full")
    assert account.date_created.year == account.date_updated.year
    listed = f"{simulator.url}{account.subresource_uris['messages']}"
    assert simulator.client.get(listed, auth=credentials(simulator)).json()["messages"] == []
    assert simulator.violations() == []


def test_the_account_has_the_documented_fields(simulator: Driver) -> None:
    fields = simulator.client.get(f"{folder(simulator).removesuffix('/Messages')}.json", auth=credentials(simulator))
    assert fields.json().keys() == {
        "auth_token", "date_created", "date_updated", "friendly_name", "owner_account_sid", "sid", "status",
        "subresource_uris", "type", "uri",
    }  # fmt: skip


@pytest.mark.parametrize("sid", ["", "AC" + "0" * 32])
def test_nobody_else_is_told_of_the_account(simulator: Driver, sid: str) -> None:
    ours, token = credentials(simulator)
    client = Client(sid or ours, "wrong" if not sid else token)
    client.api.base_url = simulator.url
    with pytest.raises(TwilioRestException) as raised:
        client.api.accounts(sid or ours).fetch()
    assert (raised.value.status, raised.value.code) == (401, 20003)


# ---- broken rules ----------------------------------------------------------------------------------------------------

WHOLE = {"To": TO, "From": "whatsapp:+14155238886", "Body": "Hello"}
REFUSED = [
    ({"To": None}, 21604, "To: 21604"),
    ({"To": ASHA}, 21211, "To: 21211"),
    ({"To": "whatsapp:98765"}, 21211, "To: 21211"),
    ({"From": None}, 21603, "From: 21603"),
    ({"From": "+14155238886"}, 21212, "From: 21212"),
    ({"From": "whatsapp:+14155238887"}, 63007, "From: 63007"),
    ({"Body": None}, 21619, "Body: 21619"),
    ({"Body": ""}, 21619, "Body: 21619"),
    ({"Body": "a" * 1601}, 21617, "Body: 21617"),
    ({"MediaUrl": ["https://x.example/a.png"] * 11}, 21623, "MediaUrl: 21623"),
    ({"StatusCallback": "/status"}, 21609, "StatusCallback: 21609"),
    ({"StatusCallback": "https://under_score.example/status"}, 21609, "StatusCallback: 21609"),
    ({"ContentVariables": "{}"}, 21656, "ContentVariables: 21656"),
    ({"ContentSid": TEMPLATE, "ContentVariables": "{"}, 21656, "ContentVariables: 21656"),
    ({"ContentSid": "HX1"}, 21655, "ContentSid: 21655"),
    ({"ContentSid": "HX" + "g" * 32}, 21655, "ContentSid: 21655"),
]


@pytest.mark.parametrize(("change", "code", "rule"), REFUSED)
def test_a_broken_rule_is_refused_and_recorded(simulator: Driver, change: Json, code: int, rule: str) -> None:
    fields = {name: value for name, value in (WHOLE | change).items() if value is not None}
    response = posted(simulator, fields)
    assert response.status_code == 400
    assert response.json()["code"] == code
    assert response.json()["more_info"] == f"https://www.twilio.com/docs/errors/{code}"
    assert simulator.broken() == [rule]


@pytest.mark.parametrize("size", ["0", "1001", "many"])
def test_a_page_has_a_size(simulator: Driver, size: str) -> None:
    query = {"PageSize": size}
    response = simulator.client.get(f"{folder(simulator)}.json", params=query, auth=credentials(simulator))
    assert response.json()["code"] == 20006
    assert simulator.broken() == ["PageSize: 20006"]


def test_every_rule_about_parameters_is_broken_by_a_test() -> None:
    named = {rule for _, _, rule in REFUSED} | {"PageSize: 20006"}
    assert {rule.name for rule in (*CREATE_RULES, *LIST_RULES)} <= named


def test_what_twilio_overlooks_is_recorded_all_the_same(simulator: Driver) -> None:
    simulator.say("twilio", ASHA, "hello")
    assert posted(simulator, WHOLE | {"Text": "Hello"}).status_code == 201
    assert posted(simulator, WHOLE | {"StatusCallback": "https://elsewhere.example/status"}).status_code == 201
    assert simulator.broken() == ["Message parameters", "StatusCallback"]


def test_limits_themselves_are_allowed(simulator: Driver) -> None:
    simulator.say("twilio", ASHA, "hello")
    assert posted(simulator, WHOLE | {"Body": "क" * 1600}).status_code == 201
    assert simulator.violations() == []


def test_the_account_must_be_shown(simulator: Driver) -> None:
    with pytest.raises(TwilioRestException) as raised:
        create(simulator, client_of(simulator, token="another"))
    assert (raised.value.status, raised.value.code) == (401, 20003)
    assert simulator.broken() == ["20003"]


def test_what_is_not_there_is_not_found(simulator: Driver, twilio: Any) -> None:
    with pytest.raises(TwilioRestException) as raised:
        twilio.messages("SM" + "0" * 32).fetch()
    assert (raised.value.status, raised.value.code) == (404, 20404)
    assert simulator.broken() == ["20404"]


# ---- what students send ----------------------------------------------------------------------------------------------


def test_a_message_comes_signed_with_all_its_fields(simulator: Driver, service: Webhooks, twilio: Any) -> None:
    said = simulator.say("twilio", ASHA.removeprefix("+"), "What is photosynthesis?", name="Asha")
    (delivery,) = eventually(lambda: service.deliveries)
    assert delivery.path_query == "/webhooks/whatsapp"
    assert signed(simulator, delivery, service.url)
    form = delivery.form
    assert form["MessageSid"] == form["SmsMessageSid"] == form["SmsSid"] == said["provider_id"]
    assert (form["From"], form["WaId"], form["ProfileName"]) == (TO, ASHA[1:], "Asha")
    assert (form["To"], form["AccountSid"]) == (simulator.config.twilio.sender, simulator.config.twilio.sid)
    assert (form["Body"], form["NumMedia"], form["MessageType"]) == ("What is photosynthesis?", "0", "text")
    assert twilio.messages(said["provider_id"]).fetch().status == "received"
    eventually(lambda: simulator.last("twilio", ASHA)["state"] == "delivered")


def test_the_signature_covers_the_public_address(service: Webhooks) -> None:
    public = "https://tutor.example"
    with driven(service.url, public) as simulator:
        simulator.say("twilio", ASHA, "क्या है?")
        (delivery,) = eventually(lambda: service.deliveries)
        assert signed(simulator, delivery, public)
        assert not signed(simulator, delivery, service.url)


def test_twilio_does_not_repeat_what_was_refused(simulator: Driver, service: Webhooks) -> None:
    service.answers = [500]
    simulator.say("twilio", ASHA, "hello")
    eventually(lambda: simulator.last("twilio", ASHA)["state"] == "failed")
    assert len(service.deliveries) == 1


def test_a_service_that_is_away_is_called_once_more() -> None:
    with driven("http://127.0.0.1:9") as simulator:
        simulator.say("twilio", ASHA, "hello")
        eventually(lambda: simulator.last("twilio", ASHA)["state"] == "failed")


@pytest.mark.parametrize(
    ("kind", "content_type", "message_type"),
    [
        ("photo", "image/jpeg", "image"),
        ("voice", "audio/ogg", "audio"),
        ("sticker", "image/webp", "sticker"),
        ("contact", "text/vcard", "contacts"),
    ],
)
def test_a_file_needs_the_account_and_lies_elsewhere(
    simulator: Driver, service: Webhooks, kind: str, content_type: str, message_type: str
) -> None:
    simulator.say("twilio", ASHA, kind=kind)
    form = eventually(lambda: service.deliveries)[0].form
    assert (form["NumMedia"], form["MediaContentType0"], form["MessageType"]) == ("1", content_type, message_type)
    client, auth = simulator.client, credentials(simulator)
    assert client.get(form["MediaUrl0"]).status_code == 401
    response = client.get(form["MediaUrl0"], auth=auth)
    assert response.status_code == 307
    assert httpx.URL(response.headers["location"]).host != httpx.URL(form["MediaUrl0"]).host
    followed = client.get(form["MediaUrl0"], auth=auth, follow_redirects=True)
    assert (followed.status_code, followed.headers["content-type"].partition(";")[0]) == (200, content_type)
    assert simulator.broken() == ["20003"]


def test_the_cdn_must_not_be_shown_the_credentials(simulator: Driver, service: Webhooks) -> None:
    simulator.say("twilio", ASHA, kind="photo")
    form = eventually(lambda: service.deliveries)[0].form
    auth = credentials(simulator)
    location = simulator.client.get(form["MediaUrl0"], auth=auth).headers["location"]
    assert simulator.client.get(location, auth=auth).status_code == 400
    assert simulator.broken() == ["Media: redirect"]


@pytest.mark.parametrize(
    ("more", "fields"),
    [
        ({"kind": "location"}, {"MessageType": "location", "Latitude": "25.5941", "Longitude": "85.1376"}),
        (
            {"kind": "press", "text": "Explain more", "data": "more", "message": "SM1"},
            {
                "MessageType": "button",
                "Body": "Explain more",
                "ButtonText": "Explain more",
                "ButtonPayload": "more",
                "OriginalRepliedMessageSid": "SM1",
            },
        ),
    ],
)
def test_other_kinds_arrive(simulator: Driver, service: Webhooks, more: dict[str, str], fields: Json) -> None:
    simulator.say("twilio", ASHA, **more)
    form = eventually(lambda: service.deliveries)[0].form
    assert fields.items() <= form.items()


def test_whatsapp_through_twilio_knows_no_edits(simulator: Driver) -> None:
    said = simulator.say("twilio", ASHA, "hello")
    edit = {"provider": "twilio", "student": ASHA, "kind": "edited", "text": "x", "message": said["message"]}
    assert simulator.client.post("/sim/messages", json=edit).status_code == 422
