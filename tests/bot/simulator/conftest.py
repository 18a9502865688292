"""One simulator and one service for all tests, emptied before each."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.bot.simulator.driver import Driver, Webhooks, driven


@pytest.fixture(scope="session")
def running_service() -> Iterator[Webhooks]:
    with Webhooks() as server:
        yield server


@pytest.fixture(scope="session")
def running_simulator(running_service: Webhooks) -> Iterator[Driver]:
    with driven(running_service.url) as driver:
        yield driver


@pytest.fixture
def service(running_service: Webhooks, running_simulator: Driver) -> Webhooks:
    """The service's webhooks, with nothing in their memory, nor on its way to them from an earlier test."""
    running_simulator.reset()
    running_simulator.client.get(running_service.url)  # comes behind whatever was still under way
    running_service.reset()
    return running_service


@pytest.fixture
def simulator(running_simulator: Driver, service: Webhooks) -> Driver:
    """The simulator, with nothing in its memory."""
    return running_simulator
