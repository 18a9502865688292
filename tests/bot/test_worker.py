"""Answered once, in order, whatever fails: the worker over a real store, with an in-memory channel and tutor."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from bot.errors import PermanentError, TransientError
from bot.live import MemoryLive
from bot.ports import Inbound, Kind
from bot.store import Store
from bot.worker import Patience, Worker
from tests.memory import EchoTutor, MemoryChannel

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


async def test_long_answers_leave_in_parts_with_thumbs_under_the_last(store: Store) -> None:
    channel = MemoryChannel(width=4)
    await worker(store, EchoTutor(), channel).drain(await ask(store, 1, text="abcdef"))
    assert [part.text for part in channel.parts] == ["Re: ", "abcd", "ef"]
    assert [part.feedback for part in channel.parts] == [False, False, True]


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
    tutor, channel = EchoTutor(delay=0.5), MemoryChannel()
    patient = Patience(lease=0.15, sweep=0.01, attempts=3, backoff=0.01)
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
