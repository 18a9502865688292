"""Numbers from text, and as a textbook prints them: 1,50,000, 3/4, 2 1/2, 0.625, −7."""

from __future__ import annotations

import math
import re
from fractions import Fraction

VALUE = (  # a number, fraction or mixed number, as `value` reads it
    r"(?:(?<![0-9.,/])-\s?)?"
    r"(?:[0-9]+ [0-9]+/[0-9]+|(?:(?<![0-9],)[0-9]{1,3}(?:,[0-9]{2,3})*,[0-9]{3}(?![0-9]|,[0-9])|[0-9]+)(?:\.[0-9]+)?"
    r"(?:/[0-9]+)?)(?![0-9]|\.[0-9]|/)"
)
_SEPARATOR = re.compile(r"\s*(?:,\s*and\b|,|\band\b|\beither\b|;)\s*|\s+")
_VALUE = re.compile(VALUE)
PLACES = 2  # of a number that is rounded
_FINEST = 9  # places that a decimal is shown exactly with


def value(text: str) -> Fraction | None:
    """The value of a text that `VALUE` matches; None when it divides by zero."""
    text = text.replace(",", "").replace("- ", "-")
    sign = -1 if text.startswith("-") else 1
    total = Fraction(0)
    for part in text.lstrip("-").split(" "):
        over, _, under = part.partition("/")
        if under and not int(under):
            return None
        total += Fraction(over) / int(under or 1)
    return sign * total


def listed(text: str) -> list[str] | None:
    """The numbers of "4, 8 and 15" or "24 36", as they stand; None when there is anything else in the text.

    A lone "100,200,300" is three numbers; a number with such commas among others may be either, and is none.
    """
    found: list[str] = []
    at = 0
    while at < len(text):
        match = _VALUE.match(text, at)
        if match is None:
            return None
        found.append(match[0])
        at = match.end()
        if at < len(text):
            gap = _SEPARATOR.match(text, at)
            if gap is None or gap.end() == len(text):
                return None
            at = gap.end()
    if len(found) == 1 and "," in found[0]:
        return found[0].split(",")
    return None if any(one.count(",") > 1 for one in found) else found


def whole(number: int) -> str:
    """With a true minus and the commas of lakh and crore: −1,50,000."""
    digits = str(abs(number))
    head, tail = digits[:-3], digits[-3:]
    pairs = [head[max(0, end - 2) : end] for end in range(len(head), 0, -2)][::-1]
    return ("−" if number < 0 else "") + ",".join([*pairs, tail])


def ends(denominator: int) -> bool:
    """Whether a fraction with this denominator, in lowest terms, has an end as a decimal number."""
    for prime in (2, 5):
        while denominator % prime == 0:
            denominator //= prime
    return denominator == 1


def exact(number: Fraction) -> str | None:
    """As a plain decimal without commas, such as -2.5; None when it has no end, or too late a one."""
    places = next((n for n in range(_FINEST + 1) if 10**n % number.denominator == 0), None)
    if places is None:
        return None
    scaled = str(abs(number.numerator) * 10**places // number.denominator).zfill(places + 1)
    sign = "-" if number < 0 else ""
    return f"{sign}{scaled[:-places]}.{scaled[-places:]}" if places else f"{sign}{scaled}"


def decimal(number: Fraction, least: int = 0) -> str | None:
    """As a printed decimal with at least so many places; None when it has no end."""
    text = exact(number)
    if text is None:
        return None
    before, _, after = text.lstrip("-").partition(".")
    after = after.ljust(least, "0")
    sign = "−" if number < 0 else ""
    return f"{sign}{whole(int(before))}" + (f".{after}" if after else "")


def rounded(number: Fraction, places: int = PLACES) -> str:
    """To so many places, half away from zero, as school rounds."""
    scaled = math.floor(abs(number) * 10**places + Fraction(1, 2))
    return decimal(Fraction(scaled if number >= 0 else -scaled, 10**places)) or ""


def fraction(number: Fraction) -> str:
    """In lowest terms: −7/4; a whole number without its denominator."""
    over = whole(number.numerator)
    return over if number.denominator == 1 else f"{over}/{whole(number.denominator)}"


def mixed(number: Fraction) -> str:
    """With its whole part apart: 1 3/4; a proper fraction or a whole number as it is."""
    units, rest = divmod(abs(number), 1)
    if not units or not rest:
        return fraction(number)
    return f"{'−' if number < 0 else ''}{whole(units)} {fraction(rest)}"


def best(number: Fraction) -> str:
    """As a decimal when that has an end within four places, else as a fraction."""
    text = decimal(number)
    return text if text is not None and len(text.partition(".")[2]) <= 4 else fraction(number)


def bracketed(text: str) -> str:
    """A negative number in brackets, as after a sign."""
    return f"({text})" if text.startswith("−") else text
