"""The control API: students, transcripts, calls, counts, and that memory is bounded."""

from __future__ import annotations

import base64

import httpx
import pytest

from bot.simulator import phones, record
from bot.simulator.config import Config, Provider
from bot.simulator.phones import Bubble, Phones
from bot.simulator.record import Record, after
from tests.bot.simulator.driver import Driver, Json, Webhooks, driven, eventually

ASHA = "700100200"
NUMBER = "+919876543210"


def send(simulator: Driver, text: str, student: str = ASHA) -> httpx.Response:
    address = f"/bot{simulator.config.telegram.token}/sendMessage"
    return simulator.client.post(address, json={"chat_id": student, "text": text})


def edit(simulator: Driver, message: int, text: str) -> None:
    address = f"/bot{simulator.config.telegram.token}/editMessageText"
    body = {"chat_id": ASHA, "message_id": message, "text": text}
    simulator.client.post(address, json=body).raise_for_status()


@pytest.mark.parametrize("provider", ["twilio", "cloud"])
def test_the_same_message_can_be_sent_twice(simulator: Driver, service: Webhooks, provider: str) -> None:
    first = simulator.say(provider, NUMBER, "hello", provider_id="SMfirst")
    second = simulator.say(provider, NUMBER, "hello", provider_id="SMfirst")
    assert first == second
    eventually(lambda: len(service.deliveries) == 2)
    assert service.deliveries[0].body == service.deliveries[1].body
    assert simulator.shown(provider, NUMBER) == ["hello"]


def test_the_same_update_can_be_sent_twice(simulator: Driver) -> None:
    said = simulator.say("telegram", ASHA, "hello")
    simulator.say("telegram", ASHA, "hello", provider_id=said["provider_id"])
    address = f"/bot{simulator.config.telegram.token}/getUpdates"
    updates = simulator.client.get(address).json()["result"]
    assert [str(update["update_id"]) for update in updates] == [said["provider_id"]] * 2
    assert simulator.shown("telegram", ASHA) == ["hello"]


@pytest.mark.parametrize(
    "said",
    [
        {"provider": "telegram", "student": "Asha", "text": "hello"},
        {"provider": "twilio", "student": "0", "text": "hello"},
        {"provider": "telegram", "student": ASHA, "text": "  "},
        {"provider": "telegram", "student": ASHA, "kind": "edited", "text": " ", "message": "1"},
        {"provider": "telegram", "student": ASHA, "kind": "edited", "text": "hello"},
        {"provider": "telegram", "student": ASHA, "text": "hello", "provider_id": "SM1"},
        {"provider": "telegram", "student": ASHA, "kind": "dance"},
        {"provider": "telegram", "student": ASHA, "kind": "press"},
        {"provider": "telegram", "student": ASHA, "kind": "press", "data": "up", "message": "1"},
        {"provider": "telegram", "student": ASHA, "kind": "edited", "text": "x", "message": "1"},
        {"provider": "cloud", "student": NUMBER, "kind": "edited", "text": "x", "message": "1"},
        {"provider": "telegram", "student": ASHA, "text": "hello", "mood": "happy"},
    ],
)
def test_what_no_student_can_do_is_refused(simulator: Driver, said: Json) -> None:
    assert simulator.client.post("/sim/messages", json=said).status_code == 422


def test_a_file_of_ones_own_is_kept(simulator: Driver, service: Webhooks) -> None:
    content = b"\x89PNG\r\n\x1a\n" + bytes(50)
    more = {"kind": "photo", "content": base64.b64encode(content).decode(), "content_type": "image/png"}
    simulator.say("cloud", NUMBER, "solve this", **more)
    shown = simulator.last("cloud", NUMBER)
    file = simulator.client.get(f"/sim/files/{shown['media']}")
    assert (file.content, file.headers["content-type"]) == (content, "image/png")
    simulator.say("cloud", NUMBER, **more | {"content_type": "text/html"})
    file = simulator.client.get(f"/sim/files/{simulator.last('cloud', NUMBER)['media']}")
    assert file.headers["content-type"] == "application/octet-stream"
    assert simulator.client.get("/sim/files/none").status_code == 404


def test_students_are_listed_latest_first(simulator: Driver) -> None:
    for student in ("1", "2", "3"):
        simulator.say("telegram", student, f"I am {student}", name=f"Student {student}")
    simulator.say("telegram", "1", "me again")
    assert [(student["name"], student["last"]) for student in simulator.get("students")] == [
        ("Student 1", "me again"),
        ("Student 3", "I am 3"),
        ("Student 2", "I am 2"),
    ]
    assert simulator.client.get("/sim/students/telegram/99").status_code == 404
    assert simulator.client.get("/sim/students/telegram/Asha").status_code == 422


def test_every_call_is_recorded(simulator: Driver) -> None:
    simulator.say("telegram", ASHA, "hello")
    accepted = send(simulator, "Hi").json()["result"]["message_id"]
    send(simulator, "")
    send(simulator, "Hi", student="5")
    first, second, third = simulator.get("calls")
    assert (first["method"], first["outcome"], first["status"], first["student"]) == ("sendMessage", "ok", 200, ASHA)
    assert first["message_id"] == str(accepted)
    assert first["parameters"] == {"chat_id": ASHA, "text": "Hi"}
    assert (second["outcome"], second["status"], second["message_id"]) == ("refused", 400, "")
    assert simulator.get("calls", after=first["seq"]) == [second, third]
    assert simulator.get("calls", student="5") == [third]
    assert simulator.get("calls", provider="cloud") == []
    assert simulator.get("calls", limit=1) == [first]
    assert len(simulator.violations()) == 2
    assert [violation["seq"] for violation in simulator.get("violations", after=1)] == [2]


def test_doubles_are_counted_by_what_is_left_to_read(simulator: Driver) -> None:
    simulator.say("telegram", ASHA, "hello")
    ids = [send(simulator, "Looking …").json()["result"]["message_id"] for _ in range(3)]
    assert simulator.get("stats")["doubles"] == [
        {"provider": "telegram", "student": ASHA, "text": "Looking …", "count": 3}
    ]
    for message, text in zip(ids, ("one", "two", "two"), strict=True):
        edit(simulator, message, text)
    stats = simulator.get("stats")
    assert stats["doubles"] == [{"provider": "telegram", "student": ASHA, "text": "two", "count": 2}]
    assert (stats["accepted"], stats["students"], stats["outcomes"]["telegram"]) == (3, 1, {"ok": 6})
    counted = {entry["text"]: entry["count"] for entry in simulator.get("stats/texts")}
    assert counted == {"one": 1, "two": 2}


def test_a_reset_forgets_all_but_gives_no_number_twice(simulator: Driver) -> None:
    before = simulator.say("telegram", ASHA, "hello")
    simulator.fault("telegram", "drop")
    simulator.reset()
    assert simulator.get("students") == []
    assert simulator.get("calls") == []
    assert simulator.get("faults")["telegram"]["faults"] == []
    now = simulator.say("telegram", ASHA, "hello")
    assert int(now["provider_id"]) > int(before["provider_id"])


def test_a_reset_keeps_the_webhook_unless_told_otherwise(simulator: Driver, service: Webhooks) -> None:
    bot_api = f"/bot{simulator.config.telegram.token}"
    simulator.client.post(f"{bot_api}/setWebhook", json={"url": f"{service.url}/hook"}).raise_for_status()
    simulator.post("reset")
    simulator.say("telegram", ASHA, "hello")
    eventually(lambda: service.deliveries)
    simulator.reset()
    assert simulator.client.get(f"{bot_api}/getWebhookInfo").json()["result"]["url"] == ""


def test_the_page_is_told_only_what_is_new(simulator: Driver) -> None:
    simulator.say("telegram", ASHA, "hello")
    seen = simulator.get("view", provider="telegram", student=ASHA)
    assert seen["open"]["messages"][0]["text"] == "hello"
    assert simulator.get("view", version=seen["version"]) == {"version": seen["version"]}
    send(simulator, "Hi")
    assert simulator.get("view", version=seen["version"])["phones"][0]["last"] == "Hi"


def test_the_environment_names_this_simulator(simulator: Driver) -> None:
    settings = simulator.get("environment")
    assert settings["SAHPATHI_TELEGRAM__API_BASE"] == simulator.url
    assert settings["SAHPATHI_PUBLIC_URL"] == simulator.config.service
    assert settings == simulator.config.environment()


def test_a_public_address_may_differ_from_the_service() -> None:
    config = Config(service="http://127.0.0.1:8000", public_url="https://tutor.example/")
    assert config.environment()["SAHPATHI_PUBLIC_URL"] == "https://tutor.example"
    assert config.known("https://tutor.example/x")
    assert not config.known("http://127.0.0.1:8000/x")


def test_it_ends_at_once_though_a_call_hangs() -> None:
    with driven("http://127.0.0.1:9") as simulator:
        simulator.fault("telegram", "hang", seconds=600)
        with pytest.raises(httpx.ReadTimeout):
            simulator.client.get(f"/bot{simulator.config.telegram.token}/getMe", timeout=0.1)


# ---- bounds ----------------------------------------------------------------------------------------------------------


def test_phones_and_bubbles_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("MOST_PHONES", "MOST_BUBBLES", "MOST_TEXTS", "MOST_DOUBLES"):
        monkeypatch.setattr(phones, name, 2)
    all_phones = Phones()
    for student in ("1", "2", "1", "3"):
        phone = all_phones.get(Provider.TELEGRAM, student)
        for number in range(3):
            all_phones.accept(phone, Bubble(f"{student}.{number}", mine=False, kind="text", text=str(number)))
        assert list(phone.bubbles) == [f"{student}.1", f"{student}.2"]
    assert [phone.student for phone in all_phones] == ["3", "1"]
    assert len(all_phones.doubles) <= 2


def test_a_call_is_shown_as_it_came(simulator: Driver) -> None:
    cloud = simulator.config.cloud
    bearer = {"Authorization": f"Bearer {cloud.access_token}"}
    path = f"/v23.0/{cloud.phone_number_id}/messages"
    simulator.client.post(path, json={"status": "read"}, headers=bearer | {"X-Else": "not kept"})
    (call,) = simulator.calls("read")
    headers = {"content-type": "application/json", "authorization": bearer["Authorization"]}
    assert call["http"] == {"method": "POST", "path": path, "headers": headers}
    assert call["parameters"] == {"status": "read"}


def test_calls_and_violations_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(record, "MOST_CALLS", 3)
    kept = Record(lambda: None)
    for number in range(5):
        kept.close(kept.call(Provider.CLOUD, "messages", {"number": number}), "ok", 200)
    assert [call.seq for call in after(kept.calls, 0)] == [3, 4, 5]
    assert [call.seq for call in after(kept.calls, 4)] == [5]
    assert [call.seq for call in after(kept.calls, 9)] == []
    assert kept.outcomes[Provider.CLOUD, "ok"] == 5
