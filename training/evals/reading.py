"""How an answer reads: its school grade, and whether it says that the books do not hold what was asked."""

from __future__ import annotations

import re

from rag.sentences import split
from training.grounded import NOT_IN_PASSAGES

_WORD = re.compile(r"[A-Za-z]+(?:['’][A-Za-z]+)?")
_ANY_WORD = re.compile(r"[^\W\d_]+")
_VOWELS = re.compile(r"[aeiouy]+")
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
    if text.strip() == NOT_IN_PASSAGES:
        return True
    first = next(iter(split(text)), "")
    return _ABSENT.search(first) is not None


def grade(text: str) -> float | None:
    """The school grade at which English text is read with ease (Kincaid et al., 1975); never below 0.

    0.39 words a sentence + 11.8 syllables a word - 15.59. None for text that is not mostly in Latin letters.
    """
    words = _WORD.findall(text)
    if not words or len(words) < len(_ANY_WORD.findall(text)) / 2:
        return None
    sentences = max(1, len(split(text)))
    syllables = sum(map(_syllables, words))
    return max(0.0, 0.39 * len(words) / sentences + 11.8 * syllables / len(words) - 15.59)


def _syllables(word: str) -> int:
    """Groups of vowels, less a silent e at the end; at least one."""
    lower = word.lower()
    count = len(_VOWELS.findall(lower))
    silent = lower.endswith("e") and not lower.endswith(("le", "ee", "ye")) and count > 1
    return max(1, count - silent)
