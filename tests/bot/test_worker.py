"""Answered once, in order, whatever fails: the worker over a real store, with an in-memory channel and tutor."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest
from sqlalchemy import select, update

from bot.errors import PermanentError, TransientError, Unreachable
from bot.live import MemoryLive
from bot.ports import Answer, Choice, Effect, Inbound, Kind, Outgoing, Route, Turn
from bot.store import Store
from bot.tables import Conversation, InboxMessage, OutboxPart, StoredAnswer, now
from bot.worker import Patience, Worker
from tests.memory import EchoTutor, MemoryChannel

pytestmark = pytest.mark.parametrize("database", ["sqlite", "postgresql"], indirect=True)

QUICK = Patience(lease=0.5, sweep=0.02, attempts=3, backoff=0.01)


def worker(store: Store, tutor: EchoTutor, channel: MemoryChannel, patience: Patience = QUICK) -> Worker:
    return Worker(store, tutor, {channel.name: channel}, MemoryLive(), patience=patience, concurrency=4)


@asynccontextmanager
async def sweeping(made: Worker) -> AsyncIterator[None]:
    task = asyncio.create_task(made.sweep())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110  the condition is on lists that know no events
            await asyncio.sleep(0.01)


async def ask(store: Store, number: int, address: str = "42", text: str = "") -> int:
    message = Inbound("memory", f"{address}-{number}", address, Kind.TEXT, text or f"q{number}")
    return (await store.accept(message)).conversation_id


async def test_one_students_messages_are_answered_in_order_and_once(store: Store) -> None:
    tutor, channel = EchoTutor(delay=0.002), MemoryChannel()
    made = worker(store, tutor, channel)
    conversations = [await ask(store, n) for n in range(6)]
    await asyncio.gather(*(made.drain(c) for c in conversations * 3))
    assert tutor.asked == [f"q{n}" for n in range(6)]
    assert channel.sent == [("42", f"Re: q{n}") for n in range(6)]


async def test_a_thousand_kicks_of_one_conversation_wait_in_line_once(store: Store) -> None:
    tutor = EchoTutor(delay=0.05)
    made = Worker(store, tutor, {"memory": MemoryChannel()}, MemoryLive(), patience=QUICK, concurrency=1)
    busy, other = await ask(store, 1), await ask(store, 1, address="43")
    first = asyncio.create_task(made.drain(busy))
    await until(lambda: tutor.asked != [])  # the only slot is taken
    line = [asyncio.create_task(made.drain(other)) for _ in range(1000)]
    await asyncio.sleep(0)
    assert sum(not waiting.done() for waiting in line) == 1
    await ask(store, 2, address="43")
    await made.drain(other)  # told of a second message while the conversation waits: nothing more to do
    await asyncio.gather(first, *line)
    assert tutor.asked == ["q1", "q1", "q2"]


async def test_long_answers_leave_in_parts_with_thumbs_under_the_last(store: Store) -> None:
    channel = MemoryChannel(width=4)
    await worker(store, EchoTutor(), channel).drain(await ask(store, 1, text="abcdef"))
    assert [part.text for part in channel.parts] == ["Re: ", "abcd", "ef"]
    assert [len(part.choices) for part in channel.parts] == [0, 0, 2]


async def test_a_failing_question_is_retried_then_buried_with_a_kind_word(store: Store) -> None:
    tutor, channel = EchoTutor(fail_on="q1"), MemoryChannel()
    made = worker(store, tutor, channel)
    await ask(store, 1)
    await ask(store, 2)
    async with sweeping(made):
        await until(lambda: len(channel.sent) == 2)
    assert tutor.asked == ["q1", "q1", "q1", "q2"]
    assert channel.sent == [("42", "<sorry_error>"), ("42", "Re: q2")]
    assert (await store.counts())["incidents.open"] == 1


async def test_a_stored_answer_is_only_resent_never_generated_again(store: Store) -> None:
    tutor = EchoTutor()
    channel = MemoryChannel(failures=[TransientError("busy", code="429", retry_after=0.05), TransientError("down")])
    made = worker(store, tutor, channel)
    await ask(store, 1)
    async with sweeping(made):
        await until(lambda: bool(channel.sent))
    assert tutor.asked == ["q1"]
    assert channel.sent == [("42", "Re: q1")]
    assert (await store.counts())["outbox.in_doubt"] == 0


async def test_a_refusal_for_good_is_not_retried_and_is_shown_to_staff(store: Store) -> None:
    channel = MemoryChannel(failures=[PermanentError("blocked", code="21610")])
    made = worker(store, EchoTutor(), channel)
    await made.drain(await ask(store, 1))
    await made.drain(await ask(store, 2))
    assert channel.sent == [("42", "Re: q2")]
    counts = await store.counts()
    assert (counts["outbox.failed"], counts["outbox.sent"], counts["incidents.open"]) == (1, 1, 1)


async def test_a_killed_worker_is_replaced_and_the_answer_given_once(store: Store) -> None:
    slow, quick, channel = EchoTutor(delay=60), EchoTutor(), MemoryChannel()
    conversation = await ask(store, 1)
    dying = asyncio.create_task(worker(store, slow, channel).drain(conversation))
    await until(lambda: bool(slow.asked))
    lost = await store.lease(conversation, 30)
    assert lost is None  # held by the one that is about to die
    dying.cancel()
    await asyncio.gather(dying, return_exceptions=True)
    async with sweeping(worker(store, quick, channel)):
        await until(lambda: bool(channel.sent))
    assert channel.sent == [("42", "Re: q1")]


async def test_a_part_in_doubt_is_reconciled_before_it_is_sent_again(store: Store) -> None:
    class Killed(BaseException):
        """Not an Exception: stands for SIGKILL between the network call and our commit."""

    channel = MemoryChannel(failures=[Killed()])  # type: ignore[list-item]
    made = worker(store, EchoTutor(), channel)
    conversation = await ask(store, 1)
    with pytest.raises(Killed):
        await made.drain(conversation)
    pending = await store.next_part(conversation)
    assert pending is not None
    assert pending.in_doubt
    channel.known[pending.part.id] = "provider-9"
    await made.drain(conversation)
    assert channel.sent == []  # the provider had it
    assert (await store.counts())["outbox.sent"] == 1


async def test_a_provider_whose_answer_was_lost_is_asked_first(store: Store) -> None:
    channel = MemoryChannel(failures=[TransientError("timed out", in_doubt=True)])
    made = worker(store, EchoTutor(), channel, Patience(lease=5, sweep=0.02, attempts=3, backoff=0.5))
    conversation = await ask(store, 1)
    await made.drain(conversation)
    pending = await store.next_part(conversation)
    assert pending is not None
    channel.known[pending.part.id] = "provider-3"
    async with sweeping(made), asyncio.timeout(10):
        while (await store.counts()).get("outbox.sent") != 1:  # noqa: ASYNC110  rows know no events
            await asyncio.sleep(0.01)
    assert channel.sent == []


async def test_an_answer_longer_than_the_lease_keeps_it(store: Store) -> None:
    tutor, channel = EchoTutor(delay=2.0), MemoryChannel()
    patient = Patience(lease=1.0, sweep=0.01, attempts=3, backoff=0.01)
    await ask(store, 1)
    async with sweeping(worker(store, tutor, channel, patient)), sweeping(worker(store, tutor, channel, patient)):
        await until(lambda: bool(channel.sent))
        await asyncio.sleep(0.1)
    assert tutor.asked == ["q1"]
    assert channel.sent == [("42", "Re: q1")]


async def test_a_worker_that_lost_its_lease_commits_nothing(store: Store) -> None:
    tutor, channel = EchoTutor(delay=0.4), MemoryChannel()
    made = worker(store, tutor, channel, Patience(lease=0.3, sweep=1, attempts=3, backoff=0.01))
    conversation = await ask(store, 1)
    drained = asyncio.create_task(made.drain(conversation))
    await until(lambda: bool(tutor.asked))
    await store.release_all()
    thief = await store.lease(conversation, 30)
    await drained
    assert thief is not None
    assert channel.sent == []
    assert (await store.counts())["inbox.waiting"] == 1


async def test_one_students_burst_does_not_starve_another(store: Store) -> None:
    tutor, channel = EchoTutor(delay=0.005), MemoryChannel()
    made = Worker(store, tutor, {"memory": channel}, MemoryLive(), patience=QUICK, concurrency=1)
    running: set[asyncio.Task[None]] = set()

    async def kick(conversation_id: int) -> None:
        running.add(asyncio.create_task(made.drain(conversation_id)))

    made.kick = kick
    noisy = [await ask(store, n, address="noisy") for n in range(10)]
    quiet = await ask(store, 1, address="quiet", text="mine")
    await kick(noisy[0])
    await kick(quiet)
    await until(lambda: len(channel.sent) == 11)
    await asyncio.gather(*running)
    assert tutor.asked.index("mine") <= 2


async def test_a_thumb_is_stored_and_thanked(store: Store) -> None:
    channel = MemoryChannel()
    made = worker(store, EchoTutor(), channel)
    conversation = await ask(store, 1)
    await made.drain(conversation)
    (stored,) = await store.answers()
    await store.accept(Inbound("memory", "fb", "42", Kind.FEEDBACK, "up", answer_id=stored.id))
    await made.drain(conversation)
    (stored,) = await store.answers()
    assert stored.rating == 1
    assert channel.sent[-1] == ("42", "<feedback_up>")


# ---- consent, blocking, forgetting, choosing -------------------------------------------------------------------------


class AskingTutor(EchoTutor):
    """Asks for consent first, as the real one does."""

    async def answer(self, turn: Turn, publish: object) -> Answer:
        effects = {"/agree": Effect.CONSENT, "/stop": Effect.WITHDRAW, "/forget": Effect.FORGET}
        if turn.text in effects:
            return Answer(f"done {turn.text}", Route.COMMAND, "en", effect=effects[turn.text])
        if not turn.consented:
            asked = Answer("" if turn.consent_asked else "may I?", Route.COMMAND, "en", effect=Effect.HOLD)
            return replace(asked, choices=(Choice("Yes", "/agree"),))
        return await super().answer(turn, publish)


async def settle(made: Worker, store: Store) -> None:
    """Drain until nothing is due."""
    while due := await store.neglected():
        for conversation in due:
            await made.drain(conversation)


async def test_questions_wait_for_consent_and_are_answered_after_it_in_order(store: Store) -> None:
    tutor, channel = AskingTutor(), MemoryChannel(asks_consent=True)
    made = worker(store, tutor, channel)
    for number in (1, 2):
        await made.drain(await ask(store, number))
    assert (channel.sent, tutor.asked) == ([("42", "may I?")], [])
    assert (await store.counts())["inbox.held"] == 2
    await ask(store, 3, text="/agree")
    await ask(store, 4)
    await settle(made, store)
    assert [text for _, text in channel.sent[1:]] == ["done /agree", "Re: q1", "Re: q2", "Re: q4"]
    assert tutor.asked == ["q1", "q2", "q4"]


async def test_nothing_of_a_held_question_is_logged(store: Store) -> None:
    made = worker(store, AskingTutor(), MemoryChannel(asks_consent=True))
    await made.drain(await ask(store, 1))
    assert await store.answers() == []


async def test_where_a_page_asks_nobody_else_does(store: Store) -> None:
    channel = MemoryChannel()
    await worker(store, AskingTutor(), channel).drain(await ask(store, 1))
    assert channel.sent == [("42", "Re: q1")]


async def test_withdrawing_erases_what_waited(store: Store) -> None:
    channel = MemoryChannel(asks_consent=True)
    made = worker(store, AskingTutor(), channel)
    await ask(store, 1)
    await ask(store, 2, text="/stop")
    await settle(made, store)
    assert [text for _, text in channel.sent] == ["may I?", "done /stop"]
    assert "inbox.held" not in await store.counts()
    async with store.reading() as session:
        assert set(await session.scalars(select(InboxMessage.text))) == {"", "/stop"}


async def test_forgetting_erases_every_word_and_the_address_after_the_reply(store: Store) -> None:
    channel = MemoryChannel()
    made = worker(store, AskingTutor(), channel)
    for number, text in enumerate(["q1", "/forget", "q3"]):
        await ask(store, number, text=text)
    await settle(made, store)
    assert [text for _, text in channel.sent] == ["Re: q1", "done /forget", "Re: q3"]
    async with store.reading() as session:
        old, new = (await session.scalars(select(Conversation).order_by(Conversation.id))).all()
        kept = [
            set(await session.scalars(select(column).where(owner == old.id)))
            for column, owner in (
                (InboxMessage.text, InboxMessage.conversation_id),
                (OutboxPart.text, OutboxPart.conversation_id),
                (StoredAnswer.question, StoredAnswer.conversation_id),
                (StoredAnswer.text, StoredAnswer.conversation_id),
            )
        ]
    assert kept == [{""}] * 4
    assert old.address.startswith("forgotten-")
    assert (new.address, (await store.counts())["inbox.answered"]) == ("42", 3)


async def test_a_student_who_blocked_us_is_left_alone_until_writing_again(store: Store) -> None:
    channel = MemoryChannel(failures=[Unreachable("blocked", code="403")])
    made = worker(store, EchoTutor(), channel)
    for number in (1, 2):
        await ask(store, number)
    await settle(made, store)
    counts = await store.counts()
    assert channel.sent == []
    assert (counts["outbox.failed"], counts["inbox.buried"]) == (1, 1)
    assert "incidents.open" not in counts
    await ask(store, 3)
    await settle(made, store)
    assert channel.sent == [("42", "Re: q3")]


async def test_without_buttons_a_number_picks_what_was_offered_last(store: Store) -> None:
    channel = MemoryChannel(asks_consent=True, has_buttons=False)
    made = worker(store, AskingTutor(), channel)
    await ask(store, 1)
    await settle(made, store)
    await ask(store, 2, text="1")
    await settle(made, store)
    assert [text for _, text in channel.sent] == ["may I?", "done /agree", "Re: q1"]
    await ask(store, 3, text="2")  # the second thumb under the answer
    await settle(made, store)
    (rated,) = [answer for answer in await store.answers() if answer.question == "q1"]
    assert rated.rating == -1


async def test_a_thumb_is_shown_on_the_answer_or_thanked_for(store: Store) -> None:
    for marks in (True, False):
        channel = MemoryChannel(name=f"memory{marks}", marks=marks)
        made = worker(store, EchoTutor(), channel)
        await store.accept(Inbound(channel.name, "1", "42", Kind.TEXT, "q"))
        await settle(made, store)
        await store.accept(Inbound(channel.name, "2", "42", Kind.FEEDBACK, "up"))
        await settle(made, store)
        ((provider_id, command),) = channel.marked
        assert provider_id == f"{channel.name}-1"
        assert command.startswith("/rate up ")
        assert [text for _, text in channel.sent[1:]] == ([] if marks else ["<feedback_up>"])


class Clockwork:
    """Lets `first` questions pass, then asks for a wait of one fiftieth of a second before each."""

    def __init__(self, first: int) -> None:
        self.left, self.told = first, 0

    async def wait(self, conversation: str) -> float:
        self.left -= 1
        if self.left < 0:
            self.left = 1
            return 0.02
        return 0.0

    async def say_so(self, conversation: str, word: str) -> bool:
        self.told += 1
        return self.told == 1


async def test_who_asks_too_fast_waits_is_told_once_and_loses_nothing(store: Store) -> None:
    tutor, channel, pace = EchoTutor(), MemoryChannel(asks_consent=True), Clockwork(2)
    made = Worker(store, tutor, {"memory": channel}, MemoryLive(), patience=QUICK, concurrency=4, pace=pace)
    for number in range(6):
        await ask(store, number)
    async with sweeping(made):
        await until(lambda: len(channel.sent) == 7)
    assert [text for _, text in channel.sent if text != "<one_by_one>"] == [f"Re: q{number}" for number in range(6)]
    assert channel.sent[2] == ("42", "<one_by_one>")
    assert pace.told > 1


async def test_who_waits_long_in_line_is_told_and_then_answered(store: Store) -> None:
    tutor, channel = EchoTutor(delay=0.3), MemoryChannel(asks_consent=True)
    channels, hasty = {"memory": channel}, replace(QUICK, lease=5.0, quiet=0.05)
    made = Worker(store, tutor, channels, MemoryLive(), patience=hasty, concurrency=1, pace=Clockwork(99))
    first, second, third = [await ask(store, 1, address) for address in ("41", "42", "43")]
    async with store.writing() as session:
        await session.execute(update(Conversation).where(Conversation.id == third).values(consented_at=now()))
    line = [asyncio.create_task(made.drain(first))]
    await until(lambda: tutor.asked != [])
    line += [asyncio.create_task(made.drain(waiting)) for waiting in (second, third)]
    await asyncio.gather(*line)
    # Asked for consent, nobody is told anything before; who has agreed is.
    assert channel.sent == [("43", "<busy>"), ("41", "Re: q1"), ("42", "Re: q1"), ("43", "Re: q1")]


async def test_a_word_that_hangs_holds_up_nobody_else(store: Store) -> None:
    hung = asyncio.Event()

    class Hanging(MemoryChannel):
        async def send(self, part: Outgoing) -> str:
            if part.text == "<busy>":
                await hung.wait()
            return await super().send(part)

    tutor, channel = EchoTutor(delay=0.3), Hanging(asks_consent=True)
    hasty = replace(QUICK, lease=5.0, quiet=0.05)
    made = Worker(store, tutor, {"memory": channel}, MemoryLive(), patience=hasty, concurrency=2)
    conversations = [await ask(store, 1, address) for address in ("41", "42", "43", "44")]
    async with store.writing() as session:
        await session.execute(update(Conversation).values(consented_at=now()))
    line = list[asyncio.Task[None]]()
    for number, conversation in enumerate(conversations):
        line.append(asyncio.create_task(made.drain(conversation)))
        await until(lambda number=number: len(tutor.asked) >= min(number + 1, 2))  # type: ignore[misc]
    await until(lambda: ("44", "Re: q1") in channel.sent)  # while the word to 43 hangs
    assert ("43", "Re: q1") not in channel.sent
    hung.set()
    await asyncio.gather(*line)
    assert channel.sent[-2:] == [("43", "<busy>"), ("43", "Re: q1")]


async def test_a_short_line_needs_no_word(store: Store) -> None:
    tutor, channel = EchoTutor(delay=0.05), MemoryChannel(asks_consent=True)
    made = Worker(store, tutor, {"memory": channel}, MemoryLive(), patience=QUICK, concurrency=1)
    await asyncio.gather(*[made.drain(await ask(store, 1, address)) for address in ("41", "42")])
    assert [text for _, text in channel.sent] == ["Re: q1", "Re: q1"]


async def test_a_sweeper_that_breaks_while_it_is_stopped_stops(store: Store) -> None:
    made = worker(store, EchoTutor(), MemoryChannel())

    async def breaking(conversation_id: int) -> None:
        try:
            await asyncio.sleep(60)
        finally:
            raise OSError("the database is locked")

    await store.accept(Inbound("memory", "a", "42", Kind.TEXT, "q"))
    made.kick = breaking
    sweeping = asyncio.create_task(made.sweep())
    await asyncio.sleep(0.2)
    sweeping.cancel()
    await asyncio.wait({sweeping}, timeout=5)
    assert sweeping.done()
    sweeping.exception()
