"""One number written another way: 5/8 as a decimal, 0.75 as a fraction, 0.08 as a per cent, 11/4 mixed."""

from __future__ import annotations

import math
import re
from fractions import Fraction

from bot.calculating.numerals import VALUE, decimal, exact, fraction, mixed, rounded, value, whole
from bot.calculating.reading import Message
from bot.calculating.working import Calculated, Working

_KINDS = "decimal|fraction|percent|mixed|improper"
_CONVERT = re.compile(
    rf"(?:convert )?(?:(?:fraction|decimal|mixed|percent) )?(?P<number>{VALUE})(?P<percent>%?) "
    rf"(?:(?:(?:to|in|into|as|ko|of|convert) )+(?P<kind>{_KINDS})|(?P<kind2>{_KINDS}) in)"
    r"(?: (?:in|to|convert|fraction))*"
)
_SIMPLEST = re.compile(r"(?:simplify (?:of )?|fraction )*([0-9]+)/([0-9]+)(?: (?:of|ko|in|to))*(?: simplify)?(?: in)?")
_LARGEST = 10**9
_MOST_PLACES = 6


def read(message: Message, working: Working) -> Calculated | None:
    """The number, written as asked."""
    text = message.bare
    if "simplify" in text.split() and (found := _SIMPLEST.fullmatch(text)):
        return _lowest(int(found[1]), int(found[2]), working)
    found = _CONVERT.fullmatch(text)
    if found is None:
        return None
    number = value(found["number"])
    if number is None:
        return working.refuse("divided_by_zero", "division_by_zero")
    kind = found["kind"] or found["kind2"]
    if found["percent"]:
        return _from_percent(number, kind, working)
    return _written(number, found["number"], kind, working)


def _written(number: Fraction, text: str, kind: str, working: Working) -> Calculated | None:
    if max(abs(number.numerator), number.denominator) > _LARGEST:
        return None
    if kind == "decimal" and "/" in text:
        return _to_decimal(number, text, working)
    if kind == "percent":
        result = decimal(number * 100) or f"{mixed(number * 100)} ≈ {rounded(number * 100)}"
        working.explain("percent.from")
        working.show(f"{text} × 100 = {result}")
        return working.done("conversion", f"{decimal(number * 100) or fraction(number * 100)}%", shown=f"{result}%")
    if kind == "fraction" and "." in text and "/" not in text:
        return _to_fraction(number, working)
    if kind == "mixed" and "/" in text and " " not in text and number > 1 and number.denominator > 1:
        return _to_mixed(text, number, working)
    if kind == "improper" and " " in text and number > 0:
        return _to_improper(text, number, working)
    return None


def _to_decimal(number: Fraction, text: str, working: Working) -> Calculated:
    result = decimal(number)
    if result is not None and len(result.partition(".")[2]) <= _MOST_PLACES:
        by = next(
            (10**n // number.denominator for n in range(1, _MOST_PLACES + 1) if 10**n % number.denominator == 0), 1
        )
        tens = number.denominator * by
        working.explain("decimal.denominator")
        start = fraction(number) if text.strip("-") == fraction(abs(number)) else f"{text} = {fraction(number)}"
        if number.denominator != 1:
            working.show(f"{start} = {fraction(number)}" if start == text and " " in text else start)
            working.show(f"= {whole(number.numerator * by)}/{whole(tens)} = {result}")
        return working.done("conversion", result)
    working.explain("decimal.endless")
    about = rounded(number, 4)
    working.show(f"{text} = {about}...")
    return working.done("conversion", fraction(number), shown=f"{text} ≈ {rounded(number)}")


def _to_fraction(number: Fraction, working: Working) -> Calculated:
    places = len((exact(number) or "").partition(".")[2])
    over, under = number * 10**places, 10**places
    working.explain("decimal.places", places=places, under=whole(under))
    line = f"{decimal(number)} = {whole(over.numerator)}/{whole(under)}"
    working.show(line if number.denominator == under else f"{line} = {fraction(number)}")
    return working.done("conversion", fraction(number), shown=_both(number))


def _both(number: Fraction) -> str:
    return fraction(number) if mixed(number) == fraction(number) else f"{fraction(number)} = {mixed(number)}"


def _to_mixed(text: str, number: Fraction, working: Working) -> Calculated:
    over, under = map(int, text.split("/"))
    units, rest = divmod(over, under)
    working.explain("mixed.divide", over=whole(over), under=whole(under), units=whole(units), rest=whole(rest))
    made = f"{whole(units)} {whole(rest)}/{whole(under)}"
    return working.done(
        "conversion", mixed(number), shown=made if made == mixed(number) else f"{made} = {mixed(number)}"
    )


def _to_improper(text: str, number: Fraction, working: Working) -> Calculated:
    units, over, under = map(int, re.split(r"[ /]", text))
    total = units * under + over
    working.explain("improper.how")
    working.show(f"{units} × {under} + {over} = {whole(total)}")
    made = f"{whole(total)}/{under}"
    return working.done(
        "conversion", fraction(number), shown=made if made == fraction(number) else f"{made} = {fraction(number)}"
    )


def _from_percent(number: Fraction, kind: str, working: Working) -> Calculated | None:
    result = number / 100
    shown = {"decimal": decimal(result), "fraction": fraction(result)}.get(kind)
    if shown is None or max(abs(result.numerator), result.denominator) > _LARGEST:
        return None
    percent = decimal(number) or fraction(number)
    working.explain("percent.means", percent=percent)
    if kind == "fraction" and number.denominator == 1 and result.denominator != 100:
        working.show(f"{percent}/100 = {shown}")
    elif kind == "decimal":
        working.show(f"{percent} ÷ 100 = {shown}")
    return working.done("conversion", shown)


def _lowest(over: int, under: int, working: Working) -> Calculated | None:
    if not under:
        return working.refuse("divided_by_zero", "division_by_zero")
    if max(over, under) > _LARGEST:
        return None
    common = math.gcd(over, under)
    result = Fraction(over, under)
    if common == 1:
        working.explain("lowest.already", over=whole(over), under=whole(under))
    else:
        working.explain("lowest.divide", over=whole(over), under=whole(under), common=whole(common))
        working.show(f"{whole(over)} ÷ {whole(common)} = {whole(over // common)}")
        working.show(f"{whole(under)} ÷ {whole(common)} = {whole(under // common)}")
    return working.done("conversion", fraction(result), shown=_both(result))
