"""Waits grow, stay within their bounds however long something is away, and end when they are called off."""

from __future__ import annotations

import asyncio

import pytest

from bot.waiting import backoff, called


@pytest.mark.parametrize(("failures", "least", "most"), [(0, 0.5, 1.0), (3, 4.0, 8.0), (9, 30.0, 60.0)])
def test_a_wait_doubles_up_to_the_longest(failures: int, least: float, most: float) -> None:
    assert all(least <= backoff(1.0, failures, 60.0) <= most for _ in range(50))


def test_a_provider_may_be_away_for_days() -> None:
    assert backoff(0.2, 100_000, 10.0) <= 10.0


async def test_whoever_waits_is_called_away_at_once() -> None:
    stop = asyncio.Event()
    waiting = asyncio.create_task(called(stop, within=3600.0))
    await asyncio.sleep(0)
    stop.set()
    assert await asyncio.wait_for(waiting, 5)


async def test_nobody_calls() -> None:
    assert not await called(asyncio.Event(), within=0.01)
