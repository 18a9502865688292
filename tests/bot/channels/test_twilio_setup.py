"""What the operator is told: at the start about the account and the address, later about a signature that is wrong."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator

import httpx
import pytest

from bot.channels.twilio_setup import address_trouble
from bot.channels.whatsapp import STATUS_PATH, WEBHOOK_PATH, WhatsAppChannel
from bot.compose import Role, running
from bot.errors import ForgedRequest, SettingsError
from bot.ports import HttpRequest
from bot.settings import Settings
from tests.bot.channels.simulated import PUBLIC, answer, twilio_refusal, whatsapp_of
from tests.bot.simulator.driver import Driver, Json
from tests.payloads.recorded import payload
from tests.signing import twilio_signature

TWILIO = "https://api.twilio.com"
STAND_IN = "http://127.0.0.1:8090"
TOKEN = "an-auth-token-of-this-test"


@pytest.fixture(autouse=True)
def _told(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    with caplog.at_level(logging.INFO, "bot"):
        yield


def told(caplog: pytest.LogCaptureFixture) -> list[str]:
    """What our own modules logged."""
    return [record.getMessage() for record in caplog.records if record.name.startswith("bot.")]


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not condition():  # noqa: ASYNC110  log records know no events
            await asyncio.sleep(0.01)


def account_of(twilio_api: Driver) -> Json:
    """The account, as Twilio describes it to us."""
    ours = twilio_api.config.twilio
    basic = httpx.BasicAuth(ours.sid, ours.auth_token)
    found: Json = twilio_api.client.get(f"/2010-04-01/Accounts/{ours.sid}.json", auth=basic).json()
    return found


# ---- the address -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("public_url", "api_base", "hint"),
    [
        ("https://tutor.school.in", TWILIO, ""),
        ("https://school.in/tutor", TWILIO, ""),
        ("https://tutor.school.in:8443", TWILIO, ""),
        ("http://127.0.0.1:8000", STAND_IN, ""),
        ("http://tutor.school.in", STAND_IN, ""),
        ("http://tutor.school.in", "http://localhost:8090", ""),
        ("http://tutor.school.in", TWILIO, "must be https"),
        ("http://localhost:8000", TWILIO, "this machine"),
        ("https://127.0.0.1", TWILIO, "this machine"),
        ("https://[::1]", TWILIO, "this machine"),
        ("https://tutor.school.in/webhooks/whatsapp", TWILIO, "must end before /webhooks"),
        ("https://tutor.school.in/webhooks/whatsapp", STAND_IN, "must end before /webhooks"),
        ("https://tutor.school.in/webhooks", TWILIO, "must end before /webhooks"),
        ("https://tutor.school.in?x=1", TWILIO, "without ?"),
        ("https://tutor.school.in/#top", TWILIO, "without ?"),
    ],
)
def test_an_address_that_twilio_cannot_call_is_explained(public_url: str, api_base: str, hint: str) -> None:
    trouble = address_trouble(public_url, api_base)
    assert bool(trouble) is bool(hint)
    assert hint in trouble
    if hint:
        assert public_url in trouble


# ---- the account -----------------------------------------------------------------------------------------------------


async def test_the_operator_is_told_what_to_type_into_the_console(
    whatsapp: WhatsAppChannel, twilio_api: Driver, caplog: pytest.LogCaptureFixture
) -> None:
    await whatsapp.started(asyncio.Event())
    (line,) = told(caplog)
    assert f"{PUBLIC}{WEBHOOK_PATH}, by POST" in line
    assert "sandbox" in line
    assert "trial" not in line
    for secret in (twilio_api.config.twilio.sid, twilio_api.config.twilio.auth_token):
        assert secret not in line
    assert twilio_api.violations() == []


async def test_a_number_of_ones_own_is_no_sandbox(twilio_api: Driver, caplog: pytest.LogCaptureFixture) -> None:
    ours = twilio_api.config.twilio
    channel = WhatsAppChannel(
        ours.sid, ours.auth_token, "whatsapp:+911140000000", public_url=PUBLIC, api_base=twilio_api.url
    )
    await channel.started(asyncio.Event())
    await channel.close()
    (line,) = told(caplog)
    assert "sandbox" not in line.lower()
    assert f"{PUBLIC}{WEBHOOK_PATH}" in line


async def test_a_trial_account_is_noted(
    whatsapp: WhatsAppChannel, twilio_api: Driver, caplog: pytest.LogCaptureFixture
) -> None:
    twilio_api.faults("twilio", answer("account", 200, account_of(twilio_api) | {"type": "Trial"}))
    await whatsapp.started(asyncio.Event())
    assert "trial account" in told(caplog)[0]


async def test_a_wrong_address_is_told_and_not_to_be_typed_anywhere(
    twilio_api: Driver, caplog: pytest.LogCaptureFixture
) -> None:
    channel = whatsapp_of(twilio_api, public_url=f"{PUBLIC}/webhooks/whatsapp")
    await channel.started(asyncio.Event())
    await channel.close()
    wrong, known = told(caplog)
    assert "must end before /webhooks" in wrong
    assert "Twilio knows the account" in known
    assert WEBHOOK_PATH not in known


async def test_wrong_credentials_are_told_apart_from_a_bad_line(
    twilio_api: Driver, caplog: pytest.LogCaptureFixture
) -> None:
    channel = whatsapp_of(twilio_api, auth_token="mistyped")
    with pytest.raises(SettingsError) as raised:
        await channel.started(asyncio.Event())
    await channel.close()
    for named in ("SAHPATHI_TWILIO__ACCOUNT_SID", "SAHPATHI_TWILIO__AUTH_TOKEN", "20003"):
        assert named in str(raised.value)
    assert "mistyped" not in str(raised.value)
    assert told(caplog) == []


@pytest.mark.parametrize("status", ["suspended", "closed"])
async def test_an_account_that_carries_nothing_is_told(
    whatsapp: WhatsAppChannel, twilio_api: Driver, status: str
) -> None:
    twilio_api.faults("twilio", answer("account", 200, account_of(twilio_api) | {"status": status}))
    with pytest.raises(SettingsError, match=f"account at Twilio is {status}"):
        await whatsapp.started(asyncio.Event())


@pytest.mark.parametrize("code", [10001, 20005])
async def test_an_account_that_may_not_even_ask_is_told(
    whatsapp: WhatsAppChannel, twilio_api: Driver, code: int
) -> None:
    twilio_api.faults("twilio", twilio_refusal("account", 403, code))
    with pytest.raises(SettingsError, match="account at Twilio is suspended"):
        await whatsapp.started(asyncio.Event())


@pytest.mark.parametrize(
    "fault",
    [
        {"kind": "server_error"},
        {"kind": "rate_limit"},
        {"kind": "drop"},
        {"kind": "answer", "status": 403, "body": {"message": "a school's proxy"}},
    ],
)
async def test_twilio_is_asked_until_it_answers_and_complained_of_once(
    twilio_api: Driver, caplog: pytest.LogCaptureFixture, fault: Json
) -> None:
    channel = whatsapp_of(twilio_api, backoff=0.01)
    twilio_api.faults("twilio", fault | {"only": ["account"], "times": 3})
    await channel.started(asyncio.Event())
    await channel.close()
    complaint, known = told(caplog)
    assert "cannot be reached yet" in complaint
    assert "Twilio knows the account" in known
    assert len(twilio_api.calls("account")) == 4


async def test_stopping_ends_the_asking(caplog: pytest.LogCaptureFixture) -> None:
    channel = WhatsAppChannel("AC1", TOKEN, "whatsapp:+1", public_url=PUBLIC, api_base="http://127.0.0.1:9")
    stop = asyncio.Event()
    asking = asyncio.create_task(channel.started(stop))
    await until(lambda: bool(told(caplog)))
    stop.set()
    async with asyncio.timeout(20):
        await asking
    await channel.close()
    assert len(told(caplog)) == 1


# ---- the service -----------------------------------------------------------------------------------------------------


@pytest.fixture
def settings(twilio_api: Driver, monkeypatch: pytest.MonkeyPatch) -> Settings:
    for name, value in twilio_api.config.environment().items():
        if name == "SAHPATHI_PUBLIC_URL" or "TWILIO" in name:
            monkeypatch.setenv(name, value)
    return Settings.load()


async def test_the_service_tells_while_it_starts(settings: Settings, caplog: pytest.LogCaptureFixture) -> None:
    async with running(settings, Role.WEB):
        await until(lambda: any(f"{PUBLIC}{WEBHOOK_PATH}" in line for line in told(caplog)))


async def test_the_service_names_wrong_credentials_and_runs_on(
    settings: Settings, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SAHPATHI_TWILIO__AUTH_TOKEN", "mistyped")
    async with running(Settings.load(), Role.WEB) as services:
        await until(lambda: any("SAHPATHI_TWILIO__AUTH_TOKEN" in line for line in told(caplog)))
        assert services.whatsapp is not None
    assert len(told(caplog)) == 1


async def test_a_silent_twilio_holds_up_neither_the_start_nor_the_end(settings: Settings, twilio_api: Driver) -> None:
    twilio_api.faults("twilio", {"kind": "hang", "only": ["account"], "seconds": 3600})
    async with asyncio.timeout(30):
        async with running(settings, Role.WEB):
            await until(lambda: bool(twilio_api.calls("account")))
    assert [call["outcome"] for call in twilio_api.calls("account")] == ["hang"]


# ---- signatures ------------------------------------------------------------------------------------------------------


def channel_at(public_url: str) -> WhatsAppChannel:
    return WhatsAppChannel("AC" + "0" * 32, TOKEN, "whatsapp:+14155238886", public_url=public_url)


def signed(url: str, path_query: str = WEBHOOK_PATH, *, token: str = TOKEN, **headers: str) -> HttpRequest:
    """A message as it arrives when Twilio has called `url`."""
    form = payload("whatsapp/text")
    shown = {"x-twilio-signature": twilio_signature(token, url, form)}
    return HttpRequest(path_query, shown | {key.replace("_", "-"): value for key, value in headers.items()}, b"",
                       tuple(form.items()))  # fmt: skip


def refused(channel: WhatsAppChannel, request: HttpRequest) -> None:
    with pytest.raises(ForgedRequest):
        channel.receive(request)


@pytest.mark.parametrize(
    ("public_url", "called", "host"),
    [
        ("https://tutor.school.in", "http://tutor.school.in", "10.0.0.7:8000"),
        ("https://tutor.school.in", "https://www.tutor.school.in", "www.tutor.school.in"),
        ("https://tutor.school.in", "https://tutor.school.in:8443", "tutor.school.in:8443"),
        ("https://tutor.school.in", "https://a1b2.tunnel.example", "a1b2.tunnel.example"),
        ("https://school.in/tutor", "https://school.in", "10.0.0.7:8000"),
    ],
)
def test_the_address_that_twilio_called_is_named(
    caplog: pytest.LogCaptureFixture, public_url: str, called: str, host: str
) -> None:
    refused(channel_at(public_url), signed(called + WEBHOOK_PATH, host=host))
    (line,) = told(caplog)
    assert f"Twilio calls {called}{WEBHOOK_PATH}, while SAHPATHI_PUBLIC_URL is {public_url}" in line


def test_a_host_behind_a_proxy_is_found_too(caplog: pytest.LogCaptureFixture) -> None:
    request = signed("https://other.school.in" + WEBHOOK_PATH, host="10.0.0.7", x_forwarded_host="other.school.in, b")
    refused(channel_at("https://tutor.school.in"), request)
    assert "Twilio calls https://other.school.in" in told(caplog)[0]


def test_otherwise_the_likely_reasons_are_given_once(caplog: pytest.LogCaptureFixture) -> None:
    channel = channel_at(PUBLIC)
    for _ in range(3):
        refused(channel, signed(PUBLIC + WEBHOOK_PATH, token="another account's", host="tutor.school.example"))
    (line,) = told(caplog)
    for reason in (PUBLIC + WEBHOOK_PATH, "http for https", "proxy", "SAHPATHI_TWILIO__AUTH_TOKEN"):
        assert reason in line
    assert TOKEN not in line


def test_a_missing_signature_is_explained_apart(caplog: pytest.LogCaptureFixture) -> None:
    channel = channel_at(PUBLIC)
    form = tuple(payload("whatsapp/text").items())
    for _ in range(2):
        refused(channel, HttpRequest(WEBHOOK_PATH, {}, b"", form))
    refused(channel, signed("https://elsewhere.example" + WEBHOOK_PATH))
    missing, wrong = told(caplog)
    assert "removes the header X-Twilio-Signature" in missing
    assert "does not fit" in wrong


def test_no_word_of_the_student_is_in_a_hint(caplog: pytest.LogCaptureFixture) -> None:
    refused(channel_at(PUBLIC), signed("http://elsewhere.example" + WEBHOOK_PATH))
    form = payload("whatsapp/text")
    for secret in (form["Body"], form["From"].removeprefix("whatsapp:+"), form["ProfileName"]):
        assert secret not in caplog.text


def test_the_query_of_a_status_is_signed_but_not_shown(caplog: pytest.LogCaptureFixture) -> None:
    path_query = f"{STATUS_PATH}?part=1"
    request = signed(f"http://tutor.school.example{path_query}", path_query)
    with pytest.raises(ForgedRequest):
        channel_at(PUBLIC).status(request)
    assert f"Twilio calls http://tutor.school.example{STATUS_PATH}," in told(caplog)[0]


def test_a_signature_that_fits_explains_nothing(caplog: pytest.LogCaptureFixture) -> None:
    assert channel_at(PUBLIC).receive(signed(PUBLIC + WEBHOOK_PATH))
    assert told(caplog) == []
