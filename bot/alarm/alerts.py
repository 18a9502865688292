"""Tells the school's adults of a child in distress, one after another, until somebody looks after it.

Any number of these may run on one database. Before each alert its row is put off by one conditional UPDATE, so that of
several only one sends it; where that one is killed before it has noted the alert, the alert comes due again.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Protocol

from bot.alarm import notice, seen
from bot.alarm.contacts import Contact
from bot.alarm.notice import Notice
from bot.errors import DeliveryError
from bot.ports import Channel, Outgoing
from bot.store import Case, Store
from bot.tables import now

logger = logging.getLogger(__name__)

POLL_SECONDS = 1.0
SEND_SECONDS = 30.0  # how long one alert may take to be handed over
HOLD_SECONDS = 60.0  # and when it comes due again if we die meanwhile
AGAIN_SECONDS = 30.0  # before all are tried again, when nobody could be reached
MOST_ROUNDS = 3
NOBODY = (
    "nobody is alerted when a child is in distress: set SAHPATHI_SAFETY__ADULTS, for example to "
    "mailto:asha@school.example, telegram:123456789"
)


class Sender(Protocol):
    """A way to reach an adult."""

    async def send(self, address: str, notice: Notice) -> None:
        """Hand one alert over. Raises a DeliveryError."""
        ...


class ByChannel:
    """By a messaging channel that is switched on and has buttons: one, to say "I look after it", is under the alert."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel

    async def send(self, address: str, notice: Notice) -> None:
        """See `Sender`."""
        *before, last = self._channel.split(f"{notice.subject}\n\n{notice.text}\n{seen.UNDER}")
        for part in before:
            await self._channel.send(Outgoing(0, address, part))  # of no row of the outbox
        await self._channel.send(Outgoing(0, address, last, (seen.choice(notice.number),)))


class Alarm:
    """`adults` are told in this order, and from the first again; `senders` are by kind of contact.

    `page` is the public address of the page of incidents, or "". Seconds: `escalate_after` is how long one adult has to
    say "I look after it" before the next is told.
    """

    def __init__(
        self,
        store: Store,
        adults: Sequence[Contact],
        senders: Mapping[str, Sender],
        *,
        escalate_after: float,
        page: str = "",
        poll: float = POLL_SECONDS,
        again: float = AGAIN_SECONDS,
    ) -> None:
        self._store = store
        self._adults = tuple(adults)
        self._senders = senders
        self._escalate_after = escalate_after
        self._page = page
        self._poll = poll
        self._again = again

    async def run(self) -> None:
        """For ever; returns at once where there is nobody to tell."""
        if not self._adults:
            logger.warning(NOBODY)
            return
        async with asyncio.TaskGroup() as group:
            while True:
                try:
                    for case in await self._store.alerts_due():
                        if (held := await self._store.put_off_alert(case, _in(HOLD_SECONDS))) is not None:
                            group.create_task(self._raise(held))
                except Exception:  # a database that is away for a minute must not end the alarm
                    if (task := asyncio.current_task()) is not None and task.cancelling():
                        raise  # it broke while we were asked to stop
                    logger.exception("the alarm failed; trying again")
                await asyncio.sleep(self._poll)

    async def _raise(self, case: Case) -> None:
        try:
            await self._tell(case)
        except Exception:
            logger.exception("incident %d: the alert failed; it comes due again", case.id)

    async def _tell(self, case: Case) -> None:
        """Tell the next adult who can be reached. `case` is held."""
        for adult in self._turns(case):
            if await self._sent(case, adult):
                await self._store.alerted(case.id, str(adult), following=_in(self._escalate_after))
                return
            held = await self._store.put_off_alert(case, _in(HOLD_SECONDS))
            if held is None:
                return  # somebody looks after it by now
            case = held
        await self._reached_nobody(case)

    def _turns(self, case: Case) -> Iterator[Contact]:
        """Whom to tell next: from the one after the last who was told, without those who heard of it often enough."""
        told = [alert.contact for alert in case.told]
        names = [str(adult) for adult in self._adults]
        first = names.index(told[-1]) + 1 if told and told[-1] in names else 0
        often = Counter(told)
        order = self._adults[first:] + self._adults[:first]
        return (adult for adult in order if often[str(adult)] < MOST_ROUNDS)

    async def _sent(self, case: Case, adult: Contact) -> bool:
        """Whether one adult was told. The log names them by their place in the settings: no address, no name."""
        place = self._adults.index(adult) + 1
        try:
            async with asyncio.timeout(SEND_SECONDS):
                await self._senders[adult.kind].send(adult.address, notice.about(case, self._page))
        except Exception as error:  # noqa: BLE001  whatever breaks, the next adult is to be told
            logger.warning("incident %d: adult %d cannot be told (%s)", case.id, place, _label(error))
            return False
        logger.info("incident %d: adult %d was told by %s", case.id, place, adult.kind)
        return True

    async def _reached_nobody(self, case: Case) -> None:
        """Try all again soon; unless somebody heard of it in every round, after which it only stays open."""
        often = Counter(alert.contact for alert in case.told)
        if max(often.values(), default=0) < MOST_ROUNDS:
            logger.warning("incident %d: no adult can be told; trying again in %g s", case.id, self._again)
            await self._store.put_off_alert(case, _in(self._again))
            return
        logger.error("incident %d: nobody looks after it after %d alerts; it stays open", case.id, len(case.told))
        await self._store.put_off_alert(case, None)


def _in(seconds: float) -> datetime:
    return now() + timedelta(seconds=seconds)


def _label(error: Exception) -> str:
    code = error.code if isinstance(error, DeliveryError) else ""
    return f"{type(error).__name__} {code}".strip()
