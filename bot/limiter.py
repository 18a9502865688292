"""How often one sender may ask: a moving window, in memory or shared over Redis."""

from __future__ import annotations

import time

from limits import RateLimitItemPerSecond, parse
from limits.aio.storage import MemoryStorage, RedisStorage
from limits.aio.strategies import MovingWindowRateLimiter
from redis.asyncio import Redis


class Limiter:
    """Admits so many questions for a conversation, and so many for all that come from one network address.

    Anybody may make up conversations, so that limit alone protects nothing; a class shares one address, so that limit
    alone would silence it. Rates are written "20/minute".
    """

    def __init__(self, conversation: str, address: str, *, redis_url: str | None = None) -> None:
        self._conversation = parse(conversation)
        self._address = parse(address)
        self._redis = Redis.from_url(redis_url) if redis_url else None
        self._limiter = MovingWindowRateLimiter(_storage(redis_url, self._redis))

    async def close(self) -> None:
        if self._redis is not None:
            await self._redis.aclose(close_connection_pool=True)

    async def wait(self, conversation: str) -> float:
        """Seconds until this conversation's next question may be answered; 0 when it may now, and is counted."""
        if await self._limiter.hit(self._conversation, "answered", conversation):
            return 0.0
        window = await self._limiter.get_window_stats(self._conversation, "answered", conversation)
        return max(1.0, window.reset_time - time.time())

    async def say_so(self, conversation: str, word: str) -> bool:
        """Whether to tell a student why an answer takes long: each word once in as long as the rate counts for."""
        once = RateLimitItemPerSecond(1, self._conversation.get_expiry())
        return await self._limiter.hit(once, "told", word, conversation)

    async def admit(self, conversation: str, address: str) -> bool:
        """Whether this question may pass; it is counted when it may."""
        return await self._limiter.hit(self._address, "address", address) and await self._limiter.hit(
            self._conversation, "conversation", conversation
        )


def _storage(redis_url: str | None, redis: Redis | None) -> MemoryStorage | RedisStorage:
    if redis is None:
        return MemoryStorage()
    return RedisStorage(f"async+{redis_url}", implementation="redispy", connection_pool=redis.connection_pool)  # type: ignore[arg-type]  # options are typed too narrowly
