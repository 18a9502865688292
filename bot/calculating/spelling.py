"""Letters of a word: how many r there are in strawberry, how a word is spelt, and spelt backwards.

A word is spelt out only when the glossary knows it: of others nobody can say that they were written rightly.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection
from pathlib import Path

from bot.calculating.reading import written
from bot.calculating.working import Calculated, Working

_LONGEST = 40
_ELEMENTS = frozenset("bcfhiknopsuvwy")  # "how many c in glucose" may be about atoms
_WORD = r"'?(?P<word>[a-z]+|[\u0900-\u0963]+)'?"
_LETTER = r"'?(?P<letter>[a-z])'?(?P<plural>'?s)?"
_ASKING = r"(?:(?:please|plz|pls|tell me|batao|bta|bata) )?"
_END = (
    r"(?: (?:hai|hain|h|hote|hota|hoti|aata|aate|batao|btao|bataiye|please|plz|pls|kya|sir|mam"
    r"|contain|contains|have|has|है|हैं|होते|बताओ))*"
)
_MANY = r"(?:how many|hw many|how many times|kitne|kitni|kitni baar|कितने|कितनी बार)"
_ARE = r"(?:r |are |is |there |does |come |comes |appears? |occurs? |present )*"
_IN = r"(?:in|me|mein|main|में)"
_KIND = r"(?P<kind>letters?|alphabets|akshar|vowels|consonants|अक्षर|वर्ण)"
_BACK = r"(?:ulta|ulti|ulte|backwards?|in reverse|reversed|reverse|उल्टा|उलटा|उल्टी)"
_DO = r"(?:likho|likh do|karo|kar do|bolo|लिखो|लिखिए|करो|लिख दो)"


def _patterns(*forms: str) -> tuple[re.Pattern[str], ...]:
    return tuple(re.compile(_ASKING + form + _END) for form in forms)


_COUNT = _patterns(
    rf"(?:count )?(?:the )?(?:{_MANY} )?(?P<told>times |the letters? |letters? )?{_LETTER} (?:letters? )?{_ARE}{_IN} "
    rf"(?P<name>the word |word |spelling of )?{_WORD}",
    rf"{_WORD} (?P<name>word |shabd |ki spelling |spelling )?{_IN} {_MANY} (?P<told>letters? )?{_LETTER}(?: letters?)?",
    rf"{_WORD} (?P<name>word |shabd |ki spelling )?{_IN} {_LETTER} (?P<told>letter )?{_MANY}(?: baar| times)?",
)
_LENGTH = _patterns(
    rf"{_MANY} {_KIND} {_ARE}{_IN} (?:the )?word (?:of )?{_WORD}",
    rf"{_MANY} {_KIND} {_ARE}{_IN} '(?P<word>[a-z]+)'",
    rf"{_WORD} (?:word|shabd|शब्द) {_IN} {_MANY} {_KIND}",
)
_SPELL = _patterns(
    rf"(?:how (?:do|to) (?:you |i |we |u )?)?spell (?:the word )?{_WORD}",
    rf"(?:what is |whats |give |write )?(?:the )?(?:correct )?spelling of (?:the word )?{_WORD}",
    rf"{_WORD} ki (?:sahi |correct )?spelling",
)
_BACKWARDS = _patterns(
    rf"(?:write |spell )?(?:the )?(?:spelling of|spell) (?:the word )?{_WORD} {_BACK}(?: me| mein| order)?(?: {_DO})?",
    rf"{_WORD} (?:word |shabd )?(?:ki )?(?:word ki )?spelling (?:ko )?{_BACK}(?: me| mein)? {_DO}",
    rf"{_WORD} (?:word|shabd|शब्द) (?:ko |को )?{_BACK}(?: karke)? {_DO}",
    rf"reverse (?:the )?(?:word|spelling of|letters of) (?:the word )?{_WORD}",
    rf"(?:write|spell) (?:the word )?{_WORD} (?:backwards?|in reverse(?: order)?|reversed)",
)
_VOWELS = frozenset("aeiou")
_VIRAMA = "\u094d"


class Spelling:
    """Reads what is about the letters of a word. Keeps nothing but the words it knows; share one."""

    def __init__(self, known: Collection[str]) -> None:
        self._known = known

    @classmethod
    def load(cls, folder: Path) -> Spelling:
        """With the English words of the glossaries in `folder`."""
        known: set[str] = set()
        for path in sorted(folder.glob("*.tsv")):
            for line in path.read_text(encoding="utf-8").splitlines():
                if path.stem != "shorthand":
                    known.update(re.findall(r"[a-z]{2,}", line.partition("\t")[0].lower()))
        return cls(frozenset(known))

    def read(self, question: str, working: Working) -> Calculated | None:
        """The letters that are asked for."""
        text = written(question)
        if text is None:
            return None
        text = " ".join(text.replace("?", " ").replace("।", " ").replace(",", " ").replace("'s ", "s ").split()).rstrip(
            " .!"
        )
        for patterns, answer in (
            (_BACKWARDS, _reversed),
            (_COUNT, _counted),
            (_LENGTH, _length),
            (_SPELL, self._spelt),
        ):
            for pattern in patterns:
                found = pattern.fullmatch(text)
                if found and 2 <= len(found["word"]) <= _LONGEST:
                    return answer(found, working)
        return None

    def _spelt(self, found: re.Match[str], working: Working) -> Calculated | None:
        word = found["word"]
        return working.done("spelling", _row(word)) if word in self._known else None


def _row(word: str) -> str:
    return "-".join(syllables(word))


def _counted(found: re.Match[str], working: Working) -> Calculated | None:
    word, letter = found["word"], found["letter"]
    plain = not (found["told"] or found["name"] or found["plural"] or "'" in found[0])
    if not word.isascii() or (plain and letter in _ELEMENTS) or word == letter:
        return None
    places = [place for place, one in enumerate(word, 1) if one == letter]
    working.show(" ".join(one.upper() if one == letter else one for one in word))
    if places:
        working.explain("letters.places", letter=letter, places=", ".join(map(str, places)))
    return working.done("letters", str(len(places)))


def _length(found: re.Match[str], working: Working) -> Calculated | None:
    word, kind = found["word"], found["kind"]
    parts = syllables(word)
    if kind in {"vowels", "consonants"}:
        if not word.isascii():
            return None
        parts = [part for part in parts if (part in _VOWELS) == (kind == "vowels")]
    working.show(_row(word))
    if len(parts) < len(syllables(word)):
        working.show(", ".join(parts))
    return working.done("letters", str(len(parts)))


def _reversed(found: re.Match[str], working: Working) -> Calculated:
    parts = syllables(found["word"])
    working.show("-".join(parts))
    return working.done("reversed", "".join(reversed(parts)))


def syllables(word: str) -> list[str]:
    """The letters of an English word; of a Hindi one the अक्षर, each with its signs: वि द्या ल य."""
    parts: list[str] = []
    for sign in word:
        if parts and (unicodedata.category(sign) in {"Mn", "Mc"} or parts[-1].endswith(_VIRAMA)):
            parts[-1] += sign
        else:
            parts.append(sign)
    return parts
