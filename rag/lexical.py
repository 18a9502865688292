"""Passages by their words: BM25 (bm25s) over stems, and over phonetic keys for words in Devanagari.

It is held in memory and made from the passages the index stores, so that it can never disagree with them.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

import bm25s
import numpy as np
from numpy.typing import NDArray

from rag.passage import Passage
from rag.phonetic import is_devanagari, key
from rag.question import Term
from rag.words import FUNCTION_WORDS, stem, words

K1, B = 1.2, 0.5
# The embedding model may not read a language. What holds all the words asked about is then taken to be this similar.
GUESSED = 0.6

logging.getLogger("bm25s").setLevel(logging.WARNING)  # importing it sets DEBUG

Scores = NDArray[np.float32]


class Lexicon:
    """The words of some passages. Not changed once made."""

    def __init__(self, passages: Sequence[Passage]) -> None:
        self._bm25 = bm25s.BM25(k1=K1, b=B)
        corpus = [list(tokens(f"{passage.heading}\n{passage.chapter}\n{passage.text}")) for passage in passages]
        self._size = len(corpus)
        self._spelled = Counter(word for passage in passages for word in words(passage.text))
        self._holding = Counter(token for held in corpus for token in set(held))  # passages that hold a token
        self._rarest = float(np.log1p(2.0 * len(corpus))) if corpus else 0.0
        if self._holding:
            self._bm25.index(corpus, show_progress=False)

    @property
    def spelled(self) -> Mapping[str, int]:
        """Every word of the passages, lower case, as written, and how often it is."""
        return self._spelled

    def __contains__(self, token: str) -> bool:
        return token in self._holding

    def rarity(self, token: str) -> float:
        """How much a token tells, as BM25 weighs it (its idf); the most for one that no passage holds."""
        held = self._holding.get(token, 0)
        return float(np.log1p((self._size - held + 0.5) / (held + 0.5)))

    def scores(self, terms: Sequence[Term]) -> Scores:
        """How much of the question each passage holds, shape (passages,): 1 for one that is best for every word."""
        total = np.zeros(self._size, dtype=np.float32)
        possible = 0.0
        for term in terms:
            of_term = np.zeros(self._size, dtype=np.float32)
            for token in term.forms:
                if token in self._holding:
                    np.maximum(of_term, self._bm25.get_scores([token]), out=of_term)
            best = float(of_term.max(initial=0.0))
            possible += term.weight * (best or self._rarest)
            total += np.float32(term.weight) * of_term
        return total / np.float32(possible) if possible else total


def tokens(text: str) -> Iterator[str]:
    """What `text` is found by, in order."""
    for word in words(text):
        if is_devanagari(word):
            yield sound(word)
        elif word not in FUNCTION_WORDS:
            yield stem(word)


def sound(word: str) -> str:
    """The token of a word in Devanagari, and of one in Latin letters that should match it."""
    return "~" + key(word)
