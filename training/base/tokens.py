"""A run of tokens that lies in several files, read through memory maps: only what is asked for is in memory."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import Any, overload

import numpy as np


@dataclass(frozen=True, slots=True)
class Stretch:
    """`count` tokens of a file from token `first` on. `dtype` is "uint16" or "uint32", little-endian."""

    path: Path
    dtype: str
    first: int
    count: int

    def map(self) -> Any:
        """The tokens as an array of shape (count,) that is read from disk where it is touched."""
        if not self.count:  # nothing cannot be mapped
            return np.empty(0, self.dtype)
        kind = np.dtype(self.dtype).newbyteorder("<")
        return np.memmap(self.path, kind, mode="r", offset=self.first * kind.itemsize, shape=(self.count,))


class Tokens(Sequence[int]):
    """Stretches one after the other. A slice is a list. Pickled, it is the names of its files."""

    def __init__(self, stretches: Sequence[Stretch]) -> None:
        self._stretches = tuple(stretches)
        self._maps = [stretch.map() for stretch in self._stretches]
        self._ends = list(accumulate(stretch.count for stretch in self._stretches))

    def __reduce__(self) -> tuple[type[Tokens], tuple[tuple[Stretch, ...]]]:
        return Tokens, (self._stretches,)

    def __len__(self) -> int:
        return self._ends[-1] if self._ends else 0

    @overload
    def __getitem__(self, at: int) -> int: ...

    @overload
    def __getitem__(self, at: slice) -> list[int]: ...

    def __getitem__(self, at: int | slice) -> int | list[int]:
        if isinstance(at, slice):
            start, stop, step = at.indices(len(self))
            return self._between(start, stop)[::step] if step > 0 else [self[n] for n in range(start, stop, step)]
        index = range(len(self))[at]  # an IndexError where there is none
        return self._between(index, index + 1)[0]

    def _between(self, start: int, stop: int) -> list[int]:
        found: list[int] = []
        at = bisect_right(self._ends, start)
        while start < stop:
            offset = self._ends[at] - len(self._maps[at])
            piece = self._maps[at][start - offset : stop - offset]
            found += piece.tolist()
            start += len(piece)
            at += 1
        return found
