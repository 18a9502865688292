"""What the layers of the safety filter are given, and what they say."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from bot.folding import clean
from bot.ports import Action
from bot.safety.normalise import forms, meant


@dataclass(frozen=True, slots=True)
class Reading:
    """A message without its invisible letters, and in every form that it is screened in, the plain one first.

    `meant` is what it says once a disguise is undone, where there was one; `earlier` is what the same student asked
    just before and was answered, oldest first.
    """

    text: str
    views: tuple[str, ...]
    meant: tuple[str, ...] = ()
    earlier: tuple[str, ...] = ()

    @classmethod
    def of(cls, text: str, earlier: Sequence[str] = ()) -> Reading:
        found = forms(text)
        return cls(clean(text), tuple(found), meant(found), tuple(earlier))


@dataclass(frozen=True, slots=True)
class Finding:
    """What one layer found. `score` is how sure it is; a phrase on a list is certain."""

    action: Action
    category: str
    layer: str
    score: float = 1.0


class Layer(Protocol):
    """One way of looking at a message. Raises whatever breaks: the filter then fails closed."""

    @property
    def name(self) -> str: ...

    async def judge(self, reading: Reading) -> Finding | None: ...
