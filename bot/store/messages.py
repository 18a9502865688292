"""What is to be answered: the next message, and the one transaction that settles it with its reply."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ScalarSelect, Select, and_, exists, or_, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from bot.ports import Answer, Choice, DeliveryState, Effect, Kind, Profile, Route, Turn, Verdict
from bot.store.database import Leases
from bot.store.incidents import Sighting, look_after
from bot.store.parts import TO_SEND
from bot.tables import Conversation, InboxMessage, Incident, OutboxPart, StoredAnswer, now

ASK_AGAIN_AFTER = timedelta(minutes=10)  # of the consent: a child who writes five questions is asked once
EARLIER, EARLIER_WITHIN = 4, timedelta(minutes=30)  # questions that are screened together with the next
WAITING, HELD, ANSWERED, BURIED = "waiting", "held", "answered", "buried"


@dataclass(frozen=True, slots=True)
class Work:
    """The oldest waiting message of a leased conversation, with what the tutor needs to answer it."""

    message_id: int
    channel: str
    provider_id: str
    address: str
    attempts: int
    turn: Turn
    answer_ref: str | None


class Messages(Leases):
    """The inbox from the worker's side."""

    async def next_message(self, conversation_id: int) -> Work | None:
        """The oldest waiting message, if it is due: a message that waits for its retry holds back those behind it."""
        async with self.reading() as session:
            oldest = (
                select(InboxMessage, Conversation)
                .join(Conversation, Conversation.id == InboxMessage.conversation_id)
                .where(InboxMessage.conversation_id == conversation_id, InboxMessage.state == WAITING)
                .order_by(InboxMessage.id)
                .limit(1)
            )
            row = (await session.execute(oldest)).one_or_none()
            if row is None or row[0].next_attempt_at > now():
                return None
            message, conversation = row
            earlier = (await session.scalars(_asked_before(conversation_id))).all()
        stored = Profile(conversation.class_level, conversation.subject, conversation.language)
        asked = conversation.consent_asked_at
        turn = Turn(
            id=str(message.id),
            kind=Kind(message.kind),
            text=message.text,
            profile=_hinted(stored, message.hints),
            consented=conversation.consented_at is not None,
            consent_asked=asked is not None and asked > now() - ASK_AGAIN_AFTER,
            earlier=tuple(reversed(earlier)),
            conversation=str(conversation_id),
        )
        return Work(
            message.id, message.channel, message.provider_id, conversation.address, message.attempts, turn,
            message.answer_ref,
        )  # fmt: skip

    async def neglected(self, *, limit: int = 500) -> list[int]:
        """Conversations that nobody serves and that hold a due message or part with nothing undue before it.

        Or that are to be erased and hold nothing more to be sent, or whose student is to be asked to write again. What
        waits for a student needs no look before that student's next message, which gives it one.
        """
        free = or_(Conversation.lease_until.is_(None), Conversation.lease_until < now())
        sending = OutboxPart.state == DeliveryState.SENDING
        heard = (
            exists()
            .where(
                InboxMessage.conversation_id == Conversation.id, InboxMessage.received_at > OutboxPart.next_attempt_at
            )
            .correlate(Conversation, OutboxPart)
        )
        unsent = exists().where(OutboxPart.conversation_id == Conversation.id, sending).correlate(Conversation)
        part_due = or_(and_(sending, OutboxPart.next_attempt_at <= now()), and_(~sending, heard))
        message_due = and_(OutboxPart.id.is_(None), InboxMessage.next_attempt_at <= now())
        invite = and_(~sending, ~heard, Conversation.invited_at.is_(None))
        erase = and_(Conversation.forget_after.is_not(None), ~unsent)
        open_ids = select(InboxMessage.conversation_id).where(InboxMessage.state == WAITING).union(
            select(OutboxPart.conversation_id).where(OutboxPart.state == DeliveryState.SENDING),
            select(OutboxPart.conversation_id)
            .join(Conversation, Conversation.id == OutboxPart.conversation_id)
            .where(OutboxPart.state == DeliveryState.WAITING, Conversation.invited_at.is_(None)),
            select(Conversation.id).where(Conversation.forget_after.is_not(None)),
        )  # fmt: skip
        query = (
            select(Conversation.id)
            .outerjoin(OutboxPart, OutboxPart.id == _oldest(OutboxPart, TO_SEND))
            .outerjoin(InboxMessage, InboxMessage.id == _oldest(InboxMessage, (WAITING,)))
            .where(Conversation.id.in_(open_ids), free, or_(part_due, message_due, invite, erase))
        )
        async with self.reading() as session:
            return list((await session.scalars(query.limit(limit))).all())

    async def commit_answer(
        self,
        work: Work,
        conversation_id: int,
        token: str,
        answer_id: str,
        answer: Answer,
        parts: Sequence[str],
        choices: Sequence[Choice] = (),
    ) -> None:
        """Store the answer and its outgoing parts, mark the message answered; all or nothing, and only under the lease.

        `choices` are offered under the last part. Raises LeaseLost.
        """
        held = answer.effect is Effect.HOLD
        async with self.writing() as session:
            await self._hold(session, conversation_id, token)
            if not held:
                session.add(_answer_row(answer_id, work, conversation_id, answer))
                await session.flush()
            last = len(parts) - 1
            session.add_all(
                OutboxPart(
                    conversation_id=conversation_id,
                    message_id=work.message_id,
                    answer_id=None if held else answer_id,
                    text=text,
                    choices=[[choice.label, choice.command] for choice in choices] if number == last else [],
                    menu=list(answer.menu) if number == last else [],
                )
                for number, text in enumerate(parts)
            )
            await self._settle(session, work.message_id, HELD if held else ANSWERED)
            if answer.profile is not None:
                await _change(session, conversation_id, **asdict(answer.profile))
            if answer.incident:
                # Escalated, an adult is to be told at once; a filter that failed waits for staff to look.
                alert_at = now() if answer.route is Route.ESCALATED else None
                session.add(
                    Incident(
                        conversation_id=conversation_id,
                        message_id=work.message_id,
                        category=answer.incident,
                        next_alert_at=alert_at,
                    )
                )
            await _take_effect(session, work, conversation_id, answer.effect, asked=bool(parts))

    async def commit_reply(
        self, work: Work, conversation_id: int, token: str, parts: Sequence[str], state: str, error: str | None = None
    ) -> None:
        """Settle a message that has no answer of its own (feedback, or one given up) and store the reply to it.

        `error` is why it was given up.
        """
        async with self.writing() as session:
            await self._hold(session, conversation_id, token)
            session.add_all(
                OutboxPart(conversation_id=conversation_id, message_id=work.message_id, text=text) for text in parts
            )
            await self._settle(session, work.message_id, state, error)
            if state == BURIED:
                session.add(
                    Incident(conversation_id=conversation_id, message_id=work.message_id, category="buried_message")
                )

    async def commit_seen(
        self,
        work: Work,
        conversation_id: int,
        token: str,
        incident_id: int,
        by: str,
        reply: Callable[[Sighting], Sequence[str]],
    ) -> None:
        """An adult looks after an incident: settle their message with that and with `reply`, the parts that say so.

        All or nothing, and only under the lease; what the reply says is what this very transaction did. No answer is
        kept: nobody asked anything. Raises LeaseLost.
        """
        async with self.writing() as session:
            await self._hold(session, conversation_id, token)
            parts = reply(await look_after(session, incident_id, by=by))
            session.add_all(
                OutboxPart(conversation_id=conversation_id, message_id=work.message_id, text=text) for text in parts
            )
            await self._settle(session, work.message_id, ANSWERED)

    async def _settle(self, session: AsyncSession, message_id: int, state: str, error: str | None = None) -> None:
        settled = update(InboxMessage).where(InboxMessage.id == message_id)
        await session.execute(settled.values(state=state, error=error))

    async def defer(self, work: Work, conversation_id: int, token: str, parts: Sequence[str], until: datetime) -> None:
        """Leave a message for later, which is no failed attempt, and say so by `parts`. Raises LeaseLost."""
        async with self.writing() as session:
            await self._hold(session, conversation_id, token)
            session.add_all(
                OutboxPart(conversation_id=conversation_id, message_id=work.message_id, text=text) for text in parts
            )
            await session.execute(
                update(InboxMessage).where(InboxMessage.id == work.message_id).values(next_attempt_at=until)
            )

    async def postpone(self, message_id: int, error: str, until: datetime) -> None:
        """Count a failed attempt at answering and say when to try again."""
        await self._changed(
            update(InboxMessage)
            .where(InboxMessage.id == message_id)
            .values(attempts=InboxMessage.attempts + 1, next_attempt_at=until, error=error)
        )


def _asked_before(conversation_id: int) -> Select[str]:
    """The last questions that were answered, the latest first: a slow approach to harm shows in them together."""
    return (
        select(StoredAnswer.question)
        .where(
            StoredAnswer.conversation_id == conversation_id,
            StoredAnswer.created_at > now() - EARLIER_WITHIN,
            StoredAnswer.route.in_((Route.GENERATED, Route.QUOTED, Route.VERIFIED, Route.NOT_IN_BOOK)),
        )
        .order_by(StoredAnswer.message_id.desc())
        .limit(EARLIER)
    )


def _oldest(table: type[InboxMessage] | type[OutboxPart], states: Sequence[str]) -> ScalarSelect[int]:
    """The number of the conversation's oldest row in one of these states; those behind it wait for it."""
    mine = select(table.id).where(table.conversation_id == Conversation.id, table.state.in_(states))
    return mine.order_by(table.id).limit(1).correlate(Conversation).scalar_subquery()


async def _take_effect(
    session: AsyncSession, work: Work, conversation_id: int, effect: Effect | None, *, asked: bool
) -> None:
    held = update(InboxMessage).where(InboxMessage.conversation_id == conversation_id, InboxMessage.state == HELD)
    match effect:
        case Effect.HOLD | Effect.ASK if asked:
            await _change(session, conversation_id, consent_asked_at=now())
        case Effect.CONSENT:
            await _change(session, conversation_id, consented_at=now(), consent_asked_at=None)
            await session.execute(held.values(state=WAITING))
        case Effect.WITHDRAW:
            await _change(session, conversation_id, consented_at=None, consent_asked_at=None)
            await session.execute(held.values(state=ANSWERED, text=""))
        case Effect.FORGET:
            await _change(session, conversation_id, consented_at=None, forget_after=work.message_id)


async def _change(session: AsyncSession, conversation_id: int, **values: Any) -> None:
    await session.execute(update(Conversation).where(Conversation.id == conversation_id).values(**values))


def _hinted(stored: Profile, hints: dict[str, Any]) -> Profile:
    return Profile(
        class_level=hints.get("class_level", stored.class_level),
        subject=hints.get("subject", stored.subject),
        language=hints.get("language", stored.language),
    )


def _answer_row(answer_id: str, work: Work, conversation_id: int, answer: Answer) -> StoredAnswer:
    return StoredAnswer(
        id=answer_id, message_id=work.message_id, conversation_id=conversation_id,
        question=work.turn.text, text=answer.text, caution=answer.caution, source_line=answer.source_line,
        route=answer.route.value, confidence=answer.confidence, language=answer.language,
        class_level=work.turn.profile.class_level, subject=work.turn.profile.subject, adapter=answer.adapter,
        sources=[asdict(source) for source in answer.sources], passages=list(answer.passages),
        decoding=asdict(answer.decoding) if answer.decoding else {}, timings=dict(answer.timings),
        verdict=_verdict_row(answer.verdict) if answer.verdict else None,
    )  # fmt: skip


def _verdict_row(verdict: Verdict) -> dict[str, Any]:
    """What is kept of a verdict: nothing that was written."""
    return {
        "action": verdict.action.value, "category": verdict.category, "layer": verdict.layer,
        "score": round(verdict.score, 3),
    }  # fmt: skip
