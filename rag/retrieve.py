"""Which passages answer a question, and whether any does.

Two searches are fused: by meaning (Chroma) and by words (BM25). Each proposes its best; every proposal is then judged
by both, and its relevance is a weighted sum. (Fusing ranks instead would throw away how good the best one is, which is
what tells "not in your book".)
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

import numpy as np

from rag.answerable import Answerable, measures
from rag.embed import Embedder, Vectors
from rag.glossary import Glossary
from rag.index import Index
from rag.lexical import GUESSED, Lexicon, Scores
from rag.passage import Judged, Passage, Retrieval
from rag.question import Question, Reader
from rag.records import Records
from rag.rerank import Reranker
from rag.words import content

POOL = 30
# Share of the words in the relevance, against the meaning. On the dev split 0.3 to 0.7 find as many pages.
WORDS = 0.5
# How far behind the best one a passage may be, in relevance, and still be shown with it.
BEHIND = 0.2
# Key terms and summaries repeat the lesson in fewer words: cited only when the lesson itself is no better.
REVIEW = frozenset({"key terms", "summary", "मुख्य शब्द", "सारांश"})
REVIEW_PENALTY = 0.06
# For the student's own class and for the subject at hand. It orders, and never hides, what other classes' books say.
PREFERENCE = 0.04
# For a book in the language of the question.
LANGUAGE = 0.15
NEAR_DUPLICATE = 0.8
NEARBY = 3
LONGEST = 180  # words a passage, on average, when neighbours are joined


class Side(StrEnum):
    """Which search decides; `hybrid` is what students get, the others are there to be compared with."""

    DENSE = "dense"
    LEXICAL = "lexical"
    HYBRID = "hybrid"


@dataclass(frozen=True, slots=True)
class Scope:
    """What the student set; None where nothing is known. A preference, not a wall."""

    class_level: int | None = None
    subject: str | None = None
    language: str | None = None
    board: str | None = None


@dataclass(frozen=True, slots=True)
class Ranking:
    """Every candidate, best first, and (of the hybrid search) what `Answerable` decides by."""

    passages: tuple[Passage, ...]
    measures: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class _Held:
    """What is kept in memory of one build of the index."""

    version: str
    passages: tuple[Passage, ...]
    place: dict[str, int]
    lexicon: Lexicon
    records: Records
    reader: Reader


class Retriever:
    """Finds passages in one index. Not thread-safe: it shares the index's thread.

    The passages, their words and their vectors are held in memory, and read again when the index was built anew.
    """

    def __init__(
        self,
        index: Index,
        embedder: Embedder,
        glossary: Glossary | None = None,
        reranker: Reranker | None = None,
    ) -> None:
        self._index = index
        self._embedder = embedder
        self._glossary = glossary or Glossary()
        self._reranker = reranker
        self._known: _Held | None = None

    def refresh(self) -> None:
        """Read the passages now, so that no student has to wait for it."""
        self._held()

    def read(self, question: str) -> Question:
        """The question in the words of the books."""
        return self._held().reader.read(question)

    def retrieve(
        self,
        question: Question,
        vector: Vectors,
        scope: Scope = Scope(),
        *,
        k: int = 3,
        answerable: Answerable,
    ) -> Retrieval:
        """Up to `k` passages that bear on the question, best first, their `score` being the relevance, 0 to 1.

        `vector` is the question's, shape (dimension,). There are none where `answerable` makes less of the search than
        its threshold. What the student set orders the passages and decides nothing else.
        """
        ranking = self.ranked(question, vector, scope=scope)
        ranked = list(ranking.passages)
        confidence = answerable.score(ranking.measures) if ranked else 0.0
        best = max((passage.score for passage in ranked), default=0.0)
        spoken = scope.language or question.language
        close = [p for p in ranked if p.score >= best - BEHIND - LANGUAGE * (p.language == spoken)]
        found = close if confidence >= answerable.threshold else []
        if self._reranker is not None:
            found = self._reranker.order(question.english, found)
        by_relevance = sorted(ranked, key=lambda passage: passage.score, reverse=True)
        return Retrieval(tuple(_joined(_distinct(found), k)), tuple(_chapters(by_relevance))[:NEARBY], confidence)

    def ranked(
        self,
        question: Question,
        vector: Vectors,
        *,
        side: Side = Side.HYBRID,
        scope: Scope = Scope(),
        pool: int = POOL,
    ) -> Ranking:
        """Every candidate of one side or of both, best first; `score` is that side's relevance, 0 to 1."""
        held = self._held()
        by_words = held.lexicon.scores(question.terms)
        by_meaning = self._by_meaning(held, vector, scope, pool) if side is not Side.LEXICAL else {}
        proposed = dict.fromkeys(place for id_ in by_meaning if (place := held.place.get(id_)) is not None)
        proposed |= dict.fromkeys(_best(by_words, pool) if side is not Side.DENSE else ())
        candidates = [(held.passages[place], float(by_words[place])) for place in proposed]
        if side is Side.HYBRID:
            by_meaning |= held.records.similarities(vector, [p for p, _ in candidates if p.id not in by_meaning])
        judged = [self._judged(side, passage, by_meaning.get(passage.id, 0.0), words) for passage, words in candidates]
        language = question.language
        judged.sort(key=lambda one: _rank(one.passage, scope, language), reverse=True)
        unscoped = sorted(judged, key=lambda one: _rank(one.passage, Scope(), language), reverse=True)
        told = measures(question, unscoped, held.lexicon) if side is Side.HYBRID else ()
        return Ranking(tuple(one.passage for one in judged), told)

    def sentences(self, passage: Passage) -> Vectors | None:
        """The vectors of a passage's sentences as indexed, a row each; None where the index has another text."""
        held = self._held()
        places = [held.place.get(id_) for id_ in passage.parts or (passage.id,)]
        parts = [held.passages[place] for place in places if place is not None]
        if "\n".join(part.text for part in parts) != passage.text:
            return None
        return held.records.sentences(parts)

    def _judged(self, side: Side, passage: Passage, meaning: float, words: float) -> Judged:
        """A candidate with its relevance."""
        likely = meaning if self._embedder.reads(passage.language, passage.text) else GUESSED * words
        if side is Side.LEXICAL:
            score = words
        elif side is Side.DENSE:
            score = meaning
        else:
            score = (1.0 - WORDS) * likely + WORDS * words
        return Judged(replace(passage, score=min(1.0, max(0.0, score))), likely, words)

    def _by_meaning(self, held: _Held, vector: Vectors, scope: Scope, pool: int) -> dict[str, float]:
        """The nearest passages, and the nearest of the student's own class and subject where those are far down."""
        near = self._index.query(vector, pool)
        wanted = {
            key: value for key, value in (("class_level", scope.class_level), ("subject", scope.subject)) if value
        }
        own = [id_ for id_ in near if id_ in held.place and _matches(held.passages[held.place[id_]], wanted)]
        if wanted and len(own) < NEARBY:
            near |= self._index.query(vector, NEARBY, wanted)
        return near

    def _held(self) -> _Held:
        if self._known is None or self._known.version != self._index.version:
            passages = tuple(self._index.passages())
            lexicon = Lexicon(passages)
            self._known = _Held(
                version=self._index.version,
                passages=passages,
                place={passage.id: place for place, passage in enumerate(passages)},
                lexicon=lexicon,
                records=self._index.records(),
                reader=Reader(self._glossary.with_key_terms(passages), lexicon.spelled, self._embedder.knows),
            )
        return self._known


def _best(scores: Scores, k: int) -> list[int]:
    order = np.argsort(-scores, kind="stable")[:k]
    return [int(place) for place in order if scores[place] > 0.0]


def _matches(passage: Passage, wanted: dict[str, str | int]) -> bool:
    return all(getattr(passage, key) == value for key, value in wanted.items())


def _rank(passage: Passage, scope: Scope, language: str) -> float:
    headings = set(passage.heading.lower().split("; "))
    penalty = REVIEW_PENALTY if headings <= REVIEW else 0.0
    wanted = {"class_level": scope.class_level, "subject": scope.subject, "board": scope.board}
    preferred = [name for name, value in wanted.items() if value is not None and getattr(passage, name) == value]
    spoken = passage.language == (scope.language or language)
    return passage.score - penalty + PREFERENCE * len(preferred) + LANGUAGE * spoken


def _distinct(passages: Iterable[Passage]) -> list[Passage]:
    """Without those that say again what a better one says."""
    kept: list[tuple[Passage, frozenset[str]]] = []
    for passage in passages:
        held = frozenset(content(passage.text))
        if not any(len(held & other) >= NEAR_DUPLICATE * len(held | other) for _, other in kept):
            kept.append((passage, held))
    return [passage for passage, _ in kept]


def _joined(passages: Sequence[Passage], k: int) -> list[Passage]:
    """The best `k`, neighbours on a page made one; what that makes room for is filled up, within k * LONGEST words."""
    kept: list[list[Passage]] = []
    room = k * LONGEST
    for passage in passages:
        size = len(passage.text.split())
        beside = next((run for run in kept if _beside(run, passage)), None)
        if (beside is None and len(kept) == k) or (size > room and kept):
            break
        if beside is None:
            kept.append([passage])
        else:
            beside.append(passage)
        room -= size
    return [_one(run) for run in kept]


def _beside(run: Sequence[Passage], passage: Passage) -> bool:
    first = run[0]
    same_page = (first.book, first.chapter, first.language, first.page) == (
        passage.book, passage.chapter, passage.language, passage.page,
    )  # fmt: skip
    return same_page and any(abs(other.position - passage.position) == 1 for other in run)


def _one(run: Sequence[Passage]) -> Passage:
    """Neighbours as one passage, in the order of the page; it keeps the best one's id and score."""
    ordered = sorted(run, key=lambda passage: passage.position)
    text = "\n".join(passage.text for passage in ordered)
    return replace(run[0], text=text, parts=tuple(passage.id for passage in ordered))


def _chapters(passages: Sequence[Passage]) -> Iterable[str]:
    return dict.fromkeys(f"{passage.chapter} ({passage.book})" for passage in passages)
