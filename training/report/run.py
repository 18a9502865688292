"""A training run as its record tells it, and the runs of a folder."""

from __future__ import annotations

import fcntl
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

from training.errors import TrainingError
from training.records.record import RECORD, Evaluation, Event, Finished, Note, Resumed, Started, Step, read
from training.report.words import instant, moment

T = TypeVar("T")

RUNNING, COMPLETE, EARLY, INTERRUPTED, FAILED = "running", "complete", "early", "interrupted", "failed"


@dataclass(frozen=True, slots=True)
class Run:
    """What is known of a run. `held`: a process was at it; `written`: when its record was, in seconds since 1970."""

    folder: Path
    started: Started
    resumed: tuple[Resumed, ...]
    steps: tuple[Step, ...]
    evaluations: tuple[Evaluation, ...]
    notes: tuple[Note, ...]
    finished: Finished | None
    held: bool
    written: float

    @property
    def name(self) -> str:
        return self.folder.resolve().name

    @property
    def state(self) -> str:
        """running, complete, early, interrupted or failed. A run that was killed has no last line and no process."""
        if self.finished is not None:
            return self.finished.stopped
        return RUNNING if self.held else INTERRUPTED

    @property
    def why(self) -> str:
        """Why it ended, in a line; "" for a run that goes on."""
        if self.finished is not None:
            return self.finished.why
        if self.held:
            return ""
        last = datetime.fromtimestamp(self.written, UTC)
        return f"the process was killed after {moment(last)}; the same command goes on after its last checkpoint"

    @property
    def done(self) -> int:
        """Steps done."""
        return self.steps[-1].step if self.steps else 0

    @property
    def base(self) -> Evaluation | None:
        """The base model before any training."""
        first = self.evaluations[0] if self.evaluations else None
        return first if first is not None and first.step == 0 else None

    @property
    def best(self) -> Evaluation | None:
        """The evaluation of the weights that the adapter has, or that it would have if the run ended here."""
        if self.finished is not None and self.finished.best_step is not None:
            return next((one for one in self.evaluations if one.step == self.finished.best_step), None)
        return next((one for one in reversed(self.evaluations) if one.best), None)

    @property
    def trained(self) -> Evaluation | None:
        """The best evaluation after some training; where the base was never beaten, the last one."""
        if self.best is not None and self.best.step > 0:
            return self.best
        return next((one for one in reversed(self.evaluations) if one.step > 0), None)

    @property
    def overfitting(self) -> tuple[Evaluation, ...]:
        """The evaluations that found the dev loss rising while the training loss fell."""
        return tuple(one for one in self.evaluations if one.overfitting)

    @property
    def no_gain(self) -> bool:
        """Whether the best weights are no better on the dev split than the base model."""
        return self.base is not None and self.best is not None and self.best.dev_loss >= self.base.dev_loss

    @property
    def seconds(self) -> float | None:
        """Of all attempts together. Of a run without an end that was once stopped, nobody knows: None."""
        if self.finished is not None:
            return self.finished.seconds
        if self.resumed:
            return None
        return max(0.0, self.written - instant(self.started.at).timestamp())

    @property
    def seconds_left(self) -> float | None:
        """An estimate; None for a run that does not go on."""
        return self.steps[-1].seconds_left if self.state == RUNNING and self.steps else None

    @property
    def tokens_per_second(self) -> float | None:
        """Tokens read, prompts and all, in a second of training; evaluations not counted."""
        return self.steps[-1].tokens_per_second if self.steps else None

    @property
    def tokens_read(self) -> int | None:
        return self._of_all_epochs("tokens")

    @property
    def tokens_learned(self) -> int | None:
        return self._of_all_epochs("learned_tokens")

    def _of_all_epochs(self, key: str) -> int | None:
        """So many by now, every epoch counted; about, where one is not complete. None where the data does not say."""
        an_epoch, epochs = self.started.data.get(key), self.started.arguments.get("epochs")
        if not isinstance(an_epoch, int) or not isinstance(epochs, int) or not self.started.steps:
            return None
        return round(an_epoch * epochs * self.done / self.started.steps)


def read_run(folder: Path) -> Run:
    """The run that is recorded in `folder`. Raises TrainingError where none is."""
    held = is_held(folder)  # before it is read: what is then without an end, and held by nobody, stays without one
    events = read(folder)
    started = next((event for event in events if isinstance(event, Started)), None)
    if started is None:
        raise TrainingError(f"{folder / RECORD}: the run had not started when it was last written")
    finished = events[-1] if isinstance(events[-1], Finished) else None
    return Run(
        folder=folder,
        started=started,
        resumed=_of(Resumed, events),
        steps=_of(Step, events),
        evaluations=_of(Evaluation, events),
        notes=_of(Note, events),
        finished=finished,
        held=held,
        written=(folder / RECORD).stat().st_mtime,
    )


def is_held(folder: Path) -> bool:
    """Whether a process has the record of a run open for writing, see training.records.record.Record."""
    try:
        with (folder / RECORD).open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:  # there is none; whoever reads it says so
        return False
    return False


def folders(root: Path) -> list[Path]:
    """The folders of runs under `root` in the order of their names, which is that of their beginnings."""
    return sorted(path.parent for path in root.glob(f"*/{RECORD}") if path.stat().st_size)


def _of(kind: type[T], events: list[Event]) -> tuple[T, ...]:
    return tuple(event for event in events if isinstance(event, kind))
