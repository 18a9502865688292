"""A logistic regression over a few named measures: applied here, fitted by the training package."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, ClassVar, Self

import numpy as np


@dataclass(frozen=True, slots=True)
class Logistic:
    """`means` and `scales` standardise each measure. Raises ValueError when fitted for other measures than TAKES."""

    TAKES: ClassVar[tuple[str, ...]] = ()

    measures: tuple[str, ...]
    means: tuple[float, ...]
    scales: tuple[float, ...]
    weights: tuple[float, ...]
    bias: float

    def __post_init__(self) -> None:
        lengths = {len(self.means), len(self.scales), len(self.weights)}
        if self.measures != self.TAKES or lengths != {len(self.TAKES)}:
            raise ValueError("fitted for other measures than this version takes; fit it again")

    @classmethod
    def unfitted(cls, **more: Any) -> Self:
        """Makes one half of whatever is measured."""
        n = len(cls.TAKES)
        return cls(cls.TAKES, (0.0,) * n, (1.0,) * n, (0.0,) * n, bias=0.0, **more)

    @classmethod
    def named(cls, values: dict[str, Any]) -> Self:
        """From what `as_named` gives, read back from JSON. Raises ValueError for what another version fitted."""
        try:
            given: dict[str, Any] = {name: tuple(v) if isinstance(v, list) else v for name, v in values.items()}
            return cls(**given)
        except (TypeError, AttributeError) as error:
            raise ValueError("no fitted score") from error

    def as_named(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)

    def score(self, measures: Sequence[float]) -> float:
        """From 0 to 1."""
        standard = (np.asarray(measures) - self.means) / self.scales
        return float(1.0 / (1.0 + np.exp(-(standard @ np.asarray(self.weights) + self.bias))))
