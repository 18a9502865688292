"""The unit of retrieval: a piece of one page of one chapter, with where it stands in the book."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Passage:
    """A chunk of a textbook page, as plain text: sentences apart by a space, paragraphs by a line break.

    `chapter` is the chapter's title. `score` is the relevance to the question, 0 to 1; 0 when not retrieved.
    """

    id: str
    text: str
    book: str
    chapter: str
    page: int
    class_level: int
    subject: str
    language: str
    score: float = 0.0
    heading: str = ""  # the headings it stands under, apart by "; "; never shown
    position: int = 0  # its place among the passages of its page


@dataclass(frozen=True, slots=True)
class Support:
    """One sentence of an answer and the passage that backs it; `passage` is None when none does."""

    sentence: str
    passage: Passage | None
    evidence: str  # the sentence of the passage that supports it, "" when unsupported
    score: float


@dataclass(frozen=True, slots=True)
class Quote:
    """Sentences taken word for word from one passage, in their order in the book."""

    text: str
    passage: Passage


@dataclass(frozen=True, slots=True)
class Retrieval:
    """What the library holds on a question. `passages` are the relevant ones, best first; empty means not in the book.

    `nearby` names up to three chapters closest to the question, to be offered when there are no passages.
    """

    passages: tuple[Passage, ...]
    nearby: tuple[str, ...] = ()
