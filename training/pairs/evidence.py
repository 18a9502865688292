"""Answers that what is read bears out: what a small model can learn to write.

A reference answer is written from the whole book, in the language of the question. What is gathered for the question
may hold less, and may be in another language. Learning such an answer teaches to make things up.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import combinations

from rag.words import content
from training.evals.facts import key_facts
from training.pairs.data import SELF, UNANSWERABLE, Example

_LOOKED_AT = 6  # texts, the best first
_MOST = 3  # texts of an answer
# What a further text has to bring in key facts, and each word of it: one fact more is worth many words.
_ANOTHER, _WORD, _LATER = 0.03, 0.004, 0.02


def borne_out(example: Example) -> Example | None:
    """The example, its answer taken from its passages where a word of it stands in none of them.

    Then the answer is the texts among them that hold its facts best, and the best others as far as it was as long. None
    where they hold none of its facts, and where the books do not answer: to tell that is the retrieval's, and a small
    model that learns to refuses too much. An answer whose facts nobody listed, a teacher's own, stays as it is.
    """
    if example.kind == UNANSWERABLE:
        return None
    if (
        example.kind == SELF
        or not example.facts
        or set(content(example.answer)) <= set(content(" ".join(example.passages)))
    ):
        return example
    texts = example.passages[:_LOOKED_AT]
    chosen = [places for count in range(1, _MOST + 1) for places in combinations(range(len(texts)), count)]
    holding = [places for places in chosen if key_facts(_said(texts, places), example.facts) > 0]
    if not holding:
        return None
    best = max(holding, key=lambda places: _worth(example, texts, places))
    return replace(example, answer=_said(texts, _as_long(example.answer, texts, best)))


def _as_long(answer: str, texts: Sequence[str], places: Sequence[int]) -> tuple[int, ...]:
    """The places, with the best others as long as that makes the text no longer than the answer it stands for."""
    longest = len(answer.split())
    for place in range(len(texts)):
        more = tuple(sorted({*places, place}))
        if len(more) <= _MOST and len(_said(texts, more).split()) <= longest:
            places = more
    return tuple(places)


def _worth(example: Example, texts: Sequence[str], places: Sequence[int]) -> float:
    said = _said(texts, places)
    cost = _WORD * len(said.split()) + _LATER * sum(places) / len(places) + _ANOTHER * len(places)
    return key_facts(said, example.facts) - cost


def _said(texts: Sequence[str], places: Sequence[int]) -> str:
    return " ".join(texts[place] for place in places)
