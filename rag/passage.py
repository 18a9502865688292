"""The unit of retrieval: a piece of one page of one chapter, with where it stands in the book."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


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
    board: str = "national"
    heading: str = ""  # the headings it stands under, apart by "; "; never shown
    position: int = 0  # its place among the passages of its page
    parts: tuple[str, ...] = ()  # the ids of the neighbours it was joined from, in the order of the page


@dataclass(frozen=True, slots=True)
class Judged:
    """A candidate with its similarity in meaning (guessed where the model cannot read it) and share of the words."""

    passage: Passage
    meaning: float
    words: float


@dataclass(frozen=True, slots=True)
class Support:
    """One sentence of an answer and the passage that backs it; `passage` is None when none does."""

    sentence: str
    passage: Passage | None
    evidence: str  # the sentence of the passage that supports it, "" when unsupported
    score: float


@dataclass(frozen=True, slots=True)
class Quote:
    """Sentences taken word for word from one passage, in their order in the book.

    `worth` is what the one that answers best is worth (rag.quote). `confidence`, 0 to 1, is how surely they hold the
    whole answer (rag.certainty); 0 until that is weighed. `other_sum` says that they are a worked example with other
    numbers than those asked about: it shows the way, and its result is not the answer.
    """

    text: str
    passage: Passage
    worth: float = 0.0
    confidence: float = 0.0
    other_sum: bool = False


@dataclass(frozen=True, slots=True)
class Retrieval:
    """What the library holds on a question. `passages` are the relevant ones, best first; empty means not in the book.

    `nearby` names up to three chapters closest to the question, to be offered when there are no passages. `confidence`,
    0 to 1, is how surely the books hold the answer.
    """

    passages: tuple[Passage, ...]
    nearby: tuple[str, ...] = ()
    confidence: float = 0.0

    def summary(self) -> dict[str, Any]:
        """For a table or JSON."""
        shown = ("score", "book", "chapter", "page", "class_level", "subject", "language", "board", "text")
        rows = [{name: getattr(passage, name) for name in shown} for passage in self.passages]
        return {
            "passages": [row | {"score": round(row["score"], 4)} for row in rows],
            "nearby": list(self.nearby),
            "confidence": round(self.confidence, 4),
        }
