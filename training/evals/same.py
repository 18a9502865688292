"""How well it is told whether two questions mean the same: by the words, and by a vector alone to compare with."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from rag.embed import Vectors
from rag.same import Known, Reader, Threshold
from training.classifiers.same import FALSE_HITS, LANGUAGES, Group, Pair, Progress, pairs, scored
from training.evals.safety import interval

WORDS, VECTOR = "words", "vector alone"
SAME, NEAR = "same meaning", "near miss"

Embed = Callable[[Sequence[str]], Vectors]


@dataclass(frozen=True, slots=True)
class Row:
    """What share of some pairs was taken for the same, with its 95% interval (Wilson, 1927)."""

    judge: str
    pairs: str  # SAME or NEAR
    kind: str  # how both are put, or in what they differ; "" for all
    n: int
    hits: int
    share: float
    low: float
    high: float

    def named(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Repeated:
    """A stream of questions through the cache: how many an answer was at hand for, and how many of those wrongly."""

    questions: int
    hits: int
    false: int

    def named(self) -> dict[str, Any]:
        low, high = interval(self.hits, self.questions)
        wrong = interval(self.false, self.questions)
        return {**asdict(self), "rate": self.hits / max(1, self.questions), "low": low, "high": high,
                "false_low": wrong[0], "false_high": wrong[1]}  # fmt: skip


def measure(
    groups: Sequence[Group], reader: Reader, threshold: Threshold, progress: Progress = lambda *_: None
) -> list[Row]:
    """By language and by kind of difference, by the words."""
    judged = scored(groups, reader, progress)
    return _rows(WORDS, [(pair, found >= threshold.least) for pair, found in judged])


def by_vector(fitting: Sequence[Group], groups: Sequence[Group], embed: Embed) -> list[Row]:
    """What a cosine alone would tell, at the threshold that lets FALSE_HITS of the near misses of `fitting` through."""
    near = [cosine for pair, cosine in _cosines(fitting, embed) if pair.differs]
    least = float(np.quantile(near, 1.0 - FALSE_HITS)) + 1e-6
    return _rows(VECTOR, [(pair, cosine >= least) for pair, cosine in _cosines(groups, embed)])


def repeated(groups: Sequence[Group], reader: Reader, threshold: Threshold) -> Repeated:
    """All questions of all groups, near misses among them, asked one after the other of an empty cache."""
    asked = [(put, group.name) for group in groups for put in group.same]
    asked += [(put, f"{group.name} {n}") for group in groups for n, (put, _) in enumerate(group.near)]
    known: dict[str, Known[int]] = {}
    hits = false = 0
    for number, (put, meant) in enumerate(asked):
        held = known.setdefault(LANGUAGES[put.asked], Known(reader, threshold))
        read = reader.read(put.text)
        if found := held.same(read):
            hits += 1
            # Two near misses of one group may mean the same: only one that means a group's own question is false.
            other = asked[found[0][0]][1]
            false += other != meant and (" " not in other or " " not in meant)
        else:
            held.put(number, read)
    return Repeated(len(asked), hits, false)


def _cosines(groups: Sequence[Group], embed: Embed) -> list[tuple[Pair, float]]:
    judged = list(pairs(groups))
    texts = list(dict.fromkeys(put.text for pair in judged for put in (pair.one, pair.other)))
    place = {text: number for number, text in enumerate(texts)}
    vectors = embed(texts)
    return [(pair, float(vectors[place[pair.one.text]] @ vectors[place[pair.other.text]])) for pair in judged]


def _rows(judge: str, found: Sequence[tuple[Pair, bool]]) -> list[Row]:
    rows: list[Row] = []
    for name, wanted in ((SAME, False), (NEAR, True)):
        mine = [(pair, hit) for pair, hit in found if bool(pair.differs) is wanted]
        kinds = dict.fromkeys(pair.differs or pair.languages for pair, _ in mine)
        for kind in ("", *kinds):
            hits = [hit for pair, hit in mine if not kind or kind == (pair.differs or pair.languages)]
            if hits:
                low, high = interval(sum(hits), len(hits))
                rows.append(Row(judge, name, kind, len(hits), sum(hits), sum(hits) / len(hits), low, high))
    return rows
