"""Whether what was trained may replace what is in use: no held-out set may come out worse by more than chance."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

CHANCE = 0.05  # how likely the losses must be by chance alone for a set to pass
CHANCE_OF_DISTRESS = 0.2  # the same for children in distress: there a doubt suffices to keep what is in use


@dataclass(frozen=True, slots=True)
class Compared:
    """One set with both. `lost` came out right before and wrong after, `gained` the other way round."""

    name: str
    n: int
    before: float
    after: float
    lost: int
    gained: int
    passed: bool

    def named(self) -> dict[str, Any]:
        return {key: round(value, 4) if isinstance(value, float) else value for key, value in asdict(self).items()}


def compare(name: str, before: Sequence[bool], after: Sequence[bool], chance: float = CHANCE) -> Compared:
    """One set, message by message: the exact test of McNemar (1947), one-sided.

    Raises ValueError for none, or for two lists that are not of the same messages.
    """
    if not before or len(before) != len(after):
        raise ValueError(f"{name}: {len(before)} messages before and {len(after)} after; they must be the same ones")
    lost = sum(old and not new for old, new in zip(before, after, strict=True))
    gained = sum(new and not old for old, new in zip(before, after, strict=True))
    n = len(before)
    passed = _at_least(lost, lost + gained) > chance
    return Compared(name, n, sum(before) / n, sum(after) / n, lost, gained, passed)


def compare_all(
    sets: Iterable[tuple[str, float, Callable[[Any], bool | None]]], before: Sequence[Any], after: Sequence[Any]
) -> list[Compared]:
    """Each set as its name, its chance, and what tells whether a message came out right (None: not of this set)."""
    made = []
    for name, chance, right in sets:
        pairs = [
            (old, new)
            for old, new in zip(map(right, before), map(right, after), strict=True)
            if old is not None and new is not None
        ]
        if pairs:
            made.append(compare(name, [old for old, _ in pairs], [new for _, new in pairs], chance))
    return made


def _at_least(lost: int, changed: int) -> float:
    """How likely so many losses or more are among the messages that changed, where each is a coin's throw."""
    return math.fsum(math.comb(changed, k) / 2**changed for k in range(lost, changed + 1))
