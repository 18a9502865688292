"""Hears a child in trouble: self-harm, abuse, violence, bullying, running away, in three ways of writing.

Recall comes first. A lesson question that is met with a warm reply and three numbers does little harm; a child who is
answered with a textbook does not write again. So bare words suffice here ("suicide") where rules want an intent, and
the list of lessons that are let through (data/safety/distress.json) is short and narrow.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from bot.phrases import Lexicon
from bot.ports import Action
from bot.safety.finding import Finding, Reading


class Distress:
    """The layer that finds the kind of distress in a message."""

    name = "distress"

    def __init__(self, lexicon: Lexicon) -> None:
        self._lexicon = lexicon

    @classmethod
    def load(cls, path: Path) -> Distress:
        """Raises ValueError or OSError when the file is malformed or missing."""
        return cls(Lexicon.load(path, "categories"))

    async def judge(self, reading: Reading) -> Finding | None:
        category = self.category(reading.views)
        return Finding(Action.ESCALATE, category, self.name) if category else None

    def category(self, views: Iterable[str]) -> str | None:
        """The kind, the gravest reading of all views first as the file orders them; None when all seems well."""
        found = {self._lexicon.category(view) for view in views}
        return next((name for name in self._lexicon.categories if name in found), None)
