"""Which of several numbers is bigger or smaller, and what their order is: 9.11 and 9.9, 2/3 and 3/4."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from fractions import Fraction

from bot.calculating.numerals import VALUE, decimal, exact, listed, value
from bot.calculating.reading import Message
from bot.calculating.working import Calculated, Working

_MOST = 8  # numbers
_LARGEST = 10**12
_FILLERS = re.compile(
    "which|compare|between|in|se|of|outof|outofwhole|and|than|to|on|number|fraction|decimal|either|ko|if|by|order"
)
_CLAIM = re.compile(
    rf"({VALUE}) (bigger|smaller) than ({VALUE})|({VALUE}) ({VALUE}) se (bigger|smaller)"
    rf"|({VALUE}) (bigger|smaller) (?:either|and) ({VALUE})"
)
_ORDERS = {"ascending": False, "descending": True}


def read(message: Message, working: Working) -> Calculated | None:
    """The comparison or the order that is asked for."""
    words = set(re.findall("[a-z]+", message.bare))
    wanted = words & {"bigger", "smaller", "ascending", "descending"}
    if len(wanted) != 1 and (wanted or "compare" not in words):
        return None
    if not all(_FILLERS.fullmatch(word) for word in words - wanted):
        return None
    if found := _CLAIM.fullmatch(message.bare):
        groups = [group for group in found.groups() if group]
        numbers = [group for group in groups if group not in {"bigger", "smaller"}]
    elif "than" in words:
        return None
    else:
        bare = re.sub(r"[a-z]+:?", lambda word: " , " if word[0] in {"and", "either"} else " ", message.bare)
        bare = re.sub(r"(?:\s*,\s*)+", ", ", " ".join(bare.split())).strip(" ,;:")
        numbers = listed(bare) or []
    return _answer(numbers, next(iter(wanted), "bigger"), working)


def _answer(texts: Sequence[str], wanted: str, working: Working) -> Calculated | None:
    values = [value(text) for text in texts]
    if not 2 <= len(texts) <= _MOST or None in values:
        return None
    numbers = [number for number in values if number is not None]
    if any(max(abs(number.numerator), number.denominator) > _LARGEST for number in numbers):
        return None
    if not _in_one_form(texts, numbers, working):
        return None
    shown = [text.replace("-", "−") for text in texts]
    if len(set(numbers)) == 1:
        return working.done("comparison", "=", shown=" = ".join(shown))
    ranked = sorted(
        zip(numbers, shown, strict=True), key=lambda pair: pair[0], reverse=wanted in {"descending", "bigger"}
    )
    if wanted in _ORDERS:
        sign = " > " if wanted == "descending" else " < "
        if len(set(numbers)) < len(numbers):
            return None
        return working.done("order", ", ".join(text for _, text in ranked), shown=sign.join(text for _, text in ranked))
    if len(texts) == 2:
        big, small = sorted(zip(numbers, shown, strict=True), key=lambda pair: pair[0], reverse=True)
        working.show(f"{big[1]} > {small[1]}")
    best = ranked[0][1]
    if wanted == "smaller":
        key = "comparison.smaller" if len(texts) == 2 else "comparison.smallest"
    else:
        key = "comparison.bigger" if len(texts) == 2 else "comparison.biggest"
    return working.done("comparison", best, shown=working.say(key, number=best))


def _in_one_form(texts: Sequence[str], numbers: Sequence[Fraction], working: Working) -> bool:
    """Writes the numbers so that they can be seen beside each other: as many places, or one denominator."""
    if any("/" in text for text in texts):
        under = math.lcm(*(number.denominator for number in numbers))
        if under > _LARGEST:
            return False
        if len({number.denominator for number in numbers}) > 1:
            working.explain("comparison.common", denominator=under)
            for text, number in zip(texts, numbers, strict=True):
                working.show(f"{text} = {number.numerator * (under // number.denominator)}/{under}".replace("-", "−"))
        else:
            working.explain("comparison.same_denominator")
        return True
    places = max(len((exact(number) or "").partition(".")[2]) for number in numbers)
    if any(exact(number) is None for number in numbers):
        return False
    if len({text.partition(".")[2] == "" or len(text.partition(".")[2]) for text in texts}) > 1 and places:
        working.explain("comparison.places", places=places)
        for text, number in zip(texts, numbers, strict=True):
            working.show(f"{text.replace('-', '−')} = {decimal(number, places)}")
    if places and len({math.floor(number) for number in numbers}) == 1 and all(number >= 0 for number in numbers):
        tails = ", ".join((decimal(number, places) or "").partition(".")[2] for number in numbers)
        working.explain("comparison.whole_same", tails=tails)
    elif any(number < 0 for number in numbers):
        working.explain("comparison.negative")
    return True
