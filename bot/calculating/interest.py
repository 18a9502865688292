"""Simple and compound interest, whatever the order in which principal, rate and time are told."""

from __future__ import annotations

import re
from fractions import Fraction

from bot.calculating.numerals import best, decimal, mixed, rounded, value
from bot.calculating.reading import Message
from bot.calculating.steps import power
from bot.calculating.working import Calculated, Working

_NUMBER = r"([0-9,]+(?:\.[0-9]+)?)"
_RATE = re.compile(
    rf"(?:rate (?:of |= ?)?)?{_NUMBER}(?: [0-9]+/[0-9]+)?%(?: (?:of )?rate)?|rate (?:of |= ?|: ?)?{_NUMBER}"
)
_TIME = re.compile(rf"(?:time (?:of |= ?)?)?{_NUMBER} ?(year|month)|time (?:of |= ?|: ?)?{_NUMBER}")
_FILLERS = re.compile(r"on|at|for|of|in|perannum|rs|and|ko|se|to|if|by|from|[=:,]")
_MOST_PRINCIPAL, _MOST_RATE, _MOST_YEARS, _MOST_COMPOUND = 10**12, 100, 100, 10


def read(message: Message, working: Working) -> Calculated | None:
    """The interest, when the message tells it all and nothing else."""
    words = message.text.split()
    kinds = {"simpleinterest", "compoundinterest"} & set(words)
    if len(kinds) != 1:
        return None
    rest = " ".join(word for word in words if word not in kinds)
    if re.search(r"\bprincipal\b(?! (?:of |= ?|: ?|rs )*[0-9])", rest):
        return None  # the principal is asked for
    rest = re.sub(r"\bprincipal (?:of |= ?|: ?)?", "", rest)
    rate, rest = _taken(_RATE, rest)
    time, rest = _taken(_TIME, rest)
    if rate is None or time is None:
        return None
    numbers = re.findall(_NUMBER, rest)
    others = re.sub(_NUMBER, " ", rest).replace(",", " ").replace("/-", " ").split()
    if len(numbers) != 1 or not all(_FILLERS.fullmatch(other) for other in others):
        return None
    per_cent = value(next(group for group in rate.groups() if group))
    length = value(time[1] or time[3])
    principal = value(numbers[0])
    if not principal or not per_cent or not length or principal > _MOST_PRINCIPAL:
        return None
    years = length / 12 if time[2] == "month" else length
    if per_cent > _MOST_RATE or years > _MOST_YEARS or rate[0].count("/"):
        return None
    working.money = True
    if kinds == {"simpleinterest"}:
        return _simple(principal, per_cent, years, working)
    if years.denominator != 1 or years > _MOST_COMPOUND:
        return None
    return _compound(principal, per_cent, years.numerator, working)


def _taken(pattern: re.Pattern[str], text: str) -> tuple[re.Match[str] | None, str]:
    """The one place where the pattern stands, and the text without it; None where there is no or more than one."""
    found = list(pattern.finditer(text))
    if len(found) != 1:
        return None, text
    return found[0], f"{text[: found[0].start()]} {text[found[0].end() :]}"


def _amount(number: Fraction) -> str:
    """In rupees: exact to the paisa, else rounded to it."""
    exact = decimal(number)
    return f"₹{exact if exact is not None and len(exact.partition('.')[2]) <= 2 else rounded(number)}"


def _simple(principal: Fraction, rate: Fraction, years: Fraction, working: Working) -> Calculated:
    interest = principal * rate * years / 100
    working.explain("interest.simple")
    time = decimal(years) or mixed(years)
    working.show(f"P = {_amount(principal)}, R = {best(rate)}%, T = {time}")
    factor = time if "/" not in time else f"({time})"
    product = f"{best(principal)} × {best(rate)} × {factor}"
    working.show(f"{product} ÷ 100 = {_amount(interest)}")
    working.explain(
        "interest.total", principal=_amount(principal), interest=_amount(interest), total=_amount(principal + interest)
    )
    return working.done("interest", _amount(interest))


def _compound(principal: Fraction, rate: Fraction, years: int, working: Working) -> Calculated:
    total = principal * (1 + rate / 100) ** years
    working.explain("interest.compound")
    working.show(f"P = {_amount(principal)}, R = {best(rate)}%, n = {years}")
    times = best(1 + rate / 100)
    sign = "=" if (exact := decimal(total)) and len(exact.partition(".")[2]) <= 2 else "≈"
    grown = power(f"({times})" if "/" in times else times, str(years))
    working.show(f"A = {best(principal)} × {grown} {sign} {_amount(total)}")
    working.explain(
        "interest.difference", total=_amount(total), principal=_amount(principal), interest=_amount(total - principal)
    )
    return working.done("interest", _amount(total - principal))
