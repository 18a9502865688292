"""The reward of GRPO: whether the result that an answer ends with is the right one, which SymPy decides.

What the model wrote is read by a strict parser of school arithmetic and algebra, never by eval or SymPy's own parser
(which is eval): numbers (1,50,000, 2.5, Devanagari digits, ½, the mixed number 2 1/2), + - * / ^ and their printed
forms, brackets, %, √, π and single letters. Length, number of tokens, depth, exponents and the size of every number are
bounded before SymPy sees them, so that no answer costs more than milliseconds. Anything else is no result.

A result must be worked out: "12 × 5" is no answer to what 12 × 5 is. Where the right one is a number, so must be the
answer's, a fraction in lowest terms; other expressions may hold no more numbers and letters than the right one.
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import sympy

LONGEST = 200  # characters of an expression
MOST = 64  # tokens of it
DEEPEST = 16  # brackets, roots and exponents within each other
LARGEST = 2048  # bits of any number that can come out
HIGHEST = 12  # exponent
ROUNDED = 2  # decimal places that a rounded result must have at least

_PRINTED = str.maketrans({**dict(zip("०१२३४५६७८९", "0123456789", strict=True)), **dict.fromkeys("−–", "-")})
_PRINTED |= str.maketrans({"×": "*", "·": "*", "⋅": "*", "÷": "/", "⁄": "/"})
_SUPERSCRIPT = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹⁻", "0123456789-")
_VULGAR = "½⅓⅔¼¾⅕⅖⅗⅘⅙⅚⅛⅜⅝⅞"
_PER_CENT = re.compile(r"\s*(?:\bper\s?cent\b|प्रतिशत)", re.IGNORECASE)
_TOKEN = re.compile(
    r"(?P<number>\d{1,3}(?:,\d{2,3})*,\d{3}(?:\.\d+)?(?![\d])|\d+(?:\.\d+)?)"
    rf"|(?P<vulgar>[{_VULGAR}])|(?P<power>⁻?[⁰¹²³⁴⁵⁶⁷⁸⁹]+)"
    r"|(?P<letter>π|[A-Za-z](?![A-Za-z]))|(?P<sign>\*\*|[-+*/^()%√])"
)
_POINTS = (sympy.Rational(17, 7), sympy.Rational(-23, 11), sympy.Rational(41, 13))  # where expressions are compared


class Unreadable(ValueError):
    """Not an expression of the kind that is read here, or one that is too large."""


@dataclass(frozen=True, slots=True)
class _Token:
    kind: str
    text: str
    glued: bool  # no space before it


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
    for stretch in _stretches(_plain(text), letters):
        trimmed = _trimmed(stretch)
        if re.search(rf"[\dπ{_VULGAR}]", trimmed) or any(letter in trimmed for letter in letters):
            found = trimmed
    return found


def parse(text: str) -> Any:
    """The SymPy expression that a text is, all of it. Raises Unreadable."""
    parser = _Parser(_tokens(text))
    value = parser.whole().value
    if value.has(sympy.zoo, sympy.nan, sympy.oo, sympy.I):
        raise Unreadable("no real number")
    return value


def _plain(text: str) -> str:
    return _PER_CENT.sub("%", text.translate(_PRINTED))


def _stretches(text: str, letters: Collection[str]) -> Iterator[str]:
    start = at = 0
    while at < len(text):
        token = _TOKEN.match(text, at)
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
    stretch = re.sub(r"^(?:[*/^)%+\s]|[⁰¹²³⁴⁵⁶⁷⁸⁹⁻])+", "", stretch)
    opened, closed = stretch.count("("), stretch.count(")")
    if opened > closed:
        stretch = re.sub(rf"^(?:\(\s*){{1,{opened - closed}}}", "", stretch)
    elif closed > opened:
        stretch = re.sub(rf"(?:\s*\)){{1,{closed - opened}}}$", "", stretch)
    return stretch.strip()


def _tokens(text: str) -> list[_Token]:
    if len(text) > LONGEST:
        raise Unreadable(f"longer than {LONGEST} characters")
    text = _plain(text).strip()
    tokens: list[_Token] = []
    at = 0
    while at < len(text):
        space = len(text[at:]) - len(text[at:].lstrip())
        match = _TOKEN.match(text, at + space)
        if match is None or match.lastgroup is None:
            raise Unreadable(f"{text[at + space :][:10]!r} is not understood")
        tokens.append(_Token(match.lastgroup, match.group(), space == 0))
        at = match.end()
    if not 0 < len(tokens) <= MOST:
        raise Unreadable(f"not between 1 and {MOST} numbers and signs")
    return tokens


class _Parser:
    """Recursive descent: sum > product > signed > power > atom. Each step bounds what it makes."""

    def __init__(self, tokens: list[_Token]) -> None:
        self._tokens = tokens
        self._at = 0
        self._depth = 0

    def whole(self) -> _Sized:
        made = self._sum()
        if self._at < len(self._tokens):
            raise Unreadable(f"{self._tokens[self._at].text!r} is not understood there")
        return made

    def _sum(self) -> _Sized:
        made = self._product()
        while (sign := self._take("+", "-")) is not None:
            other = self._product()
            made = _bounded(
                made.value + other.value if sign == "+" else made.value - other.value, made.bits + other.bits
            )
        return made

    def _product(self) -> _Sized:
        made = self._signed()
        while True:
            sign = self._take("*", "/")
            if sign is None and not self._follows_glued():
                return made
            other = self._signed()
            made = _bounded(
                made.value / _divisor(other.value) if sign == "/" else made.value * other.value, made.bits + other.bits
            )

    def _signed(self) -> _Sized:
        self._deeper()
        sign = self._take("-", "+")
        made = self._power() if sign is None else self._signed()
        self._depth -= 1
        return _Sized(-made.value, made.bits) if sign == "-" else made

    def _power(self) -> _Sized:
        made = self._atom()
        if self._kind() == "power":
            return _raised(made, sympy.Integer(int(self._next().text.translate(_SUPERSCRIPT))))
        if self._take("^", "**") is not None:
            return _raised(made, self._signed().value)
        if self._take("%") is not None:
            return _bounded(made.value / 100, made.bits + 7)
        return made

    def _atom(self) -> _Sized:
        kind = self._kind()
        if kind in {"number", "vulgar"}:
            return self._number()
        if kind == "letter":
            letter = self._next().text
            return _Sized(sympy.pi if letter == "π" else sympy.Symbol(letter), 1)
        sign = self._take("(", "√")
        if sign is None:
            raise Unreadable("a number is missing")
        self._deeper()
        made = _root(self._atom()) if sign == "√" else self._sum()
        self._depth -= 1
        if sign == "(" and self._take(")") is None:
            raise Unreadable("a bracket is not closed")
        return made

    def _number(self) -> _Sized:
        """A number, or a mixed one: 3⅖, or 2 1/2 with the space that tells it from 21/2."""
        value = _value(self._next().text)
        kinds = [token.kind if token.kind != "sign" else token.text for token in self._tokens[self._at :][:3]]
        if kinds[:1] == ["vulgar"]:
            value += _value(self._next().text)
        elif kinds == ["number", "/", "number"] and not self._tokens[self._at].glued and value.denominator == 1:
            over, _, under = self._next(), self._next(), self._next()
            value += _value(over.text) / _divisor(_value(under.text))
        return _bounded(
            sympy.Rational(value.numerator, value.denominator),
            value.numerator.bit_length() + value.denominator.bit_length(),
        )

    def _follows_glued(self) -> bool:
        """Whether a factor follows without a sign or a space: the x of 2x, the bracket of 3(x + 1)."""
        if self._at >= len(self._tokens):
            return False
        token = self._tokens[self._at]
        return token.glued and (token.kind == "letter" or token.text in {"(", "√"})

    def _kind(self) -> str:
        return self._tokens[self._at].kind if self._at < len(self._tokens) else ""

    def _next(self) -> _Token:
        self._at += 1
        return self._tokens[self._at - 1]

    def _take(self, *signs: str) -> str | None:
        if self._kind() == "sign" and self._tokens[self._at].text in signs:
            return self._next().text
        return None

    def _deeper(self) -> None:
        self._depth += 1
        if self._depth > DEEPEST:
            raise Unreadable("too many brackets within each other")


def _value(text: str) -> Fraction:
    return Fraction(unicodedata.normalize("NFKC", text).replace("⁄", "/").replace(",", ""))


def _bounded(value: Any, bits: int) -> _Sized:
    if bits > LARGEST:
        raise Unreadable("the numbers become too large")
    return _Sized(value, bits)


def _divisor(value: Any) -> Any:
    if value == 0:
        raise Unreadable("divided by zero")
    return value


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
    said, wanted = _tokens(stated), _tokens(result)
    if _is_number(said) or _is_number(wanted):
        return _is_number(said)
    return _operands(said) <= _operands(wanted)


def _operands(tokens: list[_Token]) -> int:
    return sum(token.kind != "sign" for token in tokens)


def _is_number(tokens: list[_Token]) -> bool:
    """One number, one fraction in lowest terms, or a mixed number; with or without a sign, brackets and %."""
    kinds = "".join({"number": "n", "vulgar": "v"}.get(token.kind, token.text.strip("()")) for token in tokens)
    if not (shape := re.fullmatch(r"[-+]?(n?v|n|n?n/n)%?", kinds)):
        return False
    if "/" not in shape.group(1):
        return True
    over, under = [_value(token.text) for token in tokens if token.kind == "number"][-2:]
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
