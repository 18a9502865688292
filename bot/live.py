"""Pieces of an answer on their way from the worker to an open page: in memory, or over Redis between processes."""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from collections.abc import AsyncGenerator
from contextlib import suppress

import redis.asyncio
from redis.exceptions import RedisError

logger = logging.getLogger(__name__)

FINISHED = ""  # no piece is ever empty


class MemoryLive:
    """Within one process."""

    def __init__(self) -> None:
        self._listeners: defaultdict[str, list[asyncio.Queue[str]]] = defaultdict(list)

    async def publish(self, message_id: str, piece: str) -> None:
        for queue in self._listeners.get(message_id, ()):
            queue.put_nowait(piece)

    async def finish(self, message_id: str) -> None:
        await self.publish(message_id, FINISHED)

    async def subscribe(self, message_id: str) -> AsyncGenerator[str, None]:
        queue: asyncio.Queue[str] = asyncio.Queue()
        self._listeners[message_id].append(queue)
        try:
            while piece := await queue.get():
                yield piece
        finally:
            self._listeners[message_id].remove(queue)
            if not self._listeners[message_id]:
                del self._listeners[message_id]


class RedisLive:
    """Redis publish/subscribe: what nobody listens to is gone, which is all that is promised."""

    def __init__(self, url: str) -> None:
        self._redis = redis.asyncio.Redis.from_url(url, decode_responses=True)

    async def publish(self, message_id: str, piece: str) -> None:
        with suppress(RedisError, OSError):  # the stored answer reaches the page all the same
            await self._redis.publish(_topic(message_id), piece)

    async def finish(self, message_id: str) -> None:
        await self.publish(message_id, FINISHED)

    async def subscribe(self, message_id: str) -> AsyncGenerator[str, None]:
        async with self._redis.pubsub() as listener:
            await listener.subscribe(_topic(message_id))
            async for event in listener.listen():
                if event["type"] != "message":
                    continue
                if event["data"] == FINISHED:
                    return
                yield event["data"]

    async def close(self) -> None:
        await self._redis.aclose()


def _topic(message_id: str) -> str:
    return f"sahpathi:live:{message_id}"
