"""Calls the service's webhooks: in order within a lane, again when one fails, twice or late when a fault wants it."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import aiohttp

from bot.simulator.config import Config, Provider
from bot.simulator.faults import Faults, Trouble

logger = logging.getLogger(__name__)

CONNECTIONS = 100


@dataclass(frozen=True, slots=True)
class Policy:
    """How a provider repeats a webhook that failed.

    `in_order`: what follows in the lane waits meanwhile. `refused_too`: an answer other than 2xx is repeated as well,
    not only a call that found nobody.
    """

    attempts: int
    in_order: bool
    refused_too: bool


def _nothing() -> None:
    """Nobody wants to know."""


def _always() -> bool:
    return True


def _unheard(trouble: str) -> None:
    """Nobody wants to know."""


@dataclass(frozen=True, slots=True)
class Parcel:
    """One webhook call. `lane`: what must not overtake what. `wanted`: asked before each attempt."""

    provider: Provider
    lane: str
    path: str
    body: bytes
    headers: Mapping[str, str]
    policy: Policy
    delivered: Callable[[], None] = _nothing
    failed: Callable[[str], None] = _unheard
    given_up: Callable[[], None] = _nothing
    wanted: Callable[[], bool] = _always


@dataclass
class Courier:
    """One task for each lane that has something to deliver. Only the service's own address is ever called."""

    config: Config
    faults: Faults
    _lanes: dict[tuple[Provider, str], deque[Parcel]] = field(default_factory=dict)
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)
    _session: aiohttp.ClientSession | None = None

    def send(self, parcel: Parcel) -> None:
        """Deliver a parcel after those that its lane holds already."""
        key = (parcel.provider, parcel.lane)
        if key in self._lanes:
            self._lanes[key].append(parcel)
        else:
            self._lanes[key] = deque([parcel])
            self.run(self._drain(key))

    def run(self, work: Coroutine[Any, Any, None]) -> None:
        """Do something in the background that ends with the courier."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def forget(self) -> None:
        """Stop all that is under way."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._lanes.clear()

    async def close(self) -> None:
        await self.forget()
        if self._session is not None:
            await self._session.close()

    async def _drain(self, key: tuple[Provider, str]) -> None:
        lane = self._lanes[key]
        try:
            while lane:
                for parcel in await self._next(lane):
                    await self._deliver(parcel)
        finally:
            self._lanes.pop(key, None)

    async def _next(self, lane: deque[Parcel]) -> list[Parcel]:
        """The parcels to deliver now, one of them twice or behind its successor when a fault strikes."""
        parcel = lane.popleft()
        twice = self.faults.on_webhook(parcel.provider, Trouble.DUPLICATE) is not None
        late = self.faults.on_webhook(parcel.provider, Trouble.REORDER)
        if late is not None and not lane:
            await asyncio.sleep(late.delay)  # for something to come that can overtake it
        overtaking = [lane.popleft()] if late is not None and lane else []
        again = [replace(parcel, delivered=_nothing, failed=_unheard, given_up=_nothing, wanted=_always)]
        return [parcel, *overtaking, *again] if twice else [*overtaking, parcel]

    async def _deliver(self, parcel: Parcel) -> None:
        if await self._attempt(parcel) or parcel.policy.attempts <= 1:
            return
        if parcel.policy.in_order:
            await self._again(parcel)
        else:
            self.run(self._again(parcel))

    async def _again(self, parcel: Parcel) -> None:
        for failures in range(1, parcel.policy.attempts):
            await asyncio.sleep(self.config.pace.wait(failures))
            if await self._attempt(parcel):
                return
        parcel.given_up()

    async def _attempt(self, parcel: Parcel) -> bool:
        """Whether there is nothing more to do for this parcel."""
        if not parcel.wanted():
            return True
        status = await self.post(parcel.path, parcel.body, parcel.headers)
        if status is not None and 200 <= status < 300:
            parcel.delivered()
            return True
        trouble = f"the webhook answered {status}" if status is not None else "the webhook did not answer"
        parcel.failed(trouble)
        logger.debug("%s: %s", parcel.provider, trouble)
        final = status is not None and not parcel.policy.refused_too
        if final or parcel.policy.attempts <= 1:
            parcel.given_up()
        return final

    async def post(self, path: str, body: bytes, headers: Mapping[str, str]) -> int | None:
        """The status that the service answers with; None when it does not answer in time."""
        try:
            async with self._open().post(self.config.service.rstrip("/") + path, data=body, headers=headers) as answer:
                await answer.read()
                return answer.status
        except (aiohttp.ClientError, TimeoutError, OSError):
            return None

    async def fetch(self, path: str, query: Mapping[str, str]) -> tuple[int, str] | None:
        """GET from the service: status and text, None when it does not answer in time."""
        try:
            async with self._open().get(self.config.service.rstrip("/") + path, params=query) as answer:
                return answer.status, await answer.text()
        except (aiohttp.ClientError, TimeoutError, OSError):
            return None

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None:  # not before there is an event loop
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=CONNECTIONS),
                timeout=aiohttp.ClientTimeout(total=self.config.pace.deadline),
                skip_auto_headers=("User-Agent",),
            )
        return self._session
