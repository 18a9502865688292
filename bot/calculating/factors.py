"""LCM, HCF, prime numbers, factors, factorials and tables, with their working."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence

from bot.calculating.numerals import listed, value, whole
from bot.calculating.reading import Message
from bot.calculating.working import Calculated, Working

LARGEST = 10**9  # trial division of it takes a millisecond or two
MOST = 6  # numbers of an LCM
MOST_FACTORS = 40  # that are listed
LAST_FACTORIAL = 20
ROWS = 10  # of a table
_MOST_TRIED = 41  # primes up to here are shown to be tried

_PRIME = re.compile(r"([0-9,]+)(?: (?:prime|in|and|either|composite|of))*")
_NAMES = "(?:lcm|hcf)(?: and (?:lcm|hcf))?"
_COMMON = re.compile(
    rf"{_NAMES}:? (?:of |for )?([^a-z]+(?:and[^a-z]+)*)|([^a-z]+(?:and[^a-z]+)*) (?:(?:of|ko|in) )?{_NAMES}"
)
_FACTORS = re.compile(
    r"(?:(?:in|to|of) )?(factors|primefactors) of ([0-9,]+)|([0-9,]+) (?:of|in|ko|in to) (?:of )?(factors|primefactors)"
)
_FACTORIAL = re.compile(r"([0-9]+) ?!|factorial (?:of )?([0-9]+)|([0-9]+) (?:of )?factorial")
_TABLE = re.compile(r"table of ([0-9]+)|([0-9]+) of table")  # "table 5" may be one of the book's


def read(message: Message, working: Working) -> Calculated | None:
    """Whatever of these kinds the message is."""
    text = message.text
    words = set(text.split())
    if words & {"lcm", "hcf"}:
        return _common(text, words & {"lcm", "hcf"}, working)
    if "prime" in words and (found := _PRIME.fullmatch(text)):
        return _prime(found[1], working)
    if found := _FACTORS.fullmatch(text):
        return _factors(found[2] or found[3], found[1] or found[4], working)
    if (found := _FACTORIAL.fullmatch(text)) and (message.told or not message.worded or "factorial" in words):
        return _factorial(found[1] or found[2] or found[3], working)
    if found := _TABLE.fullmatch(text):
        return _table(found[1] or found[2], working)
    return None


def prime_factors(number: int) -> dict[int, int]:
    """The prime factors of a positive number, smallest first, with how often each stands in it."""
    found: dict[int, int] = {}
    by = 2
    while by * by <= number:
        while number % by == 0:
            found[by] = found.get(by, 0) + 1
            number //= by
        by += 1 if by == 2 else 2
    if number > 1:
        found[number] = found.get(number, 0) + 1
    return found


def product(factors: Mapping[int, int]) -> str:
    """2 × 2 × 3, or 1 where there are none."""
    return " × ".join(whole(prime) for prime, times in factors.items() for _ in range(times)) or "1"


def _number(text: str, least: int = 1, most: int = LARGEST) -> int | None:
    found = value(text) if re.fullmatch(r"[0-9]+|[0-9]{1,3}(?:,[0-9]{2,3})*,[0-9]{3}", text) else None
    return int(found) if found is not None and least <= found <= most else None


def _common(text: str, names: set[str], working: Working) -> Calculated | None:
    found = _COMMON.fullmatch(text)
    numbers = [_number(one) for one in listed(found[1] or found[2]) or []] if found else []
    if not 2 <= len(numbers) <= MOST or None in numbers:
        return None
    chosen = [number for number in numbers if number is not None]
    for number in dict.fromkeys(chosen):
        working.show(f"{whole(number)} = {product(prime_factors(number))}")
    results = [_highest(chosen, working)] if "hcf" in names else []
    results += [_lowest(chosen, working)] if "lcm" in names else []
    shown = ", ".join(f"{name} = {whole(result)}" for name, result in results)
    return working.done(results[0][0].lower() if len(results) == 1 else "lcm", whole(results[-1][1]), shown=shown)


def _highest(numbers: Sequence[int], working: Working) -> tuple[str, int]:
    every = [prime_factors(number) for number in numbers]
    shared = {prime: min(one.get(prime, 0) for one in every) for prime in every[0]}
    shared = {prime: times for prime, times in shared.items() if times}
    result = math.gcd(*numbers)
    if shared:
        working.explain("hcf.shared")
        line = product(shared)
        working.show(f"HCF = {line}" if line == whole(result) else f"HCF = {line} = {whole(result)}")
    else:
        working.explain("hcf.none")
    return "HCF", result


def _lowest(numbers: Sequence[int], working: Working) -> tuple[str, int]:
    most: dict[int, int] = {}
    for number in numbers:
        for prime, times in prime_factors(number).items():
            most[prime] = max(times, most.get(prime, 0))
    result = math.lcm(*numbers)
    working.explain("lcm.most")
    line = product(dict(sorted(most.items())))
    working.show(f"LCM = {line}" if line == whole(result) else f"LCM = {line} = {whole(result)}")
    return "LCM", result


def _prime(text: str, working: Working) -> Calculated | None:
    number = _number(text, least=0)
    if number is None:
        return None
    shown = whole(number)
    if number < 2:
        working.explain("prime.small", number=shown)
        return working.done("prime", "not prime", shown=working.say("prime.not", number=shown))
    factors = prime_factors(number)
    if factors == {number: 1}:
        if (root := math.isqrt(number)) <= _MOST_TRIED:
            tried = [prime for prime in range(2, root + 1) if prime_factors(prime) == {prime: 1}]
            if tried:
                working.explain("prime.tried", tried=", ".join(map(str, tried)), number=shown)
        working.explain("prime.why", number=shown)
        return working.done("prime", "prime", shown=working.say("prime.yes", number=shown))
    first = next(iter(factors))
    working.show(f"{shown} = {whole(first)} × {whole(number // first)}")
    working.explain("prime.why_not", number=shown)
    return working.done("prime", "not prime", shown=working.say("prime.composite", number=shown))


def _factors(text: str, name: str, working: Working) -> Calculated | None:
    number = _number(text, least=2)
    if number is None:
        return None
    factors = prime_factors(number)
    if name == "primefactors":
        working.explain("primefactors.how")
        _divide_out(number, factors, working)
        return working.done("factors", product(factors), shown=f"{whole(number)} = {product(factors)}")
    if math.prod(times + 1 for times in factors.values()) > MOST_FACTORS:
        return None
    divisors = [1]
    for prime, times in factors.items():
        divisors = [divisor * prime**n for divisor in divisors for n in range(times + 1)]
    divisors.sort()
    working.explain("factors.how", number=whole(number))
    for divisor in divisors[: (len(divisors) + 1) // 2]:
        working.show(f"{whole(divisor)} × {whole(number // divisor)} = {whole(number)}")
    return working.done("factors", ", ".join(map(whole, divisors)))


def _divide_out(number: int, factors: Mapping[int, int], working: Working) -> None:
    for prime, times in factors.items():
        for _ in range(times):
            working.show(f"{whole(number)} ÷ {whole(prime)} = {whole(number // prime)}")
            number //= prime


def _factorial(text: str, working: Working) -> Calculated | None:
    number = _number(text.lstrip("0") or "0", least=0, most=10**6) if len(text) < 8 else None
    if number is None or number > LAST_FACTORIAL:
        return working.refuse("too_large", "factorial")
    if number < 2:
        working.explain("factorial.small", number=number)
        return working.done("factorial", "1")
    line = " × ".join(map(str, range(number, 0, -1)))
    result = whole(math.factorial(number))
    working.explain("factorial.how", number=number)
    working.show(f"{number}! = {line} = {result}")
    return working.done("factorial", result)


def _table(text: str, working: Working) -> Calculated | None:
    number = _number(text, most=1000)
    if number is None:
        return None
    for row in range(1, ROWS + 1):
        working.show(f"{number} × {row} = {whole(number * row)}")
    return Calculated("\n".join(working.lines), whole(number * ROWS), "table")
