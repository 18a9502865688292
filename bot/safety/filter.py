"""The safety filter: what `bot.ports.Safety` asks for, as layers in a fixed order.

A question: normalise, distress, injections, categories. An answer: leaks, personal data, categories. Distress stands
before every refusal, so that a child who swears while asking for help is helped.

Nothing is caught here. The tutor treats an exception as unsafe: it sends the fixed reply and flags the message.
Later layers (a classifier, a model guard) join `screen_question` as further steps, which is why it is a coroutine.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

from bot.ports import Action, Verdict
from bot.safety.distress import Distress
from bot.safety.normalise import views
from bot.safety.output import AnswerCheck
from bot.safety.rules import Rules

logger = logging.getLogger(__name__)

ALLOWED = Verdict(Action.ALLOW)


class SafetyFilter:
    """Screens questions and answers. Safe to share between conversations: it keeps nothing."""

    def __init__(self, distress: Distress, rules: Rules, answers: AnswerCheck) -> None:
        self._distress = distress
        self._rules = rules
        self._answers = answers

    @classmethod
    def load(cls, folder: Path, *, confidential: Sequence[str] = (), helplines: Sequence[str] = ()) -> SafetyFilter:
        """Builds the filter from `folder` (data/safety). Raises ValueError or OSError: without it nothing may start."""
        rules = Rules.load(folder / "rules.json")
        answers = AnswerCheck(rules, confidential=confidential, helplines=helplines)
        return cls(Distress.load(folder / "distress.json"), rules, answers)

    async def screen_question(self, text: str) -> Verdict:
        forms = views(text)
        if category := self._distress.category(forms):
            return _verdict(Action.ESCALATE, category, "distress", layer="distress")
        if category := self._rules.question(forms):
            return _verdict(Action.REFUSE, category, f"refused.{category}", layer="rules")
        return ALLOWED

    async def screen_answer(self, text: str) -> Verdict:
        if category := self._answers.category(text):
            return _verdict(Action.REFUSE, category, f"refused.{category}", layer="output")
        return ALLOWED


def _verdict(action: Action, category: str, reply: str, *, layer: str) -> Verdict:
    logger.info("safety: %s by %s: %s", action, layer, category)
    return Verdict(action, category, reply)
