from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import pytest

from bot.errors import SetupError
from bot.jobs import DONE, FAILED, RUNNING, WAITING, WITHDRAWN, JobRunner, Jobs, JobState, Progress, follow
from bot.store import Store

STEPS = 3


async def count(arguments: Mapping[str, Any], progress: Progress) -> dict[str, Any]:
    for done in range(1, STEPS + 1):
        progress(done, STEPS)
        await asyncio.sleep(0)
    return {"counted": arguments["to"]}


async def refuse(arguments: Mapping[str, Any], progress: Progress) -> dict[str, Any]:
    raise SetupError("the shelf is empty; add a book")


async def break_down(arguments: Mapping[str, Any], progress: Progress) -> dict[str, Any]:
    raise ZeroDivisionError("a child's words")


@pytest.fixture
def jobs(store: Store) -> Jobs:
    return Jobs(store)


async def ended(jobs: Jobs, kind: str, **arguments: object) -> JobState:
    """Submit a job to a runner and wait for its end."""
    runner = asyncio.create_task(JobRunner(jobs, {"count": count, "refuse": refuse, "break": break_down}).run())
    try:
        job = await follow(jobs, await jobs.submit(kind, arguments), lambda done, total: None, patience=30)
        assert job is not None
        return job
    finally:
        runner.cancel()
        await asyncio.gather(runner, return_exceptions=True)


async def test_a_job_is_done_and_its_result_kept(jobs: Jobs) -> None:
    job = await ended(jobs, "count", to=7)
    assert (job.state, job.result, job.error) == (DONE, {"counted": 7}, None)


async def test_what_went_wrong_is_told_without_anybodys_words(jobs: Jobs) -> None:
    refused = await ended(jobs, "refuse")
    assert (refused.state, refused.error) == (FAILED, "the shelf is empty; add a book")
    broken = await ended(jobs, "break")
    assert broken.state == FAILED
    assert broken.error is not None
    assert "ZeroDivisionError" in broken.error
    assert "child" not in broken.error
    unknown = await ended(jobs, "bake")
    assert unknown.error is not None
    assert "'bake'" in unknown.error


async def test_one_job_is_claimed_by_one_process_and_in_order(jobs: Jobs, store: Store) -> None:
    first, second = [await jobs.submit("count", {"to": n}) for n in (1, 2)]
    claimed = await asyncio.gather(*(Jobs(store).claim() for _ in range(3)))
    assert sorted(job.id for job in claimed if job is not None) == [first, second]
    assert (await jobs.get(first)).state == RUNNING


async def test_progress_is_seen_by_who_asked(jobs: Jobs) -> None:
    job_id = await jobs.submit("count", {"to": 1})
    await jobs.report(job_id, 1, STEPS)  # not begun: nothing to report on
    assert (await jobs.get(job_id)).total == 0
    await jobs.claim()
    await jobs.report(job_id, 2, STEPS)
    seen: list[tuple[int, int]] = []
    heard = asyncio.Event()

    def hear(done: int, total: int) -> None:
        seen.append((done, total))
        heard.set()

    following = asyncio.create_task(follow(jobs, job_id, hear, patience=30))
    await asyncio.wait_for(heard.wait(), 30)
    await jobs.finish(job_id, {})
    job = await following
    assert seen[0] == (2, STEPS)
    assert job is not None
    assert job.state == DONE


async def test_a_job_that_nobody_takes_is_withdrawn(jobs: Jobs) -> None:
    job_id = await jobs.submit("count", {"to": 1})
    assert await follow(jobs, job_id, lambda done, total: None, patience=0) is None
    assert (await jobs.get(job_id)).state == WITHDRAWN
    assert await jobs.claim() is None


async def test_a_job_that_was_begun_cannot_be_withdrawn(jobs: Jobs) -> None:
    job_id = await jobs.submit("count", {"to": 1})
    await jobs.claim()
    assert not await jobs.withdraw(job_id)


async def test_what_a_dead_process_had_begun_waits_again(jobs: Jobs) -> None:
    job_id = await jobs.submit("count", {"to": 1})
    await jobs.claim()
    await jobs.take_up_again()
    assert (await jobs.get(job_id)).state == WAITING
    again = await jobs.claim()
    assert again is not None
    assert again.id == job_id


async def test_an_unknown_job_is_an_error(jobs: Jobs) -> None:
    with pytest.raises(LookupError, match="99"):
        await jobs.get(99)
