"""Chapters into passages: 60 to 180 words each, within one page, cut where the text itself pauses."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from itertools import pairwise

from rag.ingest import Textbook
from rag.markdown import blocks
from rag.passage import Passage
from rag.sentences import split

SHORTEST = 60
LONGEST = 180
TARGET = 100
# What it costs to begin a chunk there, beside the squared distance of its length from TARGET (in targets).
SECTION, PARAGRAPH, SENTENCE = 0.0, 0.1, 0.4
OUT_OF_BOUNDS = 10.0
# Questions and bare answers make bad passages: a quote must tell, not ask.
EXERCISES = re.compile(
    r"(?:exercises?|answers?|answer key|questions?|practice|test yourself|अभ्यास|उत्तर|प्रश्न|प्रश्नावली)(?!\w)",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class _Unit:
    """A sentence, and what beginning a chunk with it costs."""

    text: str
    start: float
    heading: str

    @property
    def words(self) -> int:
        return len(self.text.split())


def chunk(textbook: Textbook) -> list[Passage]:
    """The passages of one chapter, in order. Exercises and their answers are left out."""
    found: dict[str, Passage] = {}
    heading, skipped_level = "", 0
    for page in textbook.pages:
        units: list[_Unit] = []
        for block in blocks(page.text):
            if block.level and (not skipped_level or block.level <= skipped_level):
                skipped_level = block.level if EXERCISES.match(block.text) else 0
                heading = block.text
            elif not block.level and not skipped_level:
                units += _units(block.text, heading, opens_section=bool(units) and units[-1].heading != heading)
        for position, run in enumerate(_runs(units)):
            passage = _passage(textbook, page.number, position, run)
            found.setdefault(passage.id, passage)
    return list(found.values())


def _units(text: str, heading: str, opens_section: bool) -> Iterator[_Unit]:
    start = SECTION if opens_section else PARAGRAPH
    for sentence in split(text):
        words = sentence.split()
        for place in range(0, len(words), LONGEST):
            yield _Unit(" ".join(words[place : place + LONGEST]), start, heading)
            start = SENTENCE


def _runs(units: list[_Unit]) -> list[list[_Unit]]:
    """Cut the sentences of a page into chunks at the least total cost (shortest path over the places to cut)."""
    words = [unit.words for unit in units]

    @cache
    def best(begin: int) -> tuple[float, tuple[int, ...]]:
        if begin == len(units):
            return 0.0, ()
        choices = []
        length = 0
        for end in range(begin + 1, len(units) + 1):
            length += words[end - 1]
            rest, cuts = best(end)
            choices.append((_cost(length) + (units[begin].start if begin else 0.0) + rest, (end, *cuts)))
            if length > LONGEST:
                break
        return min(choices)

    return [units[begin:end] for begin, end in pairwise((0, *best(0)[1]))]


def _cost(words: int) -> float:
    outside = max(SHORTEST - words, words - LONGEST, 0)
    return ((words - TARGET) / TARGET) ** 2 + (OUT_OF_BOUNDS + outside if outside else 0.0)


def _passage(textbook: Textbook, page: int, position: int, run: list[_Unit]) -> Passage:
    text = run[0].text
    for unit in run[1:]:
        text += (" " if unit.start == SENTENCE else "\n") + unit.text
    heading = "; ".join(dict.fromkeys(unit.heading for unit in run if unit.heading))
    place = (textbook.title, textbook.chapter, textbook.chapter_title, textbook.class_level, textbook.subject, page)
    content = "\x1f".join(map(str, (*place, textbook.language, textbook.board, heading, text)))
    digest = hashlib.sha256(content.encode()).hexdigest()
    return Passage(
        id=f"{textbook.class_level}-{textbook.subject}-{textbook.chapter}-p{page}-{digest[:16]}",
        text=text,
        book=textbook.title,
        chapter=textbook.chapter_title,
        page=page,
        class_level=textbook.class_level,
        subject=textbook.subject,
        language=textbook.language,
        board=textbook.board,
        heading=heading,
        position=position,
    )
