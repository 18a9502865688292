"""Averages, medians and ratios."""

from __future__ import annotations

import math
import re
from fractions import Fraction

from bot.calculating.numerals import VALUE, best, bracketed, decimal, fraction, listed, mixed, rounded, value, whole
from bot.calculating.reading import Message
from bot.calculating.working import Calculated, Working

_MOST = 20  # numbers
_LARGEST = 10**12
_TERM = r"(?:[0-9,]+)(?:\.[0-9]+)?"
_COLON = re.compile(
    rf"(?:simplify |ratio |of )*({_TERM}(?: ?: ?{_TERM}){{1,2}})"
    r"(?: (?:of|ko|in|to|ratio))*(?: simplify)?(?: (?:in|ratio))*"
)
_AND = "(?:to|and|in|se)"
_RATIO = re.compile(
    rf"ratio (?:of |between )?({VALUE}) {_AND} ({VALUE})"
    rf"|({VALUE}) {_AND} ({VALUE}) (?:(?:of|between|in) )?ratio"
)


def read(message: Message, working: Working) -> Calculated | None:
    """The average, median or ratio that is asked for."""
    text = message.bare
    words = text.split()
    if words.count("average") + words.count("median") == 1:
        return _middle(text, "average" if "average" in words else "median", working)
    if ("simplify" in words or "ratio" in words) and (found := _COLON.fullmatch(text)):
        return ratio([value(term.strip()) for term in found[1].split(":")], working)
    if found := _RATIO.fullmatch(text):
        return ratio([value(found[1] or found[3]), value(found[2] or found[4])], working)
    return None


def _middle(text: str, kind: str, working: Working) -> Calculated | None:
    bare = re.sub(rf"^{kind}:? (?:of |in )?|(?: (?:of|ko|in))? {kind}$", "", text)
    numbers = [value(one) for one in listed(bare) or []]
    if not 2 <= len(numbers) <= _MOST or None in numbers:
        return None
    chosen = [number for number in numbers if number is not None]
    if any(max(abs(number.numerator), number.denominator) > _LARGEST for number in chosen):
        return None
    return (_average if kind == "average" else _median)(chosen, working)


def _average(numbers: list[Fraction], working: Working) -> Calculated:
    total = sum(numbers, Fraction(0))
    result = total / len(numbers)
    working.explain("average.how")
    first, *others = map(best, numbers)
    working.show(f"{' + '.join([first, *map(bracketed, others)])} = {best(total)}")
    working.show(f"{best(total)} ÷ {len(numbers)} = {_shown(result)}")
    return working.done("average", _bare(result), shown=working.amount(_shown(result)))


def _median(numbers: list[Fraction], working: Working) -> Calculated:
    ordered = sorted(numbers)
    half = len(ordered) // 2
    working.explain("median.order")
    working.show(", ".join(map(best, ordered)))
    if len(ordered) % 2:
        working.explain("median.odd")
        return working.done("median", _bare(ordered[half]))
    working.explain("median.even")
    low, high = ordered[half - 1 : half + 1]
    result = (low + high) / 2
    working.show(f"({best(low)} + {bracketed(best(high))}) ÷ 2 = {_shown(result)}")
    return working.done("median", _bare(result), shown=_shown(result))


def _bare(number: Fraction) -> str:
    return decimal(number) or fraction(number)


def _shown(number: Fraction) -> str:
    return decimal(number) or f"{mixed(number)} ≈ {rounded(number)}"


def ratio(terms: list[Fraction | None], working: Working) -> Calculated | None:
    """A ratio of two or three positive numbers in lowest terms."""
    numbers = [term for term in terms if term is not None]
    if len(numbers) < len(terms) or any(
        not 0 < number <= _LARGEST or number.denominator > _LARGEST for number in numbers
    ):
        return None
    under = math.lcm(*(number.denominator for number in numbers))
    wholes = [(number * under).numerator for number in numbers]
    if under != 1:
        working.explain("ratio.whole", times=whole(under))
        working.show(" : ".join(map(whole, wholes)))
    common = math.gcd(*wholes)
    result = " : ".join(whole(number // common) for number in wholes)
    if common > 1:
        working.explain("ratio.divide", common=whole(common))
        working.show(f"{' : '.join(map(whole, wholes))} = {result}")
    else:
        working.explain("ratio.already")
    return working.done("ratio", result)
