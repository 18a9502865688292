"""Whether the safety filter was right, as staff say of its alarms and refusals: what its classifier is trained from."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import and_, or_, select, update

from bot.ports import Route
from bot.store.database import Database
from bot.store.incidents import FALSE_ALARM, REAL
from bot.store.log import APPROVED
from bot.tables import Incident, StoredAnswer, now
from bot.words import OTHERS

NOT_OF_THE_QUESTION = ("", "output")  # layers: none, since the filter failed; and the one that looks at answers


@dataclass(frozen=True, slots=True)
class ReviewedAlarm:
    """A question that the safety filter held, and whether it was `right` to. `key` names where staff said so."""

    key: str  # "incident-12" or "answer-<id>"
    text: str
    language: str
    category: str
    escalated: bool
    right: bool


class Alarms(Database):
    """Refusals are judged on their answer, children in distress with the incident (`close_incident`)."""

    async def review_refusal(self, answer_id: str, *, by: str, right: bool) -> bool:
        """Say whether the filter was right to refuse. False when there is no such answer, or it refused nothing."""
        refused = (StoredAnswer.route == Route.REFUSED, StoredAnswer.verdict.is_not(None))
        return await self._changed(
            update(StoredAnswer)
            .where(StoredAnswer.id == answer_id, *refused)
            .values(review=APPROVED if right else FALSE_ALARM, correction=None, reviewed_by=by, reviewed_at=now())
        )

    async def alarm_of(self, message_id: int) -> int | None:
        """The incident that a message of a child in distress became."""
        query = select(Incident.id).where(Incident.message_id == message_id, Incident.category.not_in(OTHERS))
        async with self.reading() as session:
            return await session.scalar(query.limit(1))

    async def reviewed_alarms(self) -> list[ReviewedAlarm]:
        """Every question that was held and judged, oldest first; without those that are erased.

        Nor those whose answer was held back, or that the filter failed on: that says nothing of the question.
        """
        alarm = and_(StoredAnswer.route == Route.ESCALATED, Incident.message_id == StoredAnswer.message_id)
        refused = and_(StoredAnswer.route == Route.REFUSED, StoredAnswer.review.is_not(None))
        query = (
            select(StoredAnswer, Incident)
            .outerjoin(Incident, and_(alarm, Incident.outcome.is_not(None)))
            .where(StoredAnswer.question != "", or_(Incident.id.is_not(None), refused))
            .order_by(StoredAnswer.message_id)
        )
        async with self.reading() as session:
            rows = (await session.execute(query)).all()
        found = (_escalated(answer, incident) if incident else _refused(answer) for answer, incident in rows)
        return [alarm for alarm in found if alarm is not None]


def _escalated(answer: StoredAnswer, incident: Incident) -> ReviewedAlarm:
    return ReviewedAlarm(
        key=f"incident-{incident.id}",
        text=answer.question,
        language=answer.language,
        category=incident.category,
        escalated=True,
        right=incident.outcome == REAL,
    )


def _refused(answer: StoredAnswer) -> ReviewedAlarm | None:
    verdict = answer.verdict
    if verdict is None or verdict["layer"] in NOT_OF_THE_QUESTION:
        return None
    return ReviewedAlarm(
        key=f"answer-{answer.id}",
        text=answer.question,
        language=answer.language,
        category=verdict["category"],
        escalated=False,
        right=answer.review == APPROVED,
    )
