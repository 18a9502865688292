"""Every pattern that a child's message meets takes time in proportion to its length, shown from the pattern itself.

A pattern of Python's engine is slow when it can try one text in many ways: a repeat without a limit inside another one,
or followed by something that must match. Neither occurs in the safety filter; with limits, each place of the text costs
a bounded number of steps.
"""

from __future__ import annotations

import importlib
import pkgutil
import re
from collections.abc import Iterator, Sequence
from re import _constants as codes  # type: ignore[attr-defined]
from re import _parser as parser  # type: ignore[attr-defined]
from typing import Any

import pytest

import bot.safety

REPEATS = (codes.MAX_REPEAT, codes.MIN_REPEAT)
INNER = {codes.SUBPATTERN: 3, codes.ASSERT: 1, codes.ASSERT_NOT: 1}


def patterns() -> Iterator[tuple[str, re.Pattern[str]]]:
    for module in pkgutil.iter_modules(bot.safety.__path__, "bot.safety."):
        for name, value in vars(importlib.import_module(module.name)).items():
            for one in value if isinstance(value, tuple) else (value,):
                if isinstance(one, re.Pattern):
                    yield f"{module.name}.{name}", one


def is_endless(item: tuple[Any, Any]) -> bool:
    return item[0] in REPEATS and item[1][1] is codes.MAXREPEAT


def parts(item: tuple[Any, Any]) -> Iterator[Sequence[tuple[Any, Any]]]:
    """What stands inside an element of a pattern."""
    code, value = item
    if code in REPEATS:
        yield value[2]
    elif code in INNER:
        yield value[INNER[code]]
    elif code is codes.BRANCH:
        yield from value[1]


def holds_endless(sequence: Sequence[tuple[Any, Any]]) -> bool:
    return any(is_endless(item) or any(holds_endless(part) for part in parts(item)) for item in sequence)


def least(item: tuple[Any, Any]) -> int:
    """How many characters an element takes at least."""
    return parser.SubPattern(parser.State(), [item]).getwidth()[0]  # type: ignore[no-any-return]


def complaints(sequence: Sequence[tuple[Any, Any]]) -> Iterator[str]:
    items = list(sequence)
    for place, item in enumerate(items):
        if is_endless(item):
            if holds_endless(item[1][2]):
                yield "a repeat without a limit inside another one"
            if any(least(later) for later in items[place + 1 :]):
                yield "something must follow a repeat without a limit"
        for part in parts(item):
            yield from complaints(part)


@pytest.mark.parametrize(("name", "pattern"), [*patterns()], ids=lambda value: value if isinstance(value, str) else "")
def test_a_pattern_is_linear(name: str, pattern: re.Pattern[str]) -> None:
    assert not list(complaints(list(parser.parse(pattern.pattern, pattern.flags)))), name


@pytest.mark.parametrize("slow", [r"(a+)+b", r"(?:x|y+)+z", r"a+b", r"(\w+\s?)+"])
def test_a_slow_pattern_would_be_found(slow: str) -> None:
    assert list(complaints(list(parser.parse(slow))))
