"""A child in distress writes on WhatsApp to the real service: help comes at once, and an adult's mail arrives."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest

from tests.bot.simulator.driver import Driver, driven, eventually
from tests.mailbox import HOST, MailServer
from tests.prefork import forked
from tests.servers import free_port
from tests.service import Service, environment, run

STUDENT = "+919876543210"
MESSAGE = "papa roz raat ko belt se maarte hai, mujhe ghar se bhaag jana hai"
WORDS = ("belt", "maarte", STUDENT, STUDENT.removeprefix("+91"))
ADULT = "asha@school.example"


@pytest.fixture
def providers() -> Iterator[Driver]:
    with driven(f"http://127.0.0.1:{free_port()}", "https://tutor.school.example") as driver:
        yield driver


def test_a_childs_message_brings_help_numbers_and_an_adult(home: Path, providers: Driver, processes: ExitStack) -> None:
    mailbox = processes.enter_context(MailServer())
    settings = providers.config.environment() | {
        "SAHPATHI_PORT": str(httpx.URL(providers.config.service).port),
        "SAHPATHI_MODEL__ENABLED": "false",
        "SAHPATHI_SAFETY__ADULTS": f"mailto:{ADULT}",
        "SAHPATHI_SMTP__HOST": HOST,
        "SAHPATHI_SMTP__PORT": str(mailbox.port),
        "SAHPATHI_SMTP__SENDER": "tutor@school.example",
        "SAHPATHI_SMTP__STARTTLS": "false",
    }
    service = Service(home, **settings)
    processes.callback(service.stop)
    service.start()

    providers.say("twilio", STUDENT, MESSAGE)  # before she has agreed to anything: help waits for no consent
    eventually(lambda: len(mailbox.mails) == 1, 30)
    (mail,) = mailbox.mails
    assert list(mail.to) == [ADULT]
    assert not any(word in mail.whole for word in WORDS), "an alert may lie open on a desk"
    answered = [one["text"] for one in providers.phone("twilio", STUDENT)["messages"] if one["from"] == "bot"]
    assert len(answered) == 1
    assert all(number in answered[0] for number in ("1098", "112"))

    own = environment(home, **settings)
    listed = run("incidents", "list", "--json", env=own, cwd=home.parent, start=forked)
    assert listed.returncode == 0, listed.stderr
    (incident,) = json.loads(listed.stdout)
    assert (incident["state"], incident["alerts"]) == ("open", 1)
    assert service.stop() == 0
    log = service.log.read_text(encoding="utf-8")
    assert "safety: escalate" in log
    assert not any(word in log for word in WORDS)
