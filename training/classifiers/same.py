"""Pairs of questions that mean the same, or nearly: read from `data/same`, and the threshold fitted on them.

A line is a group: questions that all mean the same, and near misses that differ from them in one thing. All questions
of a group stand in one split.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

from rag.same import Asked, Met, Reader, Threshold, compare
from training.errors import BadLine, CorpusError, DatasetError

Progress = Callable[[int, int], None]
LANGUAGES = {"en": "en", "sms": "en", "hinglish": "hinglish", "hi": "hi"}  # how it is put, and its language
DIFFERENCES = ("opposite", "number", "unit", "entity", "part", "direction", "negation", "asking")
FALSE_HITS = 0.005  # share of near misses that may be taken for the same
CAUTIOUS = 0.8  # no lower: below it more than every other word was guessed


@dataclass(frozen=True, slots=True)
class Put:
    """A question and how it is put: en, sms, hinglish or hi."""

    text: str
    asked: str


@dataclass(frozen=True, slots=True)
class Group:
    """Questions that mean the same, and near misses with what each differs in."""

    name: str
    split: str
    same: tuple[Put, ...]
    near: tuple[tuple[Put, str], ...]


@dataclass(frozen=True, slots=True)
class Pair:
    """Two questions. `differs` is "" where they mean the same."""

    one: Put
    other: Put
    differs: str = ""

    @property
    def languages(self) -> str:
        """How both are put, such as "en-hi"."""
        return "-".join(sorted((self.one.asked, self.other.asked)))


def load(folder: Path) -> list[Group]:
    """Every group of the JSONL files of a folder. Raises DatasetError for lines that cannot be used, CorpusError."""
    groups: list[Group] = []
    bad: list[BadLine] = []
    for path in sorted(folder.glob("*.jsonl")):
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
            try:
                groups.append(_group(json.loads(line)))
            except (ValueError, KeyError, TypeError) as error:
                bad.append(BadLine(path, number, f"no group of questions: {error}"))
    if bad:
        raise DatasetError(bad)
    if not groups:
        raise CorpusError(f"there are no questions in {folder}: name a folder with JSONL files such as data/same")
    return groups


def _group(row: dict[str, object]) -> Group:
    same, near = row["same"], row["near"]
    if not isinstance(same, list) or not isinstance(near, list) or len(same) < 2:
        raise ValueError("same and near must be lists, same of two questions or more")
    if any(one["differs"] not in DIFFERENCES for one in near):
        raise ValueError(f"differs must be one of {', '.join(DIFFERENCES)}")
    if any(one["asked"] not in LANGUAGES for one in (*same, *near)):
        raise ValueError(f"asked must be one of {', '.join(LANGUAGES)}")
    return Group(
        str(row["group"]),
        str(row["split"]),
        tuple(Put(one["text"], one["asked"]) for one in same),
        tuple((Put(one["text"], one["asked"]), one["differs"]) for one in near),
    )


def pairs(groups: Sequence[Group]) -> Iterator[Pair]:
    """Every two questions that mean the same, and every near miss with each question that it misses."""
    for group in groups:
        for one, other in combinations(group.same, 2):
            yield Pair(one, other)
        for missed, differs in group.near:
            for one in group.same:
                yield Pair(one, missed, differs)


def scored(groups: Sequence[Group], reader: Reader, progress: Progress = lambda *_: None) -> list[tuple[Pair, float]]:
    """Every pair with how surely both mean the same, 0 to 1; 0 where something that must agree does not."""
    texts = list(dict.fromkeys(put.text for group in groups for put in (*group.same, *(put for put, _ in group.near))))
    read: dict[str, Asked] = {}
    for done, text in enumerate(texts, start=1):
        read[text] = reader.read(text)
        progress(done, len(texts))
    found = ((pair, compare(read[pair.one.text], read[pair.other.text], reader.apart)) for pair in pairs(groups))
    return [(pair, compared.score if isinstance(compared, Met) else 0.0) for pair, compared in found]


def fit(groups: Sequence[Group], reader: Reader) -> Threshold:
    """The lowest threshold, from CAUTIOUS on, at which no more than FALSE_HITS of the near misses pass. CorpusError."""
    judged = scored(groups, reader)
    near = [found for pair, found in judged if pair.differs]
    steps = sorted({round(found, 4) for pair, found in judged if not pair.differs and found >= CAUTIOUS} | {CAUTIOUS})
    if not near or len(near) == len(judged):
        raise CorpusError("a threshold needs both: questions that mean the same, and near misses")
    for step in steps:
        if sum(found >= step for found in near) <= FALSE_HITS * len(near):
            return Threshold(step)
    raise CorpusError("no threshold keeps the near misses out: add what tells them apart to data/same/apart.tsv")
