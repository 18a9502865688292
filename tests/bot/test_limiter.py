"""Limits by conversation and by address, in memory and over a real Redis."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator

import pytest

from bot.limiter import Limiter


@pytest.fixture(params=["memory", "redis"])
async def limiter(request: pytest.FixtureRequest) -> AsyncIterator[Limiter]:
    url = request.getfixturevalue("redis_url") if request.param == "redis" else None
    made = Limiter("2/hour", "5/hour", redis_url=url)
    yield made
    await made.close()


async def test_one_conversation_is_held_back_and_another_is_not(limiter: Limiter) -> None:
    school, asha, ravi = (uuid.uuid4().hex for _ in range(3))
    assert [await limiter.admit(asha, school) for _ in range(3)] == [True, True, False]
    assert await limiter.admit(ravi, school)


async def test_made_up_conversations_do_not_get_round_the_limit(limiter: Limiter) -> None:
    address = uuid.uuid4().hex
    assert sum([await limiter.admit(uuid.uuid4().hex, address) for _ in range(9)]) == 5


async def test_a_fast_student_waits_for_the_window_and_is_told_once(limiter: Limiter) -> None:
    asha, ravi = uuid.uuid4().hex, uuid.uuid4().hex
    waits = [await limiter.wait(asha) for _ in range(3)]
    assert waits[:2] == [0.0, 0.0]
    assert 0.0 < waits[2] <= 3600.0
    assert await limiter.wait(ravi) == 0.0
    assert [await limiter.say_so(asha, "busy") for _ in range(3)] == [True, False, False]
    assert await limiter.say_so(ravi, "busy")
    assert await limiter.say_so(asha, "one_by_one")
