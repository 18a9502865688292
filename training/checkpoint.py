"""The state of an unfinished run on disk, replaced in one step so that a kill leaves the old one or the new one."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from training.errors import TrainingError

NAME = "checkpoint.pt"


@dataclass(slots=True)
class Checkpoint:
    """Where a run stands. `fingerprint` says of which run; `seconds` were spent so far, over all attempts."""

    fingerprint: str
    step: int
    seconds: float
    precision: str
    model: Mapping[str, Any]
    optimizer: Mapping[str, Any]

    def save(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        unfinished = folder / f"{NAME}.part"
        torch.save({name: getattr(self, name) for name in self.__slots__}, unfinished)
        unfinished.replace(folder / NAME)

    @classmethod
    def load(cls, folder: Path, expected: str) -> Checkpoint | None:
        """The checkpoint in `folder`, None where there is none. Raises TrainingError when it is another run's."""
        path = folder / NAME
        if not path.is_file():
            return None
        found = cls(**torch.load(path, map_location="cpu", weights_only=True))
        if found.fingerprint != expected:
            raise TrainingError(
                f"{path} belongs to a run with other arguments or other data; remove it to start anew, "
                "or name another work folder"
            )
        return found


def fingerprint(arguments: Mapping[str, object], tokens: Sequence[int]) -> str:
    """Identifies a run by its arguments and the tokens it reads."""
    digest = hashlib.sha256(json.dumps(arguments, sort_keys=True, default=str).encode())
    digest.update(",".join(map(str, tokens)).encode() if len(tokens) < 1_000_000 else str(len(tokens)).encode())
    return digest.hexdigest()
