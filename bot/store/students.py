"""What students may ask of us about themselves: to be left alone, and to be forgotten."""

from __future__ import annotations

import uuid
from typing import Any

from sqlalchemy import exists, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from bot.errors import Unreachable
from bot.ports import DeliveryState
from bot.store.database import ERASED_PREFIX, Leases
from bot.store.messages import ANSWERED, BURIED, HELD, WAITING
from bot.store.parts import TO_SEND
from bot.tables import Conversation, InboxMessage, OutboxPart, StoredAnswer, now

OPEN = (WAITING, HELD)


class Students(Leases):
    """One conversation as a person."""

    async def blocked(self, conversation_id: int, error: str) -> None:
        """The provider says that the student wants nothing from us: drop what was to be sent or answered.

        Staff are not told: it is the student's right. Whoever writes to us again is answered again.
        """
        async with self.writing() as session:
            await session.execute(
                update(Conversation).where(Conversation.id == conversation_id).values(blocked_at=now())
            )
            await session.execute(
                update(OutboxPart)
                .where(OutboxPart.conversation_id == conversation_id, OutboxPart.state.in_(TO_SEND))
                .values(state=DeliveryState.FAILED, error=error)
            )
            await session.execute(
                update(InboxMessage)
                .where(InboxMessage.conversation_id == conversation_id, InboxMessage.state == WAITING)
                .values(state=BURIED, error=error)
            )

    async def erase_forgotten(self, conversation_id: int, token: str) -> None:
        """Erase every word and the address of a student who asked for it, once the reply to that has left.

        Or comes too late: nobody has to write again to be forgotten. Rows stay, empty, to be counted. What was written
        afterwards moves to a new conversation. Raises LeaseLost.
        """
        async with self.writing() as session:
            await self._hold(session, conversation_id, token)
            conversation = await session.get_one(Conversation, conversation_id, populate_existing=True)
            on_its_way = exists().where(
                OutboxPart.conversation_id == conversation_id, OutboxPart.state == DeliveryState.SENDING
            )
            if conversation.forget_after is None or await session.scalar(select(on_its_way)):
                return
            channel, address, last = conversation.channel, conversation.address, conversation.forget_after
            conversation.address = ERASED_PREFIX + uuid.uuid4().hex
            conversation.class_level = conversation.subject = conversation.language = None
            conversation.consented_at = conversation.consent_asked_at = conversation.forget_after = None
            conversation.invited_at = None
            await session.flush()
            await _move_later(session, conversation_id, last, channel, address)
            await _erase(session, conversation_id)


async def _move_later(session: AsyncSession, conversation_id: int, last: int, channel: str, address: str) -> None:
    """Whatever is still to be answered, and what was replied to it: that the question waits for consent, say."""
    later = select(InboxMessage.id).where(
        InboxMessage.conversation_id == conversation_id, InboxMessage.id > last, InboxMessage.state.in_(OPEN)
    )
    moving = (await session.scalars(later)).all()
    if moving:
        fresh = Conversation(channel=channel, address=address)
        session.add(fresh)
        await session.flush()
        for table, message_id in ((InboxMessage, InboxMessage.id), (OutboxPart, OutboxPart.message_id)):
            await session.execute(update(table).where(message_id.in_(moving)).values(conversation_id=fresh.id))


async def _erase(session: AsyncSession, conversation_id: int) -> None:
    nothing: dict[str, Any] = {"text": ""}
    log: dict[str, Any] = {
        "question": "",
        "caution": "",
        "source_line": "",
        "sources": [],
        "passages": [],
        "correction": None,
    }
    for table, values in (
        (InboxMessage, nothing | {"hints": {}}),
        (OutboxPart, nothing | {"choices": [], "menu": [], "provider_id": None}),
        (StoredAnswer, nothing | log | {"review": None}),
    ):
        await session.execute(update(table).where(table.conversation_id == conversation_id).values(**values))
    left = update(InboxMessage).where(InboxMessage.conversation_id == conversation_id, InboxMessage.state.in_(OPEN))
    await session.execute(left.values(state=ANSWERED))
    late = (OutboxPart.conversation_id == conversation_id, OutboxPart.state == DeliveryState.WAITING)
    gone = update(OutboxPart).where(*late).values(state=DeliveryState.FAILED, error=Unreachable.__name__)
    await session.execute(gone)
