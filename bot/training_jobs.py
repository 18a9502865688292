"""Training on the service's own machine: a dataset is built, or an adapter trained, in a child process, as a job.

The service trains nothing itself; it starts the same commands that an operator types, and reads what they print. A run
that was stopped, by a press of a button or by the end of the service, goes on where it was when it is started again.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import json
import logging
from collections.abc import Iterator, Mapping
from enum import StrEnum
from pathlib import Path
from typing import Any

from bot.child_command import started
from bot.jobs import BUILD, RUNNING, TRAIN, TRAINING, Handler, Jobs, JobState, Report
from bot.training_runs import INTERRUPTED, Figures, TrainingRuns, figures_as_row
from inference.adapters import Shelf

RECIPE = "adapter-cpu"

logger = logging.getLogger(__name__)


class Obstacle(StrEnum):
    """Why nothing can be trained from the dashboard."""

    NOT_INSTALLED = "not installed"
    ELSEWHERE = "elsewhere"  # several processes serve: none of them knows that it may take up what another began


class Training:
    """What the dashboard asks for. `alone`: this process does everything, and so does the jobs too."""

    def __init__(self, jobs: Jobs, home: Path, shelf: Shelf, *, alone: bool, recipe: str = RECIPE) -> None:
        self.runs = TrainingRuns(home, shelf)
        self._jobs = jobs
        self._home = home.resolve()
        self._alone = alone
        self._recipe = recipe
        self._stop: asyncio.Event | None = None  # of what runs now

    @property
    def obstacle(self) -> Obstacle | None:
        """None where training can be started."""
        if not self._alone:
            return Obstacle.ELSEWHERE
        return None if importlib.util.find_spec("trl") is not None else Obstacle.NOT_INSTALLED

    @property
    def stopping(self) -> bool:
        """Whether what runs now has been told to stop."""
        return self._stop is not None and self._stop.is_set()

    def jobs(self) -> dict[str, Handler]:
        """What this process does."""
        return {TRAIN: self._train, BUILD: self._build}

    async def latest(self) -> JobState | None:
        """What runs or waits, or ran last."""
        return await self._jobs.latest(TRAINING)

    async def train(self, dataset: str, subject: str) -> int | None:
        """Ask for an adapter: the job's id, or None while there is another at work."""
        return await self._jobs.submit_alone(TRAIN, {"dataset": dataset, "subject": subject}, TRAINING)

    async def build(self, *, shipped: bool) -> int | None:
        """Ask for a dataset of what teachers reviewed, with the shipped pairs or without; as `train`."""
        return await self._jobs.submit_alone(BUILD, {"shipped": shipped}, TRAINING)

    async def stop(self, job_id: int) -> bool:
        """Have a job stopped; False when it does not run."""
        if await self._jobs.withdraw(job_id):
            return True
        job = await self.latest()
        if job is None or job.id != job_id or job.state != RUNNING or self._stop is None:
            return False
        self._stop.set()
        return True

    async def _train(self, arguments: Mapping[str, Any], report: Report) -> dict[str, Any]:
        """Train an adapter: the figures of its run, which may have been stopped. Raises SetupError."""
        words = ["train", "sft", "--progress", "json", "--recipe", self._recipe]
        words += ["--data", arguments["dataset"], "--subject", arguments["subject"]]
        figures, run = Figures(), ""
        with self._stoppable() as stop:
            async with started(words, self._environment(), stop) as child:
                async for line in child.lines():
                    told = figures.after(line)
                    if not run and told != figures:
                        run, told = await asyncio.to_thread(self._recorded, line, told)
                    figures = told
                    report(figures.step, figures.steps, figures_as_row(figures, run))
                status = await child.status()
            if status != 0 and not stop.is_set():
                raise child.failure(status)
        if status == 0:
            logger.info("trained the adapter %s", figures.adapter)
            return figures_as_row(figures, run)
        return figures_as_row(figures, run) | ({} if figures.adapter else {"stopped": INTERRUPTED})

    def _recorded(self, line: str, told: Figures) -> tuple[str, Figures]:
        """The run that begins with this line or goes on with it, and all that is known of it by now."""
        with contextlib.suppress(OSError):
            if run := self.runs.recording(line):
                return run, self.runs.figures(run)
        return "", told

    async def _build(self, arguments: Mapping[str, Any], report: Report) -> dict[str, Any]:
        """Build a dataset: its id and how many examples it has, nothing when it was stopped. Raises SetupError."""
        words = ["data", "build", "--json", *(["--shipped"] if arguments["shipped"] else [])]
        card: dict[str, Any] = {}
        with self._stoppable() as stop:
            async with started(words, self._environment(), stop) as child:
                async for line in child.lines():
                    with contextlib.suppress(ValueError):
                        found = json.loads(line)
                        card = found if isinstance(found, dict) else card
                status = await child.status()
            if status != 0 and not stop.is_set():
                raise child.failure(status)
        if status != 0:
            return {"stopped": INTERRUPTED}
        return {"dataset": str(card.get("id", "")), "examples": card.get("examples", 0)}

    @contextlib.contextmanager
    def _stoppable(self) -> Iterator[asyncio.Event]:
        self._stop = asyncio.Event()
        try:
            yield self._stop
        finally:
            self._stop = None

    def _environment(self) -> dict[str, str]:
        """The child reads the same settings as we did, from the same place; but for what may be given otherwise."""
        return {"SAHPATHI_HOME": str(self._home)}
