"""What must not be in an answer, whatever was asked: our instructions, control tokens, a phone number, foul words."""

from __future__ import annotations

import re
from collections.abc import Sequence

from bot.folding import STOP, clean, words
from bot.safety.normalise import views
from bot.safety.personal_data import ADDRESS, find
from bot.safety.rules import Rules

LEAK = "leak"
PERSONAL_DATA = "personal_data"

_RUN = 6  # this many words in a row taken from a confidential text are no coincidence

_CONTROL_TOKEN = re.compile(
    r"<\|[^|<>\n]{1,40}\|>|<</?SYS>>|\[/?INST\]|^\s{0,8}(?:system|user|assistant)\s{0,4}:", re.IGNORECASE | re.MULTILINE
)


class AnswerCheck:
    """Screens an answer. `confidential` are texts of which no part may be told, such as the model's instructions;
    `helplines` are numbers that may always be given."""

    def __init__(self, rules: Rules, *, confidential: Sequence[str] = (), helplines: Sequence[str] = ()) -> None:
        self._rules = rules
        self._helplines = tuple(number for number in helplines if number)
        self._runs = frozenset(run for text in confidential for run in _runs(words(text)))

    def category(self, text: str) -> str | None:
        """The category an answer is held back for, None when it may be sent."""
        forms = views(text)
        if _CONTROL_TOKEN.search(clean(text)) or any(run in self._runs for form in forms for run in _runs(form)):
            return LEAK
        if self._personal(clean(text)):
            return PERSONAL_DATA
        return self._rules.answer(forms)

    def _personal(self, text: str) -> bool:
        """An address may well stand in a book; the rest has no place there."""
        for number in self._helplines:
            text = text.replace(number, " ")
        return any(found.kind != ADDRESS for found in find(text, alone=False))


def _runs(form: str) -> list[tuple[str, ...]]:
    tokens = [token for token in form.split() if token != STOP]
    return [tuple(tokens[start : start + _RUN]) for start in range(len(tokens) - _RUN + 1)]
