"""What the safety filter held and what staff say of it, on a real SQLite file and on a real PostgreSQL."""

from __future__ import annotations

from dataclasses import replace

import pytest
from sqlalchemy import update

from bot.ports import Action, Answer, Route, Verdict
from bot.store import APPROVED, FALSE_ALARM, REAL, ReviewedAlarm, Store
from bot.tables import StoredAnswer
from tests.bot.distress import (
    ESCALATED,
    FAILED,
    FAILED_CLOSED,
    QUESTION,
    REFUSED,
    answered,
    forgotten,
    happened,
)

pytestmark = pytest.mark.parametrize("database", ["sqlite", "postgresql"], indirect=True)

QUOTED = Answer("A cell is the unit of life.", Route.QUOTED, "en", confidence=0.8)
TOO_LONG = Answer("Please ask in fewer words.", Route.REFUSED, "en")
NOTE = "Spoke with him."


async def reviews(store: Store, *answer_ids: str) -> list[str | None]:
    found = [await store.answer(answer_id) for answer_id in answer_ids]
    return [answer.review for answer in found if answer is not None]


# ---- what is kept --------------------------------------------------------------------------------------------------


async def test_a_verdict_is_kept_with_the_answer_and_holds_no_words(store: Store) -> None:
    refused = await store.answer(await answered(store, REFUSED, "How are fireworks made?"))
    failed = await store.answer(await answered(store, FAILED_CLOSED))
    allowed = await store.answer(await answered(store, QUOTED))
    assert refused is not None
    assert failed is not None
    assert allowed is not None
    assert refused.verdict == {"action": "refuse", "category": "weapons", "layer": "classifier", "score": 0.877}
    assert failed.verdict == {"action": "refuse", "category": FAILED.category, "layer": "", "score": 0.0}
    assert allowed.verdict is None


# ---- refusals ------------------------------------------------------------------------------------------------------


async def test_a_refusal_is_judged_and_judged_again(store: Store) -> None:
    answer_id = await answered(store, REFUSED)
    assert await store.review_refusal(answer_id, by="Asha", right=False)
    assert await reviews(store, answer_id) == [FALSE_ALARM]
    assert [answer.id for answer in await store.answers(review=FALSE_ALARM)] == [answer_id]
    assert await store.review_refusal(answer_id, by="Meera", right=True)
    answer = await store.answer(answer_id)
    assert answer is not None
    assert (answer.review, answer.reviewed_by, answer.correction) == (APPROVED, "Meera", None)
    assert answer.reviewed_at is not None


async def test_only_what_the_filter_refused_is_judged_as_a_refusal_and_nothing_else_is_approved(store: Store) -> None:
    quoted, too_long = await answered(store, QUOTED), await answered(store, TOO_LONG)
    escalated, refused = await answered(store, ESCALATED), await answered(store, REFUSED)
    for answer_id in (quoted, too_long, escalated, "nothing"):
        assert not await store.review_refusal(answer_id, by="Asha", right=True)
    for answer_id in (too_long, escalated, refused):
        assert not await store.review(answer_id, by="Asha")
        assert not await store.review(answer_id, by="Asha", correction="Better.")
    assert await reviews(store, quoted, too_long, escalated, refused) == [None] * 4


async def test_no_adapter_is_trained_from_what_was_refused_or_escalated(store: Store) -> None:
    quoted, refused, escalated = [await answered(store, answer) for answer in (QUOTED, REFUSED, ESCALATED)]
    assert await store.review(quoted, by="Asha")
    assert await store.review_refusal(refused, by="Asha", right=True)
    async with store.writing() as session:  # as it could be done before
        await session.execute(update(StoredAnswer).where(StoredAnswer.id == escalated).values(review=APPROVED))
    assert [answer.id for answer in await store.reviewed()] == [quoted]
    assert await store.review_refusal(refused, by="Asha", right=False)
    assert [answer.id for answer in await store.reviewed()] == [quoted]


# ---- what the classifier is trained from -----------------------------------------------------------------------------


async def test_judged_questions_come_oldest_first_with_whether_it_was_right(store: Store) -> None:
    wrongly = await answered(store, replace(REFUSED, language="hinglish"), "Patakhe kaise bante hain?")
    real, false_alarm = await happened(store), await happened(store)
    rightly = await answered(store, REFUSED, "How do I build a gun?")
    for unjudged in (ESCALATED, REFUSED, QUOTED):
        await answered(store, unjudged)
    assert await store.reviewed_alarms() == []
    assert await store.review_refusal(rightly, by="Asha", right=True)
    assert await store.close_incident(false_alarm.id, by="Asha", note="From a poem.", outcome=FALSE_ALARM)
    assert await store.close_incident(real.id, by="Asha", note=NOTE, outcome=REAL)
    assert await store.review_refusal(wrongly, by="Asha", right=False)
    assert await store.reviewed_alarms() == [
        ReviewedAlarm(f"answer-{wrongly}", "Patakhe kaise bante hain?", "hinglish", "weapons", False, False),
        ReviewedAlarm(f"incident-{real.id}", QUESTION, "en", "self_harm", True, True),
        ReviewedAlarm(f"incident-{false_alarm.id}", QUESTION, "en", "self_harm", True, False),
        ReviewedAlarm(f"answer-{rightly}", "How do I build a gun?", "en", "weapons", False, True),
    ]


async def test_what_says_nothing_of_the_question_is_left_out(store: Store) -> None:
    leak = Verdict(Action.REFUSE, "leak", "refused.leak", "output", 1.0)
    held = replace(REFUSED, incident="unsafe_answer", verdict=leak)
    for answer in (FAILED_CLOSED, held):
        case = await happened(store, answer)
        found = await store.incident(case.id)
        assert found is not None
        assert found.answer_id is not None
        assert await store.review_refusal(found.answer_id, by="Asha", right=True)
        assert await store.close_incident(case.id, by="Asha", note="Told the operator.", outcome=REAL)
    case = await happened(store)
    assert await store.close_incident(case.id, by="Asha", note="Before it was asked whether that was right.")
    assert await store.reviewed_alarms() == []


async def test_who_is_forgotten_trains_nothing(store: Store) -> None:
    case, refused = await happened(store), await answered(store, REFUSED)
    stranger = await answered(store, REFUSED, address="whatsapp:+919876500002")
    assert await store.close_incident(case.id, by="Asha", note=NOTE, outcome=REAL)
    for answer_id in (refused, stranger):
        assert await store.review_refusal(answer_id, by="Asha", right=False)
    await forgotten(store)
    assert [alarm.key for alarm in await store.reviewed_alarms()] == [f"answer-{stranger}"]
    assert await store.review_refusal(refused, by="Asha", right=True)  # the page was open
    assert [alarm.key for alarm in await store.reviewed_alarms()] == [f"answer-{stranger}"]


async def test_the_incident_of_an_answer_is_the_childs_own(store: Store) -> None:
    failed, case = await happened(store, FAILED_CLOSED), await happened(store)
    for incident_id, expected in ((failed.id, None), (case.id, case.id)):
        found = await store.incident(incident_id)
        assert found is not None
        assert found.answer_id is not None
        answer = await store.answer(found.answer_id)
        assert answer is not None
        assert await store.alarm_of(answer.message_id) == expected
