"""How sure a mean or a difference is: the bootstrap (Efron, 1979), percentile intervals of 95%.

Two models that answer the same questions are compared question by question: what is resampled are the differences, so
that questions which are hard for both count for neither.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

RESAMPLES = 10_000
LEVEL = 0.95
_CHUNK = 500  # resamples held in memory at a time


@dataclass(frozen=True, slots=True)
class Interval:
    """A mean, and where it lies in 95 of 100 resamples."""

    mean: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.mean:.3f} [{self.low:.3f}, {self.high:.3f}]"

    @property
    def worse(self) -> bool:
        """Of a difference: below zero by more than chance."""
        return self.high < 0.0

    @property
    def better(self) -> bool:
        """Of a difference: above zero by more than chance."""
        return self.low > 0.0


def mean(values: Sequence[float], *, resamples: int = RESAMPLES, seed: int = 0) -> Interval:
    """The mean of `values` with its interval. Raises ValueError for none."""
    if not len(values):
        raise ValueError("there is nothing to take the mean of")
    held = np.asarray(values, dtype=np.float64)
    rng = np.random.default_rng(seed)
    means = [
        held[rng.integers(0, len(held), (min(_CHUNK, resamples - done), len(held)))].mean(axis=1)
        for done in range(0, resamples, _CHUNK)
    ]
    return _interval(float(held.mean()), np.concatenate(means))


def paired(before: Sequence[float], after: Sequence[float], *, resamples: int = RESAMPLES, seed: int = 0) -> Interval:
    """The mean of `after` minus `before`, both of the same questions in the same order.

    Raises ValueError when they are not equally many, or none.
    """
    if len(before) != len(after):
        raise ValueError(f"{len(before)} values before and {len(after)} after; they must be of the same questions")
    differences = [new - old for old, new in zip(before, after, strict=True)]
    return mean(differences, resamples=resamples, seed=seed)


def shares(
    before: Sequence[tuple[int, int]],
    after: Sequence[tuple[int, int]],
    *,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Interval:
    """The difference of two shares, `after` minus `before`, each of groups of its own: (hits, tries) a group.

    Whole groups are resampled: thumbs of one conversation are much alike. Raises ValueError for a side without tries.
    """
    sides = [np.asarray(side, dtype=np.float64).reshape(-1, 2) for side in (before, after)]
    sides = [side[side[:, 1] > 0] for side in sides]
    if not all(len(side) for side in sides):
        raise ValueError("one of the two sides has nothing to take a share of")
    rng = np.random.default_rng(seed)
    drawn = []
    for side in sides:
        sums = [side[rng.integers(0, len(side), len(side))].sum(axis=0) for _ in range(resamples)]
        table = np.stack(sums)
        drawn.append(table[:, 0] / table[:, 1])
    old, new = (float(side[:, 0].sum() / side[:, 1].sum()) for side in sides)
    return _interval(new - old, drawn[1] - drawn[0])


def _interval(value: float, resampled: np.ndarray) -> Interval:
    tail = (1.0 - LEVEL) / 2.0
    low, high = np.quantile(resampled, [tail, 1.0 - tail])
    return Interval(value, float(low), float(high))
