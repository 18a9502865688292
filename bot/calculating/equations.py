"""Equations: linear in one letter, a pair of them in two, and quadratic ones with roots as surds."""

from __future__ import annotations

import math
import re
from fractions import Fraction

from bot.calculating import quadratic
from bot.calculating.arithmetic import unclear
from bot.calculating.expression import Unreadable, tree
from bot.calculating.numerals import best, bracketed, decimal, fraction
from bot.calculating.polynomials import Polynomial, added, letters_of, polynomial, shown, term_shown
from bot.calculating.reading import Message
from bot.calculating.steps import DividedByZero, TooLarge
from bot.calculating.working import Calculated, Working

_AROUND = re.compile(r"\b(?:equation|simultaneous|roots|factorising|formula|if|of|ko|in|for|se|the|to)\b:?")
_FOR = re.compile(  # what is looked for: "for x", "x and y if"
    r"^(?:for )?[a-z](?=\s?:|\s(?:if|for|in|of)\b)"
    r"|\s(?:for|in)\s[a-z](?:\s?,?\s?(?:and\s)?[a-z])?$"
    r"|^[a-z]\s?,?\s?(?:and\s)[a-z]\s(?:if|for|from)"
)
_BETWEEN = re.compile(r"\s*(?:,|;|\band\b)\s*")


def read(message: Message, working: Working) -> Calculated | None:
    """The equation or the pair of equations that the message is."""
    text = message.text
    words = text.split()
    if not 1 <= text.count("=") <= 2 or "rs" in words:
        return None
    method = next((name for name in ("factorising", "formula") if name in words), "")
    asked = message.told or bool(method) or not {"equation", "roots", "simultaneous"}.isdisjoint(words)
    bare = " ".join(_AROUND.sub(" ", _FOR.sub(" ", text)).split()).strip(" ,;:")
    sides = [part.split("=") for part in _BETWEEN.split(bare)]
    if any(len(pair) != 2 for pair in sides):
        return None
    try:
        return _solved(sides, method, working, asked=asked)
    except DividedByZero:
        return working.refuse("divided_by_zero", "division_by_zero")
    except TooLarge:
        return working.refuse("too_large", "too_large")
    except Unreadable:
        return None


def _solved(sides: list[list[str]], method: str, working: Working, *, asked: bool) -> Calculated | None:
    trees = [(tree(left), tree(right)) for left, right in sides]
    if any(unclear(side) for pair in trees for side in pair):
        return None
    pairs = [(polynomial(left), polynomial(right)) for left, right in trees]
    letters = letters_of(*(side for pair in pairs for side in pair))
    if len(letters) != len(pairs):
        return None
    if len(pairs) == 2:
        if not any(len(letters_of(*pair)) == 2 for pair in pairs):
            return None  # "x = 3 and y = 4" are told
        return _pair(pairs, letters, working)
    (left, right), letter = pairs[0], letters[0]
    if not asked and any(side.strip() == letter for side in sides[0]):
        return None  # g = 9.8 may only state something
    if (letter, letter) in added(left, right, -1):
        return quadratic.solved(left, right, letter, method, working)
    return _linear(left, right, letter, working)


def _split(of: Polynomial, letter: str) -> tuple[Fraction, Fraction]:
    return of.get((letter,), Fraction(0)), of.get((), Fraction(0))


def _linear(left: Polynomial, right: Polynomial, letter: str, working: Working) -> Calculated:
    a, b = _split(left, letter)
    c, d = _split(right, letter)
    working.show(f"{shown(left)} = {shown(right)}")
    if a == c:
        same = b == d
        working.explain("equation.always" if same else "equation.never", letter=letter)
        return working.done(
            "equation", "", shown=working.say("equation.all" if same else "equation.none", letter=letter)
        )
    if abs(a) < abs(c) and a * c >= 0 and c > 0:  # the letter stays where there is more of it
        a, b, c, d = c, d, a, b
    if c:
        working.explain("equation.letters", term=_moved(c, letter))
        a -= c
        working.show(f"{shown({(letter,): a, **({(): b} if b else {})})} = {best(d)}")
    if b:
        working.explain("equation.numbers", number=_moved(b))
        working.show(f"{term_of(a, letter)} = {best(d)} {'−' if b > 0 else '+'} {best(abs(b))} = {best(d - b)}")
    result = (d - b) / a
    if a == -1:
        working.explain("equation.negate")
    elif a != 1:
        working.explain("equation.divide", by=best(a))
        working.show(f"{letter} = {best(d - b)} ÷ {bracketed(best(a))} = {_both(result)}")
    return working.done("equation", f"{letter} = {_bare(result)}", shown=f"{letter} = {_both(result)}")


def term_of(number: Fraction, letter: str) -> str:
    """−3x."""
    return ("−" if number < 0 else "") + term_shown(abs(number), (letter,))


def _moved(number: Fraction, letter: str = "") -> str:
    """+3 or −2x: as it stands before it is moved."""
    return ("−" if number < 0 else "+") + term_shown(abs(number), (letter,) if letter else ())


def _bare(number: Fraction) -> str:
    return decimal(number) or fraction(number)


def _both(number: Fraction) -> str:
    exact = decimal(number)
    if number.denominator == 1 or exact is None:
        return fraction(number)
    return f"{fraction(number)} = {exact}"


def _pair(pairs: list[tuple[Polynomial, Polynomial]], letters: list[str], working: Working) -> Calculated | None:
    """Two equations in two letters, by elimination."""
    x, y = letters
    rows = []
    for left, right in pairs:
        total = added(left, right, -1)
        if any(len(monomial) > 1 for monomial in total):
            return None
        a, b, c = total.get((x,), Fraction(0)), total.get((y,), Fraction(0)), -total.get((), Fraction(0))
        under = math.lcm(a.denominator, b.denominator, c.denominator)
        rows.append((a * under, b * under, c * under))
    (a, b, c), (p, q, r) = rows
    det = a * q - b * p
    if not (a or b) or not (p or q):
        return None
    for number, (one, two, three) in enumerate(rows, 1):
        working.show(f"({number}) {shown({(x,): one, (y,): two})} = {best(three)}".replace(" 0 ", " "))
    if not det:
        same = a * r == p * c and b * r == q * c
        working.explain("pair.same" if same else "pair.parallel")
        return working.done("equations", "", shown=working.say("pair.many" if same else "pair.none"))
    value_x, value_y = (c * q - b * r) / det, (a * r - p * c) / det
    if all((a, b, p, q)):
        _eliminated(rows, letters, (value_x, value_y), working)
    result = f"{x} = {_bare(value_x)}, {y} = {_bare(value_y)}"
    working.explain("pair.check", line=f"{best(a * value_x)} + {bracketed(best(b * value_y))} = {best(c)}")
    return working.done("equations", result)


def _eliminated(
    rows: list[tuple[Fraction, Fraction, Fraction]],
    letters: list[str],
    values: tuple[Fraction, Fraction],
    working: Working,
) -> None:
    (a, b, c), (p, q, r) = rows
    x, y = letters
    common = Fraction(math.lcm(abs(b.numerator), abs(q.numerator)))
    first, second = common / abs(b), common / abs(q)
    add = (b > 0) != (q > 0)
    for number, by in (("(1)", first), ("(2)", second)):
        if by != 1:
            working.explain("pair.multiply", equation=number, by=best(by), letter=y)
    working.explain("pair.add" if add else "pair.subtract", letter=y)
    factor = a * first + (p * second if add else -p * second)
    total = c * first + (r * second if add else -r * second)
    before = f"{term_of(factor, x)} = {best(total)}, " if factor != 1 else ""
    working.show(f"{before}{x} = {_both(values[0])}")
    working.explain("pair.put", letter=x, value=best(values[0]))
    known = a * values[0]
    between = f"{term_of(b, y)} = {best(c - known)}, " if b != 1 else ""
    row = f"{best(known)} {'−' if b < 0 else '+'} {term_shown(abs(b), (y,))} = {best(c)}"
    working.show(f"{row}, {between}{y} = {_both(values[1])}")
