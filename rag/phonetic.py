"""One key for a Hindi word however it is written: वाष्पीकरण, vashpikaran, vaashpeekaran.

Students write Hindi in Latin letters by ear. The key keeps the consonants, without breath (bh, b) and length, and the
vowels that are heard clearly; short and long a go, because spelling never settles which of them are spoken; plural and
case endings go, as a light stemmer would take them. It is for matching words, not for reading them.
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache

DEVANAGARI = re.compile(r"[\u0900-\u097f]")
HINDI_LETTERS = "\u0900-\u0963\u0971-\u097f"  # with the vowel signs; without danda and digits

_LETTER = re.compile(rf"[{HINDI_LETTERS}]")
_LATIN_LETTER = re.compile(r"[A-Za-z]")

_CONSONANTS = dict(
    zip(
        "कखगघङचछजझञटठडढणतथदधनपफबभमयरलवशषसह",
        "kkggnccjjnttddnttddnpfbbmyrlvsssh",
        strict=True,
    )
)
_VOWELS = dict(zip("अआइईउऊऋएऐओऔऑऍ", ["a", "a", "i", "i", "u", "u", "ri", "e", "e", "o", "o", "o", "e"], strict=True))
_SIGNS = dict(zip("ािीुूृेैोौॉॅ", ["", "i", "i", "u", "u", "ri", "e", "e", "o", "o", "o", "e"], strict=True))
_NUKTA, _VIRAMA, _NASALS = "\u093c", "\u094d", "\u0901\u0902"
# Longest first: what Latin spellings write in several ways.
_LATIN = tuple(
    (re.compile(pattern), letter)
    for pattern, letter in (
        (r"^ts", "s"), (r"[ts]ion|shun", "sn"), (r"ksh", "ks"), (r"x", "ks"), (r"c+h+", "C"),
        (r"c(?=[eiy])", "s"), (r"ck|c(?!$)|q", "k"), (r"sh+", "s"),
        (r"ph", "f"), (r"(?<=[bdgjkt])h", ""), (r"w", "v"), (r"z", "j"), (r"[iy]?ee+", "i"), (r"oo+", "u"),
        (r"a[iy](?![aeiou])", "e"), (r"a[uow]", "o"), (r"gny", "gy"),
    )
)  # fmt: skip
_ENDING = re.compile(r"(?:[iy]+[oe]n|iyn|[oe]n)$")


def is_devanagari(word: str) -> bool:
    """Whether a word holds a letter of the script of Hindi."""
    return DEVANAGARI.search(word) is not None


def in_devanagari(text: str) -> bool:
    """Whether a text is written in the script of Hindi, rather than holding a word of it."""
    return len(_LETTER.findall(text)) > len(_LATIN_LETTER.findall(text))


@lru_cache(maxsize=50_000)
def key(word: str) -> str:
    """The phonetic key of one word, in Devanagari or in Latin letters; "" when nothing of it remains."""
    folded = unicodedata.normalize("NFD", word.lower())
    sounds = _of_devanagari(folded) if is_devanagari(folded) else _of_latin(folded)
    first, rest = sounds[:1], sounds[1:]
    bare = first + rest.replace("a", "")
    bare = re.sub(r"m(?=[bpfv])", "n", bare)
    bare = re.sub(r"(?<=[^aeiou])y(?=[^aeiouy]..)", "i", bare)
    return _without_ending(re.sub(r"(.)\1+", r"\1", bare)).replace("iy", "i")


def _without_ending(bare: str) -> str:
    for stem in (_ENDING.sub("", bare), bare.rstrip("aeiouy"), bare):
        if len(stem) >= 2:
            return stem.rstrip("aeiouy") if len(stem.rstrip("aeiouy")) >= 2 else stem
    return bare


def _of_latin(word: str) -> str:
    word = re.sub(r"[^a-z]", "", word)
    for pattern, letter in _LATIN:
        word = pattern.sub(letter, word)
    return word.lower()


def _of_devanagari(word: str) -> str:
    """`word` decomposed (NFD). ज्ञ is spoken gy; a nasal sign at the end of a word is not written by students."""
    word = word.replace("ज" + _VIRAMA + "ञ", "ग" + _VIRAMA + "य").replace("फ" + _NUKTA, "फ")
    word = re.sub(f"[{_NASALS}]$", "", word.replace(_NUKTA, ""))
    sounds = []
    for letter in word:
        if letter in _NASALS:
            sounds.append("n")
        else:
            sounds.append(_CONSONANTS.get(letter) or _VOWELS.get(letter) or _SIGNS.get(letter, ""))
    return "".join(sounds)
