"""What a training run writes down as it goes: one JSON line an event, in the `run.jsonl` of its folder.

    {"event": "started", "at": ..., "method": "sft", "arguments": {...}, "hardware": {...}, "data": {...}, ...}
    {"event": "evaluation", "step": 0, "dev_loss": ..., "perplexity": ..., "samples": [...], ...}
    {"event": "step", "step": 1, "steps": 400, "loss": ..., "tokens_per_second": ..., "seconds_left": ..., ...}
    {"event": "finished", "at": ..., "seconds": ..., "peak_memory": ..., "scores": {...}, "stopped": "complete", ...}

A run that was killed and goes on appends "resumed" and repeats the steps since its checkpoint; `read` gives them once.
A report is drawn from such a file, and a process that follows a run reads the same lines from its standard output.
"""

from __future__ import annotations

import fcntl
import json
import os
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any, Self

from training.errors import TrainingError

RECORD = "run.jsonl"


@dataclass(frozen=True, slots=True)
class Started:
    """The first line. `at` is ISO 8601 in UTC, here and below.

    method:      "sft", "dpo" or "grpo"
    arguments:   as the adapter's card keeps them: no path of this machine
    hardware:    device, processor, cores, threads, memory (bytes), precision, attention, versions of the libraries
    data:        the data card: dataset_sha256; examples, conversations and tokens that are learned; longest (tokens);
                 dev and test (conversations held out); counts by subject, language, and kind or source
    fingerprint: sha256 of the arguments, the base model and the data: a run goes on only with the same
    """

    at: str
    method: str
    subject: str
    arguments: Mapping[str, Any]
    hardware: Mapping[str, Any]
    data: Mapping[str, Any]
    steps: int
    fingerprint: str


@dataclass(frozen=True, slots=True)
class Resumed:
    """A run that had been stopped goes on after `step`, its last checkpoint."""

    at: str
    step: int


@dataclass(frozen=True, slots=True)
class Step:
    """One optimiser step done. `loss` is of this step alone, and `learning_rate` as it was in it.

    Loss: of sft in nats a learned token; of dpo in nats a preference; of grpo the share of wrong answers.
    `tokens_per_second` counts every token read, the prompt's too and padding not; `seconds_left` is an estimate.
    """

    step: int
    steps: int
    loss: float
    tokens_per_second: float
    seconds_left: float
    learning_rate: float


@dataclass(frozen=True, slots=True)
class Sample:
    """What the model writes, greedily, to a held-out question. `wanted` is the answer of the data."""

    question: str
    answer: str
    wanted: str


@dataclass(frozen=True, slots=True)
class Evaluation:
    """The dev split at a step; step 0 is the model before any training. For what a loss is, see Step.

    `train_loss` is the mean since the last evaluation, None at step 0; `best` says that no evaluation so far was
    better; `overfitting` that the dev loss rises while the training loss falls. `perplexity` is None where the loss is
    none in nats. The same questions are asked each time.
    """

    step: int
    dev_loss: float
    perplexity: float | None
    train_loss: float | None
    best: bool
    overfitting: bool
    samples: tuple[Sample, ...]


@dataclass(frozen=True, slots=True)
class Note:
    """Something the operator should know: a smaller batch after memory ran out, overfitting, a run ended early."""

    at: str
    step: int
    message: str


@dataclass(frozen=True, slots=True)
class Finished:
    """The last line of a run that ended by itself or by an error; a run that was killed has none.

    seconds:     of all attempts together; `peak_memory` in bytes: of the accelerator where there is one, else of the
                 process
    scores:      of the adapter's card; empty unless the run is complete
    stopped:     "complete", "early" (the dev loss no longer fell), "interrupted" (Ctrl-C) or "failed"
    why:         one line
    best_step:   the step whose weights the adapter has; None where there is no adapter
    adapter:     its id; None where there is none
    """

    at: str
    seconds: float
    peak_memory: int
    scores: Mapping[str, float]
    stopped: str
    why: str
    best_step: int | None = None
    adapter: str | None = None


Event = Started | Resumed | Step | Evaluation | Note | Finished
OnEvent = Callable[[Event], None]

_KINDS: dict[str, type[Event]] = {
    kind.__name__.lower(): kind for kind in (Started, Resumed, Step, Evaluation, Note, Finished)
}


def now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def to_line(event: Event) -> str:
    """One line of JSON, without its line break."""
    return json.dumps({"event": type(event).__name__.lower(), **asdict(event)}, ensure_ascii=False)


def from_line(line: str) -> Event:
    """The event of one line. Keys that are not known are passed over. Raises ValueError."""
    row = json.loads(line)
    if not isinstance(row, dict) or row.get("event") not in _KINDS:
        raise ValueError(f"not an event of a training run: {line[:80]!r}")
    kind = _KINDS[row["event"]]
    known: dict[str, Any] = {field.name: row[field.name] for field in fields(kind) if field.name in row}
    if kind is Evaluation:
        known["samples"] = tuple(Sample(**sample) for sample in known.get("samples", ()))
    try:
        return kind(**known)
    except TypeError as error:
        raise ValueError(f"an incomplete event ({error}): {line[:80]!r}") from error


def print_line(event: Event, stream: IO[str] | None = None) -> None:
    """Write an event for whoever follows this process: what `--progress json` prints on standard output."""
    stream = stream or sys.stdout
    stream.write(to_line(event) + "\n")
    stream.flush()


def read(path: Path) -> list[Event]:
    """The events of a run, in order, as if it had never been stopped: what was done twice is given once.

    `path` is a run's folder or its file. A last line that was cut short by a kill is passed over. Raises TrainingError.
    """
    path = path / RECORD if path.is_dir() else path
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").split("\n")
    except OSError as error:
        raise TrainingError(f"{path}: no record of a training run can be read there ({error.strerror})") from error
    return list(_folded(path, lines[:-1]))  # what follows the last line break is nothing, or half a line


def _folded(path: Path, lines: Iterable[str]) -> Iterable[Event]:
    events: list[Event] = []
    for number, line in enumerate(lines, start=1):
        try:
            event = from_line(line)
        except ValueError as error:
            raise TrainingError(f"{path}:{number}: {error}") from error
        if isinstance(event, Resumed):
            events = [kept for kept in events if not _repeated(kept, event.step)]
        events.append(event)
    return events


def _repeated(event: Event, since: int) -> bool:
    """Whether the event belongs to steps after `since`, which are done again, or ended an attempt that goes on."""
    return isinstance(event, Finished) or (isinstance(event, Step | Evaluation | Note) and event.step > since)


class Record:
    """The file of one run, open for writing, by one process at a time: a lock that ends with the process says so.

    Each event is in the file before `write` returns. Raises TrainingError when another process has it.
    """

    def __init__(self, folder: Path, on_event: OnEvent | None = None) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self._on_event = on_event
        self._file = (folder / RECORD).open("ab")
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self._file.close()
            raise TrainingError(f"{folder}: another process is at this very run; wait for it, or stop it") from None
        self._end_cut_line()

    def write(self, event: Event) -> None:
        """Append the event, then hand it to whoever listens."""
        self._file.write(to_line(event).encode() + b"\n")
        self._file.flush()
        if not isinstance(event, Step):  # a step lost to a power cut is done again; the others are worth a disk flush
            os.fsync(self._file.fileno())
        if self._on_event is not None:
            self._on_event(event)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def _end_cut_line(self) -> None:
        """Take away half a line that a kill left, so that the next event begins a line."""
        path = self.folder / RECORD
        written = path.read_bytes()
        whole = written.rfind(b"\n") + 1
        if whole < len(written):
            os.truncate(path, whole)
