"""Judges a run by its dev loss: which weights are the best so far, whether it overfits, and when to stop."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(slots=True)
class Judge:
    """Losses in nats a token. `patience` evaluations in a row without a better one end the run; 0: never."""

    patience: int
    best_loss: float = math.inf
    best_step: int = 0
    waited: int = 0
    summed: float = 0.0  # training losses since the last evaluation
    counted: int = 0
    before: float = math.inf  # the mean training loss up to the last evaluation

    def learned(self, loss: float) -> None:
        """One more step, with its training loss."""
        self.summed += loss
        self.counted += 1

    @property
    def train_loss(self) -> float | None:
        """The mean since the last evaluation; None where there was no step."""
        return self.summed / self.counted if self.counted else None

    def judge(self, step: int, dev_loss: float) -> tuple[bool, bool]:
        """Whether this is the best so far, and whether the run overfits: dev loss up, training loss down."""
        train_loss = self.train_loss if self.train_loss is not None else math.inf
        best = dev_loss < self.best_loss
        overfitting = not best and train_loss < self.before
        if best:
            self.best_loss, self.best_step, self.waited = dev_loss, step, 0
        else:
            self.waited += 1
        self.before, self.summed, self.counted = train_loss, 0.0, 0
        return best, overfitting

    @property
    def stops(self) -> bool:
        return bool(self.patience) and self.waited >= self.patience
