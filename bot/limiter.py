"""How often one sender may ask: a moving window, in memory or shared over Redis."""

from __future__ import annotations

from limits import parse
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

    async def admit(self, conversation: str, address: str) -> bool:
        """Whether this question may pass; it is counted when it may."""
        return await self._limiter.hit(self._address, "address", address) and await self._limiter.hit(
            self._conversation, "conversation", conversation
        )


def _storage(redis_url: str | None, redis: Redis | None) -> MemoryStorage | RedisStorage:
    if redis is None:
        return MemoryStorage()
    return RedisStorage(f"async+{redis_url}", implementation="redispy", connection_pool=redis.connection_pool)  # type: ignore[arg-type]  # options are typed too narrowly
