"""What teachers said of answers, read so that it can be said again, and whether an answer given may be repeated."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import func, or_, select, update

from bot.ports import Route
from bot.store.database import Database
from bot.store.log import APPROVED, CORRECTED, NOT_ANSWERED, OF_A_LESSON
from bot.tables import StoredAnswer, now

REJECTED = "rejected"  # a teacher says: not this answer, and here is no better one
DECIDED = (APPROVED, CORRECTED, REJECTED)


@dataclass(frozen=True, slots=True)
class Decision:
    """That a teacher decided on an answer, and when; the latest on one question stands."""

    answer_id: str
    review: str
    at: datetime


class Verified(Database):
    """Reviews from the side of whoever answers."""

    async def reject(self, answer_id: str, *, by: str) -> bool:
        """Say that an answer is wrong and give no better one. False when there is none, or nothing was answered."""
        return await self._changed(
            update(StoredAnswer)
            .where(StoredAnswer.id == answer_id, StoredAnswer.route.not_in(NOT_ANSWERED))
            .values(review=REJECTED, correction=None, reviewed_by=by, reviewed_at=now())
        )

    async def retract_review(self, answer_id: str) -> bool:
        """Take a review back, as if nobody had looked. False when there is none to take back."""
        return await self._changed(
            update(StoredAnswer)
            .where(StoredAnswer.id == answer_id, StoredAnswer.review.in_(DECIDED))
            .values(review=None, correction=None, reviewed_by=None, reviewed_at=None)
        )

    async def reviews_stamp(self) -> tuple[int, datetime | None]:
        """Another one whenever a review was added, changed or taken away: a count over one index, for polling."""
        query = select(func.count(), func.max(StoredAnswer.reviewed_at)).where(StoredAnswer.review.in_(DECIDED))
        async with self.reading() as session:
            count, latest = (await session.execute(query)).one()
            return count, latest

    async def decisions(self) -> list[Decision]:
        """Every answer to a lesson's question that a teacher decided on, the latest first, without its words."""
        query = (
            select(StoredAnswer.id, StoredAnswer.review, StoredAnswer.reviewed_at)
            .where(StoredAnswer.review.in_(DECIDED), StoredAnswer.reviewed_at.is_not(None))
            .where(StoredAnswer.route.in_(OF_A_LESSON), StoredAnswer.question != "")
            .order_by(StoredAnswer.reviewed_at.desc(), StoredAnswer.id)
        )
        async with self.reading() as session:
            rows = (await session.execute(query)).all()
            return [Decision(found, review, at) for found, review, at in rows if review is not None and at is not None]

    async def answers_named(self, ids: Collection[str]) -> list[StoredAnswer]:
        """Answers by their ids; those that are gone are left out."""
        async with self.reading() as session:
            return list((await session.scalars(select(StoredAnswer).where(StoredAnswer.id.in_(ids)))).all())

    async def may_be_repeated(self, message_ids: Sequence[int]) -> bool:
        """Whether the answers to these messages are all there, and none was thumbed down, corrected or rejected."""
        against = or_(
            StoredAnswer.rating < 0,
            StoredAnswer.review.in_((CORRECTED, REJECTED)),
            StoredAnswer.question == "",
        )
        query = select(StoredAnswer.id).where(StoredAnswer.message_id.in_(message_ids), against).limit(1)
        async with self.reading() as session:
            return await session.scalar(query) is None


def is_answer(answer: StoredAnswer) -> bool:
    """Whether what a teacher stands for answers the question: an approved "not in your books" does not."""
    return answer.review == CORRECTED or (answer.review == APPROVED and answer.route != Route.NOT_IN_BOOK)
