"""How an answer reads: its school grade, the length of its sentences and words, and whether it says "not in the book".

English has a formula for the school grade that was fitted to people's reading, Kincaid's. Hindi has none that could be
used here. That of Sinha et al. (2012), -2.34 + 2.14 aksharas a word + 0.01 words of more than two aksharas, gives what
readers thought of a text and no grade, and counts its last term over thirty sentences, where an answer has two. So of
Hindi the two things are told that every such formula is made of: words a sentence, and aksharas a word.
"""

from __future__ import annotations

import re

from rag.sentences import split
from training.base.grounded import REFUSALS

_WORD = re.compile(r"[A-Za-z]+(?:['’][A-Za-z]+)?")
_ANY_WORD = re.compile(r"[^\W\d_]+")
_VOWELS = re.compile(r"[aeiouy]+")
_HINDI_WORD = re.compile(r"[\u0900-\u0963\u0970-\u097f]+")
# An akshara begins with an independent vowel, or with a consonant that is not joined to the one before by a virama.
_AKSHARA = re.compile(r"[\u0904-\u0914\u0960\u0961\u0972-\u0977]|(?<!\u094d)[\u0915-\u0939\u0958-\u095f\u0978-\u097f]")
_BOOK = r"(?:books?|chapters?|passages?|text|lessons?|pages?)"
_KITAB = r"(?:पुस्तक|किताब|अध्याय|पाठ|\bkitaa?b|\bpustak|\bbooks?\b)"
_ABSENT = re.compile(
    rf"\b{_BOOK}\b[^.?!]{{0,60}}\b(?:not|never|nothing|cannot|nowhere|(?:gives?|names?|has|have|holds?|tells?) no)\b"
    rf"|\b(?:not|nothing|no|cannot|nowhere)\b[^.?!]{{0,60}}\b{_BOOK}\b"
    rf"|\b(?:outside|beyond)\s(?:our|the|this|these|my)\s(?:school\s)?{_BOOK}\b"
    rf"|{_KITAB}[^।.?!]{{0,80}}(?:नहीं|\bnah[iī]n?\b)|(?:नहीं|\bnahin?\b)[^।.?!]{{0,60}}{_KITAB}",
    re.IGNORECASE,
)


def abstains(text: str) -> bool:
    """Whether an answer says in its first sentence that the books do not hold what was asked.

    True of the tutor's own refusing line. Told by words, in English, Hindi and Hinglish: of the shipped pairs it knows
    1,112 of the 1,118 unanswerable ones, and takes 6 of the other 2,667 for one.
    """
    if text.strip() in REFUSALS:
        return True
    first = next(iter(split(text)), "")
    return _ABSENT.search(first) is not None


def grade(text: str) -> float | None:
    """The school grade at which English text is read with ease (Kincaid et al., 1975); never below 0.

    0.39 words a sentence + 11.8 syllables a word - 15.59. None for text that is not mostly in Latin letters. Of one
    short answer it says little, since a long word moves it by grades; the mean over many answers does.
    """
    words = _WORD.findall(text)
    if not words or len(words) < len(_ANY_WORD.findall(text)) / 2:
        return None
    sentences = max(1, len(split(text)))
    syllables = sum(map(_syllables, words))
    return max(0.0, 0.39 * len(words) / sentences + 11.8 * syllables / len(words) - 15.59)


def words_a_sentence(text: str) -> float | None:
    """In any language, numbers not counted; None for a text without words."""
    words = sum(any(letter.isalpha() for letter in word) for word in text.split())
    return words / max(1, len(split(text))) if words else None


def aksharas_a_word(text: str) -> float | None:
    """How long the words of Hindi are, in the syllables of its script; None for text that is not mostly Devanagari."""
    words = _HINDI_WORD.findall(text)
    if not words or len(words) < len(text.split()) / 2:
        return None
    return sum(max(1, len(_AKSHARA.findall(word))) for word in words) / len(words)


def _syllables(word: str) -> int:
    """Groups of vowels, less a silent e at the end; at least one. "air" has one, "water" two, "science" one too few."""
    lower = word.lower()
    count = len(_VOWELS.findall(lower))
    silent = lower.endswith("e") and not lower.endswith(("le", "ee", "ye")) and count > 1
    return max(1, count - silent)
