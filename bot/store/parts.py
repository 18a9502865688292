"""What leaves: the parts of each reply, in order, and where each stands with its provider."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, exists, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from bot.errors import OutsideWindow, PermanentError, Unreachable
from bot.ports import Choice, DeliveryState, Outgoing, StatusUpdate
from bot.store.database import Leases, is_erased
from bot.tables import Conversation, InboxMessage, Incident, OutboxPart, now

TO_SEND = (DeliveryState.SENDING, DeliveryState.WAITING)
SETTLED_ORDER = {state: rank for rank, state in enumerate(DeliveryState)}


@dataclass(frozen=True, slots=True)
class Pending:
    """A stored part not yet settled. `in_doubt` means the process that was sending it died.

    `waits`: it came too late, and is due once the student writes.
    """

    part: Outgoing
    channel: str
    attempts: int
    in_doubt: bool
    due: bool
    waits: bool = False


class Parts(Leases):
    """The outbox."""

    async def next_part(self, conversation_id: int) -> Pending | None:
        """The oldest part still to be sent. Parts of one student leave in order: one that waits holds back the rest."""
        query = (
            select(OutboxPart, Conversation.channel, Conversation.address)
            .join(Conversation, Conversation.id == OutboxPart.conversation_id)
            .where(OutboxPart.conversation_id == conversation_id, OutboxPart.state.in_(TO_SEND))
            .order_by(OutboxPart.id)
            .limit(1)
        )
        async with self.reading() as session:
            row = (await session.execute(query)).one_or_none()
            if row is None:
                return None
            part, channel, address = row
            waits = part.state == DeliveryState.WAITING
            due = await _heard_since(session, part) if waits else part.next_attempt_at <= now()
        return Pending(_outgoing(part, address), channel, part.attempts, in_doubt=part.started, due=due, waits=waits)

    async def offered(self, conversation_id: int) -> tuple[Choice, ...]:
        """What the latest part offered to choose from; a student without buttons picks by number."""
        query = select(OutboxPart.choices).where(OutboxPart.conversation_id == conversation_id)
        async with self.reading() as session:
            latest = await session.scalar(query.order_by(OutboxPart.id.desc()).limit(1))
        return tuple(Choice(label, command) for label, command in latest or ())

    async def under(self, answer_id: str) -> tuple[Outgoing, str] | None:
        """The part of an answer that offers something to press, and the provider's id for it."""
        query = (
            select(OutboxPart, Conversation.address)
            .join(Conversation, Conversation.id == OutboxPart.conversation_id)
            .where(OutboxPart.answer_id == answer_id, OutboxPart.provider_id.is_not(None))
            .order_by(OutboxPart.id.desc())
            .limit(1)
        )
        async with self.reading() as session:
            row = (await session.execute(query)).one_or_none()
        if row is None:
            return None
        part, address = row
        return (_outgoing(part, address), part.provider_id) if part.choices and part.provider_id else None

    async def starting(self, pending: Pending, conversation_id: int, token: str) -> None:
        """Leave evidence that the network call may have begun, under the lease. Raises LeaseLost."""
        values: dict[str, Any] = {"started": True, "attempts": OutboxPart.attempts + 1, "next_attempt_at": now()}
        if pending.in_doubt:
            values["in_doubt"] = True
        async with self.writing() as session:
            await self._hold(session, conversation_id, token)
            if pending.waits:  # and is sent: the student was heard
                values["state"] = DeliveryState.SENDING
                heard = update(Conversation).where(Conversation.id == conversation_id)
                await session.execute(heard.values(invited_at=None))
            await session.execute(update(OutboxPart).where(OutboxPart.id == pending.part.id).values(**values))

    async def sent(self, part_id: int, provider_id: str) -> None:
        """The provider accepted the part. A status callback that was quicker is not overwritten."""
        async with self.writing() as session:
            part = await _locked(session, OutboxPart.id == part_id)
            if part is not None:
                await _name(session, part, provider_id)
                if part.state == DeliveryState.SENDING:
                    part.state = DeliveryState.SENT

    async def not_sent(self, part_id: int, error: str, *, until: datetime | None, in_doubt: bool = False) -> None:
        """The provider did not take it: try again at `until`, or never (None), which staff are shown.

        `in_doubt`: its answer was lost, so it may have taken it all the same. What was settled meanwhile, by a report
        or by another worker, stays as it is.
        """
        async with self.writing() as session:
            part = await _locked(session, OutboxPart.id == part_id)
            if part is None or part.state != DeliveryState.SENDING:
                return
            part.error, part.started = error, in_doubt
            if until is not None:
                part.next_attempt_at = until
            else:
                part.state = DeliveryState.FAILED
                session.add(_undelivered(part))

    async def too_late(self, part_id: int, error: str) -> None:
        """The provider takes it no sooner than the student writes again. That was no attempt, and is no incident."""
        async with self.writing() as session:
            part = await _locked(session, OutboxPart.id == part_id)
            if part is not None and part.state == DeliveryState.SENDING:
                await _wait(session, part, error)

    async def inviting(self, conversation_id: int, token: str) -> bool:
        """Whether the student is still to be asked to write again. Whoever is told so has to do it: it is said once.

        Until the student is heard; under the lease.
        """
        return await self._changed(
            update(Conversation)
            .where(
                Conversation.id == conversation_id,
                Conversation.lease_token == token,
                Conversation.invited_at.is_(None),
            )
            .values(invited_at=now())
        )

    async def status(self, report: StatusUpdate) -> bool:
        """Apply a provider's report; states only move forward. False when the part is not ours."""
        ours = (
            OutboxPart.id == report.outbox_id if report.outbox_id is not None
            else OutboxPart.provider_id == report.provider_id
        )  # fmt: skip
        async with self.writing() as session:
            part = await _locked(session, ours)
            if part is None:
                return False
            if report.outside_window and not _is_latest(part, report):
                return True
            await _name(session, part, report.provider_id)
            if report.outside_window:
                await _wait(session, part, f"{OutsideWindow.__name__} {report.code}")
            elif SETTLED_ORDER[report.state] > SETTLED_ORDER[DeliveryState(part.state)]:
                part.state = report.state
                if report.state is DeliveryState.FAILED:
                    await _failed_later(session, part, report)
        return True

    async def has_part(self, provider_id: str) -> bool:
        """Whether a provider's message is on record as one of our parts."""
        async with self.reading() as session:
            return await session.scalar(select(exists().where(OutboxPart.provider_id == provider_id))) or False


async def _locked(session: AsyncSession, ours: ColumnElement[bool]) -> OutboxPart | None:
    """The part, which nobody else changes before the end of the transaction: reports come several at once."""
    return await session.scalar(select(OutboxPart).where(ours).with_for_update())


async def _name(session: AsyncSession, part: OutboxPart, provider_id: str) -> None:
    """Keep the provider's id for a part, but not for a student who is forgotten: Meta's holds the number."""
    if not await session.scalar(select(is_erased(part.conversation_id))):
        part.provider_id = provider_id


def _undelivered(part: OutboxPart) -> Incident:
    return Incident(conversation_id=part.conversation_id, message_id=part.message_id, category="undelivered_reply")


def _is_latest(part: OutboxPart, report: StatusUpdate) -> bool:
    """Whether a report is on the latest attempt: while one is under way, what is on record is the one before."""
    match part.state:
        case DeliveryState.SENDING:
            return part.provider_id != report.provider_id
        case DeliveryState.SENT:
            return part.provider_id == report.provider_id
        case _:
            return False


async def _failed_later(session: AsyncSession, part: OutboxPart, report: StatusUpdate) -> None:
    """The provider took the part and could not deliver it: an incident, unless that was the student's will."""
    kind = Unreachable if report.unwanted else PermanentError
    part.error = f"{kind.__name__} {report.code}".strip()
    if report.unwanted:
        whose = update(Conversation).where(Conversation.id == part.conversation_id)
        await session.execute(whose.values(blocked_at=now()))
    else:
        session.add(_undelivered(part))


async def _wait(session: AsyncSession, part: OutboxPart, error: str) -> None:
    """Until the student writes; where that happened while the part was under way, it is sent again at once."""
    heard = await _heard_since(session, part)
    part.state = DeliveryState.SENDING if heard else DeliveryState.WAITING
    part.started, part.attempts, part.error = False, 0, error


async def _heard_since(session: AsyncSession, part: OutboxPart) -> bool:
    """Whether the student has written since the last attempt at this part began."""
    later = exists().where(
        InboxMessage.conversation_id == part.conversation_id, InboxMessage.received_at > part.next_attempt_at
    )
    return await session.scalar(select(later)) or False


def _outgoing(part: OutboxPart, address: str) -> Outgoing:
    choices = tuple(Choice(label, command) for label, command in part.choices)
    return Outgoing(part.id, address, part.text, choices, tuple(part.menu))
