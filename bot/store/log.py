"""The log of answers: what students thought of them, what teachers said, and how many there are of everything."""

from __future__ import annotations

from sqlalchemy import and_, func, select, update

from bot.ports import Route
from bot.store.database import Database
from bot.tables import Conversation, InboxMessage, Incident, OutboxPart, StoredAnswer, now

APPROVED, CORRECTED = "approved", "corrected"
NOT_ANSWERED = (Route.REFUSED, Route.ESCALATED)  # whether that was right is asked in `alarms`


class Log(Database):
    """Answers as pages, teachers and the training read them."""

    async def answer_to(self, message_id: int) -> StoredAnswer | None:
        """The stored answer to a message, once there is one."""
        async with self.reading() as session:
            return await session.scalar(select(StoredAnswer).where(StoredAnswer.message_id == message_id))

    async def message_state(self, message_id: int) -> str | None:
        async with self.reading() as session:
            return await session.scalar(select(InboxMessage.state).where(InboxMessage.id == message_id))

    async def rate(self, conversation_id: int, answer_id: str | None, rating: int) -> str | None:
        """Store a thumb on an answer of this conversation: the one named, else the latest that came from a book.

        Returns its id, None when there is none.
        """
        query = select(StoredAnswer).where(StoredAnswer.conversation_id == conversation_id)
        query = (
            query.where(StoredAnswer.id == answer_id) if answer_id
            else query.where(StoredAnswer.confidence.is_not(None)).order_by(StoredAnswer.message_id.desc()).limit(1)
        )  # fmt: skip
        async with self.writing() as session:
            answer = await session.scalar(query)
            if answer is None:
                return None
            answer.rating = rating
            return answer.id

    async def find_conversation(self, channel: str, address: str) -> int | None:
        async with self.reading() as session:
            return await session.scalar(
                select(Conversation.id).where(Conversation.channel == channel, Conversation.address == address)
            )

    async def answers(
        self, *, review: str | None = "any", route: str | None = None, limit: int = 50, offset: int = 0
    ) -> list[StoredAnswer]:
        """Logged answers, newest first.

        `review` is "any", "approved", "corrected", "false_alarm" (a refusal), or None for those waiting to be reviewed:
        answers from a book. Greetings, commands and refusals wait for nobody.
        """
        query = select(StoredAnswer).order_by(StoredAnswer.created_at.desc(), StoredAnswer.message_id.desc())
        if review != "any":
            waiting = and_(StoredAnswer.review.is_(None), StoredAnswer.confidence.is_not(None))
            query = query.where(waiting if review is None else StoredAnswer.review == review)
        if route:
            query = query.where(StoredAnswer.route == route)
        async with self.reading() as session:
            return list((await session.scalars(query.limit(limit).offset(offset))).all())

    async def answer(self, answer_id: str) -> StoredAnswer | None:
        async with self.reading() as session:
            return await session.get(StoredAnswer, answer_id)

    async def review(self, answer_id: str, *, by: str, correction: str | None = None) -> bool:
        """Approve an answer, or store what it should have said. False when there is none, or nothing was answered."""
        return await self._changed(
            update(StoredAnswer)
            .where(StoredAnswer.id == answer_id, StoredAnswer.route.not_in(NOT_ANSWERED))
            .values(
                review=CORRECTED if correction else APPROVED, correction=correction, reviewed_by=by, reviewed_at=now()
            )
        )

    async def reviewed(self) -> list[StoredAnswer]:
        """Every approved or corrected answer, oldest first: what an adapter is trained from."""
        reviewed = (StoredAnswer.review.in_((APPROVED, CORRECTED)), StoredAnswer.route.not_in(NOT_ANSWERED))
        query = select(StoredAnswer).where(*reviewed).order_by(StoredAnswer.message_id)
        async with self.reading() as session:
            return list((await session.scalars(query)).all())

    async def counts(self) -> dict[str, int]:
        """How many messages, parts and incidents stand in each state, for the dashboard and `doctor`."""
        async with self.reading() as session:
            found: dict[str, int] = {}
            for table, column in (
                ("inbox", InboxMessage.state),
                ("outbox", OutboxPart.state),
                ("incidents", Incident.state),
            ):
                for state, count in (await session.execute(select(column, func.count()).group_by(column))).all():
                    found[f"{table}.{state}"] = count
            found["outbox.in_doubt"] = (
                await session.scalar(select(func.count()).select_from(OutboxPart).where(OutboxPart.in_doubt)) or 0
            )
            return found
