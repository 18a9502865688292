"""Sums of plain numbers: 3/4 + 1/2, 12 × 15, −20 + 6 × (−2), "subtract 5 from 12", "144 ko 12 se bhag do"."""

from __future__ import annotations

import re
from fractions import Fraction

from bot.calculating import operations
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
    tree,
)
from bot.calculating.numerals import VALUE, decimal, fraction, listed, mixed, rounded
from bot.calculating.reading import Message
from bot.calculating.steps import DividedByZero, TooLarge, settled, worked
from bot.calculating.working import Calculated, Working

_MOST_NUMBERS = 16
_LONGEST_RESULT = 30  # digits
_WORDS = {"plus": "+", "minus": "-", "times": "*", "into": "*", "over": "/", "power": "^"}
_A, _B = rf"({VALUE})", rf"({VALUE})"
_ORDERS = (  # what is asked for in words, as an expression
    (rf"add {_A} (?:to|in) {_B}|{_A} in {_B} (?:add|plus)", "+"),
    (rf"subtract {_A} from {_B}", "from"),
    (rf"{_A} (?:outofwhole|se|from) {_B} (?:decrease|minus|subtract)", "-"),
    (rf"subtract (?:of |between )?{_A} and {_B}|{_A} and {_B} of subtract", "-"),
    (rf"multiply {_A} (?:by|and|into|times) {_B}|{_A} (?:ko|and|of) {_B}(?: se| of| in)? (?:multiply|times)", "*"),
    (rf"multiply (?:of )?{_A} and {_B}|{_A} and {_B} of multiply", "*"),
    (rf"divide {_A} (?:by|over|in) {_B}|{_A} (?:ko|of|in) {_B} se (?:divide|over)", "/"),
)
_COMPILED = tuple((re.compile(pattern), sign) for pattern, sign in _ORDERS)
_LIST = r"([^a-z]+(?:(?:and|either)[^a-z]+)*)"
_ADD_LIST = re.compile(rf"add (?:of |in )?{_LIST}|{_LIST} (?:of |ko )?(?:add|plus)")
_GLUED = re.compile(r"(?<![0-9/.^])(?<![0-9] )([0-9]+)/([0-9]+)(?![0-9/.^(√]|\s?[⁰¹²³⁴⁵⁶⁷⁸⁹⁻])")
_RANGE = re.compile(r"([0-9]+)-([0-9]+)")
_LONE = re.compile(r"([0-9]+)/([0-9]+)")


def read(message: Message, working: Working) -> Calculated | None:
    """The sum that the message is."""
    text = message.bare
    text = re.sub(r"^simplify (?:of )?|(?: (?:ko|of))? simplify$", "", text)
    simplify = text != message.bare
    found = _ordered(text)
    if found is None:
        found = re.sub(r"[a-z]+", lambda word: _WORDS.get(word[0], word[0]), text)
        found = re.sub(r"(?<=[0-9)]) of \^", " ^", found)
    if (lone := _LONE.fullmatch(found)) and not (message.told or simplify) and not _even(lone):
        return None  # "what is 3/4" may be about anything
    if (span := _RANGE.fullmatch(found)) and not message.told and int(span[1]) < int(span[2]):
        return None  # "2-3 batao" asks for two or three
    try:
        node = _parsed(found, keep=bool(lone))
        if node is None:
            return None
        return _answer(node, _as_fractions(found, node), working)
    except DividedByZero:
        return working.refuse("divided_by_zero", "division_by_zero")
    except TooLarge:
        return working.refuse("too_large", "too_large")
    except Unreadable:
        return None


def _even(lone: re.Match[str]) -> bool:
    over, under = int(lone[1]), int(lone[2])
    return under != 1 and (not under or over % under == 0)


def _ordered(text: str) -> str | None:
    for pattern, sign in _COMPILED:
        if found := pattern.fullmatch(text):
            first, second = [_bracket(one) for one in found.groups() if one is not None]
            return f"{second} - {first}" if sign == "from" else f"{first} {sign} {second}"
    if found := _ADD_LIST.fullmatch(text):
        numbers = listed(found[1] or found[2])
        return " + ".join(map(_bracket, numbers)) if numbers and len(numbers) > 1 else None
    return None


def _bracket(number: str) -> str:
    return f"({number})" if number.startswith("-") else number


def _parsed(text: str, *, keep: bool) -> Node | None:
    """The tree, when it is a sum of plain numbers that is worth answering."""
    node = tree(text if keep else _GLUED.sub(r"(\1/\2)", text))
    node = _with_fractions(node)
    kinds = _kinds(node)
    if Letter in kinds or not kinds & {Sum, Product, Power, Root} or isinstance(settled(node), Number):
        return None
    if (Percent in kinds and Sum in kinds) or unclear(node) or len(re.findall(r"[0-9.,]+", text)) > _MOST_NUMBERS:
        return None
    return node


def _with_fractions(node: Node) -> Node:
    """With what was written as a fraction, (3/4), made one number; 4/2 stays a division."""
    match node:
        case Group(Product((("*", Number(over, first)), ("/", Number(under, second))))) if under and over % under:
            return Number(over / under, f"{first}/{second}")
        case Negative(of) | Group(of) | Percent(of) | Root(of):
            return type(node)(_with_fractions(of))
        case Power(base, exponent):
            return Power(_with_fractions(base), _with_fractions(exponent))
        case Sum(parts):
            return Sum(tuple((sign, _with_fractions(part)) for sign, part in parts))
        case Product(parts):
            return Product(tuple((sign, _with_fractions(part)) for sign, part in parts))
        case _:
            return node


def _kinds(node: Node) -> set[type]:
    found: set[type] = {type(node)}
    match node:
        case Negative(of) | Group(of) | Percent(of) | Root(of):
            found |= _kinds(of)
        case Power(base, exponent):
            found |= _kinds(base) | _kinds(exponent)
        case Sum(parts) | Product(parts):
            for _, part in parts:
                found |= _kinds(part)
        case _:
            pass
    return found


def unclear(node: Node) -> bool:
    """Whether × is left out after ÷ somewhere: 6 ÷ 2(1 + 2) is read in two ways."""
    match node:
        case Negative(of) | Group(of) | Percent(of) | Root(of):
            return unclear(of)
        case Power(base, exponent):
            return unclear(base) or unclear(exponent)
        case Product(parts):
            signs = [sign for sign, _ in parts]
            return ("/" in signs and "" in signs) or any(unclear(part) for _, part in parts)
        case Sum(parts):
            return any(unclear(part) for _, part in parts)
        case _:
            return False


def _as_fractions(text: str, node: Node) -> bool:
    return "." not in text and any("/" in number.shown or not number.shown.isascii() for number in _numbers(node))


def _numbers(node: Node) -> list[Number]:
    match node:
        case Number():
            return [node]
        case Negative(of) | Group(of) | Percent(of) | Root(of):
            return _numbers(of)
        case Power(base, exponent):
            return [*_numbers(base), *_numbers(exponent)]
        case Sum(parts) | Product(parts):
            return [number for _, part in parts for number in _numbers(part)]
        case _:
            return []


def _answer(node: Node, as_fractions: bool, working: Working) -> Calculated | None:
    result, lines, ranks = worked(node, as_fractions=as_fractions)
    if len(str(result.numerator)) > _LONGEST_RESULT:
        return working.refuse("too_large", "too_large")
    if not operations.explained(settled(node), working, as_fractions=as_fractions):
        if len({kind for _, kind in ranks}) + len({depth for depth, _ in ranks}) > 2:
            working.explain("bodmas")
        working.show(lines[0])
        for line in dict.fromkeys(lines[1:]):
            working.show(f"= {line}")
    shown, bare = printed(result, as_fractions=as_fractions)
    return working.done("arithmetic", bare, shown=working.amount(shown))


def printed(result: Fraction, *, as_fractions: bool) -> tuple[str, str]:
    """A result as the student reads it, and bare: 7/4 = 1 3/4; 3 1/3 (about 3.33); 0.3."""
    exact = decimal(result)
    if result.denominator == 1:
        return fraction(result), fraction(result)
    if as_fractions:
        whole_apart = mixed(result)
        return (
            fraction(result) if whole_apart == fraction(result) else f"{fraction(result)} = {whole_apart}"
        ), fraction(result)
    if exact is not None:
        return exact, exact
    return f"{mixed(result)} ≈ {rounded(result)}", fraction(result)
