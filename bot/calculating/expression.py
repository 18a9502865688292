"""A strict parser of school arithmetic and algebra, from text to a small tree. It is never eval, nor SymPy's parser.

Read are numbers (1,50,000, 2.5, Devanagari digits, ½, the mixed number 2 1/2), + - * / ^ and their printed forms,
brackets, %, √, π and single letters. Length, number of tokens and depth are bounded here; whoever works a tree out
bounds the numbers. Anything else is Unreadable.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from fractions import Fraction

LONGEST = 200  # characters of an expression
MOST = 64  # tokens of it
DEEPEST = 16  # brackets, roots and exponents within each other

VULGAR = "½⅓⅔¼¾⅕⅖⅗⅘⅙⅚⅛⅜⅝⅞"
SUPERSCRIPTS = "⁰¹²³⁴⁵⁶⁷⁸⁹⁻"
_PRINTED = str.maketrans({**dict(zip("०१२३४५६७८९", "0123456789", strict=True)), **dict.fromkeys("−–", "-")})
_PRINTED |= str.maketrans({"×": "*", "·": "*", "⋅": "*", "÷": "/", "⁄": "/"})
_SUPERSCRIPT = str.maketrans(SUPERSCRIPTS, "0123456789-")
_PER_CENT = re.compile(r"\s*(?:\bper\s?cent\b|प्रतिशत)", re.IGNORECASE)
TOKEN = re.compile(
    r"(?P<number>[0-9]{1,3}(?:,[0-9]{2,3})*,[0-9]{3}(?:\.[0-9]+)?(?![0-9])|[0-9]+(?:\.[0-9]+)?)"
    rf"|(?P<vulgar>[{VULGAR}])|(?P<power>⁻?[⁰¹²³⁴⁵⁶⁷⁸⁹]+)"
    r"|(?P<letter>π|[A-Za-z](?![A-Za-z]))|(?P<sign>\*\*|[-+*/^()%√])"
)


class Unreadable(ValueError):
    """Not an expression of the kind that is read here, or one that is too large."""


@dataclass(frozen=True, slots=True)
class Token:
    """`kind` is number, vulgar, power, letter or sign; `glued` means no space before it."""

    kind: str
    text: str
    glued: bool


@dataclass(frozen=True, slots=True)
class Number:
    """A number; `shown` is how it was written, or "" for one that was worked out."""

    value: Fraction
    shown: str = ""


@dataclass(frozen=True, slots=True)
class Letter:
    """A letter that stands for a number; π is one."""

    name: str


@dataclass(frozen=True, slots=True)
class Negative:
    of: Node


@dataclass(frozen=True, slots=True)
class Percent:
    of: Node


@dataclass(frozen=True, slots=True)
class Power:
    base: Node
    exponent: Node


@dataclass(frozen=True, slots=True)
class Root:
    """The square root."""

    of: Node


@dataclass(frozen=True, slots=True)
class Group:
    """What stands in brackets."""

    of: Node


@dataclass(frozen=True, slots=True)
class Sum:
    """Terms with the sign before each, "+" or "-"; the first has "+"."""

    terms: tuple[tuple[str, Node], ...]


@dataclass(frozen=True, slots=True)
class Product:
    """Factors with the sign before each: "*", "/", or "" where none is written (2x); the first has "*"."""

    factors: tuple[tuple[str, Node], ...]


Node = Number | Letter | Negative | Percent | Power | Root | Group | Sum | Product


def tree(text: str) -> Node:
    """The tree of an expression, all of it. Raises Unreadable."""
    return _Parser(tokens(text)).whole()


def plain(text: str) -> str:
    """A text with digits, signs and "per cent" in the plain form that `TOKEN` knows; as long or shorter."""
    return _PER_CENT.sub("%", text.translate(_PRINTED))


def tokens(text: str) -> list[Token]:
    """The tokens of an expression. Raises Unreadable."""
    if len(text) > LONGEST:
        raise Unreadable(f"longer than {LONGEST} characters")
    text = plain(text).strip()
    found: list[Token] = []
    at = 0
    while at < len(text):
        space = len(text[at:]) - len(text[at:].lstrip())
        match = TOKEN.match(text, at + space)
        if match is None or match.lastgroup is None:
            raise Unreadable(f"{text[at + space :][:10]!r} is not understood")
        found.append(Token(match.lastgroup, match.group(), space == 0))
        at = match.end()
    if not 0 < len(found) <= MOST:
        raise Unreadable(f"not between 1 and {MOST} numbers and signs")
    return found


def value(text: str) -> Fraction:
    """The value of a number or vulgar fraction as a token has it."""
    return Fraction(unicodedata.normalize("NFKC", text).replace("⁄", "/").replace(",", ""))


class _Parser:
    """Recursive descent: sum > product > signed > power > atom."""

    def __init__(self, found: list[Token]) -> None:
        self._tokens = found
        self._at = 0
        self._depth = 0

    def whole(self) -> Node:
        made = self._sum()
        if self._at < len(self._tokens):
            raise Unreadable(f"{self._tokens[self._at].text!r} is not understood there")
        return made

    def _sum(self) -> Node:
        terms = [("+", self._product())]
        while (sign := self._take("+", "-")) is not None:
            terms.append((sign, self._product()))
        return terms[0][1] if len(terms) == 1 else Sum(tuple(terms))

    def _product(self) -> Node:
        factors = [("*", self._signed())]
        while (sign := self._take("*", "/")) is not None or self._follows_glued():
            factors.append((sign or "", self._signed()))
        return factors[0][1] if len(factors) == 1 else Product(tuple(factors))

    def _signed(self) -> Node:
        self._deeper()
        sign = self._take("-", "+")
        made = self._power() if sign is None else self._signed()
        self._depth -= 1
        return Negative(made) if sign == "-" else made

    def _power(self) -> Node:
        made = self._atom()
        if self._kind() == "power":
            text = self._next().text
            return Power(made, Number(Fraction(int(text.translate(_SUPERSCRIPT))), text))
        if self._take("^", "**") is not None:
            return Power(made, self._signed())
        if self._take("%") is not None:
            return Percent(made)
        return made

    def _atom(self) -> Node:
        kind = self._kind()
        if kind in {"number", "vulgar"}:
            return self._number()
        if kind == "letter":
            return Letter(self._next().text)
        sign = self._take("(", "√")
        if sign is None:
            raise Unreadable("a number is missing")
        self._deeper()
        made: Node = Root(self._atom()) if sign == "√" else Group(self._sum())
        self._depth -= 1
        if sign == "(" and self._take(")") is None:
            raise Unreadable("a bracket is not closed")
        return made

    def _number(self) -> Number:
        """A number, or a mixed one: 3⅖, or 2 1/2 with the space that tells it from 21/2."""
        shown = self._next().text
        made = value(shown)
        kinds = [token.kind if token.kind != "sign" else token.text for token in self._tokens[self._at :][:3]]
        if kinds[:1] == ["vulgar"]:
            vulgar = self._next().text
            return Number(made + value(vulgar), shown + vulgar)
        if kinds == ["number", "/", "number"] and not self._tokens[self._at].glued and made.denominator == 1:
            over, _, under = self._next(), self._next(), self._next()
            if not value(under.text):
                raise Unreadable("divided by zero")
            return Number(made + value(over.text) / value(under.text), f"{shown} {over.text}/{under.text}")
        return Number(made, shown)

    def _follows_glued(self) -> bool:
        """Whether a factor follows without a sign or a space: the x of 2x, the bracket of 3(x + 1)."""
        if self._at >= len(self._tokens):
            return False
        token = self._tokens[self._at]
        return token.glued and (token.kind == "letter" or token.text in {"(", "√"})

    def _kind(self) -> str:
        return self._tokens[self._at].kind if self._at < len(self._tokens) else ""

    def _next(self) -> Token:
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
