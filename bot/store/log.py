"""The log of answers: what students thought of them, what teachers said, and how many there are of everything."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from sqlalchemy import ColumnElement, and_, func, or_, select, update
from sqlalchemy.orm import aliased

from bot.ports import Route
from bot.store.database import ERASED_PREFIX, Database
from bot.tables import Conversation, InboxMessage, Incident, OutboxPart, StoredAnswer, now

APPROVED, CORRECTED = "approved", "corrected"
NOT_ANSWERED = (Route.REFUSED, Route.ESCALATED)  # whether that was right is asked in `alarms`

OF_A_LESSON = (Route.GENERATED, Route.QUOTED, Route.VERIFIED, Route.CALCULATED, Route.NOT_IN_BOOK)


@dataclass(frozen=True, slots=True)
class Lessons:
    """What the log has to teach, of students who agreed; nothing of those who are forgotten, or asked to be.

    answers:  reviewed by a teacher, or verified, oldest first
    asked:    how often each question was put, in the words it was put in
    liked:    answers with a thumb up that no teacher has reviewed: a thumb is no proof
    withheld: reviewed answers of students who have not agreed, or no longer do
    """

    answers: tuple[StoredAnswer, ...]
    asked: Mapping[str, int]
    liked: int
    withheld: int


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

        `review` is "any", "approved", "corrected", "rejected", "false_alarm" (a refusal), or None for those waiting to
        be reviewed: answers from a book. Greetings, commands and refusals wait for nobody.
        """
        query = select(StoredAnswer).order_by(StoredAnswer.created_at.desc(), StoredAnswer.message_id.desc())
        if review != "any":
            unread = StoredAnswer.route != Route.VERIFIED  # a teacher has read what those say
            waiting = and_(StoredAnswer.review.is_(None), StoredAnswer.confidence.is_not(None), unread)
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

    async def lessons(self, agreed_elsewhere: Collection[str] = ()) -> Lessons:
        """What may be learned from.

        On the channels of `agreed_elsewhere` the school has asked before; there only those are left out who said stop.
        """
        agreed = _agreed(agreed_elsewhere)
        said_again = and_(StoredAnswer.route == Route.VERIFIED, StoredAnswer.review.is_(None))
        taught = or_(StoredAnswer.review.in_((APPROVED, CORRECTED)), said_again)
        lesson = (StoredAnswer.route.in_(OF_A_LESSON), StoredAnswer.question != "")
        joined = select(StoredAnswer).join(Conversation, Conversation.id == StoredAnswer.conversation_id)
        of_lessons = joined.where(*lesson)
        liked = (StoredAnswer.rating > 0, StoredAnswer.review.is_(None), StoredAnswer.route != Route.VERIFIED)
        asked = of_lessons.where(agreed).with_only_columns(StoredAnswer.question, func.count())
        async with self.reading() as session:
            answers = await session.scalars(of_lessons.where(taught, agreed).order_by(StoredAnswer.message_id))
            questions = await session.execute(asked.group_by(StoredAnswer.question))
            counts = [
                await session.scalar(of_lessons.where(*which).with_only_columns(func.count()))
                for which in ((*liked, agreed), (taught, ~agreed))
            ]
            often = {str(text): int(count) for text, count in questions}
            return Lessons(tuple(answers), often, *(n or 0 for n in counts))

    async def rated(self, agreed_elsewhere: Collection[str] = ()) -> list[StoredAnswer]:
        """Answers that the model wrote and a student put a thumb on, oldest first, of students who agreed."""
        query = (
            select(StoredAnswer)
            .join(Conversation, Conversation.id == StoredAnswer.conversation_id)
            .where(StoredAnswer.route == Route.GENERATED, StoredAnswer.rating != 0, StoredAnswer.question != "")
            .where(_agreed(agreed_elsewhere))
            .order_by(StoredAnswer.message_id)
        )
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


def _agreed(elsewhere: Collection[str]) -> ColumnElement[bool]:
    """Whether a conversation's student has agreed, and not asked to be forgotten."""
    said = aliased(StoredAnswer)
    words = func.lower(said.question)
    stopped = (
        select(said.id)
        .where(said.conversation_id == Conversation.id, said.route == Route.COMMAND)
        .where(or_(words.like("/stop%"), words.like("/decline%")))
        .correlate(Conversation)
        .exists()
    )
    return and_(
        or_(Conversation.consented_at.is_not(None), and_(Conversation.channel.in_(elsewhere), ~stopped)),
        Conversation.forget_after.is_(None),
        ~Conversation.address.startswith(ERASED_PREFIX),
    )
