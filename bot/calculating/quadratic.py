"""Quadratic equations: by factors where the roots are rational, else by the formula, with surds."""

from __future__ import annotations

import math
from fractions import Fraction

from bot.calculating.numerals import best, bracketed, fraction, rounded, whole
from bot.calculating.polynomials import Polynomial, added, shown
from bot.calculating.powers import root_shown, surd
from bot.calculating.working import Calculated, Working

_LARGEST = 10**9  # discriminant, of whole coefficients: its surd is found by trial division


def solved(left: Polynomial, right: Polynomial, letter: str, method: str, working: Working) -> Calculated | None:
    """The real roots. `method` is factorising, formula or ""; None when the numbers are too large."""
    total = added(left, right, -1)
    found = [total.get(monomial, Fraction(0)) for monomial in ((letter, letter), (letter,), ())]
    under = math.lcm(*(number.denominator for number in found))
    a, b, c = ((number * under).numerator for number in found)
    common = math.gcd(a, b, c) * (1 if a > 0 else -1)
    a, b, c = a // common, b // common, c // common
    d = b * b - 4 * a * c
    if abs(d) > _LARGEST or abs(a) > _LARGEST:
        return None
    working.show(f"{shown(left)} = {shown(right)}")
    standard = {(letter, letter): Fraction(a), (letter,): Fraction(b), (): Fraction(c)}
    clean = {monomial: number for monomial, number in standard.items() if number}
    if not b and d > 0 and method != "formula":
        return _square(a, c, letter, working, known=left)
    if clean != left or right:
        working.show(f"{shown(clean)} = 0")
    if d >= 0 and math.isqrt(d) ** 2 == d and method != "formula":
        return _factored(a, b, c, letter, working)
    return _formula(a, b, c, letter, working)


def _roots(one: Fraction, other: Fraction, letter: str, working: Working) -> Calculated:
    first, second = sorted((one, other), reverse=True)
    if first == second:
        text = f"{letter} = {_text(first)}"
        return working.done("quadratic", text, shown=working.say("quadratic.equal", root=text))
    text = f"{letter} = {_text(first)}, {letter} = {_text(second)}"
    return working.done(
        "quadratic",
        text,
        shown=working.say("quadratic.or", first=f"{letter} = {_text(first)}", second=f"{letter} = {_text(second)}"),
    )


def _text(number: Fraction) -> str:
    return fraction(number)


def _square(a: int, c: int, letter: str, working: Working, known: Polynomial) -> Calculated:
    """ax² + c = 0 with two real roots; `known` is the left side of the line above."""
    square = Fraction(-c, a)
    if known != {(letter, letter): 1}:
        working.show(f"{letter}² = {best(square)}")
    working.explain("quadratic.both_signs")
    over, under = math.isqrt(square.numerator), math.isqrt(square.denominator)
    if over * over == square.numerator and under * under == square.denominator:
        root = Fraction(over, under)
        return _roots(root, -root, letter, working)
    outside, inside = surd(square.numerator * square.denominator)
    root = Fraction(outside, square.denominator)
    text = _surd(root, inside)
    return working.done(
        "quadratic", f"{letter} = ±{text}", shown=f"{letter} = ±{text} ≈ ±{_near(Fraction(0), root, inside)}"
    )


def _surd(factor: Fraction, inside: int) -> str:
    """2√3, √5/3."""
    over = root_shown(factor.numerator, inside)
    return over if factor.denominator == 1 else f"{over}/{whole(factor.denominator)}"


def _near(middle: Fraction, factor: Fraction, inside: int) -> str:
    """middle + factor · √inside, to two places."""
    scale = 10**12
    root = Fraction(math.isqrt(inside * scale * scale), scale)
    return rounded(middle + factor * root)


def _factored(a: int, b: int, c: int, letter: str, working: Working) -> Calculated:
    root = math.isqrt(b * b - 4 * a * c)
    one, other = Fraction(-b + root, 2 * a), Fraction(-b - root, 2 * a)
    first, second = (_factor(value, letter) for value in (one, other))
    if c:
        m, n = (b + root) // 2, (b - root) // 2  # their sum is b, their product ac
        if a == 1:
            working.explain("quadratic.two_numbers", sum=whole(b), product=whole(c), m=whole(m), n=whole(n))
        else:
            working.explain("quadratic.split", sum=whole(b), product=whole(a * c), m=whole(m), n=whole(n))
    else:
        working.explain("quadratic.common", letter=letter)
    factors = f"{first}²" if one == other else f"{first}{second}"
    if not c:
        number = one or other
        rest = _factor(number, letter)
        factors = f"{letter}{rest}"
    working.show(f"{factors} = 0")
    working.explain("quadratic.zero")
    return _roots(one, other, letter, working)


def _factor(root: Fraction, letter: str) -> str:
    """The factor that is zero at the root: (x − 3), (2x + 1)."""
    times = "" if root.denominator == 1 else whole(root.denominator)
    if not root:
        return letter
    return f"({times}{letter} {'−' if root > 0 else '+'} {whole(abs(root.numerator))})"


def _formula(a: int, b: int, c: int, letter: str, working: Working) -> Calculated:
    d = b * b - 4 * a * c
    working.show(f"a = {whole(a)}, b = {whole(b)}, c = {whole(c)}")
    working.show(f"D = b² − 4ac = {_squared(b)} − 4 × {bracketed(whole(a))} × {bracketed(whole(c))} = {whole(d)}")
    if d < 0:
        working.explain("quadratic.negative")
        return working.done("quadratic", "no real roots", shown=working.say("quadratic.none"))
    working.show(f"{letter} = (−b ± √D) ÷ 2a = ({whole(-b)} ± √{whole(d)}) ÷ {bracketed(whole(2 * a))}")
    root = math.isqrt(d)
    if root * root == d:
        return _roots(Fraction(-b + root, 2 * a), Fraction(-b - root, 2 * a), letter, working)
    outside, inside = surd(d)
    middle, factor = Fraction(-b, 2 * a), Fraction(outside, 2 * abs(a))
    if outside > 1:
        working.show(f"√{whole(d)} = {root_shown(outside, inside)}")
    under = math.lcm(middle.denominator, factor.denominator)
    over = root_shown((factor * under).numerator, inside)
    front = f"{whole((middle * under).numerator)} ± {over}" if middle else f"±{over}"
    text = front if under == 1 else f"({front})/{under}"
    near = [_near(middle, sign * factor, inside) for sign in (1, -1)]
    return working.done("quadratic", f"{letter} = {text}", shown=f"{letter} = {text} (≈ {near[0]}, {near[1]})")


def _squared(number: int) -> str:
    return f"{bracketed(whole(number))}²"
