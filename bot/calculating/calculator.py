"""Answers a message that is a computation and nothing else; what is not clearly one is left to the book."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from bot.calculating import (
    arithmetic,
    averages,
    comparing,
    conversions,
    equations,
    factors,
    interest,
    percents,
    powers,
)
from bot.calculating.reading import LONGEST, Message, Words
from bot.calculating.spelling import Spelling
from bot.calculating.units import Units
from bot.calculating.working import Calculated, Working
from bot.replies import Replies

SHIPPED = Path(__file__).resolve().parents[2] / "data"

_READERS: tuple[Callable[[Message, Working], Calculated | None], ...] = (
    interest.read,
    equations.read,
    factors.read,
    averages.read,
    comparing.read,
    conversions.read,
    powers.read,
    percents.read,
    arithmetic.read,
)
_TO_DEVANAGARI = str.maketrans("0123456789", "०१२३४५६७८९")


class Calculator:
    """Keeps nothing between questions; share one. A question costs milliseconds, whatever it holds."""

    def __init__(self, data: Path = SHIPPED) -> None:
        """Reads calculating/ and glossary/ of `data`. Raises ValueError naming the file that cannot be used."""
        self._words = Words.load(data / "calculating")
        self._units = Units(data / "calculating")
        self._replies = Replies.load(data / "calculating" / "texts")
        self._spelling = Spelling.load(data / "glossary")

    def answer(self, question: str, language: str) -> Calculated | None:
        """The computed answer in `language` (en, hi, hinglish); None when the message is no computation."""
        if len(question) > LONGEST:
            return None
        if (spelt := self._spelling.read(question, self._working(language))) is not None:
            return spelt
        message = self._words.read(question)
        if message is None:
            return None
        found = next(self._found(message, language), None)
        return _in_digits_of(message, found) if found else None

    def _found(self, message: Message, language: str) -> Iterator[Calculated]:
        units = self._units.read(message, self._working(language), language)
        if units is not None:
            yield units
        for read in _READERS:
            if (found := read(message, self._working(language, money=message.money))) is not None:
                yield found

    def _working(self, language: str, *, money: bool = False) -> Working:
        return Working(partial(self._say, language), money)

    def _say(self, language: str, key: str, **values: object) -> str:
        return self._replies.say(key, language, **values)


def _in_digits_of(message: Message, found: Calculated) -> Calculated:
    """With the digits that the student wrote."""
    if not message.devanagari:
        return found
    return Calculated(found.text.translate(_TO_DEVANAGARI), found.result.translate(_TO_DEVANAGARI), found.kind)
