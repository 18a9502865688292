"""What kind of message a text is, by the letters it is written with: a linear model over hashed n-grams.

An encoder that was taught English knows little of "mujhe jeene ka mann nhi krta", nor of the spellings that children
invent. Runs of two to five letters do: much of "krta", "karta" and "kartaa" is the same. Each run is hashed to a place
(Weinberger and others, 2009) and counted once, by how rare it is (tf-idf without the tf); one weight a place and group.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inference.errors import ModerationRefused

NGRAMS = "ngrams.safetensors"
PLACES = 1 << 17
SHORTEST, LONGEST = 2, 5  # letters in a run
READ = 4_000  # letters of a text that are read: the first half of them from its beginning, the others from its end

Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class NgramModel:
    """`rarity`: shape (PLACES,), the idf of each place; `weight`: (PLACES, groups), `bias`: (groups,)."""

    rarity: Floats
    weight: Floats
    bias: Floats

    @classmethod
    def load(cls, path: Path) -> NgramModel:
        """Raises ModerationRefused when the file is missing or malformed."""
        from safetensors import SafetensorError
        from safetensors.numpy import load_file

        try:
            found = {name: values.astype(np.float32) for name, values in load_file(path).items()}
            made = cls(found["rarity"], found["weight"], found["bias"])
        except (OSError, ValueError, KeyError, SafetensorError) as error:
            raise ModerationRefused(f"{path}: no weights of n-grams ({error})") from error
        if made.rarity.shape != (PLACES,) or made.weight.shape != (PLACES, *made.bias.shape):
            raise ModerationRefused(f"{path}: the weights have the wrong shape; train the classifier anew")
        return made

    def save(self, path: Path) -> None:
        from safetensors.numpy import save_file

        halves: dict[str, Any] = {name: getattr(self, name).astype(np.float16) for name in ("rarity", "weight")}
        save_file({**halves, "bias": self.bias.astype(np.float32)}, path)

    def logits(self, texts: Sequence[str]) -> Floats:
        """Shape (n, groups)."""
        return np.stack([self._one(text) for text in texts]) if texts else np.zeros((0, len(self.bias)), np.float32)

    def _one(self, text: str) -> Floats:
        found = places(text)
        rarity = self.rarity[found]
        length = float(np.sqrt(rarity @ rarity)) or 1.0
        return np.asarray(self.bias + (rarity / length) @ self.weight[found], dtype=np.float32)


def places(text: str) -> NDArray[np.int64]:
    """Where the runs of a text's letters are counted, each place once, in ascending order."""
    hashed = {zlib.crc32(run.encode("utf-8", "replace")) % PLACES for run in _runs(_cut(text.lower()))}
    return np.array(sorted(hashed), dtype=np.int64)


def _cut(text: str) -> str:
    half = READ // 2
    return text if len(text) <= READ else f"{text[:half]} {text[-half:]}"


def _runs(text: str) -> Iterator[str]:
    """Of each word with a space before and after it; and each word with the next."""
    words = text.split()
    yield from (f"{word} {following}" for word, following in pairwise(words))
    for word in words:
        padded = f" {word} "
        for length in range(SHORTEST, LONGEST + 1):
            yield from (padded[start : start + length] for start in range(max(1, len(padded) - length + 1)))
