"""The vectors of an index, held in memory: what a question is compared with beyond what Chroma's search proposes.

Reading a few hundred of them from Chroma took 9 ms a question, a third of the retrieval; held as float16 those of the
shipped books take 16 MB, and those of 10,000 passages 68.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from rag.embed import Vectors
from rag.passage import Passage

OWN = "#"  # in a record's id, between its passage's id and the number of its sentence


class Records:
    """By passage: its own vector, and a vector a sentence that is the mean of the sentence's and the passage's."""

    def __init__(self, rows: Mapping[str, NDArray[np.intp]], vectors: NDArray[np.float16]) -> None:
        self._rows = rows
        self._vectors = vectors

    @classmethod
    def of(cls, ids: Sequence[str], vectors: NDArray[np.float16]) -> Records:
        """Of records in any order: an id is a passage's, or a passage's with the number of its sentence."""
        numbered: dict[str, list[tuple[int, int]]] = {}
        for row, id_ in enumerate(ids):
            owner, _, number = id_.partition(OWN)
            numbered.setdefault(owner, []).append((int(number) + 1 if number else 0, row))
        return cls({owner: np.array([row for _, row in sorted(rows)]) for owner, rows in numbered.items()}, vectors)

    def similarities(self, vector: Vectors, passages: Sequence[Passage]) -> dict[str, float]:
        """How near the best record of each passage is to a question's vector; those that are not held are left out."""
        held = [passage.id for passage in passages if passage.id in self._rows]
        if not held:
            return {}
        rows = [self._rows[id_] for id_ in held]
        near = self._vectors[np.concatenate(rows)].astype(np.float32) @ vector
        starts = np.cumsum([0, *(len(own) for own in rows[:-1])])
        return dict(zip(held, map(float, np.maximum.reduceat(near, starts)), strict=True))

    def sentences(self, passages: Sequence[Passage]) -> Vectors | None:
        """The vectors of the sentences of passages, one after the other, a row each; None where one is not held.

        They are what the embedder made of each sentence: the passage's own half is taken out of what is stored.
        """
        found = []
        for passage in passages:
            rows = self._rows.get(passage.id)
            if rows is None:
                return None
            own, rest = self._vectors[rows[0]].astype(np.float32), self._vectors[rows[1:]].astype(np.float32)
            found.append(2.0 * rest - own)
        return np.concatenate(found) if found else None
