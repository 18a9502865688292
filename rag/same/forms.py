"""The base form of an English word, and how a word of either script sounds without its vowels."""

from __future__ import annotations

import re

from rag.phonetic import is_devanagari, key
from rag.words import stem

_VOWELS = re.compile("[aeiouy]")
_DERIVED = re.compile(r"(?:ism|ity|al|ic|ive|or|er|ly|ness|ous|able|ible|ist|est)$")


def consonants(word: str) -> str:
    """How a word sounds, without its vowels, which are written by ear: ओवरफिटिंग is overfitting."""
    return _VOWELS.sub("", key(word))


def base(word: str) -> str:
    """The stem, marked with the ending that makes another word of it: nation and national are two, form and formed one.

    (A stem alone would take an organism for an organ, and a positive number for its position.)
    """
    if is_devanagari(word) or len(word) < 4:
        return plain(word)
    bare = plain(word)
    derived = _DERIVED.search(bare) if len(bare) > 5 else None
    return stem(bare) + (f"/{derived[0]}" if derived else "")


def plain(word: str) -> str:
    """Without the plural."""
    if len(word) > 4 and word.endswith("ies"):
        return word[:-3] + "y"
    if len(word) > 3 and word.endswith("s") and not word.endswith(("ss", "us", "is")):
        return word[:-1]
    return word
