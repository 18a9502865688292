"""Answers that come too late for a free reply: they wait for the student, who is asked once, and nothing is lost."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest
from sqlalchemy import select

from bot.channels.cloud import CloudChannel
from bot.channels.whatsapp import WhatsAppChannel
from bot.errors import OutsideWindow, PermanentError, TransientError, Unreachable
from bot.live import MemoryLive
from bot.ports import (
    Answer,
    Channel,
    DeliveryState,
    Effect,
    Inbound,
    Kind,
    Outgoing,
    Route,
    StatusUpdate,
    Turn,
)
from bot.store import Store
from bot.tables import Conversation, OutboxPart
from bot.worker import Patience, Worker
from tests.bot.simulator.driver import Delivery, Driver, Webhooks, driven
from tests.memory import EchoTutor, MemoryChannel

QUICK = Patience(lease=5.0, sweep=0.02, attempts=3, backoff=0.01)
LATE = OutsideWindow("too late", code="63016")
ASHA = "+919876543210"
TEMPLATE = "HX" + "c" * 32

pytestmark = pytest.mark.parametrize("database", ["sqlite", "postgresql"], indirect=True)


def worker(store: Store, channel: Channel, tutor: EchoTutor | None = None) -> Worker:
    return Worker(store, tutor or EchoTutor(), {channel.name: channel}, MemoryLive(), patience=QUICK, concurrency=4)


async def ask(store: Store, number: int, text: str = "", address: str = "42") -> int:
    message = Inbound("memory", f"{address}-{number}", address, Kind.TEXT, text or f"q{number}")
    return (await store.accept(message)).conversation_id


async def settle(made: Worker, store: Store) -> None:
    """As the sweeper would, until it finds nothing more."""
    for _ in range(50):
        due = await store.neglected()
        if not due:
            return
        for conversation in due:
            await made.drain(conversation)
    raise AssertionError("the sweeper never comes to rest")


async def parts(store: Store) -> list[OutboxPart]:
    async with store.reading() as session:
        return list(await session.scalars(select(OutboxPart).order_by(OutboxPart.id)))


async def report(store: Store, part: OutboxPart, sid: str | None = None) -> None:
    """The provider says later that a part came too late."""
    assert part.provider_id is not None or sid is not None
    late = StatusUpdate(sid or str(part.provider_id), DeliveryState.FAILED, part.id, "63016", outside_window=True)
    assert await store.status(late)


# ---- waiting ---------------------------------------------------------------------------------------------------------


async def test_a_late_answer_waits_and_goes_first_when_the_student_writes(store: Store) -> None:
    channel, tutor = MemoryChannel(failures=[LATE]), EchoTutor()
    made = worker(store, channel, tutor)
    await made.drain(await ask(store, 1))
    await settle(made, store)
    (part,) = await parts(store)
    assert (channel.sent, part.state, part.attempts) == ([], DeliveryState.WAITING, 0)
    await ask(store, 2)
    await settle(made, store)
    assert channel.sent == [("42", "Re: q1"), ("42", "Re: q2")]
    assert tutor.asked == ["q1", "q2"]
    assert (await parts(store))[0].provider_id == "memory-1"


async def test_waiting_is_neither_a_failure_nor_an_incident_but_is_listed(store: Store) -> None:
    made = worker(store, MemoryChannel(failures=[LATE]))
    await made.drain(await ask(store, 1))
    counts = await store.counts()
    assert counts["outbox.waiting"] == 1
    assert "outbox.failed" not in counts
    assert "incidents.open" not in counts
    (listed,) = await store.late()
    assert (listed.what, listed.error) == ("waits for the student to write", "OutsideWindow 63016")
    assert await store.given_up() == []
    assert await store.try_again([listed.message_id]) == 0
    assert (await parts(store))[0].state == DeliveryState.WAITING


async def test_what_follows_a_waiting_part_waits_behind_it(store: Store) -> None:
    """Questions that had come before are not answered into the void, nor are they looked at again and again."""
    channel, tutor = MemoryChannel(width=4, failures=[LATE]), EchoTutor()
    made = worker(store, channel, tutor)
    for number in (1, 2):
        await ask(store, number)
    await settle(made, store)
    assert (channel.sent, tutor.asked, await store.neglected()) == ([], ["q1"], [])
    await ask(store, 3)
    await settle(made, store)
    assert [text for _, text in channel.sent] == ["Re: ", "q1", "Re: ", "q2", "Re: ", "q3"]


async def test_many_late_answers_do_not_use_up_the_attempts(store: Store) -> None:
    rounds = QUICK.attempts * 2 + 2
    channel = MemoryChannel(failures=[LATE] * rounds)
    made = worker(store, channel)
    for number in range(rounds + 1):
        await ask(store, number)
        await settle(made, store)
    assert [text for _, text in channel.sent] == [f"Re: q{number}" for number in range(rounds + 1)]
    assert "outbox.failed" not in await store.counts()


async def test_other_refusals_stay_as_they_were(store: Store) -> None:
    channel = MemoryChannel(failures=[PermanentError("no", code="21617"), TransientError("busy"), Unreachable("gone")])
    made = worker(store, channel)
    await made.drain(await ask(store, 1))
    assert (await parts(store))[0].state == DeliveryState.FAILED
    await ask(store, 2)
    async with asyncio.timeout(20):
        while (await store.counts()).get("outbox.failed") != 2:
            await settle(made, store)
            await asyncio.sleep(0.01)
    assert (channel.sent, channel.invited) == ([], [])


# ---- asking once -----------------------------------------------------------------------------------------------------


async def test_the_student_is_asked_once_however_much_waits_and_however_often_it_is_looked_at(store: Store) -> None:
    channel = MemoryChannel(width=4, failures=[LATE], invites=True)
    made = worker(store, channel)
    conversation = await ask(store, 1)
    await ask(store, 2)
    for _ in range(3):
        await settle(made, store)
        await made.drain(conversation)
        await worker(store, channel).drain(conversation)  # after a restart, or beside it
    assert channel.invited == ["42"]


async def test_the_next_time_the_student_is_asked_again(store: Store) -> None:
    channel = MemoryChannel(failures=[LATE], invites=True)
    made = worker(store, channel)
    await made.drain(await ask(store, 1))
    await ask(store, 2)
    await settle(made, store)
    assert (len(channel.sent), channel.invited) == (2, ["42"])
    channel.failures = [LATE]
    await ask(store, 3)
    await settle(made, store)
    assert (len(channel.sent), channel.invited) == (2, ["42", "42"])


async def test_two_workers_ask_once(store: Store) -> None:
    channel = MemoryChannel(failures=[LATE], invites=True)
    conversation = await ask(store, 1)
    await asyncio.gather(*(worker(store, channel).drain(conversation) for _ in range(4)))
    await settle(worker(store, channel), store)
    assert channel.invited == ["42"]


@pytest.mark.parametrize("error", [TransientError("down", in_doubt=True), PermanentError("no", code="21655")])
async def test_an_invitation_that_fails_is_not_repeated(store: Store, error: TransientError | PermanentError) -> None:
    channel = MemoryChannel(failures=[LATE], refusals=[error], invites=True)
    made = worker(store, channel)
    await made.drain(await ask(store, 1))
    await settle(made, store)
    assert channel.invited == ["42"]
    assert (await parts(store))[0].state == DeliveryState.WAITING


async def test_whoever_is_gone_when_asked_is_left_alone(store: Store) -> None:
    channel = MemoryChannel(failures=[LATE], refusals=[Unreachable("gone", code="21610")], invites=True)
    made = worker(store, channel)
    await made.drain(await ask(store, 1))
    await settle(made, store)
    assert (await parts(store))[0].state == DeliveryState.FAILED
    assert await store.given_up() == []


# ---- told later ------------------------------------------------------------------------------------------------------


async def test_parts_that_were_accepted_and_reported_late_wait_and_ask_once(store: Store) -> None:
    channel = MemoryChannel(width=4, invites=True)
    made = worker(store, channel)
    await made.drain(await ask(store, 1))
    for part in await parts(store):
        await report(store, part)
        await settle(made, store)
    assert {part.state for part in await parts(store)} == {DeliveryState.WAITING}
    assert channel.invited == ["42"]
    await ask(store, 2)
    await settle(made, store)
    assert [text for _, text in channel.sent] == ["Re: ", "q1", "Re: ", "q1", "Re: ", "q2"]


async def test_a_report_quicker_than_our_commit_counts(store: Store) -> None:
    channel = MemoryChannel()
    made = worker(store, channel)
    conversation = await ask(store, 1)

    class Hasty(MemoryChannel):
        async def send(self, part: Outgoing) -> str:
            sid = await super().send(part)
            (stored,) = await parts(store)
            await report(store, stored, sid)
            return sid

    made = worker(store, Hasty())
    await made.drain(conversation)
    assert (await parts(store))[0].state == DeliveryState.WAITING


async def test_an_old_report_does_not_hold_back_the_new_attempt(store: Store) -> None:
    channel = MemoryChannel()
    made = worker(store, channel)
    await made.drain(await ask(store, 1))
    (first,) = await parts(store)
    await report(store, first)
    conversation = await ask(store, 2)
    token = await store.lease(conversation, 5)
    assert token is not None
    pending = await store.next_part(conversation)
    assert pending is not None
    await store.starting(pending, conversation, token)  # sent anew ...
    await report(store, first)  # ... when the first report comes a second time
    assert (await parts(store))[0].state == DeliveryState.SENDING
    await store.sent(pending.part.id, "memory-new")
    await report(store, first)
    (again,) = await parts(store)
    assert (again.state, again.provider_id) == (DeliveryState.SENT, "memory-new")
    await report(store, again)
    assert (await parts(store))[0].state == DeliveryState.WAITING


async def test_a_report_after_the_student_wrote_is_answered_at_once(store: Store) -> None:
    """The part left in time's nick: the student wrote while it was on its way to be refused."""
    channel = MemoryChannel(invites=True)
    made = worker(store, channel)
    for number in (1, 2):
        await made.drain(await ask(store, number))
    first, second = await parts(store)
    await report(store, first)
    assert (await parts(store))[0].state == DeliveryState.SENDING
    await settle(made, store)
    assert [text for _, text in channel.sent] == ["Re: q1", "Re: q2", "Re: q1"]
    assert (channel.invited, second.state) == ([], DeliveryState.SENT)


async def test_a_student_who_writes_while_a_part_is_refused_need_not_write_again(store: Store) -> None:
    class Overtaken(MemoryChannel):
        async def send(self, part: Outgoing) -> str:
            if self.failures:
                await ask(store, 2)
            return await super().send(part)

    channel = Overtaken(failures=[LATE])
    made = worker(store, channel)
    await made.drain(await ask(store, 1))
    await settle(made, store)
    assert [text for _, text in channel.sent] == ["Re: q1", "Re: q2"]
    assert channel.invited == []


# ---- forgetting ------------------------------------------------------------------------------------------------------


class ForgettingTutor(EchoTutor):
    async def answer(self, turn: Turn, publish: object) -> Answer:
        if turn.text == "/forget":
            return Answer("Forgotten.", Route.COMMAND, "en", effect=Effect.FORGET)
        return await super().answer(turn, publish)


async def test_nobody_has_to_write_again_to_be_forgotten(store: Store) -> None:
    channel = MemoryChannel(failures=[LATE])
    made = worker(store, channel, ForgettingTutor())
    await made.drain(await ask(store, 1, "/forget"))
    await settle(made, store)
    (part,) = await parts(store)
    assert (part.text, part.state) == ("", DeliveryState.FAILED)
    assert await store.given_up() == []
    async with store.reading() as session:
        assert str(await session.scalar(select(Conversation.address))).startswith("forgotten-")
    await ask(store, 2)
    await settle(made, store)
    assert channel.sent == [("42", "Re: q2")]


async def test_what_waited_is_forgotten_too_once_it_was_sent(store: Store) -> None:
    channel = MemoryChannel(failures=[LATE])
    made = worker(store, channel, ForgettingTutor())
    await made.drain(await ask(store, 1))
    await ask(store, 2, "/forget")
    await settle(made, store)
    assert [text for _, text in channel.sent] == ["Re: q1", "Forgotten."]
    assert {part.text for part in await parts(store)} == {""}


# ---- with the providers ----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def service() -> Iterator[Webhooks]:
    with Webhooks() as server:
        yield server


@pytest.fixture(scope="module")
def simulator(service: Webhooks) -> Iterator[Driver]:
    with driven(service.url) as driver:
        yield driver


async def take(store: Store, channel: WhatsAppChannel | CloudChannel, delivery: Delivery) -> None:
    """What the web process does with a webhook."""
    seen = delivery.request
    if isinstance(channel, CloudChannel):
        reports, messages = channel.statuses(seen), channel.receive(seen)
    elif "status" in delivery.path_query:
        found = channel.status(seen)
        reports, messages = [found] if found else [], []
    else:
        reports, messages = [], channel.receive(seen)
    for report in reports:
        await store.status(report)
    for message in messages:
        await store.accept(message)


def channel_of(provider: str, simulator: Driver, public_url: str) -> WhatsAppChannel | CloudChannel:
    if provider == "twilio":
        ours = simulator.config.twilio
        return WhatsAppChannel(
            ours.sid, ours.auth_token, ours.sender, public_url=public_url, api_base=simulator.url, template_sid=TEMPLATE
        )
    number = simulator.config.cloud
    return CloudChannel(
        number.phone_number_id, number.access_token, app_secret=number.app_secret, verify_token=number.verify_token,
        api_base=simulator.url, template="please_write",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("provider", "address", "template", "code"),
    [
        ("twilio", f"whatsapp:{ASHA}", f"[template {TEMPLATE}]", "63016"),
        ("cloud", ASHA[1:], "[template please_write]", "131047"),
    ],
)
async def test_a_provider_that_says_so_later(
    store: Store, simulator: Driver, service: Webhooks, provider: str, address: str, template: str, code: str
) -> None:
    simulator.reset()
    service.reset()
    channel = channel_of(provider, simulator, service.url)
    made, taken = worker(store, channel), 0

    def shown() -> list[str]:
        """Without the thumbs under an answer."""
        return [text.partition("\n")[0].strip() for text in simulator.shown(provider, ASHA)]

    async def until_shown(expected: list[str]) -> None:
        nonlocal taken
        async with asyncio.timeout(20):
            while True:
                for delivery in service.deliveries[taken:]:
                    taken += 1
                    await take(store, channel, delivery)
                await settle(made, store)
                if await asyncio.to_thread(shown) == expected:
                    return
                await asyncio.sleep(0.01)

    # Asked so long ago that the provider has forgotten it; answered only now.
    await store.accept(Inbound(channel.name, "old", address, Kind.TEXT, "q1"))
    await made.drain(1)
    await until_shown(["Re: q1", template])
    assert [part.state for part in await parts(store)] == [DeliveryState.WAITING]
    await asyncio.to_thread(simulator.say, provider, ASHA, "q2")
    await until_shown(["Re: q1", template, "q2", "Re: q1", "Re: q2"])
    await channel.close()
    assert simulator.broken().count(code) == 1  # the one that was too late
