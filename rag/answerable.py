"""Whether the books hold the answer at all: a calibrated score from what the search has found.

A logistic regression over a few measures of the best passages. Its weights are fitted on the training split and its
threshold on the dev split by `sahpathi evaluate retrieval --fit` (rag/fitted.py).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from rag.lexical import Lexicon, tokens
from rag.logistic import Logistic
from rag.passage import Judged, Passage
from rag.phonetic import is_devanagari
from rag.question import Question, Term
from rag.sentences import split

LOOKED_AT = 5  # passages
MANY_TERMS = 10
YEAR = re.compile(r"\b(?:1\d{3}|20\d\d)\b|\bBCE\b|\bईसा पूर्व\b")
NUMBER = re.compile(r"\d")
ASKS_WHEN = re.compile(r"\b(?:when|wen|which year|what year|kab)\b|कब|किस (?:वर्ष|साल|सन)", re.IGNORECASE)
ASKS_HOW_MANY = re.compile(
    r"\b(?:how (?:many|much|far|old|tall|long)|hw (?:many|much)|kitn[aei])\b|कितन", re.IGNORECASE
)
ASKS_WHO = re.compile(r"\b(?:who|whose|whom|kisne|kaun)\b|किसने|कौन(?!-)", re.IGNORECASE)
MEASURES = (
    "meaning", "words", "coverage", "own_coverage", "two_sentences", "one_sentence", "missing", "unknown",
    "in_hindi_book", "devanagari", "hinglish", "best_meaning", "best_words", "best_coverage",
    "best_two_sentences", "best_one_sentence", "least_missing", "terms", "asks_when", "asks_who",
    "asks_how_many", "no_year", "no_number", "mean_words",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Answerable(Logistic):
    """How surely the books answer the question; found from `threshold` on."""

    TAKES: ClassVar[tuple[str, ...]] = MEASURES

    threshold: float


UNFITTED = Answerable.unfitted(threshold=0.0)  # takes whatever is found for an answer


def measures(question: Question, best: Sequence[Judged], lexicon: Lexicon) -> tuple[float, ...]:
    """MEASURES of a question and of its best candidates, best first."""
    if not best:
        return (0.0,) * len(MEASURES)
    known = [term for term in question.terms if any(form in lexicon for form in term.forms)]
    total = sum(_weight(term, lexicon) for term in question.terms) or 1.0
    looked = [_cover(question.terms, one.passage, lexicon, total) for one in best[:LOOKED_AT]]
    first, cover = best[0], looked[0]
    asked = question.text
    hindi_script = is_devanagari(asked)
    when, who, many = (pattern.search(asked) is not None for pattern in (ASKS_WHEN, ASKS_WHO, ASKS_HOW_MANY))
    near = best[:LOOKED_AT]
    return (
        first.meaning,
        first.words,
        cover.whole,
        cover.text,
        cover.two,
        cover.one,
        cover.missing,
        1.0 - sum(_weight(term, lexicon) for term in known) / total,
        float(first.passage.language == "hi"),
        float(hindi_script),
        float(question.is_hindi and not hindi_script),
        max(one.meaning for one in best),
        max(one.words for one in near),
        max(one.whole for one in looked),
        max(one.two for one in looked),
        max(one.one for one in looked),
        min(one.missing for one in looked),
        min(len(question.terms), MANY_TERMS) / MANY_TERMS,
        float(when),
        float(who),
        float(many),
        float(when and not any(YEAR.search(one.passage.text) for one in near[:2])),
        float(many and not NUMBER.search(first.passage.text)),
        sum(one.words for one in near[:3]) / 3.0,
    )


@dataclass(frozen=True, slots=True)
class _Cover:
    """Shares of the question's words, by their weight, that a passage holds; `missing` is the weightiest it lacks."""

    whole: float  # with its headings
    text: float
    two: float  # in two sentences in a row, with the headings
    one: float  # in one sentence
    missing: float


def _cover(terms: Sequence[Term], passage: Passage, lexicon: Lexicon, total: float) -> _Cover:
    heads = frozenset(tokens(f"{passage.heading}\n{passage.chapter}"))
    sentences = [frozenset(tokens(sentence)) for sentence in split(passage.text)]
    text = frozenset[str]().union(*sentences)

    def share(held: frozenset[str]) -> float:
        return sum(_weight(term, lexicon) for term in terms if held.intersection(term.forms)) / total

    pairs = zip([frozenset[str](), *sentences], sentences, strict=False)
    return _Cover(
        whole=share(text | heads),
        text=share(text),
        two=max((share(before | sentence | heads) for before, sentence in pairs), default=0.0),
        one=max((share(sentence) for sentence in sentences), default=0.0),
        missing=max((_weight(t, lexicon) for t in terms if not (text | heads).intersection(t.forms)), default=0.0)
        / 10.0,
    )


def _weight(term: Term, lexicon: Lexicon) -> float:
    """A term's own weight times how rare it is: that of its most telling form."""
    return term.weight * max(
        (lexicon.rarity(form) for form in term.forms if form in lexicon), default=lexicon.rarity("")
    )
