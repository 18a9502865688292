"""Lease a conversation, answer its oldest message, send the parts, retry or bury; and a sweeper that forgets nobody.

One call of `drain` serves one message and then asks for another look, so that a burst from one student goes to the back
of the line instead of holding a slot.
"""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Protocol

from bot.alarm import seen
from bot.choices import picked, rating, thumbs, understood
from bot.errors import DeliveryError, LeaseLost, OutsideWindow, PermanentError, TransientError, Unreachable
from bot.ports import Answer, Channel, Kind, Live, Turn
from bot.preview import Preview
from bot.store import ANSWERED, BURIED, Pending, Store, Work
from bot.tables import now
from bot.waiting import backoff

logger = logging.getLogger(__name__)

LONGEST_BACKOFF = 300.0
Publish = Callable[[str], Awaitable[None]]


class Tutor(Protocol):
    """What the worker needs of `bot.tutor.Tutor`."""

    async def answer(self, turn: Turn, publish: Publish) -> Answer: ...

    def say(self, key: str, turn: Turn) -> str: ...


@dataclass(frozen=True, slots=True)
class Patience:
    """How long to hold, wait and try. Seconds."""

    lease: float = 30.0
    sweep: float = 5.0
    attempts: int = 5
    backoff: float = 2.0
    quiet: float = 10.0  # in line, before a student is told that others are asking too

    def wait(self, attempts: int) -> float:
        """How long before the next try; see `waiting.backoff`."""
        return backoff(self.backoff, attempts, LONGEST_BACKOFF)


class Pace(Protocol):
    """How fast one student is answered: `bot.limiter.Limiter`."""

    async def wait(self, conversation: str) -> float: ...

    async def say_so(self, conversation: str, word: str) -> bool: ...


class Worker:
    """Serves conversations. `kick` asks the queue for another look at one."""

    def __init__(
        self,
        store: Store,
        tutor: Tutor,
        channels: Mapping[str, Channel],
        live: Live,
        *,
        patience: Patience,
        concurrency: int,
        pace: Pace | None = None,
        adults: seen.Adults | None = None,
    ) -> None:
        self._store = store
        self._tutor = tutor
        self._channels = channels
        self._live = live
        self._patience = patience
        self._pace = pace
        self._adults = adults or seen.Adults()
        self._slots = asyncio.Semaphore(concurrency)
        self._in_line: set[int] = set()  # conversations that wait for a slot
        self._telling = asyncio.Lock()
        self.kick: Callable[[int], Awaitable[None]] = self.drain  # the queue's kick, once there is a queue

    async def drain(self, conversation_id: int) -> None:
        """Serve one message of the conversation, if nobody else does. Safe to call at any time, any number of times."""
        if conversation_id in self._in_line:
            return  # whoever waits has not looked yet, and will see what this call is about
        self._in_line.add(conversation_id)
        try:
            async with self._told_when_long(conversation_id):
                await self._slots.acquire()
        finally:
            self._in_line.remove(conversation_id)
        try:
            looked = await self._look(conversation_id)
        finally:
            self._slots.release()
        # A message that came while we held the lease found it taken: look again, or it would wait for the sweeper.
        if looked and await self._store.is_due(conversation_id):
            await self.kick(conversation_id)

    async def _look(self, conversation_id: int) -> bool:
        """False when somebody else serves it."""
        async with self._leased(conversation_id) as token:
            if token is None:
                return False
            if await self._deliver(conversation_id, token):
                work = await self._store.next_message(conversation_id)
                if work is not None:
                    await self._serve(work, conversation_id, token)
            await self._store.erase_forgotten(conversation_id, token)
        return True

    @asynccontextmanager
    async def _leased(self, conversation_id: int) -> AsyncIterator[str | None]:
        """The lease, kept alive while the body runs; None when somebody else has it. A lost one ends the body."""
        token = await self._store.lease(conversation_id, self._patience.lease)
        if token is None:
            yield None
            return
        try:
            async with self._renewed(conversation_id, token):
                yield token
        except LeaseLost:
            logger.warning("conversation %d: lease lost, nothing committed", conversation_id)
        finally:
            await self._store.release(conversation_id, token)

    @asynccontextmanager
    async def _told_when_long(self, conversation_id: int) -> AsyncIterator[None]:
        """Where the body, a wait in line, takes long: say that the question is not lost."""
        telling: asyncio.Task[None] | None = None
        begun = False

        async def tell() -> None:
            nonlocal begun
            async with self._telling:  # one after the other: whoever is being answered comes first
                begun = True
                await self._say_busy(conversation_id)

        def start() -> None:
            nonlocal telling
            telling = asyncio.create_task(tell())

        alarm = asyncio.get_running_loop().call_later(self._patience.quiet, start)
        try:
            yield
        finally:
            alarm.cancel()
            if telling is not None:
                if not begun:
                    telling.cancel()
                await asyncio.wait({telling})  # one that has begun holds the lease

    async def _say_busy(self, conversation_id: int) -> None:
        """Tell a student whose question waits in line, once in a while. Pages show by themselves that they wait."""
        try:
            async with self._leased(conversation_id) as token:
                if token is None or not await self._deliver(conversation_id, token):
                    return
                work = await self._store.next_message(conversation_id)
                if work is not None and await self._is_to_be_told(work, conversation_id):
                    parts = self._channels[work.channel].split(self._tutor.say("busy", work.turn))
                    await self._store.defer(work, conversation_id, token, parts, now())
                    await self._deliver(conversation_id, token)
        except Exception:  # a word less, and nothing else: the question keeps its place in line
            logger.exception("conversation %d: not told to wait", conversation_id)

    async def _is_to_be_told(self, work: Work, conversation_id: int) -> bool:
        asks = work.turn.kind is Kind.TEXT and work.turn.consented and not work.attempts
        if not asks or not self._channels[work.channel].asks_consent:
            return False
        return self._pace is None or await self._pace.say_so(str(conversation_id), "busy")

    async def sweep(self) -> None:
        """For ever: kick every conversation with something due that nobody serves."""
        while True:
            try:
                for conversation_id in await self._store.neglected():
                    await self.kick(conversation_id)
            except Exception:  # a database that is away for a minute must not end the sweeper
                if (task := asyncio.current_task()) is not None and task.cancelling():
                    raise  # it broke while we were asked to stop
                logger.exception("sweep failed; trying again")
            await asyncio.sleep(self._patience.sweep)

    @asynccontextmanager
    async def _renewed(self, conversation_id: int, token: str) -> AsyncIterator[None]:
        """Keep the lease alive while the body runs; cancel the body when it is lost."""
        body = asyncio.current_task()
        assert body is not None  # noqa: S101  we are in a coroutine
        lost = False

        async def renew() -> None:
            nonlocal lost
            while True:
                await asyncio.sleep(self._patience.lease / 3)
                try:
                    await self._store.renew(conversation_id, token, self._patience.lease)
                except LeaseLost:
                    lost = True
                    body.cancel()
                    return

        renewal = asyncio.create_task(renew())
        try:
            yield
        except asyncio.CancelledError:
            if lost:
                body.uncancel()
                raise LeaseLost(f"conversation {conversation_id}") from None
            raise
        finally:
            renewal.cancel()

    async def _serve(self, work: Work, conversation_id: int, token: str) -> None:
        channel = self._channels[work.channel]
        try:
            if work.turn.kind is Kind.TEXT and not channel.has_buttons:
                work = await self._picked(work, conversation_id)
            if work.turn.kind is Kind.FEEDBACK:
                await self._rate(work, conversation_id, token, channel)
            elif (incident := self._adults.heard(work.channel, work.address, work.turn.text)) is not None:
                await self._look_after(incident, work, conversation_id, token, channel)
            elif not await self._deferred(work, conversation_id, token, channel):
                await self._answer(work, conversation_id, token, channel)
        except LeaseLost:
            raise
        except Exception as error:  # one message that breaks something must not stop the others
            logger.exception("message %d: attempt %d failed", work.message_id, work.attempts + 1)
            await self._retry_or_bury(work, conversation_id, token, channel, type(error).__name__)
        await self._deliver(conversation_id, token)

    async def _deferred(self, work: Work, conversation_id: int, token: str, channel: Channel) -> bool:
        """Let a student who asks too fast wait, and say so once. Nothing is dropped: each question gets its turn.

        Pages have no part in this: they refuse at the door, where the student still sees what was typed.
        """
        if self._pace is None or not channel.asks_consent or work.attempts or work.turn.kind is not Kind.TEXT:
            return False
        wait = await self._pace.wait(str(conversation_id))
        if not wait:
            return False
        told = await self._pace.say_so(str(conversation_id), "one_by_one")
        parts = channel.split(self._tutor.say("one_by_one", work.turn)) if told else []
        await self._store.defer(work, conversation_id, token, parts, now() + timedelta(seconds=wait))
        return True

    async def _picked(self, work: Work, conversation_id: int) -> Work:
        """The message as the choice whose number it is, if it is one of those last offered."""
        choice = picked(work.turn.text, await self._store.offered(conversation_id))
        if choice is None:
            return work
        kind, text, answer_id = understood(choice.command)
        return replace(work, turn=replace(work.turn, kind=kind, text=text), answer_ref=answer_id)

    async def _answer(self, work: Work, conversation_id: int, token: str, channel: Channel) -> None:
        turn = work.turn if channel.asks_consent else replace(work.turn, consented=True)
        async with Preview(channel, work.address, work.message_id, work.provider_id) as preview:

            async def publish(piece: str) -> None:
                await self._live.publish(work.turn.id, piece)
                await preview.publish(piece)

            answer = await self._tutor.answer(turn, publish)
        answer_id = uuid.uuid4().hex
        choices = thumbs(answer_id) if answer.confidence is not None else answer.choices
        parts = channel.split(answer.message())
        await self._store.commit_answer(work, conversation_id, token, answer_id, answer, parts, choices)
        await self._live.finish(work.turn.id)

    async def _rate(self, work: Work, conversation_id: int, token: str, channel: Channel) -> None:
        """Store a thumb, and show it on the answer where the channel can; elsewhere say thank you."""
        word = "up" if work.turn.text == "up" else "down"
        rated = await self._store.rate(conversation_id, work.answer_ref, 1 if word == "up" else -1)
        shown = rated is not None and await self._mark(rated, word, channel)
        thanks = self._tutor.say(f"feedback_{word}", work.turn) if rated is not None and not shown else ""
        parts = channel.split(thanks) if thanks else []
        await self._store.commit_reply(work, conversation_id, token, parts, ANSWERED)

    async def _look_after(self, incident: int, work: Work, conversation_id: int, token: str, channel: Channel) -> None:
        """Take an adult's word that they look after a child in distress; whether it came in time, the store finds."""
        await self._store.commit_seen(
            work,
            conversation_id,
            token,
            incident,
            seen.name(work.address),
            lambda found: channel.split(self._adults.reply(incident, found)),
        )

    async def _mark(self, answer_id: str, word: str, channel: Channel) -> bool:
        sent = await self._store.under(answer_id)
        return sent is not None and await channel.mark(*sent, rating(answer_id, word))

    async def _retry_or_bury(self, work: Work, conversation_id: int, token: str, channel: Channel, error: str) -> None:
        if work.attempts + 1 < self._patience.attempts:
            until = now() + timedelta(seconds=self._patience.wait(work.attempts))
            await self._store.postpone(work.message_id, error, until)
            return
        parts = channel.split(self._tutor.say("sorry_error", work.turn))
        await self._store.commit_reply(work, conversation_id, token, parts, BURIED, error)
        await self._live.finish(work.turn.id)

    async def _deliver(self, conversation_id: int, token: str) -> bool:
        """Send what is stored and not yet settled, in order. False when a part must wait for its next try."""
        while pending := await self._store.next_part(conversation_id):
            if not pending.due:
                if pending.waits:
                    await self._invite(pending, conversation_id, token)
                return False
            await self._send(pending, conversation_id, token)
        return True

    async def _send(self, pending: Pending, conversation_id: int, token: str) -> None:
        part, channel = pending.part, self._channels[pending.channel]
        try:
            provider_id = await channel.reconcile(part) if pending.in_doubt else None
            if provider_id is None:
                await self._store.starting(pending, conversation_id, token)
                provider_id = await channel.send(part)
        except PermanentError as error:
            await self._refused(part.id, conversation_id, error)
        except TransientError as error:
            if pending.attempts + 1 >= self._patience.attempts * 2:
                await self._store.not_sent(part.id, _label(error), until=None, in_doubt=error.in_doubt)
                return
            wait = max(self._patience.wait(pending.attempts), error.retry_after or 0.0)
            until = now() + timedelta(seconds=wait)
            await self._store.not_sent(part.id, _label(error), until=until, in_doubt=error.in_doubt)
        else:
            await self._store.sent(part.id, provider_id)

    async def _refused(self, part_id: int, conversation_id: int, error: PermanentError) -> None:
        match error:
            case Unreachable():
                logger.info("part %d: the student does not want it (%s)", part_id, error.code)
                await self._store.blocked(conversation_id, _label(error))
            case OutsideWindow():
                logger.info("part %d: too late, waits for the student to write (%s)", part_id, error.code)
                await self._store.too_late(part_id, _label(error))
            case _:
                logger.warning("part %d: refused for good (%s)", part_id, error.code or type(error).__name__)
                await self._store.not_sent(part_id, _label(error), until=None)

    async def _invite(self, pending: Pending, conversation_id: int, token: str) -> None:
        """Ask the student to write again, so that what waits can be sent: once, whatever becomes of it."""
        if not await self._store.inviting(conversation_id, token):
            return
        try:
            if await self._channels[pending.channel].invite(pending.part.address):
                logger.info("conversation %d: asked to write again", conversation_id)
        except Unreachable as error:
            await self._store.blocked(conversation_id, _label(error))
        except DeliveryError as error:
            logger.warning("conversation %d: could not be asked to write again (%s)", conversation_id, _label(error))


def _label(error: DeliveryError) -> str:
    return f"{type(error).__name__} {error.code}".strip()
