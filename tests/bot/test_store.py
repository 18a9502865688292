"""The inbox, the lease and the outbox on a real SQLite file and on a real PostgreSQL."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection, select, text, update

from bot.errors import LeaseLost
from bot.migrations import config, upgrade
from bot.ports import Answer, Choice, DeliveryState, Effect, Inbound, Kind, Profile, Route, StatusUpdate
from bot.store import ANSWERED, BURIED, REAL, Accepted, Store, Work, connect
from bot.tables import Conversation, InboxMessage, OutboxPart, StoredAnswer, Table, now
from tests.bot.distress import QUESTION, happened

pytestmark = pytest.mark.parametrize("database", ["sqlite", "postgresql"], indirect=True)


def inbound(provider_id: str, text: str = "What is a cell?", address: str = "42", **more: object) -> Inbound:
    return Inbound("memory", provider_id, address, Kind.TEXT, text, **more)  # type: ignore[arg-type]  # keyword tests


ANSWER = Answer("A cell is the unit of life.", Route.QUOTED, "en", confidence=0.8)


async def taken(store: Store, conversation_id: int) -> tuple[Work, str]:
    """The next message of a conversation, under a lease."""
    token = await store.lease(conversation_id, 30)
    work = await store.next_message(conversation_id)
    assert token is not None
    assert work is not None
    return work, token


async def answered(
    store: Store, provider_id: str = "a", parts: tuple[str, ...] = ("one", "two")
) -> tuple[int, str, str]:
    accepted = await store.accept(inbound(provider_id))
    work, token = await taken(store, accepted.conversation_id)
    thumbs = (Choice("👍", "/rate up kept"), Choice("👎", "/rate down kept"))
    await store.commit_answer(work, accepted.conversation_id, token, "kept", ANSWER, parts, thumbs)
    return accepted.conversation_id, token, "kept"


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


async def test_a_message_that_cannot_be_stored_costs_the_others_nothing(store: Store) -> None:
    broken = inbound("bad", profile=Profile(class_level=object()))  # type: ignore[arg-type]  # cannot become JSON
    first, bad, good = await asyncio.gather(
        store.accept(inbound("first")), store.accept(broken), store.accept(inbound("good")), return_exceptions=True
    )
    assert isinstance(first, Accepted)
    assert isinstance(good, Accepted)
    assert isinstance(bad, Exception)
    assert first.message_id < good.message_id
    assert (await store.counts())["inbox.waiting"] == 2


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
        await store.commit_answer(work, accepted.conversation_id, stale, "late", ANSWER, ["late"])
    with pytest.raises(LeaseLost):
        await store.renew(accepted.conversation_id, stale, 30)
    await store.commit_answer(work, accepted.conversation_id, fresh, "kept", ANSWER, ["kept"])
    pending = await store.next_part(accepted.conversation_id)
    assert pending is not None
    assert pending.part.text == "kept"


async def test_answer_parts_and_message_state_are_one_transaction(store: Store) -> None:
    conversation_id, _, answer_id = await answered(store)
    pending = await store.next_part(conversation_id)
    stored = await store.answer(answer_id)
    assert pending is not None
    assert (pending.part.text, pending.part.choices, pending.in_doubt) == ("one", (), False)
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
    assert second.part.text == "two"
    assert [choice.command for choice in second.part.choices] == ["/rate up kept", "/rate down kept"]


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
    assert await store.neglected() == []
    await store.postpone(first.message_id, "RuntimeError", now() - timedelta(seconds=1))
    assert await store.neglected() == [first.conversation_id]
    work = await store.next_message(first.conversation_id)
    assert work is not None
    assert (work.turn.text, work.attempts) == ("first", 2)


async def test_a_buried_message_becomes_an_incident(store: Store) -> None:
    accepted = await store.accept(inbound("a"))
    work, token = await taken(store, accepted.conversation_id)
    await store.commit_reply(work, accepted.conversation_id, token, ["sorry"], BURIED)
    counts = await store.counts()
    assert (counts["inbox.buried"], counts["incidents.open"]) == (1, 1)


async def test_hints_of_one_question_win_over_the_profile(store: Store) -> None:
    accepted = await store.accept(inbound("a", profile=Profile(class_level=7)))
    work, token = await taken(store, accepted.conversation_id)
    assert work.turn.profile == Profile(class_level=7)
    changed = Answer("Class 8 it is.", Route.COMMAND, "en", profile=Profile(class_level=8, subject="science"))
    await store.commit_answer(work, accepted.conversation_id, token, "changed", changed, [])
    await store.accept(inbound("b", profile=Profile(class_level=6)))
    later = await store.next_message(accepted.conversation_id)
    assert later is not None
    assert later.turn.profile == Profile(class_level=6, subject="science")


async def test_a_message_comes_with_what_was_asked_and_answered_just_before(store: Store) -> None:
    refused, old = Answer("No.", Route.REFUSED, "en"), Answer("A cell.", Route.QUOTED, "en")
    for number, (asked, answer) in enumerate(
        [("one", old), ("bad", refused), ("two", old), ("three", old), ("four", old), ("five", old)]
    ):
        accepted = await store.accept(inbound(str(number), asked))
        work, token = await taken(store, accepted.conversation_id)
        await store.commit_answer(work, accepted.conversation_id, token, f"answer {number}", answer, [])
        await store.release(accepted.conversation_id, token)
    accepted = await store.accept(inbound("last", "six"))
    await store.accept(inbound("other", "elsewhere", address="43"))
    work, _ = await taken(store, accepted.conversation_id)
    assert work.turn.earlier == ("two", "three", "four", "five")
    async with store.writing() as session:
        await session.execute(update(StoredAnswer).values(created_at=now() - timedelta(hours=1)))
    later = await store.next_message(accepted.conversation_id)
    assert later is not None
    assert later.turn.earlier == ()


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


async def test_migrations_make_exactly_the_mapped_tables(database: str) -> None:
    engine = connect(database)
    await upgrade(engine)  # a second start finds nothing to do
    async with engine.connect() as connection:
        difference = await connection.run_sync(_difference)
    await engine.dispose()
    assert difference == []


async def test_verdicts_and_outcomes_can_be_migrated_back_and_forth_and_the_rest_stays(
    store: Store, database: str
) -> None:
    case = await happened(store)
    assert await store.close_incident(case.id, by="asha", note="Spoke with him.", outcome=REAL)
    engine = connect(database)
    async with engine.begin() as connection:
        await connection.run_sync(_downgrade, "0005")
    async with engine.connect() as connection:
        difference = await connection.run_sync(_difference)
    assert {(change[0], change[-1].name) for change in difference} == {
        ("add_column", "verdict"), ("add_column", "outcome"),
        ("add_index", "ix_answers_review_reviewed_at"), ("remove_index", "ix_answers_review"),
    }  # fmt: skip
    await upgrade(engine)
    async with engine.connect() as connection:
        assert await connection.run_sync(_difference) == []
    await engine.dispose()
    kept = await store.incident(case.id)
    assert kept is not None
    assert (kept.note, kept.outcome, kept.question) == ("Spoke with him.", None, QUESTION)


def _difference(connection: Connection) -> list[Any]:
    """How the tables of the database differ from those that are mapped."""
    found = compare_metadata(MigrationContext.configure(connection), Table.metadata)
    return [change for change in found if "migrating" not in str(change)]


def _downgrade(connection: Connection, revision: str) -> None:
    made = config()
    made.attributes["connection"] = connection
    command.downgrade(made, revision)


async def test_a_commit_waits_for_the_disk(store: Store) -> None:
    async with store.reading() as session:
        on_postgres = session.get_bind().dialect.name == "postgresql"
        kept = await session.scalar(text("SHOW synchronous_commit" if on_postgres else "PRAGMA synchronous"))
    assert kept == ("on" if on_postgres else 2)  # 2 is FULL


# ---- given up --------------------------------------------------------------------------------------------------------


async def refused(store: Store, conversation_id: int, token: str, error: str) -> None:
    """The next part is refused for good, and the worker goes."""
    part = await store.next_part(conversation_id)
    assert part is not None
    await store.not_sent(part.part.id, error, until=None)
    await store.release(conversation_id, token)


async def test_what_was_given_up_is_listed_without_words_and_tried_again(store: Store) -> None:
    conversation_id, token, _ = await answered(store, "a", ("one",))
    await refused(store, conversation_id, token, "PermanentError 63016")
    buried = await store.accept(inbound("b", address="43"))
    work, other = await taken(store, buried.conversation_id)
    await store.commit_reply(work, buried.conversation_id, other, [], BURIED)
    await store.release(buried.conversation_id, other)

    lost = await store.given_up()
    assert [(one.what, one.error) for one in lost] == [("not answered", ""), ("not delivered", "PermanentError 63016")]
    assert await store.try_again([one.message_id for one in lost]) == 2
    assert await store.given_up() == []
    assert sorted(await store.neglected()) == sorted([conversation_id, buried.conversation_id])
    assert (await store.counts())["incidents.closed"] == 2


async def test_who_blocked_us_is_not_listed(store: Store) -> None:
    conversation_id, _, _ = await answered(store, "a", ("one",))
    await store.accept(inbound("b"))
    await store.blocked(conversation_id, "Unreachable 403")
    assert await store.given_up() == []
    assert await store.try_again([]) == 0


async def test_who_blocks_us_later_is_not_listed_nor_counted_and_not_written_to_again(store: Store) -> None:
    conversation_id, token, _ = await answered(store, "a", ("one",))
    await refused(store, conversation_id, token, "PermanentError 400")
    (lost,) = await store.given_up()
    assert await store.given_up_counts() == {"given_up.unanswered": 0, "given_up.undelivered": 1}
    await store.blocked(conversation_id, "Unreachable 403")
    assert await store.given_up() == []
    assert await store.given_up_counts() == {"given_up.unanswered": 0, "given_up.undelivered": 0}
    assert await store.try_again([lost.message_id]) == 0


async def test_a_failure_reported_later_is_shown_to_staff_unless_the_student_wants_nothing(store: Store) -> None:
    for number, unwanted in enumerate((False, True)):
        accepted = await store.accept(inbound(f"q{number}", address=str(number)))
        work, token = await taken(store, accepted.conversation_id)
        await store.commit_answer(work, accepted.conversation_id, token, f"answer {number}", ANSWER, ["one"])
        pending = await store.next_part(accepted.conversation_id)
        assert pending is not None
        await store.sent(pending.part.id, f"SM{number}")
        report = StatusUpdate(f"SM{number}", DeliveryState.FAILED, code=f"6302{number}", unwanted=unwanted)
        assert await store.status(report)
        assert await store.status(report)  # and once more
    assert [lost.error for lost in await store.given_up()] == ["PermanentError 63020"]
    assert (await store.counts())["incidents.open"] == 1


async def test_what_is_tried_again_does_not_wait_for_what_came_after_it(store: Store) -> None:
    first = await store.accept(inbound("a", "first"))
    second = await store.accept(inbound("b", "second"))
    work, token = await taken(store, first.conversation_id)
    await store.commit_reply(work, first.conversation_id, token, [], BURIED)
    await store.postpone(second.message_id, "RuntimeError", now() + timedelta(minutes=5))
    await store.release(first.conversation_id, token)
    assert await store.try_again([first.message_id]) == 1
    assert await store.is_due(first.conversation_id)
    assert await store.neglected() == [first.conversation_id]


# ---- whoever comes late ----------------------------------------------------------------------------------------------


async def test_a_late_refusal_does_not_undo_what_was_delivered(store: Store) -> None:
    conversation_id, token, _ = await answered(store, parts=("only",))
    pending = await store.next_part(conversation_id)
    assert pending is not None
    await store.starting(pending, conversation_id, token)
    assert await store.status(StatusUpdate("SM1", DeliveryState.READ, outbox_id=pending.part.id))
    await store.not_sent(pending.part.id, "TransientError", until=None)
    await store.too_late(pending.part.id, "OutsideWindow 63016")
    counts = await store.counts()
    assert counts["outbox.read"] == 1
    assert "incidents.open" not in counts


async def test_of_reports_that_come_together_the_furthest_stays(store: Store) -> None:
    conversation_id, _, _ = await answered(store, parts=("only",))
    pending = await store.next_part(conversation_id)
    assert pending is not None
    for number in range(10):
        part_id = pending.part.id
        states = (DeliveryState.SENT, DeliveryState.READ, DeliveryState.DELIVERED) * 2
        await asyncio.gather(*(store.status(StatusUpdate(f"SM{number}", one, outbox_id=part_id)) for one in states))
        assert (await store.counts())["outbox.read"] == 1


async def forgotten(store: Store) -> int:
    """A student who had a part refused and who is forgotten since; its conversation."""
    conversation_id, token, _ = await answered(store, "a", ("one",))
    part = await store.next_part(conversation_id)
    assert part is not None
    await store.not_sent(part.part.id, "PermanentError 63005", until=None)
    await store.accept(inbound("b", "/forget"))
    work = await store.next_message(conversation_id)
    assert work is not None
    done = Answer("Done.", Route.COMMAND, "en", effect=Effect.FORGET)
    await store.commit_answer(work, conversation_id, token, "forgets", done, [])
    await store.erase_forgotten(conversation_id, token)
    return conversation_id


async def test_no_repeat_and_no_report_brings_back_who_is_forgotten(store: Store) -> None:
    conversation_id = await forgotten(store)
    assert (await store.accept(inbound("a"))).duplicate
    async with store.reading() as session:
        part_id = await session.scalar(select(OutboxPart.id).where(OutboxPart.conversation_id == conversation_id))
    assert await store.status(StatusUpdate("wamid.number", DeliveryState.FAILED, outbox_id=part_id))
    async with store.reading() as session:
        assert (await session.scalars(select(OutboxPart.provider_id))).all() == [None]
        assert (await session.scalars(select(Conversation.id))).all() == [conversation_id]


async def test_who_is_forgotten_is_not_listed_and_not_written_to_again(store: Store) -> None:
    conversation_id = await forgotten(store)
    async with store.reading() as session:
        messages = (await session.scalars(select(InboxMessage.id))).all()
    assert await store.given_up() == []
    assert await store.try_again(messages) == 0
    assert await store.next_part(conversation_id) is None


async def test_a_question_written_after_forgetting_waits_for_consent_in_the_new_conversation(store: Store) -> None:
    accepted = await store.accept(inbound("a", "/forget"))
    await store.accept(inbound("b", "What is a cell?"))
    token = await store.lease(accepted.conversation_id, 30)
    assert token is not None
    for answer_id, effect in (("forgets", Effect.FORGET), ("holds", Effect.HOLD)):
        work = await store.next_message(accepted.conversation_id)
        assert work is not None
        answer = Answer("Well.", Route.COMMAND, "en", effect=effect)
        await store.commit_answer(work, accepted.conversation_id, token, answer_id, answer, [])
    await store.erase_forgotten(accepted.conversation_id, token)
    fresh = (await store.accept(inbound("c", "/agree"))).conversation_id
    async with store.reading() as session:
        query = select(InboxMessage.text).where(InboxMessage.conversation_id == fresh).order_by(InboxMessage.id)
        assert (await session.scalars(query)).all() == ["What is a cell?", "/agree"]


async def test_a_part_given_up_in_doubt_stays_in_doubt_when_it_is_tried_again(store: Store) -> None:
    conversation_id, token, _ = await answered(store, "a", ("one",))
    part = await store.next_part(conversation_id)
    assert part is not None
    await store.starting(part, conversation_id, token)
    await store.not_sent(part.part.id, "TransientError", until=None, in_doubt=True)
    (lost,) = await store.given_up()
    assert await store.try_again([lost.message_id]) == 1
    again = await store.next_part(conversation_id)
    assert again is not None
    assert again.in_doubt
