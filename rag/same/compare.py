"""Whether two questions may mean the same, by what must agree: the layer that decides.

Questions that differ in a number, a "not", a name, or in which way round, are near in every embedding. So each word
that says what the one is about must be met by a word of the other, and nothing may be left over on either side.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from itertools import combinations

import numpy as np
from rapidfuzz.distance import DamerauLevenshtein
from scipy.optimize import linear_sum_assignment

from rag.phonetic import is_devanagari
from rag.same import asking
from rag.same.forms import consonants
from rag.same.reading import Asked, Word
from rag.words import stem, words

EXACT, HEARD, SLIPPED = 1.0, 0.9, 0.8  # how well two words meet: as words, by sound, but for a slip of the finger
EXTRA = 0.1  # what a light word more costs
SHORTEST_MENDED = 4
LEAST_CONSONANTS = 3
LONG = 8  # letters from which two slips are allowed
LIGHT = frozenset(
    {"process", "more", "object", "valu", "pass", "move", "peopl", "find", "lie", "locat", "caus"}
)  # a word more that makes no other question
# Two words that differ in one of these only are two words, not one and its misspelling.
MADE = ("un", "in", "im", "ir", "il", "non", "a", "an", "dis", "anti", "pro", "re", "de", "sub", "over", "under", "mis")
CHEMICAL = ("ate", "ite", "ide", "ic", "ous", "ane", "ene", "yne", "ase", "ose")


class Differ(StrEnum):
    """Why two questions are not the same."""

    NOT_ALONE = "one of them leans on an earlier question"
    WAY = "they ask in another way"
    QUANTITY = "they differ in a number or formula"
    DENIAL = "one denies what the other says"
    WORDS = "a word of the one has no match in the other"
    DIRECTION = "it is the other way round"


@dataclass(frozen=True, slots=True)
class Met:
    """Two questions whose every word is met: how well on average, 0 to 1; `extra` light words were left over."""

    mean: float
    extra: int

    @property
    def score(self) -> float:
        """From 0 to 1: 1 where both say the same in the same words, whatever their language."""
        return max(0.0, self.mean - EXTRA * self.extra)


def compare(one: Asked, other: Asked, apart: Mapping[str, frozenset[str]]) -> Met | Differ:
    """How well two questions agree, or in what they differ. `apart`: forms that never stand for each other."""
    if not (one.alone and other.alone):
        return Differ.NOT_ALONE
    if not asking.alike(one.ways, other.ways):
        return Differ.WAY
    if one.denials != other.denials:
        return Differ.DENIAL
    if (one.quantities.formulas, _by_unit(one)) != (other.quantities.formulas, _by_unit(other)):
        return Differ.QUANTITY
    meets = np.array([[_meets(mine, theirs, apart) for theirs in other.words] for mine in one.words])
    meets = meets.reshape(len(one.words), len(other.words))
    rows, columns = linear_sum_assignment(meets, maximize=True) if meets.size else ((), ())
    met = {int(a): int(b) for a, b in zip(rows, columns, strict=True) if meets[a, b] > 0.0}
    mine, theirs = _lonely(one, frozenset(met)), _lonely(other, frozenset(met.values()))
    lonely = mine + theirs
    if (
        (mine and theirs)
        or not all(word.forms & LIGHT for word in lonely)
        or not (met or one.quantities.formulas or one.quantities.numbers)
    ):
        return Differ.WORDS
    if _only_alike(one, other):
        return Differ.WORDS
    if _turned(one, other, met) or _reversed(one, other, met):
        return Differ.DIRECTION
    held = [float(meets[a, b]) for a, b in met.items()] or [EXACT]
    return Met(sum(held) / len(held), len(lonely))


def _lonely(asked: Asked, met: frozenset[int]) -> list[Word]:
    """The words that nothing of the other question meets; saying one twice says nothing more."""
    said = {asked.words[n].first for n in met}
    return [word for n, word in enumerate(asked.words) if n not in met and word.first not in said]


def _by_unit(asked: Asked) -> dict[str, list[str]]:
    """The numbers in their order, of each unit by itself: 20% of 150 is 150's 20%, 15 to 20 is not 20 to 15."""
    found: dict[str, list[str]] = {}
    for number in asked.quantities.numbers:
        unit = "#" if number.startswith("#") else number.lstrip("-0123456789.e+")
        found.setdefault(unit, []).append(number)
    return found


def _meets(one: Word, other: Word, apart: Mapping[str, frozenset[str]]) -> float:
    """How well two words stand for each other: 1 is the same word, 0 another one."""
    if one.first == other.first or one.said == other.said:
        return EXACT
    shared = one.forms & other.forms
    spelled = any(not form.startswith("~") for form in shared)
    if spelled and not (one.hindi and other.hindi and _same_script(one, other)):
        return EXACT
    if other.first in apart.get(one.first, ()):
        return 0.0
    if (shared and not spelled and _may_be_heard(one, other)) or _sound_alike(one, other):
        return HEARD
    return SLIPPED if _slipped(one, other) else 0.0


def _same_script(one: Word, other: Word) -> bool:
    return is_devanagari(one.said) == is_devanagari(other.said)


def _may_be_heard(one: Word, other: Word) -> bool:
    """By sound only where it is a matter of spelling: another script, Hindi in Latin letters, or an unknown word."""
    return not _same_script(one, other) or (one.hindi and other.hindi) or not (one.known and other.known)


def _sound_alike(one: Word, other: Word) -> bool:
    """Whether an unknown word in Devanagari is one in Latin letters, by its consonants."""
    if is_devanagari(one.said) == is_devanagari(other.said) or (one.known and other.known):
        return False
    heard, read = consonants(one.said), consonants(other.said)
    return heard == read and len(heard) >= LEAST_CONSONANTS


def _slipped(one: Word, other: Word) -> bool:
    """Whether one is the other, mistyped: an unknown word near a known one, or near what that one means."""
    if one.known == other.known:
        return False
    unknown, known = (one, other) if other.known else (other, one)
    meant = [form.partition("/")[0] for form in known.forms if form[0] != "~"]
    near = [(unknown.said, known.said), *((unknown.first.partition("/")[0], form) for form in meant)]
    return any(_near(a, b) for a, b in near)


def _near(a: str, b: str) -> bool:
    if min(len(a), len(b)) < SHORTEST_MENDED or a[0] != b[0]:
        return False
    return DamerauLevenshtein.distance(a, b) <= (2 if min(len(a), len(b)) >= LONG else 1) and not _other_word(a, b)


def _other_word(a: str, b: str) -> bool:
    longer, shorter = sorted((a, b), key=len, reverse=True)
    if any(longer == made + shorter for made in MADE):
        return True
    ends = [next((end for end in CHEMICAL if word.endswith(end)), "") for word in (a, b)]
    return all(ends) and ends[0] != ends[1]


def _turned(one: Asked, other: Asked, met: Mapping[int, int]) -> bool:
    """Whether what is "from", "to", "by" or "on" in the one is something else in the other."""
    for role in {word.role for word in one.words if word.role}:
        mine = {met[n] for n, word in enumerate(one.words) if word.role == role and n in met}
        theirs = {n for n, word in enumerate(other.words) if word.role == role}
        if mine and theirs and not mine & theirs:
            return True
    return False


def _reversed(one: Asked, other: Asked, met: Mapping[int, int]) -> bool:
    """Whether one of two English questions has its words the other way round: does heat change water, or water heat?

    Three words reversed, or two with nothing but an "is" between them: a square is a rectangle.
    """
    if one.hindi or other.hindi or asking.DIFFERENCE in one.ways:
        return False
    order = [met[n] for n in sorted(met)]
    if len(order) == 2:
        joined = any(word in _JOINING for asked in (one, other) for word in words(asked.text.lower()))
        return order[0] > order[1] and not joined and "'s" not in one.text + other.text
    return any(a > b > c for a, b, c in combinations(order, 3))


def _only_alike(one: Asked, other: Asked) -> bool:
    """Whether all that two questions are about is one word, and another that only may stand for it: work, function."""
    if len(one.words) != 1 or len(other.words) != 1:
        return False
    mine, theirs = one.words[0], other.words[0]
    if mine.hindi or theirs.hindi or not (mine.known and theirs.known):
        return False
    return stem(mine.said) != stem(theirs.said)


_JOINING = frozenset({"of", "and", "n", "in", "on", "by", "for", "between"})
