"""The arguments of a run of `training.classifiers.safety`, apart from what needs torch."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class SafetyArguments:
    """A run.

    `repeat` is how often a message of this repository is seen for each time one of a corpus is, in other forms each
    time (`safety_variants.py`); `spelling` is how much the letters count beside the meaning; `dropout` is the
    share of tokens that are left out of a message.
    """

    output: Path
    encoder: str
    rank: int = 16
    alpha: int = 32
    dropout: float = 0.1
    learning_rate: float = 6e-4
    head_learning_rate: float = 3e-3
    epochs: int = 2
    batch: int = 32
    warmup: float = 0.06
    smoothing: float = 0.05
    repeat: int = 2
    window: int = 96
    windows: int = 4
    spelling: float = 1.0
    threads: int = 2
    seed: int = 7
