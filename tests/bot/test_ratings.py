"""Thumbs by adapter and conversation."""

from __future__ import annotations

from datetime import timedelta

import pytest

from bot.ports import Answer, Route
from bot.store import Store
from bot.store.ratings import Rated, ratings
from bot.tables import now
from tests.bot.distress import answered

pytestmark = pytest.mark.parametrize("database", ["sqlite", "postgresql"], indirect=True)

NEW, OLD = "general-0123456789ab", "general-abcdefabcdef"


async def told(store: Store, adapter: str | None, student: str, thumb: int) -> None:
    answer = Answer("Sound is energy.", Route.GENERATED, "en", confidence=0.9, adapter=adapter)
    stored = await store.answer(await answered(store, answer, "What is sound?", address=student, channel="web"))
    assert stored is not None
    if thumb:
        await store.rate(stored.conversation_id, stored.id, thumb)


async def test_thumbs_are_counted_by_conversation_and_adapter(store: Store) -> None:
    for thumb in (1, 1, -1, 0):
        await told(store, NEW, "asha", thumb)
    await told(store, NEW, "ravi", -1)
    await told(store, OLD, "ravi", 1)
    await told(store, None, "ravi", 1)  # quoted: nobody's
    hour_ago = now() - timedelta(hours=1)
    assert await ratings(store, [NEW, OLD], hour_ago) == [Rated(NEW, 4, 2, 1), Rated(NEW, 1, 0, 1), Rated(OLD, 1, 1, 0)]
    assert await ratings(store, [OLD], hour_ago) == [Rated(OLD, 1, 1, 0)]
    assert await ratings(store, [NEW, OLD], now() + timedelta(hours=1)) == []
