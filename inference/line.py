"""Requests on the service's side: what each asks and has been told, and the line in which they wait for their turn."""

from __future__ import annotations

import asyncio
from collections import OrderedDict, deque
from collections.abc import Callable, Mapping
from typing import Any

from inference.errors import EngineBusy, InferenceError
from inference.generation import Generation


class Call:
    """One request from its arrival to its last word. Whoever reads slowly holds up nobody else: each has its own queue.

    `request` is what the model process is sent. `strikes` counts the processes that ended while they had it.
    """

    def __init__(self, request: Mapping[str, Any], conversation: str | None) -> None:
        self.request = request
        self.conversation = conversation
        self.number = 0  # of the present try; given when it is sent
        self.taken = False  # by the process that it was sent to
        self.strikes = 0
        self.shown = False
        self.over = False
        self._items: asyncio.Queue[str | Generation | InferenceError] = asyncio.Queue()
        self._clock: asyncio.TimerHandle | None = None

    async def next(self) -> str | Generation:
        """The next piece of text or, at the end, the Generation. Raises the error that ended the request."""
        item = await self._items.get()
        if isinstance(item, InferenceError):
            raise item
        return item

    def tell(self, item: str | Generation | InferenceError) -> None:
        """Pass something on to the reader. What comes after a Generation or an error is dropped."""
        if self.over:
            return
        if isinstance(item, str):
            self.shown = True
        else:
            self.finish()
        self._items.put_nowait(item)

    def finish(self) -> None:
        """Nothing more is to be told."""
        self.over = True
        self._stop_clock()

    def within(self, seconds: float, late: Callable[[Call], None]) -> None:
        """Call `late` unless the request is finished, or gets another such limit, in time."""
        self._stop_clock()
        self._clock = asyncio.get_running_loop().call_later(seconds, late, self)

    def _stop_clock(self) -> None:
        if self._clock:
            self._clock.cancel()
            self._clock = None


class Line:
    """Requests that wait, at most `limit`. Conversations take turns, so that none can hold up the others.

    Requests without a conversation count as one conversation. Those that a process ended under go first and alone:
    if another process ends under one of them, that one did it, and its neighbours are not blamed.
    """

    def __init__(self, limit: int) -> None:
        if limit < 1:
            raise ValueError(f"at least one request must be able to wait, got {limit}")
        self.limit = limit
        self._ordinary: OrderedDict[str | None, deque[Call]] = OrderedDict()
        self._suspects: deque[Call] = deque()

    def __len__(self) -> int:
        return len(self._suspects) + self._ordinary_count()

    def join(self, call: Call) -> Call | None:
        """Take a place at the end of its conversation's. When all places are taken, the conversation that has the most
        of them gives up its last one: that request is returned. Raises EngineBusy when this would not be fairer.
        """
        left = None
        if self._ordinary_count() >= self.limit:
            greediest = max(self._ordinary, key=lambda conversation: len(self._ordinary[conversation]))
            if len(self._ordinary[greediest]) <= len(self._ordinary.get(call.conversation, ())) + 1:
                raise EngineBusy.full(self.limit)
            left = self._ordinary[greediest][-1]
            self.leave(left)
        self._ordinary.setdefault(call.conversation, deque()).append(call)
        return left

    def try_again(self, call: Call) -> None:
        """Wait for a turn alone, after a process ended under it."""
        self._suspects.append(call)

    def next(self, under_way: Mapping[int, Call], slots: int) -> Call | None:
        """Whose turn it is while others are under way; None when nobody's."""
        if self._suspects:
            return None if under_way else self._suspects.popleft()
        if not self._ordinary or len(under_way) >= slots or any(call.strikes for call in under_way.values()):
            return None
        conversation, calls = self._ordinary.popitem(last=False)
        call = calls.popleft()
        if calls:
            self._ordinary[conversation] = calls  # to the end
        return call

    def leave(self, call: Call) -> None:
        """Wait no longer. Does nothing for one that is not in the line."""
        if call in self._suspects:
            self._suspects.remove(call)
        calls = self._ordinary.get(call.conversation)
        if calls and call in calls:
            calls.remove(call)
            if not calls:
                del self._ordinary[call.conversation]

    def clear(self) -> list[Call]:
        """Everybody leaves."""
        everybody = [*self._suspects, *(call for calls in self._ordinary.values() for call in calls)]
        self._suspects.clear()
        self._ordinary.clear()
        return everybody

    def _ordinary_count(self) -> int:
        return sum(map(len, self._ordinary.values()))
