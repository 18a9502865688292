"""The state of an unfinished run on disk, replaced in one step so that a kill leaves the old one or the new one."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch

from inference.files import flush
from training.errors import TrainingError

NAME = "checkpoint.pt"


@dataclass(slots=True)
class Checkpoint:
    """Where a run stands. `fingerprint` says of which run; `seconds` were spent so far, over all attempts.

    `model` and `optimizer` have the names of the parameters as keys, and are whole, however many processes made them.
    """

    fingerprint: str
    step: int
    seconds: float
    precision: str
    compiled: bool
    model: Mapping[str, Any]
    optimizer: Mapping[str, Any]

    def save(self, folder: Path) -> None:
        """Raises TrainingError where it cannot be written; the last one is still there then."""
        unfinished = folder / f"{NAME}.part"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with unfinished.open("wb") as file:
                torch.save({name: getattr(self, name) for name in self.__slots__}, file)
                file.flush()
                os.fsync(file.fileno())
            unfinished.replace(folder / NAME)
            flush(folder)
        except (OSError, RuntimeError) as error:  # torch makes a RuntimeError of a full disk
            unfinished.unlink(missing_ok=True)
            raise TrainingError(
                f"{folder}: no checkpoint can be written ({error}); make room and give the same command again: it goes "
                "on from the last one"
            ) from error

    @classmethod
    def load(cls, folder: Path, expected: str) -> Checkpoint | None:
        """The checkpoint in `folder`, None where there is none. Raises TrainingError when it is another run's."""
        path = folder / NAME
        if not path.is_file():
            return None
        try:
            found = cls(**torch.load(path, map_location="cpu", weights_only=True))
        except (OSError, RuntimeError, TypeError, ValueError, LookupError, EOFError, UnpicklingError) as error:
            raise TrainingError(f"{path} cannot be read ({error}); remove it to begin the run anew") from error
        if found.fingerprint != expected:
            raise TrainingError(
                f"{path} belongs to a run with other arguments or other data; remove it to start anew, "
                "or name another work folder"
            )
        return found


def fingerprint(arguments: Mapping[str, object], text: str) -> str:
    """Identifies a run by its arguments and by `text`, which identifies the plain text that it reads."""
    return hashlib.sha256(json.dumps([arguments, text], sort_keys=True, default=str).encode()).hexdigest()
