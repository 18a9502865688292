"""Powers, square roots and cube roots: 2^10, 5 squared, √144, √72 = 6√2, the cube root of 27."""

from __future__ import annotations

import math
import re
from fractions import Fraction

from bot.calculating.factors import prime_factors, product
from bot.calculating.numerals import best, decimal, fraction, value, whole
from bot.calculating.reading import Message
from bot.calculating.steps import DividedByZero, TooLarge, power, raised
from bot.calculating.working import Calculated, Working

_N = r"(?:[0-9,]+)(?:\.[0-9]+)?|[0-9]+/[0-9]+"
_ROOT = re.compile(rf"(?:root|√) ?(?:of )?\(?({_N})\)?|({_N}) of root")
_CUBE_ROOT = re.compile(rf"cuberoot (?:of )?({_N})|({_N}) of cuberoot")
_SQUARE = re.compile(
    rf"(?P<name>square|cube) (?P<joined>of )?(?P<of>-?(?:{_N}))"
    rf"|(?P<of2>-?(?:{_N})) (?P<joined2>of )?(?P<name2>square|cube|squared|cubed)"
)
_BASE = rf"(?P<base>[0-9][0-9,]*(?:\.[0-9]+)?|\(-?(?:{_N})\))"  # what is no plain number must stand in brackets
_POWER = re.compile(rf"{_BASE} ?(?:\^|\*\*|(?:of |to )?power (?:of )?) ?(?P<exponent>-?[0-9]+)")
_RAISED = re.compile(rf"{_BASE}(?P<exponent>⁻?[⁰¹²³⁴⁵⁶⁷⁸⁹]+)")
_SUPERSCRIPT = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹⁻", "0123456789-")
_LARGEST = 10**9
_MOST_SHOWN = 12  # factors of a power that are written out
_CUBE = 3


def read(message: Message, working: Working) -> Calculated | None:
    """The power or root that is asked for."""
    text = re.sub(r"^simplify (?:of )?", "", message.text)
    if found := _ROOT.fullmatch(text):
        return _root(found[1] or found[2], working)
    if found := _CUBE_ROOT.fullmatch(text):
        return _cube_root(value(found[1] or found[2]), working)
    if found := _SQUARE.fullmatch(text):
        name = found["name"] or found["name2"]
        if not (found["joined"] or found["joined2"] or message.told or name in {"squared", "cubed"}):
            return None  # "is 36 a square" asks something else
        exponent = 2 if name.startswith("square") else _CUBE
        return _power(found["of"] or found["of2"], exponent, working)
    if found := _POWER.fullmatch(text) or _RAISED.fullmatch(text):
        exponent_text = found["exponent"].translate(_SUPERSCRIPT)
        exponent = int(exponent_text) if len(exponent_text) < 6 else _LARGEST
        return _power(found["base"].strip("()"), exponent, working)
    return None


def surd(number: int) -> tuple[int, int]:
    """The square root of a positive number as outside √inside, nothing square left inside."""
    outside = inside = 1
    for prime, times in prime_factors(number).items():
        outside *= prime ** (times // 2)
        inside *= prime ** (times % 2)
    return outside, inside


def root_shown(outside: int, inside: int) -> str:
    """6√2, √3, 12."""
    if inside == 1:
        return whole(outside)
    return f"{whole(outside) if outside != 1 else ''}√{whole(inside)}"


def nearly(square: Fraction, places: int = 2) -> str:
    """The square root of a positive number, rounded; worked out with whole numbers, so that every digit is right."""
    scaled = math.isqrt(int(4 * square * 10 ** (2 * places)))  # twice the root: so that it can be rounded half up
    return decimal(Fraction((scaled + 1) // 2, 10**places)) or ""


def _root(text: str, working: Working) -> Calculated | None:
    number = value(text)
    if number is None or number.numerator > _LARGEST or number.denominator > _LARGEST:
        return None
    if not number:
        return working.done("root", "0")
    if number.denominator == 1:
        return _whole_root(number.numerator, working)
    over, under = math.isqrt(number.numerator), math.isqrt(number.denominator)
    if over * over == number.numerator and under * under == number.denominator:
        if "/" not in text:
            working.show(f"{best(number)} = {fraction(number)}")
        working.show(f"√{whole(number.numerator)} = {whole(over)}, √{whole(number.denominator)} = {whole(under)}")
        result = Fraction(over, under)
        bare = None if "/" in text else decimal(result)
        return working.done("root", bare or fraction(result))
    about = nearly(number)
    working.explain("root.not_square", number=best(number))
    return working.done("root", about, shown=f"√{best(number)} ≈ {about}")


def _whole_root(number: int, working: Working) -> Calculated:
    factors = prime_factors(number)
    outside, inside = surd(number)
    if number == 1:
        return working.done("root", "1")
    working.show(f"{whole(number)} = {product(factors)}")
    if inside == 1:
        working.explain("root.pairs")
        line = product({prime: times // 2 for prime, times in factors.items()})
        working.show(
            f"√{whole(number)} = {line}" if line == whole(outside) else f"√{whole(number)} = {line} = {whole(outside)}"
        )
        return working.done("root", whole(outside))
    below = math.isqrt(number)
    working.explain("root.between", number=whole(number), below=whole(below), above=whole(below + 1))
    if outside > 1:
        working.explain("root.simplify")
        working.show(
            f"√{whole(number)} = √({whole(outside * outside)} × {whole(inside)}) = {root_shown(outside, inside)}"
        )
    result = root_shown(outside, inside)
    return working.done(
        "root",
        result,
        shown=f"√{whole(number)} = {result} ≈ {nearly(Fraction(number))}"
        if outside > 1
        else f"√{whole(number)} ≈ {nearly(Fraction(number))}",
    )


def _cube_root(number: Fraction | None, working: Working) -> Calculated | None:
    if number is None or number.denominator != 1 or not 0 < number <= _LARGEST:
        return None
    factors = prime_factors(number.numerator)
    outside = math.prod(prime ** (times // _CUBE) for prime, times in factors.items())
    if outside**_CUBE == number:
        if number > 1:
            working.show(f"{whole(number.numerator)} = {product(factors)}")
            working.explain("root.threes")
        return working.done("root", whole(outside), shown=f"∛{whole(number.numerator)} = {whole(outside)}")
    low = _floor_cube(number.numerator)
    working.explain("root.cube_between", number=whole(number.numerator), below=whole(low), above=whole(low + 1))
    about = decimal(Fraction((_floor_cube(8 * number.numerator * 10**6) + 1) // 2, 100)) or ""
    return working.done("root", about, shown=f"∛{whole(number.numerator)} ≈ {about}")


def _floor_cube(number: int) -> int:
    low, high = 0, 1 << (number.bit_length() // 3 + 1)
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if middle**3 <= number else (low, middle - 1)
    return low


def _power(text: str, exponent: int, working: Working) -> Calculated | None:
    base = value(text)
    if base is None:
        return working.refuse("divided_by_zero", "division_by_zero")
    try:
        result = raised(base, Fraction(exponent))
    except DividedByZero:
        return working.refuse("divided_by_zero", "division_by_zero")
    except TooLarge:
        return working.refuse("too_large", "too_large")
    except ValueError:
        return None
    plain = fraction(base) if "/" in text else best(base)
    shown_base = plain if base > 0 and "/" not in plain else f"({plain})"
    written = power(shown_base, str(exponent).replace("-", "−"))
    printed = fraction(result) if "/" in text else decimal(result) or fraction(result)
    if exponent == 0:
        working.explain("power.zero")
    elif exponent < 0:
        working.explain("power.negative")
        working.show(f"{written} = 1/{power(shown_base, str(-exponent))}")
    elif 1 < exponent <= _MOST_SHOWN:
        working.explain("power.means", base=plain, exponent=exponent)
        working.show(f"{written} = {' × '.join([shown_base] * exponent)} = {printed}")
    if base < 0 and exponent > 0:
        working.explain("power.even" if exponent % 2 == 0 else "power.odd")
    return working.done("power", printed, shown=f"{written} = {printed}")
