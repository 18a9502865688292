"""Which passages answer a question, and whether any does."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from rag.embed import Vectors
from rag.index import Index
from rag.passage import Passage, Retrieval
from rag.words import content, topic

POOL = 30
# Share of the question's topic words in the passage, against similarity. It separates questions that sound like the
# book but are not in it: 0.80 -> 0.95 of them recognised at equal refusals. Weights by rarity added nothing.
WORDS = 0.2
# A passage below this does not answer. Measured on the shipped chapters: refused 2 of 340 questions of data/qa and 3 of
# 80 loosely worded ones; recognised 60 of 60 questions far from the books, 57 of 60 school questions that the books do
# not treat, and 50 of 50 of both kinds that were asked only after the value was set.
FOUND_AT = 0.54
# Key terms and summaries repeat the lesson in fewer words: cited only when the lesson itself is no better.
# (The cited page comes first for 0.86 of data/qa without the penalty, for 0.96 with it.)
REVIEW = frozenset({"key terms", "summary"})
REVIEW_PENALTY = 0.06
# For the student's own class and for the subject at hand. It orders, and never hides, what other classes' books say.
PREFERENCE = 0.04
NEAR_DUPLICATE = 0.8
NEARBY = 3


def retrieve(
    index: Index,
    question: str,
    vector: Vectors,
    *,
    class_level: int | None = None,
    subject: str | None = None,
    k: int = 3,
    found_at: float = FOUND_AT,
) -> Retrieval:
    """Up to `k` passages that bear on the question, best first, their `score` being the relevance, 0 to 1.

    A passage is found when its relevance reaches `found_at`, in whatever book it is; the student's class and subject
    decide only between those found.
    """
    pool = {passage.id: passage for passage in index.query(vector, POOL)}
    wanted = {key: value for key, value in (("class_level", class_level), ("subject", subject)) if value is not None}
    if wanted:
        pool |= {passage.id: passage for passage in index.query(vector, k, wanted)}
    about = topic(question)
    scored = sorted(
        (replace(passage, score=_relevance(about, passage)) for passage in pool.values()),
        key=lambda passage: passage.score,
        reverse=True,
    )
    found = sorted(
        (passage for passage in scored if passage.score >= found_at),
        key=lambda passage: _rank(passage, class_level, subject),
        reverse=True,
    )
    return Retrieval(tuple(_distinct(found)[:k]), tuple(_chapters(scored))[:NEARBY])


def _relevance(about: frozenset[str], passage: Passage) -> float:
    held = set(content(passage.text))
    share = len(about & held) / len(about) if about else 0.0
    return min(1.0, max(0.0, (1.0 - WORDS) * passage.score + WORDS * share))


def _rank(passage: Passage, class_level: int | None, subject: str | None) -> float:
    headings = set(passage.heading.lower().split("; "))
    penalty = REVIEW_PENALTY if headings <= REVIEW else 0.0
    preferred = (passage.class_level == class_level) + (passage.subject == subject)
    return passage.score - penalty + PREFERENCE * preferred


def _distinct(passages: Iterable[Passage]) -> list[Passage]:
    """Without those that say again what a better one says."""
    kept: list[tuple[Passage, frozenset[str]]] = []
    for passage in passages:
        held = frozenset(content(passage.text))
        if not any(len(held & other) >= NEAR_DUPLICATE * len(held | other) for _, other in kept):
            kept.append((passage, held))
    return [passage for passage, _ in kept]


def _chapters(passages: Sequence[Passage]) -> Iterable[str]:
    return dict.fromkeys(f"{passage.chapter} ({passage.book})" for passage in passages)
