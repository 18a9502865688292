"""The inbox, the lease and the outbox on a real SQLite file."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import text

from bot.errors import LeaseLost
from bot.migrations import upgrade
from bot.ports import Answer, DeliveryState, Inbound, Kind, Profile, Route, StatusUpdate
from bot.store import ANSWERED, BURIED, Accepted, Store, connect
from bot.tables import Table, now


def inbound(provider_id: str, text: str = "What is a cell?", address: str = "42", **more: object) -> Inbound:
    return Inbound("memory", provider_id, address, Kind.TEXT, text, **more)  # type: ignore[arg-type]  # keyword tests


ANSWER = Answer("A cell is the unit of life.", Route.QUOTED, "en", confidence=0.8)


async def answered(
    store: Store, provider_id: str = "a", parts: tuple[str, ...] = ("one", "two")
) -> tuple[int, str, str]:
    accepted = await store.accept(inbound(provider_id))
    token = await store.lease(accepted.conversation_id, 30)
    work = await store.next_message(accepted.conversation_id)
    assert token is not None
    assert work is not None
    answer_id = await store.commit_answer(work, accepted.conversation_id, token, ANSWER, parts, feedback=True)
    return accepted.conversation_id, token, answer_id


async def test_a_message_is_stored_once_however_often_it_comes(store: Store) -> None:
    arrivals = await asyncio.gather(*(store.accept(inbound("same")) for _ in range(8)))
    assert sorted(a.duplicate for a in arrivals) == [False] + [True] * 7
    assert len({a.message_id for a in arrivals}) == 1
    assert (await store.counts())["inbox.waiting"] == 1


async def test_the_same_id_on_two_channels_is_two_messages(store: Store) -> None:
    first = await store.accept(inbound("7"))
    second = await store.accept(Inbound("other", "7", "42", Kind.TEXT, "hello"))
    assert not second.duplicate
    assert first.conversation_id != second.conversation_id


async def test_messages_that_arrive_together_keep_their_order(store: Store) -> None:
    arrivals = await asyncio.gather(*(store.accept(inbound(str(n), f"question {n}")) for n in range(20)))
    ids = [a.message_id for a in arrivals]
    assert ids == sorted(ids)
    assert len({a.conversation_id for a in arrivals}) == 1


async def test_a_failing_batch_fails_every_caller_and_stores_nothing(store: Store) -> None:
    broken = inbound("bad", profile=Profile(class_level=object()))  # type: ignore[arg-type]  # cannot become JSON
    # The first one holds the writer; the other two wait for it and are committed together.
    first, good, bad = await asyncio.gather(
        store.accept(inbound("first")), store.accept(inbound("good")), store.accept(broken), return_exceptions=True
    )
    assert isinstance(first, Accepted)
    assert isinstance(good, Exception)
    assert isinstance(bad, Exception)
    assert not (await store.accept(inbound("good"))).duplicate


async def test_only_one_worker_holds_a_conversation(store: Store) -> None:
    accepted = await store.accept(inbound("a"))
    tokens = await asyncio.gather(*(store.lease(accepted.conversation_id, 30) for _ in range(6)))
    assert sum(token is not None for token in tokens) == 1


async def test_a_silent_workers_lease_runs_out_and_its_answer_is_not_committed(store: Store) -> None:
    accepted = await store.accept(inbound("a"))
    stale = await store.lease(accepted.conversation_id, -1)
    work = await store.next_message(accepted.conversation_id)
    fresh = await store.lease(accepted.conversation_id, 30)
    assert stale is not None
    assert fresh is not None
    assert work is not None
    with pytest.raises(LeaseLost):
        await store.commit_answer(work, accepted.conversation_id, stale, ANSWER, ["late"], feedback=False)
    with pytest.raises(LeaseLost):
        await store.renew(accepted.conversation_id, stale, 30)
    await store.commit_answer(work, accepted.conversation_id, fresh, ANSWER, ["kept"], feedback=False)
    pending = await store.next_part(accepted.conversation_id)
    assert pending is not None
    assert pending.part.text == "kept"


async def test_answer_parts_and_message_state_are_one_transaction(store: Store) -> None:
    conversation_id, _, answer_id = await answered(store)
    pending = await store.next_part(conversation_id)
    stored = await store.answer(answer_id)
    assert pending is not None
    assert (pending.part.text, pending.part.feedback, pending.in_doubt) == ("one", False, False)
    assert stored is not None
    assert stored.route == "quoted"
    assert await store.message_state(stored.message_id) == ANSWERED
    assert await store.next_message(conversation_id) is None


async def test_a_part_that_was_being_sent_is_in_doubt(store: Store) -> None:
    conversation_id, token, _ = await answered(store)
    first = await store.next_part(conversation_id)
    assert first is not None
    await store.starting(first, conversation_id, token)
    again = await store.next_part(conversation_id)
    assert again is not None
    assert again.in_doubt
    await store.starting(again, conversation_id, token)
    assert (await store.counts())["outbox.in_doubt"] == 1
    await store.sent(again.part.id, "provider-1")
    second = await store.next_part(conversation_id)
    assert second is not None
    assert (second.part.text, second.part.feedback) == ("two", True)


async def test_delivery_states_only_move_forward(store: Store) -> None:
    conversation_id, token, _ = await answered(store, parts=("only",))
    pending = await store.next_part(conversation_id)
    assert pending is not None
    await store.starting(pending, conversation_id, token)
    # The callback overtakes our own commit: it names our row, since we do not know the provider's id yet.
    assert await store.status(StatusUpdate("SM1", DeliveryState.DELIVERED, outbox_id=pending.part.id))
    await store.sent(pending.part.id, "SM1")
    assert await store.status(StatusUpdate("SM1", DeliveryState.SENT))
    counts = await store.counts()
    assert counts["outbox.delivered"] == 1
    assert not await store.status(StatusUpdate("SM-unknown", DeliveryState.READ))


async def test_a_message_waiting_for_its_retry_holds_back_those_behind_it(store: Store) -> None:
    first = await store.accept(inbound("a", "first"))
    await store.accept(inbound("b", "second"))
    await store.postpone(first.message_id, "RuntimeError", now() + timedelta(minutes=5))
    assert await store.next_message(first.conversation_id) is None
    assert await store.forgotten() == []
    await store.postpone(first.message_id, "RuntimeError", now() - timedelta(seconds=1))
    assert await store.forgotten() == [first.conversation_id]
    work = await store.next_message(first.conversation_id)
    assert work is not None
    assert (work.turn.text, work.attempts) == ("first", 2)


async def test_a_buried_message_becomes_an_incident(store: Store) -> None:
    accepted = await store.accept(inbound("a"))
    token = await store.lease(accepted.conversation_id, 30)
    work = await store.next_message(accepted.conversation_id)
    assert token is not None
    assert work is not None
    await store.commit_reply(work, accepted.conversation_id, token, ["sorry"], BURIED)
    counts = await store.counts()
    assert (counts["inbox.buried"], counts["incidents.open"]) == (1, 1)


async def test_hints_of_one_question_win_over_the_profile(store: Store) -> None:
    accepted = await store.accept(inbound("a", profile=Profile(class_level=7)))
    token = await store.lease(accepted.conversation_id, 30)
    work = await store.next_message(accepted.conversation_id)
    assert token is not None
    assert work is not None
    assert work.turn.profile == Profile(class_level=7)
    changed = Answer("Class 8 it is.", Route.COMMAND, "en", profile=Profile(class_level=8, subject="science"))
    await store.commit_answer(work, accepted.conversation_id, token, changed, [], feedback=False)
    await store.accept(inbound("b", profile=Profile(class_level=6)))
    later = await store.next_message(accepted.conversation_id)
    assert later is not None
    assert later.turn.profile == Profile(class_level=6, subject="science")


async def test_rating_reaches_only_answers_of_the_same_conversation(store: Store) -> None:
    conversation_id, _, answer_id = await answered(store)
    stranger = (await store.accept(inbound("z", address="99"))).conversation_id
    assert not await store.rate(stranger, answer_id, 1)
    assert await store.rate(conversation_id, None, -1)
    stored = await store.answer(answer_id)
    assert stored is not None
    assert stored.rating == -1


async def test_review_keeps_who_and_what(store: Store) -> None:
    _, _, answer_id = await answered(store)
    assert [a.id for a in await store.answers(review=None)] == [answer_id]
    assert await store.review(answer_id, by="asha", correction="A cell is the basic unit of life.")
    assert not await store.review("no-such-answer", by="asha")
    (stored,) = await store.reviewed()
    assert (stored.review, stored.correction, stored.reviewed_by) == (
        "corrected", "A cell is the basic unit of life.", "asha",
    )  # fmt: skip
    assert await store.answers(review=None) == []


async def test_users_have_unique_names(store: Store) -> None:
    assert await store.add_user("asha", "hash", "teacher")
    assert not await store.add_user("asha", "other", "teacher")
    found = await store.user("asha")
    assert found is not None
    assert found.password == "hash"


async def test_migrations_make_exactly_the_mapped_tables(tmp_path: Path) -> None:
    from alembic.autogenerate import compare_metadata
    from alembic.migration import MigrationContext

    engine = connect(f"sqlite+aiosqlite:///{tmp_path / 'm.db'}")
    await upgrade(engine)
    await upgrade(engine)  # a second start finds nothing to do
    async with engine.connect() as connection:
        difference = await connection.run_sync(
            lambda sync: compare_metadata(MigrationContext.configure(sync), Table.metadata)
        )
        synchronous = await connection.scalar(text("PRAGMA synchronous"))
    await engine.dispose()
    assert [change for change in difference if "migrating" not in str(change)] == []
    assert synchronous == 2  # FULL
