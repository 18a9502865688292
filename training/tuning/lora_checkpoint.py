"""Where a run that trains an adapter stands, on disk: one folder a checkpoint, put in its place by one rename.

A kill at any moment leaves the last complete one. It holds `state.pt` (adapter, optimiser, schedule, random numbers,
the best adapter so far and its judge) and `trainer_state.json` (the trainer's own, which it reads by itself).
"""

from __future__ import annotations

import io
import os
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from training.errors import TrainingError

STATE = "state.pt"
TRAINER_STATE = "trainer_state.json"

_NAME = re.compile(r"checkpoint-(\d+)")


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """After `step` steps. `judge` is what a training.tuning.judge.Judge keeps; `seconds` are of all attempts so far."""

    step: int
    weights: Mapping[str, torch.Tensor]
    best: Mapping[str, torch.Tensor] | None
    judge: Mapping[str, Any]
    optimizer: Mapping[str, Any]
    scheduler: Mapping[str, Any]
    random: Mapping[str, torch.Tensor]
    accumulation: int
    seconds: float

    def save(self, folder: Path, trainer_state: str) -> None:
        """Put it into `folder`, and take older ones away. Raises OSError, and then the last one is still there."""
        unfinished = folder / f".checkpoint-{self.step}.part"
        shutil.rmtree(unfinished, ignore_errors=True)
        try:
            unfinished.mkdir(parents=True)
            _write(unfinished / TRAINER_STATE, trainer_state.encode())
            _write(unfinished / STATE, self._bytes())
            place = folder / f"checkpoint-{self.step}"
            shutil.rmtree(place, ignore_errors=True)
            unfinished.replace(place)
        except OSError:
            shutil.rmtree(unfinished, ignore_errors=True)
            raise
        for old in list(folder.glob("checkpoint-*")):
            if old != place:
                shutil.rmtree(old, ignore_errors=True)

    def _bytes(self) -> bytes:
        buffer = io.BytesIO()  # torch's own writing to a file turns a full disk into an obscure RuntimeError
        torch.save({name: getattr(self, name) for name in self.__slots__}, buffer)
        return buffer.getvalue()


def last(folder: Path) -> Path | None:
    """The newest complete checkpoint in `folder`."""
    return max((path for path in folder.glob("checkpoint-*") if _NAME.fullmatch(path.name)), key=step, default=None)


def step(checkpoint: Path) -> int:
    """The step after which it was made."""
    return int(checkpoint.name.rpartition("-")[2])


def load(path: Path) -> Checkpoint:
    """Raises TrainingError when it cannot be read."""
    try:
        return Checkpoint(**torch.load(path / STATE, map_location="cpu", weights_only=True))
    except (OSError, RuntimeError, TypeError, ValueError) as error:
        raise TrainingError(f"{path} cannot be read ({error}); remove it to begin the run anew") from error


def clear(folder: Path) -> None:
    """Remove every checkpoint, complete or not."""
    for path in [*folder.glob("checkpoint-*"), *folder.glob(".checkpoint-*")]:
        shutil.rmtree(path, ignore_errors=True)


def _write(path: Path, content: bytes) -> None:
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
