"""How a provider's documented rules are written down, and what becomes of a call that breaks one."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

Refusal = TypeVar("Refusal")
Params = Mapping[str, Any]


def _unchecked(params: Params) -> bool:
    return True


def _nothing(params: Params) -> object:
    return ""


@dataclass(frozen=True)
class Rule(Generic[Refusal]):
    """A demand of the documentation. `name` is what the documentation calls it, `words` what it says.

    `refusal`: what the provider answers when it is broken; None where it takes the call all the same.
    `keeps`: whether parameters keep it. A rule that needs to know more than them is checked where that is known.
    `sent`: the part of the parameters that it is about.
    """

    name: str
    words: str
    refusal: Refusal | None = None
    keeps: Callable[[Params], bool] = _unchecked
    sent: Callable[[Params], object] = _nothing


class Broken(Exception, Generic[Refusal]):
    """A call broke a rule and is refused. `found` says what was sent instead."""

    def __init__(self, rule: Rule[Refusal], found: str = "") -> None:
        super().__init__(rule.name)
        self.rule = rule
        self.found = found


class Refused(Exception, Generic[Refusal]):
    """A call that broke no rule is refused all the same: the student blocked us, say."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(str(refusal))
        self.refusal = refusal


def check(rules: Iterable[Rule[Refusal]], params: Params) -> Iterator[Rule[Refusal]]:
    """Yields the broken rules that the provider overlooks. Raises Broken at the first that it does not."""
    for rule in rules:
        if not rule.keeps(params):
            if rule.refusal is not None:
                raise Broken(rule, found(rule.sent(params)))
            yield rule


def found(value: object) -> str:
    """A value as a violation shows it: what it is, and how long."""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 80 else f"{text[:80]}… ({len(text)} characters)"


def code_units(text: str) -> int:
    """Length in UTF-16 code units, which is what Telegram counts."""
    return len(text.encode("utf-16-le", "surrogatepass")) // 2
