"""What training has left in the home folder, as the dashboard shows it: runs, datasets and adapters.

The service never imports the training package. Of its records (training/records/record.py) and of its datasets' cards
(training/pairs/dataset.py) the few keys that are shown are read, and what is not understood is passed over.
"""

from __future__ import annotations

import fcntl
import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

from inference.adapters import AdapterCard, Shelf
from inference.files import Stamp, stamp

RECORD, REPORT, CARD = "run.jsonl", "report.html", "card.json"
RUNNING, COMPLETE, EARLY, INTERRUPTED = "running", "complete", "early", "interrupted"
SHOWN = 20  # of each kind, the newest first

_RUN = re.compile(r"\d{8}T\d{6}Z-[a-z0-9_-]+")  # also what keeps "../.." out of a path
_DATASET = re.compile(r"[0-9a-f]{12}")
_TAIL = 1 << 18  # bytes at the end of a record in which its newest line is looked for; a line is a few kilobytes


@dataclass(frozen=True, slots=True)
class Figures:
    """What the events of a run tell, so far. Losses are in nats a token, `seconds_left` is an estimate.

    `began` is ISO 8601; `base_loss` the base model's dev loss, `dev_loss` the best one since; `stopped` is "" for a run
    without an end, else "complete", "early", "interrupted" or "failed", and `why` a line on it.
    """

    began: str = ""
    subject: str = ""
    step: int = 0
    steps: int = 0
    loss: float | None = None
    base_loss: float | None = None
    dev_loss: float | None = None
    seconds_left: float | None = None
    adapter: str = ""
    stopped: str = ""
    why: str = ""

    @classmethod
    def of(cls, row: Mapping[str, Any]) -> Self:
        """From what `asdict` gave, and a table kept."""
        return cls(**{one.name: row[one.name] for one in fields(cls) if one.name in row})

    def after(self, line: str) -> Figures:
        """With one more line of the record; as they are when it is no event, or none that is shown."""
        try:
            row = json.loads(line)
        except ValueError:
            return self
        if not isinstance(row, dict):
            return self
        match row.get("event"):
            case "started":
                return Figures(_text(row, "at"), _text(row, "subject"), steps=_whole(row, "steps"))
            case "resumed":
                return replace(self, step=_whole(row, "step"), adapter="", stopped="", why="", seconds_left=None)
            case "step":
                loss, left = _number(row, "loss"), _number(row, "seconds_left")
                return replace(self, step=_whole(row, "step"), steps=_whole(row, "steps"), loss=loss, seconds_left=left)
            case "evaluation":
                return self._evaluated(row)
            case "finished":
                adapter, stopped, why = (_text(row, name) for name in ("adapter", "stopped", "why"))
                return replace(self, seconds_left=None, adapter=adapter, stopped=stopped, why=why)
        return self

    def _evaluated(self, row: Mapping[str, Any]) -> Figures:
        loss = _number(row, "dev_loss")
        if row.get("step") == 0:
            return replace(self, base_loss=loss)
        known = [one for one in (loss, self.dev_loss) if one is not None]
        return replace(self, dev_loss=min(known, default=None))


@dataclass(frozen=True, slots=True)
class Run:
    """One run. `state`: running, complete, early, interrupted or failed; `has_report`: its report was drawn."""

    name: str
    state: str
    figures: Figures
    has_report: bool

    @property
    def began(self) -> datetime | None:
        return _moment(self.figures.began)


@dataclass(frozen=True, slots=True)
class Dataset:
    """What the card of a dataset says. `splits` and `subjects` count examples."""

    id: str
    name: str
    created: datetime | None
    examples: int
    splits: Mapping[str, int]
    subjects: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Adapter:
    """An adapter, and whether it answers its subject now."""

    card: AdapterCard
    in_use: bool

    @property
    def created(self) -> datetime | None:
        return _moment(self.card.created)


@dataclass(frozen=True, slots=True)
class Found:
    """Everything there is, the newest first."""

    runs: Sequence[Run]
    datasets: Sequence[Dataset]
    adapters: Sequence[Adapter]


class TrainingRuns:
    """Reads a home folder. What it read of a run is kept until the record changes; may be used from any thread."""

    def __init__(self, home: Path, shelf: Shelf) -> None:
        self._runs, self._datasets, self._shelf = home / "runs", home / "datasets", shelf
        self._read: dict[str, tuple[Stamp, Figures]] = {}

    def look(self) -> Found:
        """The newest of each kind. What cannot be read is left out."""
        names = sorted((path.parent.name for path in self._runs.glob(f"*/{RECORD}")), reverse=True)
        runs = [run for name in names[:SHOWN] if (run := self._run(name)) is not None]
        return Found(runs, self.datasets()[:SHOWN], self._adapters()[:SHOWN])

    def datasets(self) -> list[Dataset]:
        """Every dataset, the newest first."""
        folders = [path for path in self._datasets.glob("*") if _DATASET.fullmatch(path.name)]
        found = [one for folder in folders if (one := _dataset(folder)) is not None]
        return sorted(found, key=lambda one: (one.created or datetime.min.replace(tzinfo=UTC), one.id), reverse=True)

    def report(self, name: str) -> Path | None:
        """The page of a run's report by the run's name; None when there is none."""
        if not _RUN.fullmatch(name):
            return None
        path = self._runs / name / REPORT
        inside = path.resolve().is_relative_to(self._runs.resolve())
        return path if inside and path.is_file() else None

    def recording(self, line: str) -> str:
        """The name of the run in whose record this line stands; "" when there is none."""
        wanted = line.strip().encode() + b"\n"
        records = [(path, path.stat().st_mtime_ns) for path in self._runs.glob(f"*/{RECORD}")]
        for path, _ in sorted(records, key=lambda one: one[1], reverse=True):
            with path.open("rb") as file:
                file.seek(max(0, path.stat().st_size - _TAIL))
                if wanted in file.read():
                    return path.parent.name
        return ""

    def figures(self, name: str) -> Figures:
        """What the record of a run tells. Raises OSError when there is none."""
        path = self._runs / name / RECORD
        now = stamp(path)
        before = self._read.get(name)
        if before is not None and before[0] == now:
            return before[1]
        figures = Figures()
        with path.open(encoding="utf-8", errors="replace") as file:
            for line in file:
                figures = figures.after(line)
        self._read[name] = now, figures
        return figures

    def _run(self, name: str) -> Run | None:
        folder = self._runs / name
        held = _is_held(folder / RECORD)  # before it is read: a run that then has no end, and is not held, gets none
        try:
            figures = self.figures(name)
        except OSError:
            return None
        if not figures.began:
            return None
        state = figures.stopped or (RUNNING if held else INTERRUPTED)
        return Run(name, state, figures, self.report(name) is not None)

    def _adapters(self) -> list[Adapter]:
        cards = self._shelf.list()
        current = {subject: self._shelf.current(subject) for subject in {card.subject for card in cards}}
        used = {card.id for card in current.values() if card is not None}
        return [Adapter(card, card.id in used) for card in cards]


def figures_as_row(figures: Figures, run: str) -> dict[str, Any]:
    """For a table: the figures, and the name of their run."""
    return asdict(figures) | {"run": run}


def _dataset(folder: Path) -> Dataset | None:
    try:
        row = json.loads((folder / CARD).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    if not isinstance(row, dict):
        return None
    counts = row.get("counts")
    splits, subjects = (_counts(counts, name) for name in ("split", "subject"))
    created = _moment(_text(row, "created"))
    return Dataset(folder.name, _text(row, "name"), created, _whole(row, "examples"), splits, subjects)


def _is_held(record: Path) -> bool:
    """Whether a process is at the run: it has the record locked (training.records.record.Record)."""
    try:
        with record.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


def _text(row: Mapping[str, Any], name: str) -> str:
    value = row.get(name)
    return value if isinstance(value, str) else ""


def _whole(row: Mapping[str, Any], name: str) -> int:
    value = row.get(name)
    return value if isinstance(value, int) else 0


def _number(row: Mapping[str, Any], name: str) -> float | None:
    """None also for what is not a number: a database's JSON holds no NaN."""
    value = row.get(name)
    return float(value) if isinstance(value, int | float) and math.isfinite(value) else None


def _counts(counts: object, name: str) -> dict[str, int]:
    found = counts.get(name) if isinstance(counts, dict) else None
    if not isinstance(found, dict):
        return {}
    return {str(key): value for key, value in found.items() if isinstance(value, int)}


def _moment(text: str) -> datetime | None:
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        return None
    return at if at.tzinfo is not None else at.replace(tzinfo=UTC)
