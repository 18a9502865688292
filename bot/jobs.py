"""Long work handed to the running service: rows of a table, done one at a time, with progress for whoever asked.

The embedded index may be open in one process only, so while the service runs, the command line does not index: it asks.
What trains takes hours, in a process of its own: it has a turn of its own, and keeps no other job waiting.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, cast

from sqlalchemy import CursorResult, select, update

from bot.errors import SahpathiError
from bot.store import Store
from bot.tables import Job, now

WAITING, RUNNING, DONE, FAILED, WITHDRAWN = "waiting", "running", "done", "failed", "withdrawn"
POLL_SECONDS = 0.5
PROGRESS_SECONDS = 0.5  # between two reports: each is a write
TRAIN, BUILD = "train", "build dataset"
TRAINING = (TRAIN, BUILD)  # the kinds with a turn of their own

Progress = Callable[[int, int], None]


class Report(Protocol):
    """How a handler tells how far it is; `figures` stand in the job's `result` until it has one."""

    def __call__(self, done: int, total: int, figures: Mapping[str, Any] | None = None) -> None: ...


Handler = Callable[[Mapping[str, Any], Report], Awaitable[dict[str, Any]]]

_Step = tuple[int, int, Mapping[str, Any] | None]

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class JobState:
    """How a job stands. `result` is what the handler gave, or told so far; `error` is for the operator."""

    id: int
    kind: str
    arguments: Mapping[str, Any]
    state: str
    done: int
    total: int
    result: Mapping[str, Any]
    error: str | None


class Jobs:
    """The table, a verb each."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def submit(self, kind: str, arguments: Mapping[str, Any]) -> int:
        """Ask for a job; its id."""
        async with self._store.writing() as session:
            job = Job(kind=kind, arguments=dict(arguments))
            session.add(job)
            await session.flush()
            return job.id

    async def submit_alone(self, kind: str, arguments: Mapping[str, Any], among: Collection[str]) -> int | None:
        """Ask for a job unless one of the kinds `among` waits or runs: its id, or None."""
        standing = select(Job.id).where(Job.kind.in_(among), Job.state.in_((WAITING, RUNNING))).limit(1)
        async with self._store.writing() as session:
            if await session.scalar(standing) is not None:
                return None
            job = Job(kind=kind, arguments=dict(arguments))
            session.add(job)
            await session.flush()
            return job.id

    async def latest(self, kinds: Collection[str]) -> JobState | None:
        """The job of these kinds that was asked for last; None when there was none, but for those taken back."""
        last = select(Job.id).where(Job.kind.in_(kinds), Job.state != WITHDRAWN).order_by(Job.id.desc()).limit(1)
        async with self._store.reading() as session:
            job_id = await session.scalar(last)
        return await self.get(job_id) if job_id is not None else None

    async def get(self, job_id: int) -> JobState:
        """How a job stands. Raises LookupError for an unknown id."""
        async with self._store.reading() as session:
            job = await session.get(Job, job_id)
        if job is None:
            raise LookupError(f"there is no job {job_id}")
        return JobState(job.id, job.kind, job.arguments, job.state, job.done, job.total, job.result, job.error)

    async def claim(self, *, training: bool = False) -> JobState | None:
        """Take the oldest waiting job that trains, or that does not; None when there is none, or another took it."""
        kinds = Job.kind.in_(TRAINING) if training else Job.kind.not_in(TRAINING)
        async with self._store.writing() as session:
            oldest = select(Job.id).where(Job.state == WAITING, kinds).order_by(Job.id).limit(1)
            job_id = await session.scalar(oldest)
            if job_id is None or not await self._moved(session, job_id, WAITING, state=RUNNING):
                return None
        return await self.get(job_id)

    async def withdraw(self, job_id: int) -> bool:
        """Take a job back; False when it has been begun."""
        async with self._store.writing() as session:
            return await self._moved(session, job_id, WAITING, state=WITHDRAWN, finished_at=now())

    async def report(self, job_id: int, done: int, total: int, figures: Mapping[str, Any] | None = None) -> None:
        """Note how far a running job is."""
        more = {"result": dict(figures)} if figures is not None else {}
        async with self._store.writing() as session:
            await self._moved(session, job_id, RUNNING, done=done, total=total, **more)

    async def finish(self, job_id: int, result: Mapping[str, Any]) -> None:
        async with self._store.writing() as session:
            await self._moved(session, job_id, RUNNING, state=DONE, result=dict(result), finished_at=now())

    async def fail(self, job_id: int, error: str) -> None:
        async with self._store.writing() as session:
            await self._moved(session, job_id, RUNNING, state=FAILED, error=error, finished_at=now())

    async def take_up_again(self) -> None:
        """What a process that died had begun waits again. Only for a process that knows it is alone."""
        async with self._store.writing() as session:
            await session.execute(update(Job).where(Job.state == RUNNING).values(state=WAITING, done=0))

    async def _moved(self, session: Any, job_id: int, standing: str, **values: Any) -> bool:
        """Change a job if it stands so; whether it did."""
        changed = await session.execute(update(Job).where(Job.id == job_id, Job.state == standing).values(**values))
        return cast("CursorResult[Any]", changed).rowcount == 1


class JobRunner:
    """Does the jobs of one process, one at a time; beside them, one of those that train."""

    def __init__(self, jobs: Jobs, handlers: Mapping[str, Handler]) -> None:
        self._jobs = jobs
        self._handlers = handlers

    async def run(self) -> None:
        """For ever."""
        async with asyncio.TaskGroup() as group:  # which, cancelled, waits until both have put their work in order
            group.create_task(self._take_turns(training=False))
            group.create_task(self._take_turns(training=True))

    async def _take_turns(self, *, training: bool) -> None:
        while True:
            job = await self._jobs.claim(training=training)
            if job is None:
                await asyncio.sleep(POLL_SECONDS)
            else:
                await self._do(job)

    async def _do(self, job: JobState) -> None:
        handler = self._handlers.get(job.kind)
        if handler is None:
            await self._jobs.fail(job.id, f"this version of the service does not know jobs of the kind {job.kind!r}")
            return
        steps = asyncio.Queue[_Step]()
        reporting = asyncio.create_task(self._report(job.id, steps))

        def report(done: int, total: int, figures: Mapping[str, Any] | None = None) -> None:
            steps.put_nowait((done, total, figures))

        try:
            result = await handler(job.arguments, report)
        except SahpathiError as error:
            await self._jobs.fail(job.id, str(error))
        except Exception as error:
            logger.exception("job %d (%s) failed", job.id, job.kind)
            await self._jobs.fail(job.id, f"{type(error).__name__}; the service's log says where")
        else:
            await self._jobs.finish(job.id, result)
        finally:
            reporting.cancel()
            await asyncio.gather(reporting, return_exceptions=True)

    async def _report(self, job_id: int, steps: asyncio.Queue[_Step]) -> None:
        while True:
            step = await steps.get()
            while not steps.empty():
                step = steps.get_nowait()
            await self._jobs.report(job_id, *step)
            await asyncio.sleep(PROGRESS_SECONDS)


async def follow(jobs: Jobs, job_id: int, progress: Progress, *, patience: float) -> JobState | None:
    """Wait until a job has ended; None when nobody began it within `patience` seconds, and it was withdrawn."""
    asked = time.monotonic()
    while True:
        job = await jobs.get(job_id)
        if job.state == WAITING and time.monotonic() - asked > patience and await jobs.withdraw(job_id):
            return None
        if job.state in (DONE, FAILED, WITHDRAWN):
            return job
        if job.total:
            progress(job.done, job.total)
        await asyncio.sleep(POLL_SECONDS)
