"""The queue only says "look at this conversation". It may lose or repeat that: the SQL inbox is the truth."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from redis.exceptions import RedisError
from taskiq import AsyncBroker, InMemoryBroker
from taskiq.api import run_receiver_task
from taskiq.exceptions import SendTaskError

from bot.errors import SetupError

logger = logging.getLogger(__name__)

STREAM = "sahpathi:drain"
SHUTDOWN_SECONDS = 20.0
MOST_IN_A_WORD = 8  # conversations; what one worker is told, another cannot take


class Queue:
    """Kicks conversations, and runs `drain` for each kick on whichever process listens.

    A word to the queue costs as much as storing a message. Kicks that come while one is being said are said together
    in the next, and a conversation that is kicked again before it was said is said once.
    """

    def __init__(self, broker: AsyncBroker, drain: Callable[[int], Awaitable[None]] | None) -> None:
        """`drain` None: this process only kicks (a web process with Redis)."""
        self._broker = broker
        self._listener: asyncio.Task[None] | None = None
        self._drains = drain is not None
        self._wanted: dict[int, None] = {}  # in the order of the first kick
        self._speaker: asyncio.Task[None] | None = None

        async def run(conversation_ids: list[int]) -> None:
            if drain is None:
                raise RuntimeError("a process that only kicks was asked to drain")
            async with asyncio.TaskGroup() as group:
                for conversation_id in conversation_ids:
                    group.create_task(_apart(drain, conversation_id))

        self._task = broker.register_task(run, task_name="drain")

    async def start(self) -> None:
        """Connect, and listen when this process drains. Raises SetupError when Redis does not answer."""
        try:
            await self._broker.startup()
        except (RedisError, OSError) as error:
            raise SetupError(
                f"Redis does not answer ({type(error).__name__}). Start it, or check SAHPATHI_REDIS_URL; without that "
                "setting no Redis is needed."
            ) from None
        if self._drains and not isinstance(self._broker, InMemoryBroker):
            # run_startup=True declares the consumer group again after a FLUSHALL; else the listener fails for ever
            self._listener = asyncio.create_task(run_receiver_task(self._broker, run_startup=True, max_async_tasks=64))

    async def kick(self, conversation_id: int) -> None:
        """Ask for a look, soon. Costs the caller nothing: a kick that is lost is made again by the sweeper."""
        self._wanted[conversation_id] = None
        if self._speaker is None or self._speaker.done():
            self._speaker = asyncio.create_task(self._speak())

    async def _speak(self) -> None:
        while self._wanted:
            word = list(self._wanted)[:MOST_IN_A_WORD]
            for conversation_id in word:
                del self._wanted[conversation_id]
            try:
                await self._task.kiq(word)
            except SendTaskError as error:
                reason = type(error.__cause__ or error).__name__
                logger.warning("queue unreachable (%s); the sweeper will find the message", reason)

    async def close(self) -> None:
        """Say what is still to be said and let running drains finish, bounded: taskiq's own shutdown abandons them."""
        if self._speaker is not None:
            await asyncio.wait({self._speaker}, timeout=SHUTDOWN_SECONDS)
        if isinstance(self._broker, InMemoryBroker):
            try:
                await asyncio.wait_for(self._broker.wait_all(), SHUTDOWN_SECONDS)
            except TimeoutError:
                logger.warning("unfinished conversations are left to the next start")
        if self._listener is not None:
            self._listener.cancel()
            await asyncio.wait({self._listener}, timeout=SHUTDOWN_SECONDS)  # a client may swallow its cancellation
        await self._broker.shutdown()


async def _apart(drain: Callable[[int], Awaitable[None]], conversation_id: int) -> None:
    """One that breaks must not end the others that were said in the same word."""
    try:
        await drain(conversation_id)
    except Exception:
        logger.exception("conversation %d: not served; the sweeper will find it", conversation_id)


def in_memory() -> AsyncBroker:
    """The embedded queue: tasks run in this process. Their number is bounded by the worker's own semaphore."""
    return InMemoryBroker()


def on_redis(url: str) -> AsyncBroker:
    """The shared queue on Redis Streams. The options avoid traps listed in docs/decisions/0003."""
    from bot.streams import PatientBroker

    broker: AsyncBroker = PatientBroker(
        url,
        queue_name=STREAM,
        consumer_id="0",  # "$" would skip kicks sent before the first worker came up
        maxlen=10_000,  # acknowledged entries stay in a stream for ever
        idle_timeout=60_000,
        unacknowledged_lock_timeout=10.0,  # or a worker killed while reclaiming blocks the others for good
    )
    return broker
