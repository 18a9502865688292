"""Works an expression of numbers out as a textbook does, one line a step; exactly, and with bounds."""

from __future__ import annotations

import math
from dataclasses import replace
from fractions import Fraction

from bot.calculating.expression import (
    Group,
    Letter,
    Negative,
    Node,
    Number,
    Percent,
    Power,
    Product,
    Root,
    Sum,
    Unreadable,
)
from bot.calculating.numerals import best, bracketed, fraction

LARGEST = 256  # bits of any number that can come out
HIGHEST = 64  # exponent
_SIGNS = {"*": " × ", "/": " ÷ ", "": " × ", "+": " + ", "-": " − "}
_POWERS, _PRODUCTS, _SUMS = 3, 2, 1  # the order of operations
_SUPERSCRIPT = str.maketrans("0123456789−", "⁰¹²³⁴⁵⁶⁷⁸⁹⁻")

Rank = tuple[int, int]  # how deep in brackets, and the kind of operation: the highest goes first


class TooLarge(Unreadable):
    """A number would become too large."""


class DividedByZero(Unreadable):
    """Something is divided by zero."""


def bounded(number: Fraction) -> Fraction:
    """The number. Raises TooLarge."""
    if number.numerator.bit_length() + number.denominator.bit_length() > LARGEST:
        raise TooLarge("the numbers become too large")
    return number


def worked(node: Node, *, as_fractions: bool) -> tuple[Fraction, list[str], set[Rank]]:
    """The value, each line of the working with the expression first, and the ranks of what was done.

    Raises TooLarge, DividedByZero, and Unreadable for letters and for roots that do not come out even.
    """
    node = settled(node)
    lines = [shown(node, as_fractions)]
    ranks: set[Rank] = set()
    while not isinstance(node, Number):
        rank = _next(node, 0)
        if rank is None:
            raise Unreadable("letters cannot be worked out")
        node = settled(_done(node, 0, rank))
        ranks.add(rank)
        lines.append(shown(node, as_fractions))
    return node.value, lines, ranks


def settled(node: Node) -> Node:
    """Without brackets and minus signs around what is a number already."""
    match node:
        case Negative():
            of = settled(node.of)
            return Number(-of.value) if isinstance(of, Number) else Negative(of)
        case Group():
            of = settled(node.of)
            return of if isinstance(of, Number) else Group(of)
        case Percent() | Root():
            return replace(node, of=settled(node.of))
        case Power():
            return Power(settled(node.base), settled(node.exponent))
        case Sum():
            return Sum(tuple((sign, settled(term)) for sign, term in node.terms))
        case Product():
            return Product(tuple((sign, settled(factor)) for sign, factor in node.factors))
        case _:
            return node


def shown(node: Node, as_fractions: bool) -> str:
    """As it is printed."""
    match node:
        case Number():
            printed = node.shown.replace("-", "−")
            return printed or (fraction(node.value) if as_fractions else best(node.value))
        case Letter():
            return node.name
        case Negative():
            return f"−{shown(node.of, as_fractions)}"
        case Percent():
            return f"{shown(node.of, as_fractions)}%"
        case Root():
            inner = shown(node.of, as_fractions)
            return f"√{inner}" if inner.replace(",", "").isdecimal() or isinstance(node.of, Group) else f"√({inner})"
        case Group():
            return f"({shown(node.of, as_fractions)})"
        case Power():
            return _power(node, as_fractions)
        case Sum():
            return _row(node.terms, as_fractions)
        case Product():
            return _row(node.factors, as_fractions)


def power(base: str, exponent: str) -> str:
    """2¹⁰, or 2^(1/2) where the exponent has no small form."""
    small = exponent.translate(_SUPERSCRIPT)
    raised = small if exponent.lstrip("−").isdecimal() else f"^({exponent})"
    return base + raised


def _power(node: Power, as_fractions: bool) -> str:
    base = shown(node.base, as_fractions)
    if isinstance(node.base, Number) and not base.replace(",", "").replace(".", "").isdecimal():
        base = f"({base})"
    exponent = node.exponent
    if isinstance(exponent, Number) and exponent.value.denominator == 1:
        return power(base, str(exponent.value.numerator).replace("-", "−"))
    return f"{base}^{bracketed(shown(exponent, as_fractions))}"


def _row(parts: tuple[tuple[str, Node], ...], as_fractions: bool) -> str:
    made = shown(parts[0][1], as_fractions)
    for sign, part in parts[1:]:
        made += _SIGNS[sign] + bracketed(shown(part, as_fractions))
    return made


def _next(node: Node, depth: int) -> Rank | None:
    """The rank of what is to be done first: the deepest brackets, there powers, then × and ÷, then + and −."""
    kind, parts = _parts(node)
    inner = (
        depth + 1 if isinstance(node, Group) or (isinstance(node, Root) and not isinstance(node.of, Group)) else depth
    )
    found = [rank for part in parts if (rank := _next(part, inner)) is not None]
    if found:
        return max(found)
    return (depth, kind) if kind and all(isinstance(part, Number) for part in parts) else None


def _parts(node: Node) -> tuple[int, tuple[Node, ...]]:
    match node:
        case Sum():
            return _SUMS, tuple(term for _, term in node.terms)
        case Product():
            return _PRODUCTS, tuple(factor for _, factor in node.factors)
        case Power():
            return _POWERS, (node.base, node.exponent)
        case Percent() | Root():
            return _POWERS, (node.of,)
        case Negative() | Group():
            return 0, (node.of,)
        case _:
            return 0, ()


def _done(node: Node, depth: int, rank: Rank) -> Node:
    """The tree after everything of this rank was done that can be."""
    kind, parts = _parts(node)
    if (depth, kind) == rank and all(isinstance(part, Number) for part in parts):
        return _worked_out(node)
    inner = (
        depth + 1 if isinstance(node, Group) or (isinstance(node, Root) and not isinstance(node.of, Group)) else depth
    )
    match node:
        case Negative() | Group() | Percent() | Root():
            return replace(node, of=_done(node.of, inner, rank))
        case Power():
            return Power(_done(node.base, inner, rank), _done(node.exponent, inner, rank))
        case Sum():
            return Sum(tuple((sign, _done(term, inner, rank)) for sign, term in node.terms))
        case Product():
            return Product(tuple((sign, _done(factor, inner, rank)) for sign, factor in node.factors))
        case _:
            return node


def _worked_out(node: Node) -> Node:
    match node:
        case Sum(terms):
            values = [-_value(term) if sign == "-" else _value(term) for sign, term in terms]
            return Number(bounded(sum(values, Fraction(0))))
        case Product(factors):
            return _multiplied(factors)
        case Power(base, exponent):
            return Number(raised(_value(base), _value(exponent)))
        case Percent(of):
            return Number(bounded(_value(of) / 100))
        case Root(of):
            return Number(_root(_value(of)))
        case _:
            raise Unreadable("nothing is to be done")


def _multiplied(factors: tuple[tuple[str, Node], ...]) -> Node:
    """All at once where there is only ×, else the first sign from the left."""
    if all(sign != "/" for sign, _ in factors):
        return Number(bounded(math.prod((_value(factor) for _, factor in factors), start=Fraction(1))))
    (_, first), (sign, second), *rest = factors
    by = _value(second)
    if sign == "/" and not by:
        raise DividedByZero("divided by zero")
    made = Number(bounded(_value(first) / by if sign == "/" else _value(first) * by))
    return Product((("*", made), *rest)) if rest else made


def raised(base: Fraction, exponent: Fraction) -> Fraction:
    """A power with a whole exponent. Raises TooLarge, DividedByZero and Unreadable."""
    if exponent.denominator != 1 or (not base and not exponent):
        raise Unreadable("an exponent must be a whole number")
    if (
        abs(exponent) > HIGHEST
        or (base.numerator.bit_length() + base.denominator.bit_length()) * abs(exponent) > 2 * LARGEST
    ):
        raise TooLarge("the power becomes too large")
    if not base and exponent < 0:
        raise DividedByZero("divided by zero")
    return bounded(base ** int(exponent))


def _root(of: Fraction) -> Fraction:
    if of < 0:
        raise Unreadable("the root of a negative number")
    over, under = math.isqrt(of.numerator), math.isqrt(of.denominator)
    if over * over != of.numerator or under * under != of.denominator:
        raise Unreadable("the root does not come out even")
    return Fraction(over, under)


def _value(node: Node) -> Fraction:
    if not isinstance(node, Number):
        raise Unreadable("not a number yet")
    return bounded(node.value)
