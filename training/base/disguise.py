"""Disguise: content words become other words, the same way throughout a document, so that it has to be read."""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from rag.phonetic import is_devanagari
from training.base.words import UNCHANGED, WORD, content, root

_NUMBER = re.compile(r"\d")
_HINDI_ZERO = ord("०")
_MADE_UP = 0.25  # share of the new words that no language has
_OFTEN = 15  # times in a corpus: rarer words are names and terms that no student meets
_ENDS_OPEN = re.compile("[क-ह]़?$")  # a root of Hindi that takes any ending


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """Roots of words to swap in, by script; sorted, so that a draw depends on nothing but the generator."""

    latin: tuple[str, ...] = ()
    devanagari: tuple[str, ...] = ()

    @classmethod
    def of(cls, texts: Iterable[str], more: Iterable[str] = ()) -> Vocabulary:
        """The roots of the content words of `texts`, and of those that come often in `more`."""
        often = Counter(root(word) for text in more for word in content(text))
        words = {root(word) for text in texts for word in content(text)}
        words |= {word for word, times in often.items() if times >= _OFTEN}
        found = sorted(word for word in words if not is_devanagari(word) or _ENDS_OPEN.search(word))
        return cls(
            tuple(word for word in found if not is_devanagari(word)),
            tuple(word for word in found if is_devanagari(word)),
        )


class Disguise:
    """The swaps of one document: a `share` of its content words become others, digits other digits.

    Plural s, the endings of Hindi nouns and capitals are kept. A word becomes a real one of its script or, one time in
    four, a made-up one. Digits swap too, so that a date has to be read and not recalled.
    """

    def __init__(self, rng: random.Random, vocabulary: Vocabulary, share: float) -> None:
        self._rng = rng
        self._vocabulary = vocabulary
        self._share = share
        self._swaps: dict[str, str] = {}
        digits = rng.sample(range(10), 10)
        self._digits = {str(old): str(new) for old, new in enumerate(digits)}
        self._digits |= {chr(_HINDI_ZERO + old): chr(_HINDI_ZERO + new) for old, new in enumerate(digits)}

    def of(self, text: str, *, known: bool = False) -> str:
        """The text in disguise; with `known`, words that were not met before in this document stay as they are."""

        def swap(match: re.Match[str]) -> str:
            word = match.group()
            bare = root(word)
            if word.lower() in UNCHANGED or (known and bare not in self._swaps):
                return word
            if bare not in self._swaps:
                self._swaps[bare] = self._stranger(bare) if self._rng.random() < self._share else bare
            new = self._swaps[bare] + word.lower()[len(bare) :]
            return new.upper() if word.isupper() else new.capitalize() if word[0].isupper() else new

        return _NUMBER.sub(lambda match: self._digits.get(match.group(), match.group()), WORD.sub(swap, text))

    def _stranger(self, word: str) -> str:
        """Another word than `word`, of the same script."""
        hindi = is_devanagari(word)
        real = self._vocabulary.devanagari if hindi else self._vocabulary.latin
        if real and self._rng.random() >= _MADE_UP and (new := self._rng.choice(real)) != word:
            return new
        return (
            self._made_up("कखगचजटडतदनपबमरलवसह", ("", "ा", "ि", "ु", "े", "ो"), "नरलमत")
            if hindi
            else self._made_up("bcdfghjklmnprstvz", "aeiou", "nrlmt")
        )

    def _made_up(self, consonants: str, vowels: Iterable[str], last: str) -> str:
        vowels = tuple(vowels)
        choice = self._rng.choice
        return "".join(choice(consonants) + choice(vowels) for _ in range(self._rng.randint(2, 3))) + choice(last)
