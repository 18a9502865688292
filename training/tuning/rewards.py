"""The reward of GRPO: whether the result that an answer ends with is the right one, which SymPy decides.

What the model wrote is read by the strict parser of bot/calculating/expression.py, never by eval or SymPy's own parser
(which is eval). Exponents and the size of every number are bounded before SymPy sees them, so that no answer costs more
than milliseconds. Anything else is no result.

A result must be worked out: "12 × 5" is no answer to what 12 × 5 is. Where the right one is a number, so must be the
answer's, a fraction in lowest terms; other expressions may hold no more numbers and letters than the right one.
"""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import sympy

from bot.calculating.expression import (
    SUPERSCRIPTS,
    TOKEN,
    VULGAR,
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
    Token,
    Unreadable,
    plain,
    tokens,
    tree,
    value,
)

__all__ = ["Unreadable", "last_expression", "parse", "reward", "right"]

LARGEST = 2048  # bits of any number that can come out
HIGHEST = 12  # exponent
ROUNDED = 2  # decimal places that a rounded result must have at least

_POINTS = (sympy.Rational(17, 7), sympy.Rational(-23, 11), sympy.Rational(41, 13))  # where expressions are compared


@dataclass(frozen=True, slots=True)
class _Sized:
    """A value, and a bound on the bits of the numbers in it."""

    value: Any
    bits: int


def reward(completions: Sequence[Any], result: Sequence[str], **_: object) -> list[float]:
    """1 for each completion that ends with its result, else 0: the signature that TRL calls.

    There is nothing in between: a wrong number deserves no more than saying that the passages do not hold the answer.
    """
    said = [one if isinstance(one, str) else one[-1]["content"] for one in completions]
    return [float(right(answer, wanted)) for answer, wanted in zip(said, result, strict=True)]


def right(answer: str, result: str) -> bool:
    """Whether the last expression in `answer` is `result`. Raises Unreadable when the result itself cannot be read."""
    wanted = parse(result)
    stated = last_expression(answer, {str(letter) for letter in wanted.free_symbols})
    if stated is None:
        return False
    try:
        found = parse(stated)
    except Unreadable:
        return False
    return _worked_out(stated, result) and (_same(found, wanted) or _rounded(stated, found, wanted))


def last_expression(text: str, letters: Collection[str] = ()) -> str | None:
    """The last stretch of a text that can be an expression, in plain signs. Only `letters` (and π) stand for numbers.

    Every other word ends a stretch, a unit too, and so does "=": of "P = 220 × 0.5 = 110 W" it is 110.
    """
    found = None
    for stretch in _stretches(plain(text), letters):
        trimmed = _trimmed(stretch)
        if re.search(rf"[\dπ{VULGAR}]", trimmed) or any(letter in trimmed for letter in letters):
            found = trimmed
    return found


def parse(text: str) -> Any:
    """The SymPy expression that a text is, all of it. Raises Unreadable."""
    found = _sized(tree(text)).value
    if found.has(sympy.zoo, sympy.nan, sympy.oo, sympy.I):
        raise Unreadable("no real number")
    return found


def _stretches(text: str, letters: Collection[str]) -> Iterator[str]:
    start = at = 0
    while at < len(text):
        token = TOKEN.match(text, at)
        after_word = at > 0 and text[at - 1].isalpha() and text[at - 1] != "π"
        if token and token["letter"]:
            fits = token["letter"] == "π" or (token["letter"] in letters and not after_word)
        else:  # the hyphen of "class-6" is no minus
            fits = bool(token) and not (after_word and text[at] == "-" and text[at - 1] not in letters)
        if token and fits:
            at = token.end()
        elif text[at].isspace():
            at += 1
        else:
            yield text[start:at]
            start = at = at + 1
    yield text[start:]


def _trimmed(stretch: str) -> str:
    """Without signs that belong to the sentence around it."""
    stretch = re.sub(r"[-+*/^(√\s]+$", "", stretch)
    stretch = re.sub(rf"^(?:[*/^)%+\s]|[{SUPERSCRIPTS}])+", "", stretch)
    opened, closed = stretch.count("("), stretch.count(")")
    if opened > closed:
        stretch = re.sub(rf"^(?:\(\s*){{1,{opened - closed}}}", "", stretch)
    elif closed > opened:
        stretch = re.sub(rf"(?:\s*\)){{1,{closed - opened}}}$", "", stretch)
    return stretch.strip()


def _sized(node: Node) -> _Sized:
    """The tree in SymPy; each step bounds what it makes."""
    match node:
        case Number():
            over, under = node.value.numerator, node.value.denominator
            return _bounded(sympy.Rational(over, under), over.bit_length() + under.bit_length())
        case Letter():
            return _Sized(sympy.pi if node.name == "π" else sympy.Symbol(node.name), 1)
        case Negative():
            made = _sized(node.of)
            return _Sized(-made.value, made.bits)
        case Percent():
            made = _sized(node.of)
            return _bounded(made.value / 100, made.bits + 7)
        case Power():
            return _raised(_sized(node.base), _sized(node.exponent).value)
        case Root():
            return _root(_sized(node.of))
        case Group():
            return _sized(node.of)
        case Sum():
            return _joined(node.terms)
        case Product():
            return _joined(node.factors)


def _joined(parts: Sequence[tuple[str, Node]]) -> _Sized:
    """A sum or a product, from left to right."""
    made = _sized(parts[0][1])
    for sign, part in parts[1:]:
        other = _sized(part)
        match sign:
            case "+":
                joined = made.value + other.value
            case "-":
                joined = made.value - other.value
            case "/":
                joined = made.value / _divisor(other.value)
            case _:
                joined = made.value * other.value
        made = _bounded(joined, made.bits + other.bits)
    return made


def _bounded(made: Any, bits: int) -> _Sized:
    if bits > LARGEST:
        raise Unreadable("the numbers become too large")
    return _Sized(made, bits)


def _divisor(by: Any) -> Any:
    if by == 0:
        raise Unreadable("divided by zero")
    return by


def _raised(base: _Sized, exponent: Any) -> _Sized:
    if not exponent.is_Integer or abs(exponent) > HIGHEST:
        raise Unreadable(f"an exponent must be a whole number of at most {HIGHEST}")
    _bounded(None, base.bits * abs(int(exponent)))  # before it is computed
    if exponent <= 0:
        _divisor(base.value)
    return _Sized(base.value**exponent, base.bits * abs(int(exponent)))


def _root(of: _Sized) -> _Sized:
    if of.bits > 64 or (of.value.is_number and of.value.is_negative):  # SymPy takes out what is square: it factorises
        raise Unreadable("the root of a negative or of too large a number")
    return _Sized(sympy.sqrt(of.value), of.bits)


def _worked_out(stated: str, result: str) -> bool:
    said, wanted = tokens(stated), tokens(result)
    if _is_number(said) or _is_number(wanted):
        return _is_number(said)
    return _operands(said) <= _operands(wanted)


def _operands(found: list[Token]) -> int:
    return sum(token.kind != "sign" for token in found)


def _is_number(found: list[Token]) -> bool:
    """One number, one fraction in lowest terms, or a mixed number; with or without a sign, brackets and %."""
    kinds = "".join({"number": "n", "vulgar": "v"}.get(token.kind, token.text.strip("()")) for token in found)
    if not (shape := re.fullmatch(r"[-+]?(n?v|n|n?n/n)%?", kinds)):
        return False
    if "/" not in shape.group(1):
        return True
    over, under = [value(token.text) for token in found if token.kind == "number"][-2:]
    return over.denominator == under.denominator == 1 and math.gcd(over.numerator, under.numerator) == 1


def _same(a: Any, b: Any) -> bool:
    if a == b:
        return True
    letters = sorted(a.free_symbols | b.free_symbols, key=str)
    difference = a - b
    for shift in range(len(_POINTS)):
        at = {letter: _POINTS[(shift + n) % len(_POINTS)] + n // len(_POINTS) for n, letter in enumerate(letters)}
        left = difference.subs(at)
        if not left.is_number or left.has(sympy.zoo, sympy.nan, sympy.oo):
            return False
        if abs(sympy.N(left, 30)) > 1e-20:
            return False
    return True


def _rounded(stated: str, found: Any, wanted: Any) -> bool:
    """Whether the decimal number that is stated is the right one, rounded to its places: 0.33 for 1/3, 1.41 for √2."""
    places = len(stated.rstrip("%").partition(".")[2])
    if not (wanted.is_number and re.fullmatch(r"[-+]?[\d,]+\.\d+", stated) and places >= ROUNDED):
        return False
    exact = wanted.is_Rational and _ends(int(wanted.q))
    return not exact and abs(sympy.N(found - wanted, 30)) <= sympy.Rational(1, 2 * 10**places)


def _ends(denominator: int) -> bool:
    """Whether a fraction with this denominator, in lowest terms, has an end as a decimal number."""
    for prime in (2, 5):
        while denominator % prime == 0:
            denominator //= prime
    return denominator == 1
