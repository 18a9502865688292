"""Kicks reach a drain: in memory, and through a real Redis that is flushed, restarted or away."""

from __future__ import annotations

import asyncio
import gc
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import redis.asyncio
from taskiq import BrokerMessage

from bot.errors import SetupError
from bot.live import MemoryLive, RedisLive
from bot.ports import Live
from bot.queue import Queue, in_memory, on_redis
from tests.servers import RedisServer, free_port

pytestmark = pytest.mark.redis


class Drained:
    """Remembers which conversations were drained, and lets a test wait for one."""

    def __init__(self) -> None:
        self.seen: asyncio.Queue[int] = asyncio.Queue()

    async def __call__(self, conversation_id: int) -> None:
        self.seen.put_nowait(conversation_id)

    async def next(self) -> int:
        async with asyncio.timeout(20):
            return await self.seen.get()


@asynccontextmanager
async def started(queue: Queue) -> AsyncIterator[Queue]:
    await queue.start()
    try:
        yield queue
    finally:
        await queue.close()


@pytest.fixture
async def clean_redis(redis_url: str) -> str:
    async with redis.asyncio.Redis.from_url(redis_url) as client:
        await client.flushall()
    return redis_url


async def test_in_memory_kicks_run_here() -> None:
    drained = Drained()
    async with started(Queue(in_memory(), drained)) as queue:
        await queue.kick(7)
        assert await drained.next() == 7


async def test_kicks_of_one_moment_are_said_in_one_word_each_conversation_once() -> None:
    drained, said = Drained(), []
    broker = in_memory()
    queue = Queue(broker, drained)
    kick = broker.kick

    async def counting(message: BrokerMessage) -> None:
        said.append(message)
        await kick(message)

    broker.kick = counting  # type: ignore[method-assign]
    async with started(queue):
        for conversation_id in (1, 2, 1, 3, 2):
            await queue.kick(conversation_id)
    assert sorted(drained.seen.get_nowait() for _ in range(drained.seen.qsize())) == [1, 2, 3]
    assert len(said) == 1


async def test_a_drain_that_breaks_leaves_the_others_of_its_word_alone(caplog: pytest.LogCaptureFixture) -> None:
    drained = Drained()

    async def breaking(conversation_id: int) -> None:
        if conversation_id == 1:
            raise OSError("the database is away")
        await asyncio.sleep(0.05)
        await drained(conversation_id)

    async with started(Queue(in_memory(), breaking)) as queue:
        await queue.kick(1)
        await queue.kick(2)
        assert await drained.next() == 2
    assert "conversation 1: not served" in caplog.text


async def test_closing_waits_for_running_drains() -> None:
    finished: list[int] = []

    async def slow(conversation_id: int) -> None:
        await asyncio.sleep(0.2)
        finished.append(conversation_id)

    async with started(Queue(in_memory(), slow)) as queue:
        await queue.kick(1)
    assert finished == [1]


async def test_a_kick_before_the_first_worker_is_not_skipped(clean_redis: str) -> None:
    drained = Drained()
    async with started(Queue(on_redis(clean_redis), None)) as web:
        await web.kick(3)
        async with started(Queue(on_redis(clean_redis), drained)):
            assert await drained.next() == 3


async def test_kicks_flow_again_after_redis_is_flushed(clean_redis: str) -> None:
    drained = Drained()
    async with started(Queue(on_redis(clean_redis), None)) as web, started(Queue(on_redis(clean_redis), drained)):
        await web.kick(1)
        assert await drained.next() == 1
        async with redis.asyncio.Redis.from_url(clean_redis) as client:
            await client.flushall()
        async with asyncio.timeout(30):
            while drained.seen.empty():  # the group is declared again by the listener; kicks before that may be lost
                await web.kick(2)
                await asyncio.sleep(0.2)
        assert await drained.next() == 2


async def test_a_redis_that_is_away_does_not_fail_the_caller(clean_redis: str) -> None:
    async with started(Queue(on_redis(clean_redis), None)) as queue:
        nowhere = Queue(on_redis(f"redis://127.0.0.1:{free_port()}/0"), None)
        await nowhere.kick(1)
        await queue.kick(1)


async def test_starting_without_redis_says_what_to_do() -> None:
    with pytest.raises(SetupError, match="SAHPATHI_REDIS_URL"):
        await Queue(on_redis(f"redis://127.0.0.1:{free_port()}/0"), None).start()


@pytest.fixture(params=["memory", "redis"])
async def live(request: pytest.FixtureRequest) -> AsyncIterator[Live]:
    if request.param == "memory":
        yield MemoryLive()
        return
    over_redis = RedisLive(request.getfixturevalue("redis_url"))
    yield over_redis
    await over_redis.close()


async def test_pieces_reach_every_listener_of_their_message_in_order(live: Live) -> None:
    async def listen(message_id: str) -> list[str]:
        return [piece async for piece in live.subscribe(message_id)]

    async with asyncio.timeout(20):
        first, second = asyncio.create_task(listen("1")), asyncio.create_task(listen("1"))
        await asyncio.sleep(0.3)  # a subscription takes a moment; what is published before it is lost, as promised
        for piece in ("Plants ", "make ", "भोजन"):
            await live.publish("1", piece)
        await live.publish("2", "another message")
        await live.finish("1")
        assert await first == await second == ["Plants ", "make ", "भोजन"]


async def test_a_live_redis_that_is_away_loses_pieces_only() -> None:
    away = RedisLive(f"redis://127.0.0.1:{free_port()}/0")
    await away.publish("1", "piece")
    await away.finish("1")
    await away.close()


# The library's broker does not close a pipeline that breaks; collected here, so that no other test pays for it.
FORSAKEN = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning", "ignore::ResourceWarning")


@FORSAKEN
async def test_a_redis_that_is_gone_is_waited_for_with_one_word(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    drained = Drained()
    with RedisServer(tmp_path) as server:
        async with started(Queue(on_redis(server.url), drained)) as queue:
            await queue.kick(1)
            assert await drained.next() == 1
            with caplog.at_level(logging.WARNING):
                await asyncio.to_thread(server.stop)
                await asyncio.sleep(2)
            assert sum("the queue is away" in record.getMessage() for record in caplog.records) == 1
            assert len(caplog.records) < 10
            await asyncio.to_thread(server.start)
            while drained.seen.empty():  # as the sweeper would: a kick may meet a connection that is dead
                await queue.kick(2)
                await asyncio.sleep(0.2)
            assert await drained.next() == 2
    gc.collect()


@FORSAKEN
async def test_a_queue_that_waits_for_its_redis_closes_when_asked(tmp_path: Path) -> None:
    with RedisServer(tmp_path) as server:
        queue = Queue(on_redis(server.url), Drained())
        await queue.start()
        await asyncio.to_thread(server.stop)
        await asyncio.sleep(1)
        async with asyncio.timeout(5):
            await queue.close()
    gc.collect()
