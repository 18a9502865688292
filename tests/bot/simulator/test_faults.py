"""Things going wrong on demand, and the same way each time."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest

from bot.simulator.config import Provider
from bot.simulator.faults import Fault, Faults, Trouble
from tests.bot.simulator.driver import Driver, Json, Webhooks, eventually

STUDENT = {"telegram": "700100200", "twilio": "+919876543210", "cloud": "+919876543210"}
PROVIDERS = tuple(STUDENT)
METHOD = {"telegram": "sendMessage", "twilio": "create", "cloud": "messages"}


def send(simulator: Driver, provider: str, text: str = "Hello", timeout: float = 20) -> httpx.Response:
    """A message of the service's, as each provider wants it."""
    config, student = simulator.config, STUDENT[provider]
    requests: dict[str, tuple[str, Json]] = {
        "telegram": (f"/bot{config.telegram.token}/sendMessage", {"json": {"chat_id": student, "text": text}}),
        "twilio": (
            f"/2010-04-01/Accounts/{config.twilio.sid}/Messages.json",
            {
                "data": {"To": f"whatsapp:{student}", "From": config.twilio.sender, "Body": text},
                "auth": (config.twilio.sid, config.twilio.auth_token),
            },
        ),
        "cloud": (
            f"/v23.0/{config.cloud.phone_number_id}/messages",
            {
                "json": {"messaging_product": "whatsapp", "to": student[1:], "type": "text", "text": {"body": text}},
                "headers": {"Authorization": f"Bearer {config.cloud.access_token}"},
            },
        ),
    }
    address, more = requests[provider]
    return simulator.client.post(address, timeout=timeout, **more)


@pytest.fixture(params=PROVIDERS)
def provider(request: pytest.FixtureRequest, simulator: Driver) -> str:
    """Each provider, with a student who has written."""
    name: str = request.param
    simulator.say(name, STUDENT[name], "hello")
    return name


def texts(simulator: Driver, provider: str) -> list[str]:
    return simulator.shown(provider, STUDENT[provider])[1:]


# ---- calls of the service's ------------------------------------------------------------------------------------------


def test_too_many_calls_are_refused_in_the_providers_words(simulator: Driver, provider: str) -> None:
    simulator.fault(provider, "rate_limit", seconds=17, times=1)
    response = send(simulator, provider)
    body = response.json()
    if provider == "telegram":
        assert response.status_code == 429
        assert body["parameters"] == {"retry_after": 17}
    elif provider == "twilio":
        assert (response.status_code, body["code"]) == (429, 20429)
    else:
        assert (response.status_code, body["error"]["code"]) == (400, 130429)
    assert texts(simulator, provider) == []
    assert send(simulator, provider).is_success
    assert simulator.violations() == []


def test_an_ill_provider_does_nothing(simulator: Driver, provider: str) -> None:
    simulator.fault(provider, "server_error", times=1)
    assert send(simulator, provider).status_code == 500
    assert texts(simulator, provider) == []


def test_a_hanging_provider_neither_answers_nor_accepts(simulator: Driver, provider: str) -> None:
    simulator.fault(provider, "hang", times=1)
    with pytest.raises(httpx.ReadTimeout):
        send(simulator, provider, timeout=0.1)
    assert texts(simulator, provider) == []
    assert simulator.get("calls", provider=provider)[-1]["outcome"] == "hang"


def test_a_slow_provider_accepts_all_the_same(simulator: Driver, provider: str) -> None:
    simulator.fault(provider, "slow", seconds=0.05)
    assert send(simulator, provider).is_success
    assert texts(simulator, provider) == ["Hello"]


def test_a_cut_connection_leaves_the_caller_in_doubt(simulator: Driver, provider: str) -> None:
    simulator.fault(provider, "drop", times=1)
    with pytest.raises(httpx.RemoteProtocolError):
        send(simulator, provider)
    assert texts(simulator, provider) == ["Hello"]
    call = simulator.get("calls", provider=provider, method=METHOD[provider])[-1]
    assert (call["outcome"], call["status"]) == ("drop", None)
    assert call["message_id"] == simulator.last(provider, STUDENT[provider])["id"]


def test_an_answer_may_be_given_word_for_word(simulator: Driver, provider: str) -> None:
    """For what is not played here, a gateway's page or a rare error, say."""
    simulator.fault(provider, "answer", status=502, body={"told": "bad gateway"}, times=1)
    answer = send(simulator, provider)
    assert (answer.status_code, answer.json()) == (502, {"told": "bad gateway"})
    assert texts(simulator, provider) == []
    call = simulator.get("calls", provider=provider, method=METHOD[provider])[-1]
    assert (call["outcome"], call["status"], call["message_id"]) == ("answer", 502, "")
    assert send(simulator, provider).is_success


def test_a_fault_may_befall_some_methods_only(simulator: Driver, provider: str) -> None:
    simulator.fault(provider, "server_error", only=["getMe", "list", "read"])
    assert send(simulator, provider).is_success
    simulator.fault(provider, "server_error", only=[METHOD[provider]])
    assert not send(simulator, provider).is_success


def test_one_providers_faults_are_not_anothers(simulator: Driver) -> None:
    simulator.say("telegram", STUDENT["telegram"], "hello")
    simulator.fault("cloud", "server_error")
    assert send(simulator, "telegram").is_success


def test_the_same_seed_gives_the_same_faults(simulator: Driver) -> None:
    simulator.say("telegram", STUDENT["telegram"], "hello")

    def outcomes(seed: int) -> list[bool]:
        simulator.fault("telegram", "server_error", probability=0.5, seed=seed)
        return [send(simulator, "telegram").is_success for _ in range(20)]

    first = outcomes(7)
    assert outcomes(7) == first
    assert outcomes(8) != first
    assert {True, False} == set(first)


def test_one_fault_may_strike_before_another() -> None:
    faults = Faults()
    never, always = Fault(kind=Trouble.DROP, probability=0.0), Fault(kind=Trouble.SLOW)
    faults.arm(Provider.TWILIO, [never, always, Fault(kind=Trouble.HANG)])
    assert faults.on_call(Provider.TWILIO, "create") is always
    assert faults.on_call(Provider.CLOUD, "messages") is None


# ---- webhooks --------------------------------------------------------------------------------------------------------


def said(service: Webhooks, provider: str) -> list[str]:
    """What the students said, as it came to the service."""
    return [words(provider, delivery) for delivery in service.deliveries]


def words(provider: str, delivery: Any) -> str:
    if provider == "twilio":
        return str(delivery.form["Body"])
    body = json.loads(delivery.body)
    if provider == "telegram":
        return str(body["message"]["text"])
    return str(body["entry"][0]["changes"][0]["value"]["messages"][0]["text"]["body"])


@pytest.fixture
def hooked(simulator: Driver, service: Webhooks, provider: str) -> str:
    """A provider that calls the service, which has heard the first hello."""
    if provider == "telegram":
        address = f"/bot{simulator.config.telegram.token}/setWebhook"
        simulator.client.post(address, json={"url": f"{service.url}/webhooks/telegram"}).raise_for_status()
    eventually(lambda: len(service.deliveries) == 1)
    service.reset()
    return provider


def test_a_webhook_is_called_twice(simulator: Driver, service: Webhooks, hooked: str) -> None:
    simulator.fault(hooked, "duplicate", times=1)
    for text in ("one", "two"):
        simulator.say(hooked, STUDENT[hooked], text)
    eventually(lambda: len(service.deliveries) == 3)
    assert said(service, hooked) == ["one", "one", "two"]
    assert service.deliveries[0].body == service.deliveries[1].body


def test_a_message_overtakes_the_one_before(simulator: Driver, service: Webhooks, hooked: str) -> None:
    simulator.fault(hooked, "reorder", times=1, seconds=0.2)
    for text in ("one", "two"):
        simulator.say(hooked, STUDENT[hooked], text)
    eventually(lambda: len(service.deliveries) == 2)
    assert said(service, hooked) == ["two", "one"]


def test_a_message_comes_a_second_time_behind_its_successor(simulator: Driver, service: Webhooks, hooked: str) -> None:
    faults = [{"kind": "duplicate", "times": 1}, {"kind": "reorder", "times": 1, "seconds": 0.2}]
    simulator.post("faults", {"provider": hooked, "faults": faults})
    for text in ("one", "two"):
        simulator.say(hooked, STUDENT[hooked], text)
    eventually(lambda: len(service.deliveries) == 3)
    assert said(service, hooked) == ["one", "two", "one"]


# ---- setting them ----------------------------------------------------------------------------------------------------


def test_faults_are_shown_and_lifted(simulator: Driver) -> None:
    simulator.fault("telegram", "drop", probability=0.25, times=3)
    simulator.refuse("telegram", STUDENT["telegram"], "403")
    shown = simulator.get("faults")["telegram"]
    assert (shown["faults"][0]["kind"], shown["faults"][0]["probability"]) == ("drop", 0.25)
    assert shown["refusals"] == {STUDENT["telegram"]: "403"}
    simulator.post("faults", {"provider": "telegram", "faults": [], "refusals": {STUDENT["telegram"]: ""}})
    assert simulator.get("faults")["telegram"] == {"faults": [], "refusals": {}}


@pytest.mark.parametrize(
    "plan",
    [
        {"provider": "telegram", "faults": [{"kind": "earthquake"}]},
        {"provider": "telegram", "faults": [{"kind": "drop", "probability": 2}]},
        {"provider": "telegram", "faults": [{"kind": "answer", "status": 99}]},
        {"provider": "telegram", "refusals": {"700": "63016"}},
        {"provider": "cloud", "refusals": {"hello": "131047"}},
        {"provider": "carrier pigeon"},
        {"provider": "telegram", "fault": []},
    ],
)
def test_what_cannot_be_set_is_refused(simulator: Driver, plan: Json) -> None:
    assert simulator.client.post("/sim/faults", json=plan).status_code == 422
