"""Questions that are known, and which of them a new one means: what verified answers and the cache both ask."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Hashable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Generic, TypeVar

from rag.same.compare import LEAST_CONSONANTS, Met, compare
from rag.same.forms import consonants
from rag.same.reading import Asked, Reader

LEAST_SHARED = 0.5  # of the words of the shorter question; with fewer in common no two are the same
# Before the first letters of a word, a clue by which mistyped words are looked for: of every word, of an unknown one.
SLIP, SLIPPED = "^", "?"
LETTERS = 2
CONSONANTS = "%"  # before a clue of consonants alone

K = TypeVar("K", bound=Hashable)


@dataclass(frozen=True, slots=True)
class Threshold:
    """The score from which two questions are the same, fitted by `sahpathi evaluate same --fit`."""

    least: float

    def __post_init__(self) -> None:
        if not 0.0 < self.least <= 1.0:
            raise ValueError("the threshold lies between 0 and 1; fit it anew with `sahpathi evaluate same --fit`")

    def dumps(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def load(cls, path: Path) -> Threshold:
        """Raises OSError, and ValueError for a file that holds something else."""
        try:
            return cls(**json.loads(path.read_text(encoding="utf-8")))
        except TypeError as error:
            raise ValueError(f"{path} holds no threshold; fit one with `sahpathi evaluate same --fit`") from error


class Known(Generic[K]):
    """Questions by a key of the caller's. Finding one costs a few comparisons, however many there are."""

    def __init__(self, reader: Reader, threshold: Threshold) -> None:
        self._apart: Mapping[str, frozenset[str]] = reader.apart
        self._least = threshold.least
        self._asked: dict[K, Asked] = {}
        self._by_clue: dict[str, set[K]] = {}

    def __len__(self) -> int:
        return len(self._asked)

    def __contains__(self, key: K) -> bool:
        return key in self._asked

    def put(self, key: K, asked: Asked) -> None:
        """Keep a question; one that leans on an earlier one is never found."""
        self.drop(key)
        self._asked[key] = asked
        for clue in _clues(asked):
            self._by_clue.setdefault(clue, set()).add(key)

    def drop(self, key: K) -> None:
        """Forget a question; nothing happens where it is not known."""
        asked = self._asked.pop(key, None)
        for clue in _clues(asked) if asked else ():
            held = self._by_clue[clue]
            held.discard(key)
            if not held:
                del self._by_clue[clue]

    def clear(self) -> None:
        self._asked.clear()
        self._by_clue.clear()

    def same(self, asked: Asked) -> list[tuple[K, float]]:
        """The known questions that mean the same, each with its score, the best first."""
        found: list[tuple[K, float]] = []
        for key in self._candidates(asked) if asked.alone else ():
            compared = compare(asked, self._asked[key], self._apart)
            if isinstance(compared, Met) and compared.score >= self._least:
                found.append((key, compared.score))
        return sorted(found, key=lambda one: -one[1])

    def _candidates(self, asked: Asked) -> list[K]:
        """Those that share half of what they are about: words, their sound or first letters, formulas, numbers."""
        shared: Counter[K] = Counter()
        for word in asked.words:
            slip = (SLIPPED if word.known else SLIP) + word.said[:LETTERS]
            clues = [*word.forms, *_sounds(word.said), slip]
            shared.update({key for clue in clues for key in self._by_clue.get(clue, ())})
        for clue in (*asked.quantities.formulas, *asked.quantities.numbers):
            shared.update(self._by_clue.get(clue, ()))
        measured = len(asked.quantities.formulas) + len(asked.quantities.numbers)
        return [
            key
            for key, count in shared.items()
            if count >= math.ceil(LEAST_SHARED * (min(len(asked.words), len(self._asked[key].words)) + measured))
        ]


def _clues(asked: Asked) -> frozenset[str]:
    found = {*asked.quantities.formulas, *asked.quantities.numbers}
    for word in asked.words:
        found.update(word.forms, _sounds(word.said))
        found.update(kind + word.said[:LETTERS] for kind in ((SLIP,) if word.known else (SLIP, SLIPPED)))
    return frozenset(found)


def _sounds(said: str) -> list[str]:
    heard = consonants(said)
    return [CONSONANTS + heard] if len(heard) >= LEAST_CONSONANTS else []
