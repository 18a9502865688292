"""How long to wait before another try, and how to be called away from it. For whatever tries again for ever."""

from __future__ import annotations

import asyncio
import random
from contextlib import suppress

MOST_DOUBLINGS = 16  # a power beyond what a float holds would be an error in place of a wait


def backoff(first: float, failures: int, longest: float) -> float:
    """Seconds to wait: `first` doubled once for each failure, at most `longest`, and of that between half and all.

    The part left to chance keeps many from coming back at the same moment.
    """
    return min(longest, first * 2.0 ** min(failures, MOST_DOUBLINGS)) * random.uniform(0.5, 1.0)


async def called(event: asyncio.Event, *, within: float) -> bool:
    """Whether `event` is set within so many seconds. Returns as soon as it is."""
    with suppress(TimeoutError):
        async with asyncio.timeout(within):
            await event.wait()
    return event.is_set()
