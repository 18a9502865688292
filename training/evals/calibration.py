"""Whether confidence means what it says: of answers given with 0.7, seven in ten should be right."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

BINS = 10


@dataclass(frozen=True, slots=True)
class Bin:
    """Answers whose confidence lies in [low, high), the last one's also at 1: a point of the reliability plot."""

    low: float
    high: float
    n: int
    confidence: float  # their mean; 0 where there are none
    right: float  # the share of them that is right; 0 where there are none


@dataclass(frozen=True, slots=True)
class Calibration:
    """`ece` is the expected calibration error (Naeini et al., 2015): the mean gap of the bins, weighted by size."""

    n: int
    ece: float
    bins: tuple[Bin, ...]

    def named(self) -> dict[str, Any]:
        return {"n": self.n, "ece": round(self.ece, 4), "bins": [asdict(one) for one in self.bins]}


def calibration(confidences: Sequence[float], right: Sequence[bool], bins: int = BINS) -> Calibration:
    """Of answers, each with its confidence (0..1) and whether it is right. Raises ValueError for none."""
    if not confidences or len(confidences) != len(right):
        raise ValueError(f"{len(confidences)} confidences of {len(right)} answers; they must be the same, and some")
    held: list[list[tuple[float, bool]]] = [[] for _ in range(bins)]
    for confidence, good in zip(confidences, right, strict=True):
        if not 0.0 <= confidence <= 1.0:
            raise ValueError(f"a confidence lies in 0..1, got {confidence}")
        held[min(int(confidence * bins), bins - 1)].append((confidence, good))
    made = tuple(_bin(place / bins, (place + 1) / bins, answers) for place, answers in enumerate(held))
    total = len(confidences)
    return Calibration(total, sum(one.n * abs(one.confidence - one.right) for one in made) / total, made)


def _bin(low: float, high: float, answers: Sequence[tuple[float, bool]]) -> Bin:
    n = len(answers)
    if not n:
        return Bin(low, high, 0, 0.0, 0.0)
    return Bin(low, high, n, sum(sure for sure, _ in answers) / n, sum(good for _, good in answers) / n)
