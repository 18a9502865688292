"""What a teacher says to one sum of two numbers: common denominators, decimal points, long products."""

from __future__ import annotations

import math
from fractions import Fraction

from bot.calculating.expression import Node, Number, Product, Sum
from bot.calculating.numerals import bracketed, decimal, exact, fraction, whole
from bot.calculating.steps import shown
from bot.calculating.working import Working

_SPLIT = 10  # numbers from here on are multiplied in parts
_MOST_SPLIT = 10**6
_SIGNS = {"+": "+", "-": "−", "*": "×", "": "×", "/": "÷"}


def explained(node: Node, working: Working, *, as_fractions: bool) -> bool:
    """Writes the working of a sum of two numbers; False when it is another expression, and nothing was written."""
    match node:
        case Sum((("+", Number() as one), (sign, Number() as other))):
            pass
        case Product((("*", Number() as one), (sign, Number() as other))):
            pass
        case _:
            return False
    if as_fractions:
        _fractions(one, sign, other, node, working)
    elif sign == "/":
        _division(one, other, node, working)
    elif sign in {"*", ""}:
        _product(one.value, other.value, node, working)
    else:
        _decimals(one.value, sign, other.value, node, working)
    return True


def _fractions(one: Number, sign: str, other: Number, node: Node, working: Working) -> None:
    a, b = one.value, other.value
    for number in (one, other):
        if " " in number.shown or not number.shown.isascii():
            working.explain("fraction.mixed", mixed=number.shown, improper=fraction(number.value))
    working.show(f"{shown(node, as_fractions=True)}")
    if sign in "+-" and sign:
        under = math.lcm(a.denominator, b.denominator)
        overs = [number.numerator * (under // number.denominator) for number in (a, b)]
        if a.denominator != b.denominator:
            working.explain("fraction.common", denominator=under)
        result = overs[0] + overs[1] if sign == "+" else overs[0] - overs[1]
        working.show(f"= {whole(overs[0])}/{under} {_SIGNS[sign]} {bracketed(f'{whole(overs[1])}/{under}')}")
        _lowest(result, under, working)
        return
    if sign == "/":
        working.explain("fraction.divide")
        b = 1 / b
        working.show(f"= {fraction(a)} × {bracketed(fraction(b))}")
    else:
        working.explain("fraction.multiply")
    _lowest(a.numerator * b.numerator, a.denominator * b.denominator, working)


def _lowest(over: int, under: int, working: Working) -> None:
    """The result as it comes out, then in lowest terms."""
    result = Fraction(over, under)
    came = f"{whole(over)}/{whole(under)}" if under != 1 else whole(over)
    working.show(f"= {came}" if came == fraction(result) else f"= {came} = {fraction(result)}")


def _division(one: Number, other: Number, node: Node, working: Working) -> None:
    a, b = one.value, other.value
    result = a / b
    line = shown(node, as_fractions=False)
    if a.denominator == b.denominator == 1:
        if result.denominator == 1:
            working.explain(
                "division.even", by=whole(b.numerator), result=whole(result.numerator), number=whole(a.numerator)
            )
        elif a > b > 0:
            quotient, rest = divmod(a.numerator, b.numerator)
            working.explain(
                "division.rest",
                quotient=whole(quotient),
                rest=whole(rest),
                by=whole(b.numerator),
                number=whole(a.numerator),
            )
        else:
            working.explain(
                "division.fraction", over=whole(a.numerator), under=whole(b.numerator), fraction=fraction(result)
            )
    elif b.denominator != 1 and exact(a) and exact(b):
        by = next(10**n for n in range(1, 12) if (b * 10**n).denominator == 1)
        working.explain("division.decimal", times=whole(by))
        working.show(f"{line} = {decimal(a * by)} ÷ {decimal(b * by)}")
    working.show(f"{line} = {decimal(result) or fraction(result)}")


def _product(a: Fraction, b: Fraction, node: Node, working: Working) -> None:
    line = shown(node, as_fractions=False)
    if a.denominator == b.denominator == 1:
        large, small = max(abs(a), abs(b)), min(abs(a), abs(b))
        if a > 0 and b > 0 and small > _SPLIT and large < _MOST_SPLIT and small % 10:
            tens, ones = small.numerator // 10 * 10, small.numerator % 10
            big = whole(large.numerator)
            working.explain("product.split", number=whole(small.numerator), tens=whole(tens), ones=ones)
            working.show(f"{big} × {whole(tens)} = {whole(large.numerator * tens)}")
            working.show(f"{big} × {ones} = {whole(large.numerator * ones)}")
            working.show(
                f"{whole(large.numerator * tens)} + {whole(large.numerator * ones)} = {whole((a * b).numerator)}"
            )
            return
        if a < 0 or b < 0:
            working.explain("product.same_signs" if a * b > 0 else "product.other_signs")
    elif exact(a) and exact(b):
        places = [_places(number) for number in (a, b)]
        plain = [abs(number) * 10**n for number, n in zip((a, b), places, strict=True)]
        working.explain("product.decimal", places=sum(places))
        working.show(
            f"{whole(plain[0].numerator)} × {whole(plain[1].numerator)} = {whole((plain[0] * plain[1]).numerator)}"
        )
        placed = decimal(a * b, sum(places)) or ""
        working.show(f"{line} = {placed}" if placed == decimal(a * b) else f"{line} = {placed} = {decimal(a * b)}")
        return
    working.show(f"{line} = {decimal(a * b) or fraction(a * b)}")


def _decimals(a: Fraction, sign: str, b: Fraction, node: Node, working: Working) -> None:
    result = a + b if sign == "+" else a - b
    places = max(_places(a), _places(b))
    if places and exact(a) and exact(b):
        working.explain("decimal.line_up", places=places)
        working.show(
            f"{decimal(a, places)} {_SIGNS[sign]} {bracketed(decimal(b, places) or '')} = {decimal(result, places)}"
        )
    else:
        working.show(f"{shown(node, as_fractions=False)} = {decimal(result) or fraction(result)}")


def _places(number: Fraction) -> int:
    return len((exact(number) or "").partition(".")[2])
