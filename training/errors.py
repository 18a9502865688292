"""What can go wrong while models and adapters are made, at a glance. Every message says what to do about it.

TrainingError
├── DatasetError      lines of a training file that cannot be read, each named by file and line number
├── RecipeError       arguments that contradict each other, or a recipe file with an unknown or malformed key
├── CorpusError       there is no text to train on where the arguments say
└── ExportError       a model cannot be written in a format, or what was written does not answer as it does
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

SHOWN = 20  # bad lines listed in one message; the count tells of the rest


class TrainingError(Exception):
    """The root of every exception this package raises on purpose."""


class RecipeError(TrainingError):
    """Arguments that cannot be run as they stand."""


class CorpusError(TrainingError):
    """There is no text to train on at the given place."""


class ExportError(TrainingError):
    """The model cannot be written in this format or to this place, or what was written does not answer as it does."""


@dataclass(frozen=True, slots=True)
class BadLine:
    """One line of a dataset that cannot be used. `line` counts from 1; 0 means the whole file."""

    path: Path | str
    line: int
    why: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.why}" if self.line else f"{self.path}: {self.why}"


class DatasetError(TrainingError):
    """Lines that cannot be read. All of them are in `bad`; the message lists the first twenty."""

    def __init__(self, bad: Sequence[BadLine]) -> None:
        self.bad = tuple(bad)
        more = [f"... and {len(bad) - SHOWN} more"] if len(bad) > SHOWN else []
        lines = "\n".join(["  " + str(line) for line in bad[:SHOWN]] + more)
        count = "1 line" if len(bad) == 1 else f"{len(bad)} lines"
        super().__init__(f"{count} of the training data cannot be used; correct or remove:\n{lines}")
