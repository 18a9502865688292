"""Hindi in Latin letters as students text it, and one spelling where they have several."""

from __future__ import annotations

import re
import unicodedata

from rag.phonetic import is_devanagari

_VOWELS = "a aa i ee u oo ri e ai o au o e"
_CONSONANTS = "k kh g gh n ch chh j jh n t th d dh n t th d dh n p ph b bh m y r l v sh sh s h"
_SIGNS = dict(zip("ािीुूृेैोौॉॅ", _VOWELS.split()[1:], strict=True))
_LETTERS = dict(
    zip(
        "कखगघङचछजझञटठडढणतथदधनपफबभमयरलवशषसहअआइईउऊऋएऐओऔऑऍ",
        f"{_CONSONANTS} {_VOWELS}".split(),
        strict=True,
    )
)
_VIRAMA, _NUKTA, _NASALS = "\u094d", "\u093c", "\u0901\u0902"
_SILENT, _SPOKEN = "", "a"  # the vowel that no sign is written for

_LONG = (("aa", "a"), ("ee", "i"), ("oo", "u"))
_ALIKE = str.maketrans("wzq", "vjk")
_DOUBLED = re.compile(r"(.)\1+")

Syllable = tuple[str, str]  # a consonant or nothing, and a vowel or nothing


def romanised(word: str) -> str:
    """A Devanagari word in Latin letters: कमरा is kamraa. Letters of other scripts stay as they are.

    The unwritten vowel is spoken between two consonants unless a vowel stands on either side of them (Narasimhan and
    others, 2004, give the rule): it is silent at the end of a word too.
    """
    syllables = _syllables(unicodedata.normalize("NFD", word))
    if len(syllables) > 1 and syllables[-1][1] == _SPOKEN:
        syllables[-1] = syllables[-1][0], _SILENT
    for place in range(len(syllables) - 2, 0, -1):
        consonant, vowel = syllables[place]
        if consonant and vowel == _SPOKEN and syllables[place - 1][1] and syllables[place + 1][1]:
            syllables[place] = consonant, _SILENT
    return "".join(consonant + vowel for consonant, vowel in syllables)


def evened(word: str) -> str:
    """A word in either script in the spelling that stands for several: maarrte, marte and मारते are marte."""
    spelled = (romanised(word) if is_devanagari(word) else word).replace("ph", "f").translate(_ALIKE)
    for long, short in _LONG:
        spelled = spelled.replace(long, short)
    return _DOUBLED.sub(r"\1", spelled)


def _syllables(letters: str) -> list[Syllable]:
    letters = letters.replace(_NUKTA, "")
    found: list[Syllable] = []
    for place, letter in enumerate(letters):
        if letter in _NASALS:
            found.append(("n", _SILENT))
        elif letter in _SIGNS:
            consonant = found.pop()[0] if found else ""
            found.append((consonant, _SIGNS[letter]))
        elif letter in _LETTERS and letter >= "क":
            joined = letters[place + 1 : place + 2] == _VIRAMA
            found.append((_LETTERS[letter], _SILENT if joined else _SPOKEN))
        elif letter in _LETTERS:
            found.append(("", _LETTERS[letter]))
        elif letter != _VIRAMA:
            found.append((letter, _SILENT))
    return found
