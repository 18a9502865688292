"""What a person must look at: who is to be told of it, who looks after it, and how it ended."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import CursorResult, Select, Update, func, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from bot.store.database import ERASED_PREFIX, Database
from bot.tables import Conversation, InboxMessage, Incident, StoredAnswer, now
from bot.words import DISTRESS, OTHERS

OPEN, CLOSED = "open", "closed"
REAL, FALSE_ALARM = "real", "false_alarm"  # outcomes


@dataclass(frozen=True, slots=True)
class Alert:
    """One adult was told, once. `contact` is written as in the settings."""

    contact: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Case:
    """An incident and the channel it came by. The child's words and address are only in one asked for by number.

    `next_alert_at` is None where nobody is to be told, or nobody any more. `outcome` is said by whoever closes one of a
    child in distress; else it is None. `answer_id` is that of what was replied.
    `address` is where the child writes from, as the channel has it: a number on WhatsApp, a chat on Telegram.
    """

    id: int
    category: str
    state: str
    channel: str
    created_at: datetime
    told: tuple[Alert, ...]
    next_alert_at: datetime | None
    seen_at: datetime | None
    seen_by: str | None
    closed_at: datetime | None
    closed_by: str | None
    note: str | None
    outcome: str | None
    question: str = ""
    answer_id: str | None = None
    address: str = ""


class Sight(StrEnum):
    """What becomes of an adult's word that they look after a child in distress."""

    TAKEN = "taken"
    SEEN = "seen"  # somebody said so before
    CLOSED = "closed"
    UNKNOWN = "unknown"  # no child in distress has that number


@dataclass(frozen=True, slots=True)
class Sighting:
    """What became of it, and what the incident is about; "" where that is unknown."""

    sight: Sight
    category: str = ""


class Incidents(Database):
    """One stays open until a person closes it with a note, or what was given up is tried again."""

    async def incidents(self, state: str = OPEN, *, limit: int = 200) -> list[Case]:
        """Children in distress first, or a night without network would hide them; of each the newest first."""
        distress = Incident.category.in_(DISTRESS)
        query = _cases().where(Incident.state == state).order_by(distress.desc(), Incident.id.desc()).limit(limit)
        async with self.reading() as session:
            return [_case(*row) for row in (await session.execute(query)).all()]

    async def incident(self, incident_id: int) -> Case | None:
        """One of them, with what the child wrote and where from; both are "" once the child is forgotten."""
        words = func.coalesce(StoredAnswer.question, InboxMessage.text, "")
        address = func.coalesce(Conversation.address, "")
        query = _cases().add_columns(words, StoredAnswer.id, address).where(Incident.id == incident_id)
        query = query.outerjoin(StoredAnswer, StoredAnswer.message_id == Incident.message_id)
        async with self.reading() as session:
            row = (await session.execute(query)).one_or_none()
        return _case(*row) if row is not None else None

    async def see_incident(self, incident_id: int, *, by: str) -> bool:
        """Somebody looks after it: nobody else is alerted. False when there is no open one without such a person."""
        return await self._changed(_seen(incident_id, by))

    async def close_incident(self, incident_id: int, *, by: str, note: str, outcome: str | None = None) -> bool:
        """What was done about it, in a few words, and whether the alarm was right. False when there is no open one.

        Raises ValueError without a note, or for an outcome that is none.
        """
        if not note.strip():
            raise ValueError("an incident is closed with a note")
        if outcome not in (None, REAL, FALSE_ALARM):
            raise ValueError(f"an incident has no outcome {outcome!r}")
        return await self._changed(
            update(Incident)
            .where(Incident.id == incident_id, Incident.state == OPEN)
            .values(state=CLOSED, note=note.strip(), outcome=outcome, closed_at=now(), closed_by=by, next_alert_at=None)
        )

    # ---- alerts --------------------------------------------------------------------------------------------------

    async def alerts_due(self, *, limit: int = 50) -> list[Case]:
        """Of whom an adult is to be told now, the longest waiting first."""
        due = (Incident.state == OPEN, Incident.seen_at.is_(None), Incident.next_alert_at <= now())
        query = _cases().where(*due).order_by(Incident.next_alert_at).limit(limit)
        async with self.reading() as session:
            return [_case(*row) for row in (await session.execute(query)).all()]

    async def put_off_alert(self, case: Case, until: datetime | None) -> Case | None:
        """Have its next alert later than `case` says, or never: the case as it is then. Of several, one succeeds.

        None for the others, and when somebody looks after it by now.
        """
        mine = (Incident.next_alert_at.is_not(None), Incident.next_alert_at == case.next_alert_at)
        put_off = update(Incident).where(Incident.id == case.id, Incident.state == OPEN, *mine)
        return replace(case, next_alert_at=until) if await self._changed(put_off.values(next_alert_at=until)) else None

    async def alerted(self, incident_id: int, contact: str, *, following: datetime) -> None:
        """An adult was told; the next one is to be at `following`, unless somebody looks after it by now."""
        async with self.writing() as session:
            row = await session.scalar(select(Incident).where(Incident.id == incident_id).with_for_update())
            if row is None:
                return
            row.told = [*row.told, [contact, now().isoformat()]]
            if row.next_alert_at is not None:
                row.next_alert_at = following


async def look_after(session: AsyncSession, incident_id: int, *, by: str) -> Sighting:
    """`see_incident` of a child in distress, within a transaction that somebody else commits."""
    distress = (Incident.id == incident_id, Incident.category.not_in(OTHERS))
    taken = await session.execute(_seen(incident_id, by).where(*distress))
    row = (await session.execute(select(Incident.category, Incident.state).where(*distress))).one_or_none()
    if row is None:
        return Sighting(Sight.UNKNOWN)
    if isinstance(taken, CursorResult) and taken.rowcount:
        return Sighting(Sight.TAKEN, row.category)
    return Sighting(Sight.CLOSED if row.state == CLOSED else Sight.SEEN, row.category)


def _seen(incident_id: int, by: str) -> Update:
    """Of several who look after an open one, the first is kept."""
    unseen = (Incident.id == incident_id, Incident.state == OPEN, Incident.seen_at.is_(None))
    return update(Incident).where(*unseen).values(seen_at=now(), seen_by=by, next_alert_at=None)


def _cases() -> Select[Incident, str]:
    """Incidents, each with its channel."""
    channel = func.coalesce(InboxMessage.channel, Conversation.channel, "")
    query = select(Incident, channel).outerjoin(InboxMessage, InboxMessage.id == Incident.message_id)
    return query.outerjoin(Conversation, Conversation.id == Incident.conversation_id)


def _case(row: Incident, channel: str, question: str = "", answer_id: str | None = None, address: str = "") -> Case:
    told = tuple(Alert(contact, datetime.fromisoformat(at)) for contact, at in row.told)
    same: dict[str, Any] = {
        name: getattr(row, name)
        for name in (
            "id", "category", "state", "created_at", "next_alert_at", "seen_at", "seen_by", "closed_at", "closed_by",
            "note", "outcome",
        )
    }  # fmt: skip
    known = "" if address.startswith(ERASED_PREFIX) else address
    return Case(channel=channel, told=told, question=question, answer_id=answer_id, address=known, **same)
