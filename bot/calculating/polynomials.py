"""Polynomials in one or two letters, of the second degree at most: what an equation of school comes down to."""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction

from bot.calculating.expression import (
    Group,
    Letter,
    Negative,
    Node,
    Number,
    Power,
    Product,
    Sum,
    Unreadable,
)
from bot.calculating.numerals import best, bracketed, fraction
from bot.calculating.steps import DividedByZero, bounded, raised

HIGHEST = 2  # degree
Monomial = tuple[str, ...]  # its letters in order: ("x", "x") is x², () is 1
Polynomial = Mapping[Monomial, Fraction]


def polynomial(node: Node) -> Polynomial:
    """What an expression is when it is multiplied out. Raises Unreadable."""
    match node:
        case Number():
            return _clean({(): bounded(node.value)})
        case Letter(name) if name != "π":
            return {(name,): Fraction(1)}
        case Negative(of):
            return added({}, polynomial(of), -1)
        case Group(of):
            return polynomial(of)
        case Sum(terms):
            return _summed(terms)
        case Product(factors):
            return _product(factors)
        case Power(base, exponent):
            return _raised(polynomial(base), constant(polynomial(exponent)))
        case _:
            raise Unreadable("not a polynomial")


def _summed(terms: tuple[tuple[str, Node], ...]) -> Polynomial:
    total: Polynomial = {}
    for sign, term in terms:
        total = added(total, polynomial(term), -1 if sign == "-" else 1)
    return total


def _product(factors: tuple[tuple[str, Node], ...]) -> Polynomial:
    product: Polynomial = {(): Fraction(1)}
    for sign, factor in factors:
        product = (_divided if sign == "/" else multiplied)(product, polynomial(factor))
    return product


def added(one: Polynomial, other: Polynomial, times: int = 1) -> Polynomial:
    """one + times · other."""
    total = dict(one)
    for letters, number in other.items():
        total[letters] = bounded(total.get(letters, Fraction(0)) + times * number)
    return _clean(total)


def multiplied(one: Polynomial, other: Polynomial) -> Polynomial:
    """The product. Raises Unreadable when its degree is too high."""
    total: dict[Monomial, Fraction] = {}
    for a, number in one.items():
        for b, by in other.items():
            letters = tuple(sorted(a + b))
            if len(letters) > HIGHEST:
                raise Unreadable(f"of a higher degree than {HIGHEST}")
            total[letters] = bounded(total.get(letters, Fraction(0)) + number * by)
    return _clean(total)


def constant(of: Polynomial) -> Fraction:
    """The number that a polynomial without letters is. Raises Unreadable."""
    if any(letters for letters in of):
        raise Unreadable("letters where a number must stand")
    return of.get((), Fraction(0))


def letters_of(*polynomials: Polynomial) -> list[str]:
    """The letters, in order."""
    return sorted({letter for one in polynomials for monomial in one for letter in monomial})


def shown(of: Polynomial) -> str:
    """x² − 5x + 6, the highest degree first."""
    made = ""
    for letters in sorted(of, key=lambda monomial: (-len(monomial), monomial)):
        number = of[letters]
        term = term_shown(abs(number), letters)
        if made:
            made += f" {'−' if number < 0 else '+'} {term}"
        else:
            made = f"{'−' if number < 0 else ''}{term}"
    return made or "0"


def term_shown(number: Fraction, letters: Monomial) -> str:
    """3x², x, xy, (2/3)x, 7."""
    if not letters:
        return best(number)
    name = "".join(dict.fromkeys(letters)) if len(set(letters)) == len(letters) else f"{letters[0]}²"
    if number == 1:
        return name
    text = best(number)
    return f"({fraction(number)}){name}" if "/" in text else bracketed(text).strip("()") + name


def _clean(of: Mapping[Monomial, Fraction]) -> Polynomial:
    return {letters: number for letters, number in of.items() if number}


def _divided(one: Polynomial, other: Polynomial) -> Polynomial:
    by = constant(other)
    if not by:
        raise DividedByZero("divided by zero")
    return multiplied(one, {(): 1 / by})


def _raised(base: Polynomial, exponent: Fraction) -> Polynomial:
    if not letters_of(base):
        return _clean({(): raised(constant(base), exponent)})
    if exponent.denominator != 1 or not 1 <= exponent <= HIGHEST:
        raise Unreadable("not a power that is read here")
    return base if exponent == 1 else multiplied(base, base)
