"""The load generator counts what a server really answered."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.bench.load import Load, requests, run, status_of
from tests.bench.processes import Measured, bare


@pytest.fixture(scope="module")
def server() -> Iterator[Measured]:
    """The bare handler, which checks signatures."""
    with bare() as running:
        yield running


def load(server: Measured, channel: str, *, forged: bool = False) -> Load:
    """Sixty messages in open loop."""
    watched = {"server": server.pid}
    return Load(server.port, channel, ("hello",), 1, 0.2, 4, rate=200.0, warm=0.1, forged=forged, watched=watched)


@pytest.mark.parametrize("channel", ["telegram", "twilio"])
async def test_signed_messages_are_acknowledged_at_the_rate_asked_for(server: Measured, channel: str) -> None:
    summary = await run(load(server, channel))
    assert summary.statuses == {"200": 60}
    assert 0 < summary.p50 <= summary.p95 <= summary.p99
    assert summary.cores.keys() == {"server", "load"}


@pytest.mark.parametrize("channel", ["telegram", "twilio"])
async def test_forged_ones_are_counted_as_refused(server: Measured, channel: str) -> None:
    summary = await run(load(server, channel, forged=True))
    assert (summary.acknowledged, summary.refused) == (0, 60)


async def test_in_closed_loop_each_connection_posts_again_when_it_is_answered(server: Measured) -> None:
    summary = await run(Load(server.port, "telegram", ("hello",), 1, seconds=2.0, connections=4, warm=0.1))
    assert summary.acknowledged > 4
    assert summary.refused == 0
    assert summary.rate > 0


def test_every_message_is_another_one() -> None:
    made = [*requests(Load(1, "twilio", ("hello", "namaste"), 7, 1.0, 1, 50.0, warm=0.0))]
    assert len(set(made)) == 50


def test_a_response_is_read_once_all_of_it_has_come() -> None:
    whole = b"HTTP/1.1 204 No Content\r\n\r\n", b"HTTP/1.1 503 X\r\ncontent-length: 3\r\n\r\nbad"
    assert [status_of(response) for response in whole] == [204, 503]
    assert [status_of(response[:-1]) for response in whole] == [None, None]
