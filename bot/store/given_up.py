"""What could not be answered or delivered, for staff to see and to have tried again; and what waits for a student."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Select, and_, distinct, func, or_, select, update
from sqlalchemy.orm import InstrumentedAttribute

from bot.errors import Unreachable
from bot.ports import DeliveryState
from bot.store.database import ERASED_PREFIX, Database
from bot.store.incidents import CLOSED, OPEN
from bot.store.messages import BURIED, WAITING
from bot.tables import Conversation, InboxMessage, Incident, OutboxPart, now

INCIDENTS = ("buried_message", "undelivered_reply")


@dataclass(frozen=True, slots=True)
class Lost:
    """A message with no answer, or an answer that did not arrive. Holds no words and no address."""

    message_id: int
    channel: str
    what: str  # "not answered", "not delivered" or, from `late`, "waits for the student to write"
    error: str
    received_at: datetime


class GivenUp(Database):
    """Messages that were tried often enough."""

    async def given_up(self, *, limit: int = 200) -> list[Lost]:
        """The latest first. Whoever blocked us or unsubscribed is not among them: that is the student's will."""
        found: dict[int, Lost] = {}
        async with self.reading() as session:
            for query, what in ((_failed(), "not delivered"), (_buried(), "not answered")):
                latest = query.order_by(InboxMessage.id.desc()).limit(limit)
                for message_id, channel, received_at, why in (await session.execute(latest)).all():
                    found[message_id] = Lost(message_id, channel, what, why or "", received_at)
        return sorted(found.values(), key=lambda lost: -lost.message_id)[:limit]

    async def late(self, *, limit: int = 200) -> list[Lost]:
        """Answers that came too late for the provider, the latest first. Each is sent when its student writes again."""
        query = _wanted(OutboxPart.error).join(OutboxPart, OutboxPart.message_id == InboxMessage.id)
        waiting = query.where(OutboxPart.state == DeliveryState.WAITING).order_by(InboxMessage.id.desc())
        async with self.reading() as session:
            rows = (await session.execute(waiting.limit(limit))).all()
        found = {row[0]: Lost(row[0], row[1], "waits for the student to write", row[3] or "", row[2]) for row in rows}
        return list(found.values())

    async def given_up_counts(self) -> dict[str, int]:
        """How many messages `given_up` would list without a limit, by what became of them."""
        buried, failed = _buried().subquery(), _failed().subquery()
        undelivered = select(func.count(distinct(failed.c.id))).where(failed.c.id.not_in(select(buried.c.id)))
        async with self.reading() as session:
            return {
                "given_up.unanswered": await session.scalar(select(func.count()).select_from(buried)) or 0,
                "given_up.undelivered": await session.scalar(undelivered) or 0,
            }

    async def try_again(self, message_ids: Sequence[int]) -> int:
        """Answer and deliver these anew, from the first attempt on. Returns how many of them there were to be tried.

        Those that `given_up` does not list stay as they are.
        """
        fresh = {"attempts": 0, "next_attempt_at": now(), "error": None}
        async with self.writing() as session:
            listed = {row.id for query in (_buried(), _failed()) for row in await session.execute(query)}
            message_ids = sorted(listed.intersection(message_ids))
            buried = update(InboxMessage).where(InboxMessage.id.in_(message_ids), InboxMessage.state == BURIED)
            revived = await session.scalars(buried.values(state=WAITING, **fresh).returning(InboxMessage.id))
            # One that may have been taken stays in doubt; of one with the provider's id it is known what became of it.
            unknown = and_(OutboxPart.started, OutboxPart.provider_id.is_(None))
            failed = update(OutboxPart).where(
                OutboxPart.message_id.in_(message_ids), OutboxPart.state == DeliveryState.FAILED
            )
            resent = await session.scalars(
                failed.values(state=DeliveryState.SENDING, started=unknown, **fresh).returning(OutboxPart.message_id)
            )
            tried = {*revived, *resent}
            await session.execute(
                update(Incident)
                .where(Incident.message_id.in_(tried), Incident.category.in_(INCIDENTS), Incident.state == OPEN)
                .values(state=CLOSED, closed_at=now())
            )
        return len(tried)


Listed = Select[int, str, datetime, str | None]


def _buried() -> Listed:
    """Messages without an answer: id, channel, when they came, and why."""
    return _wanted(InboxMessage.error).where(InboxMessage.state == BURIED)


def _failed() -> Listed:
    """The same of messages whose answer did not arrive, once for each part of it."""
    query = _wanted(OutboxPart.error).join(OutboxPart, OutboxPart.message_id == InboxMessage.id)
    return query.where(OutboxPart.state == DeliveryState.FAILED)


def _wanted(error: InstrumentedAttribute[str | None]) -> Listed:
    """Without what belongs to students who want nothing from us: it was refused for that, or they blocked us since.

    Nor to those who are forgotten: nothing is left to be answered, and nobody to send it to.
    """
    unblocked = or_(Conversation.blocked_at.is_(None), Conversation.blocked_at < InboxMessage.received_at)
    willing = and_(unblocked, ~Conversation.address.startswith(ERASED_PREFIX))
    refused = error.like(f"{Unreachable.__name__}%")
    query = select(InboxMessage.id, InboxMessage.channel, InboxMessage.received_at, error).select_from(InboxMessage)
    query = query.join(Conversation, Conversation.id == InboxMessage.conversation_id)
    return query.where(willing, or_(error.is_(None), ~refused))
