"""The safety filter: what `bot.ports.Safety` asks for, as layers in a fixed order.

A question: normalise, then every layer at once; distress that any of them hears comes before every refusal, so that a
child who swears while asking for help is helped. An answer: leaks, personal data, categories.

Nothing is caught here. The tutor treats an exception as unsafe: it sends the fixed reply and flags the message.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from pathlib import Path

from bot.ports import Action, Verdict
from bot.safety import legible
from bot.safety.distress import Distress
from bot.safety.finding import Finding, Layer, Reading
from bot.safety.output import AnswerCheck
from bot.safety.rules import Rules

logger = logging.getLogger(__name__)

ALLOWED = Verdict(Action.ALLOW)


class SafetyFilter:
    """Screens questions and answers. Safe to share between conversations: it keeps nothing."""

    def __init__(self, layers: Sequence[Layer], answers: AnswerCheck) -> None:
        self.layers = tuple(layers)
        self._answers = answers

    @classmethod
    def load(
        cls, folder: Path, *more: Layer, confidential: Sequence[str] = (), helplines: Sequence[str] = ()
    ) -> SafetyFilter:
        """The lexicons of `folder` (data/safety), then `more`. Raises ValueError or OSError: without it nothing may
        start."""
        legible.known()  # now, not at the first message: it takes a tenth of a second, and may be missing
        rules = Rules.load(folder / "rules.json")
        answers = AnswerCheck(rules, confidential=confidential, helplines=helplines)
        return cls((Distress.load(folder / "distress.json"), rules, *more), answers)

    async def screen_question(self, text: str, earlier: Sequence[str] = ()) -> Verdict:
        reading = Reading.of(text, earlier)
        found = [one for one in await asyncio.gather(*(layer.judge(reading) for layer in self.layers)) if one]
        gravest = next((one for one in found if one.action is Action.ESCALATE), found[0] if found else None)
        return _verdict(gravest) if gravest is not None else ALLOWED

    async def screen_answer(self, text: str) -> Verdict:
        if category := self._answers.category(text):
            return _verdict(Finding(Action.REFUSE, category, "output"))
        return ALLOWED


def _verdict(found: Finding) -> Verdict:
    logger.info("safety: %s by %s: %s (%.2f)", found.action, found.layer, found.category, found.score)
    reply = "distress" if found.action is Action.ESCALATE else f"refused.{found.category}"
    return Verdict(found.action, found.category, reply, found.layer, found.score)
