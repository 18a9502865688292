"""The page of training: what runs now, and the runs, datasets and adapters there are. Operators start and stop."""

from __future__ import annotations

import asyncio
import logging
import re
import shlex
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from fastapi import Request, Response

from bot.dashboard import views
from bot.dashboard.visits import PRIVATE, Visitor, Visits, see
from bot.jobs import BUILD, DONE, FAILED, TRAIN, WAITING, JobState
from bot.pages import compressible
from bot.training_jobs import Training
from bot.training_runs import COMPLETE, EARLY, INTERRUPTED, Adapter, Dataset, Figures

logger = logging.getLogger(__name__)

OPERATOR = "operator"
GENERAL = "general"  # the subject of an adapter that answers whatever has none of its own
FEW = 50  # examples; fewer hardly move an adapter
EVERY = 2  # seconds between two looks at what runs
STATES = {
    "running": "Running",
    COMPLETE: "Complete",
    EARLY: "Ended early: no more to gain",
    INTERRUPTED: "Stopped",
    "failed": "Failed",
}
# The report has its styles and its drawings within it, and no script.
REPORT_POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'"
)
NOT_FOR_TEACHERS = "An operator of this school starts training. The person who runs this server can make you one."
BUSY = "Something is at work already. Wait until it has ended, or stop it."

_SUBJECT = re.compile(r"[a-z][a-z0-9_]*(?:-[a-z0-9_]+)*")


@dataclass(frozen=True, slots=True)
class Work:
    """A job as the page shows it. `log`: the last lines of the error output; `again`: it can be started once more."""

    id: int
    title: str
    text: str
    active: bool
    failed: bool
    figures: Figures
    run: str
    log: str
    again: bool
    dataset: str
    subject: str

    @property
    def left(self) -> str:
        """The time left in words, "" where nobody knows."""
        seconds = self.figures.seconds_left
        return duration(seconds) if seconds is not None and self.active else ""


def work(job: JobState, *, stopping: bool) -> Work:
    """What a job does, or how it ended."""
    figures = Figures.of(job.result)
    failed = job.state == FAILED
    active = job.state not in (DONE, FAILED)
    why, _, log = (job.error or "").partition("\n")
    title, text = (_ended if not active else _going_on)(job, figures)
    if stopping and active:
        title, text = "Stopping", "This may take a minute: the step is finished and the report drawn."
    return Work(
        job.id,
        title,
        why if failed else text,
        active,
        failed,
        figures,
        str(job.result.get("run", "")),
        log,
        job.kind == TRAIN and (failed or figures.stopped == INTERRUPTED),
        str(job.arguments.get("dataset", "")),
        str(job.arguments.get("subject", "")),
    )


def _going_on(job: JobState, figures: Figures) -> tuple[str, str]:
    if job.kind == BUILD:
        return "Building a dataset", "The books are searched for passages on each question, which takes some minutes."
    subject = str(job.arguments.get("subject", ""))
    title = f"Training for {'every subject' if subject == GENERAL else subject}"
    if job.state == WAITING:
        return title, "It begins in a moment."
    if figures.adapter:
        return title, "The adapter is trained. It is now measured beside the base model, which takes some minutes."
    if not figures.step:
        return title, "The examples are made ready: passages are looked up in the books, which takes some minutes."
    return title, f"Step {figures.step} of {figures.steps}"


def _ended(job: JobState, figures: Figures) -> tuple[str, str]:
    if job.state == FAILED:
        return "Building the dataset failed" if job.kind == BUILD else "Training failed", ""
    if job.kind == BUILD:
        if job.result.get("stopped"):
            return "Stopped", "No dataset was built."
        return "The dataset is built", f"{job.result.get('dataset')} has {job.result.get('examples')} examples."
    if figures.stopped == INTERRUPTED:
        where = f" after step {figures.step} of {figures.steps}" if figures.step else ""
        return "Training was stopped", f"It was stopped{where}, and goes on from its last checkpoint."
    return "The adapter is trained", "It answers nobody until it is promoted. Read the report first."


def duration(seconds: float) -> str:
    """About how long, as people say it."""
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    if seconds < 90 * 60:
        return f"{round(seconds / 60)} minutes"
    return f"{seconds / 3600:.1f} hours"


def subjects(datasets: Sequence[Dataset]) -> list[str]:
    """What an adapter may be for: anything, or one of the subjects there are examples of."""
    found = {subject for dataset in datasets for subject in dataset.subjects if _SUBJECT.fullmatch(subject)}
    return [GENERAL, *sorted(found - {GENERAL, "none"})]


def promotion(adapter: str, name: str) -> str:
    """The command that lets an adapter answer, for whoever is signed in."""
    return f"sahpathi adapters promote {adapter} --by {shlex.quote(name)}"


Act = Callable[[Visitor, dict[str, str]], Awaitable[Response]]


class TrainingPages:
    """The page, its forms, and the reports of runs. Every method returns a finished response."""

    def __init__(self, training: Training, visits: Visits) -> None:
        self._training = training
        self._visits = visits

    async def overview(self, request: Request) -> Response:
        return await self._page(await self._visits.visitor(request))

    async def build(self, request: Request) -> Response:
        """Have a dataset built."""
        return await self._pressed(request, self._build, starts=True)

    async def _build(self, visitor: Visitor, form: dict[str, str]) -> Response:
        job_id = await self._training.build(shipped="shipped" in form)
        return await self._begun(visitor, job_id, "a dataset")

    async def train(self, request: Request) -> Response:
        """Have an adapter trained, or go on with a run that was stopped."""
        return await self._pressed(request, self._train, starts=True)

    async def _train(self, visitor: Visitor, form: dict[str, str]) -> Response:
        datasets = await asyncio.to_thread(self._training.runs.datasets)
        dataset, subject = form.get("dataset", ""), form.get("subject", "")
        if dataset not in {one.id for one in datasets} or subject not in subjects(datasets):
            return await self._page(visitor, problem="Choose a dataset and a subject that are listed.", status=422)
        return await self._begun(visitor, await self._training.train(dataset, subject), "an adapter")

    async def stop(self, request: Request) -> Response:
        """Stop what runs; a run goes on when it is started again."""
        return await self._pressed(request, self._stop, starts=False)

    async def _stop(self, visitor: Visitor, form: dict[str, str]) -> Response:
        number = form.get("job", "")
        if not (number.isascii() and number.isdigit() and len(number) < 18) or not await self._training.stop(
            int(number)
        ):
            return await self._page(visitor, problem="There is nothing to stop: it may have ended.", status=409)
        logger.info("job %s stopped by user %d", number, visitor.user.id)
        return see(views.TRAINING)

    async def report(self, request: Request, name: str) -> Response:
        """The report of a run, with questions and answers in it: for operators."""
        visitor = await self._visits.visitor(request)
        if visitor.user.role != OPERATOR:
            return self._not_an_operator()
        path = await asyncio.to_thread(self._training.runs.report, name)
        if path is None:
            return self._visits.refused(404, "No such report", "The run may still go on, or was deleted.")
        body = await asyncio.to_thread(path.read_bytes)
        headers = dict(PRIVATE) | {"Content-Security-Policy": REPORT_POLICY}
        return compressible(request, body, "text/html", headers)

    async def _pressed(self, request: Request, act: Act, *, starts: bool) -> Response:
        """What an operator's press of a button does; what starts something needs this process to be able to."""
        visitor = await self._visits.visitor(request)
        if visitor.user.role != OPERATOR:
            return self._not_an_operator()
        form = dict(await self._visits.form(request))
        if starts and self._training.obstacle is not None:
            return await self._page(visitor, status=409)
        return await act(visitor, form)

    def _not_an_operator(self) -> Response:
        return self._visits.refused(403, "For operators only", NOT_FOR_TEACHERS)

    async def _begun(self, visitor: Visitor, job_id: int | None, what: str) -> Response:
        if job_id is None:
            return await self._page(visitor, problem=BUSY, status=409)
        logger.info("user %d has %s made by job %d", visitor.user.id, what, job_id)
        return see(views.TRAINING)

    async def _page(self, visitor: Visitor, *, problem: str = "", status: int = 200) -> Response:
        found = await asyncio.to_thread(self._training.runs.look)
        job = await self._training.latest()
        return self._visits.render(
            "training.html",
            status,
            user=visitor.user,
            token=visitor.token,
            address=views.TRAINING,
            operator=visitor.user.role == OPERATOR,
            obstacle=self._training.obstacle,
            problem=problem,
            work=work(job, stopping=self._training.stopping) if job is not None else None,
            runs=found.runs,
            datasets=found.datasets,
            adapters=found.adapters,
            subjects=subjects(found.datasets),
            newest=_newest(found.adapters, visitor.user.name),
            states=STATES,
            few=FEW,
            every=EVERY,
        )


def _newest(adapters: Sequence[Adapter], name: str) -> str:
    """The command that promotes the newest adapter; "" when it is in use, or there is none."""
    return promotion(adapters[0].card.id, name) if adapters and not adapters[0].in_use else ""
