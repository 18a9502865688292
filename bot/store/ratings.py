"""What students thought of the answers of each adapter: thumbs, counted by conversation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import case, func, select

from bot.store.database import Database
from bot.tables import StoredAnswer


@dataclass(frozen=True, slots=True)
class Rated:
    """One conversation's answers by one adapter: how many, and the thumbs among them."""

    adapter: str
    answers: int
    up: int
    down: int


async def ratings(database: Database, adapters: Sequence[str], since: datetime) -> list[Rated]:
    """A row for each conversation and adapter since then.

    Only answers that an adapter wrote: quoted ones name none, and are nobody's.
    """
    up, down = (func.sum(case((StoredAnswer.rating == rating, 1), else_=0)) for rating in (1, -1))
    query = (
        select(StoredAnswer.adapter, func.count(), up, down)
        .where(StoredAnswer.adapter.in_(adapters), StoredAnswer.created_at >= since)
        .group_by(StoredAnswer.adapter, StoredAnswer.conversation_id)
        .order_by(StoredAnswer.adapter, StoredAnswer.conversation_id)
    )
    async with database.reading() as session:
        rows = (await session.execute(query)).all()
    return [Rated(str(adapter), int(n), int(liked), int(disliked)) for adapter, n, liked, disliked in rows]
