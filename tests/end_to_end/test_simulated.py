"""Students of every provider, through the simulator: consent, answer, thumb, farewell, no rule of a provider broken."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from bot.simulator.config import Pace
from tests.bot.simulator.driver import Driver, driven, eventually
from tests.servers import free_port, wait_for
from tests.service import Service

PHONES = {"telegram": "700100200", "twilio": "+919876543210", "cloud": "+919812345678"}
QUESTION = "What is photosynthesis?"
PATIENCE = 60.0


@pytest.fixture
def school(home: Path, processes: ExitStack) -> Iterator[tuple[Driver, Service]]:
    """The simulator and the tutor that it plays the providers for."""
    port = free_port()
    patient = Pace(receipt=0.0, backoff=0.2, longest_backoff=1.0, attempts=1_000)  # as providers are: they try again
    with driven(f"http://127.0.0.1:{port}", pace=patient) as providers:
        settings = providers.config.environment() | {
            "SAHPATHI_MODEL__ENABLED": "false", "SAHPATHI_PORT": str(port), "SAHPATHI_WORKER__SWEEP_SECONDS": "0.5",
        }  # fmt: skip
        service = Service(home, **settings)
        processes.callback(service.stop)
        service.start()
        wait_for(lambda: any(call["method"] == "setWebhook" for call in providers.get("calls")))
        yield providers, service


def replies(providers: Driver, provider: str, student: str) -> list[str]:
    shown = providers.phone(provider, student)["messages"]
    return [message["text"] for message in shown if message["from"] == "bot"]


def test_students_of_every_provider_are_answered_within_their_rules(school: tuple[Driver, Service]) -> None:
    providers, _ = school

    def talk(said: dict[str, str], replies_then: int) -> None:
        for provider, text in said.items():
            providers.say(provider, PHONES[provider], text)
        for provider in said:
            eventually(lambda p=provider: len(replies(providers, p, PHONES[p])) == replies_then, PATIENCE)  # type: ignore[misc]  # bound here

    talk(dict.fromkeys(PHONES, QUESTION), 1)
    talk({"telegram": "yes", "twilio": "1", "cloud": "haan"}, 3)
    for provider, student in PHONES.items():
        assert "Science, Class 7" in replies(providers, provider, student)[-1]
    talk({"twilio": "1", "cloud": "👍"}, 4)
    talk({"twilio": "STOP", "cloud": "/forget yes"}, 5)
    assert providers.violations() == []
