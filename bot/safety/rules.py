"""What may not be asked and what may not be said, by category, as lexicons of phrases (data/safety/rules.json).

A bare word is hardly ever a reason to refuse: half of biology and history would go. What a question is refused for is
an intent, such as wanting to make, buy or use a thing; those phrases are the file's part "question". Its part "any"
holds what is out of place in a question and in an answer alike: abuse, explicit words, a model's control tokens. Its
part "passage" holds what a textbook never says: orders to the program that reads it.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from bot.phrases import Lexicon
from bot.ports import Action
from bot.safety.finding import Finding, Reading

INJECTION = "injection"


class Rules:
    """The layer that finds the category of a text, given as its views (`normalise.views`)."""

    name = "rules"

    def __init__(self, anywhere: Lexicon, asked: Lexicon, printed: Lexicon) -> None:
        self._anywhere = anywhere
        self._asked = asked
        orders = {INJECTION: anywhere.categories[INJECTION]} if INJECTION in anywhere.categories else {}
        self._printed = (printed, Lexicon(anywhere.lessons, orders))

    @classmethod
    def load(cls, path: Path) -> Rules:
        """Raises ValueError or OSError when the file is malformed or missing: without rules nothing may start."""
        return cls(*(Lexicon.load(path, part) for part in ("any", "question", "passage")))

    @property
    def categories(self) -> frozenset[str]:
        return frozenset(self._anywhere.categories) | frozenset(self._asked.categories)

    async def judge(self, reading: Reading) -> Finding | None:
        category = self.question(reading.views)
        return Finding(Action.REFUSE, category, self.name) if category else None

    def question(self, views: Iterable[str]) -> str | None:
        """The category a question is refused for, injections first; None when there is nothing against it."""
        views = tuple(views)
        found = {lexicon.category(view) for view in views for lexicon in (self._anywhere, self._asked)} - {None}
        return next((name for name in self._order() if name in found), None)

    def answer(self, views: Iterable[str]) -> str | None:
        """The category an answer is held back for."""
        return next((category for view in views if (category := self._anywhere.category(view))), None)

    def may_be_printed(self, views: Iterable[str]) -> bool:
        """Whether a passage of a book, or the text of a photo, gives no orders to whoever answers from it."""
        return not any(lexicon.category(view) for view in views for lexicon in self._printed)

    def _order(self) -> Iterable[str]:
        return dict.fromkeys((*self._asked.categories, *self._anywhere.categories))
