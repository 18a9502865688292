"""What a person must look at, on a real SQLite file and on a real PostgreSQL."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta

import pytest

from bot.ports import Answer, Inbound, Kind, Route
from bot.store import BURIED, CLOSED, FALSE_ALARM, OPEN, REAL, Store
from bot.tables import now
from tests.bot.distress import ESCALATED, FAILED_CLOSED, QUESTION, forgotten, happened, kept

pytestmark = pytest.mark.parametrize("database", ["sqlite", "postgresql"], indirect=True)

CONTACT = "mailto:asha@school.example"


async def buried(store: Store, address: str = "4711") -> int:
    """A message on which the tutor broke once too often: its number."""
    accepted = await store.accept(Inbound("telegram", f"id of {address}", address, Kind.TEXT, "Why?"))
    lease = await store.lease(accepted.conversation_id, 30)
    work = await store.next_message(accepted.conversation_id)
    assert lease is not None
    assert work is not None
    await store.commit_reply(work, accepted.conversation_id, lease, [], BURIED, "RuntimeError")
    await store.release(accepted.conversation_id, lease)
    return work.message_id


# ---- what is listed ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("category", ["self_harm", "abuse", "violence", "bullying", "running_away", "a new kind"])
async def test_of_whatever_was_escalated_an_adult_is_to_be_told_at_once(store: Store, category: str) -> None:
    case = await happened(store, replace(ESCALATED, incident=category))
    assert (case.category, case.state, case.channel, case.told) == (category, OPEN, "whatsapp", ())
    assert case.next_alert_at is not None
    assert case.next_alert_at <= now()
    assert [due.id for due in await store.alerts_due()] == [case.id]


async def test_nobody_is_alerted_of_what_waits_for_staff(store: Store) -> None:
    await happened(store, FAILED_CLOSED)
    await happened(store, Answer("No.", Route.REFUSED, "en", incident="unsafe_answer"))
    await buried(store)
    assert [case.next_alert_at for case in await store.incidents()] == [None] * 3
    assert await store.alerts_due() == []


async def test_children_in_distress_are_listed_first_and_each_the_newest_first(store: Store) -> None:
    early, late = await happened(store), await happened(store, address="2")
    failed = await happened(store, FAILED_CLOSED)
    await buried(store)
    listed = await store.incidents()
    assert [case.category for case in listed] == ["self_harm", "self_harm", "buried_message", "safety_error"]
    assert [case.id for case in listed[:2]] == [late.id, early.id]
    assert [case.id for case in await store.incidents(limit=1)] == [late.id]
    assert await store.close_incident(failed.id, by="Asha", note="The filter is mended.")
    assert failed.id not in [case.id for case in await store.incidents()]
    assert [case.id for case in await store.incidents(CLOSED)] == [failed.id]


async def test_only_one_that_is_asked_for_holds_the_childs_words(store: Store) -> None:
    listed = await happened(store)
    assert (listed.question, listed.answer_id) == ("", None)
    case = await kept(store, listed.id)
    assert (case.question, case.channel) == (QUESTION, "whatsapp")
    assert case.answer_id is not None
    answer = await store.answer(case.answer_id)
    assert answer is not None
    assert answer.text == ESCALATED.text
    assert await store.incident(case.id + 1) is None


async def test_one_without_an_answer_holds_the_words_of_the_message(store: Store) -> None:
    await buried(store)
    (listed,) = await store.incidents()
    case = await kept(store, listed.id)
    assert (case.question, case.answer_id, case.channel) == ("Why?", None, "telegram")


# ---- who looks after it --------------------------------------------------------------------------------------------


async def test_one_adult_looks_after_it_and_nobody_else_is_told(store: Store) -> None:
    case = await happened(store)
    first = await asyncio.gather(*(store.see_incident(case.id, by=f"adult {number}") for number in range(4)))
    assert sorted(first) == [False, False, False, True]
    seen = await kept(store, case.id)
    assert seen.seen_by == f"adult {first.index(True)}"
    assert seen.seen_at is not None
    assert (seen.state, seen.next_alert_at) == (OPEN, None)
    assert await store.alerts_due() == []
    assert not await store.see_incident(case.id + 1, by="Asha")


async def test_it_is_closed_once_and_with_a_note(store: Store) -> None:
    case = await happened(store)
    for nothing in ("", " \n"):
        with pytest.raises(ValueError, match="note"):
            await store.close_incident(case.id, by="Asha", note=nothing)
    assert await store.close_incident(case.id, by="Asha", note=" Spoke with him. ")
    assert not await store.close_incident(case.id, by="Meera", note="Me too.")
    assert not await store.see_incident(case.id, by="Meera")
    assert not await store.close_incident(case.id + 1, by="Asha", note="Nothing there.")
    closed = await kept(store, case.id)
    assert (closed.state, closed.note, closed.closed_by) == (CLOSED, "Spoke with him.", "Asha")
    assert closed.closed_at is not None
    assert await store.alerts_due() == []


@pytest.mark.parametrize("outcome", [REAL, FALSE_ALARM, None])
async def test_whoever_closes_it_may_say_whether_the_alarm_was_right(store: Store, outcome: str | None) -> None:
    case = await happened(store)
    with pytest.raises(ValueError, match="maybe"):
        await store.close_incident(case.id, by="Asha", note="Spoke with him.", outcome="maybe")
    assert await store.close_incident(case.id, by="Asha", note="Spoke with him.", outcome=outcome)
    assert (await kept(store, case.id)).outcome == outcome
    assert not await store.close_incident(case.id, by="Meera", note="Me too.", outcome=REAL)
    assert [closed.outcome for closed in await store.incidents(CLOSED)] == [outcome]


async def test_what_is_tried_again_closes_by_itself_and_what_a_person_closed_stays_as_it_is(store: Store) -> None:
    first, second = await buried(store, "1"), await buried(store, "2")
    by_hand = (await store.incidents())[0]
    assert await store.close_incident(by_hand.id, by="Asha", note="Answered in class.")
    noted = await kept(store, by_hand.id)
    assert await store.try_again([first, second]) == 2
    other, same = await store.incidents(CLOSED, limit=2), await kept(store, by_hand.id)
    assert same == noted
    (alone,) = [case for case in other if case.id != by_hand.id]
    assert (alone.closed_by, alone.note) == (None, None)
    assert alone.closed_at is not None


# ---- alerts --------------------------------------------------------------------------------------------------------


async def test_of_several_alarms_one_takes_an_alert(store: Store) -> None:
    case = await happened(store)
    until = now() + timedelta(minutes=1)
    taken = await asyncio.gather(*(store.put_off_alert(case, until) for _ in range(8)))
    assert [one.next_alert_at for one in taken if one is not None] == [until]
    assert await store.alerts_due() == []


async def test_what_was_taken_and_not_sent_comes_due_again(store: Store) -> None:
    case = await happened(store)
    assert await store.put_off_alert(case, now() - timedelta(seconds=1))
    (due,) = await store.alerts_due()
    assert (due.id, due.told) == (case.id, ())


async def test_whoever_was_told_is_kept_and_the_next_alert_follows(store: Store) -> None:
    case = await happened(store)
    following = now() + timedelta(minutes=10)
    await store.alerted(case.id, CONTACT, following=following)
    told = await kept(store, case.id)
    assert [alert.contact for alert in told.told] == [CONTACT]
    assert told.told[0].at <= now()
    assert told.next_alert_at == following
    assert await store.alerts_due() == []


async def test_an_alert_that_left_while_somebody_began_to_look_after_it_is_the_last(store: Store) -> None:
    case = await happened(store)
    assert await store.see_incident(case.id, by="Asha")
    assert await store.put_off_alert(case, now()) is None
    await store.alerted(case.id, CONTACT, following=now())
    told = await kept(store, case.id)
    assert (len(told.told), told.next_alert_at) == (1, None)


async def test_alerts_for_good_end_and_the_incident_stays_open(store: Store) -> None:
    case = await happened(store)
    ended = await store.put_off_alert(case, None)
    assert ended is not None
    assert await store.put_off_alert(ended, now()) is None
    assert await store.alerts_due() == []
    assert [left.id for left in await store.incidents()] == [case.id]


# ---- whoever asks to be forgotten ------------------------------------------------------------------------------------


async def test_a_forgotten_child_leaves_a_category_and_the_notes_of_staff(store: Store) -> None:
    case = await happened(store)
    await store.alerted(case.id, CONTACT, following=now())
    assert await store.close_incident(case.id, by="Asha", note="Spoke with his mother.")
    other = await happened(store)
    await forgotten(store)
    closed, left = await kept(store, case.id), await kept(store, other.id)
    assert (closed.question, closed.category, closed.note) == ("", "self_harm", "Spoke with his mother.")
    assert [alert.contact for alert in closed.told] == [CONTACT]
    assert (left.question, left.category, left.state) == ("", "self_harm", OPEN)
    assert [due.id for due in await store.alerts_due()] == [other.id]
