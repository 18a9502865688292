"""What must not be in an answer, whatever was asked: our instructions, control tokens, a phone number, foul words."""

from __future__ import annotations

import re
from collections.abc import Sequence

from bot.folding import STOP, clean, words
from bot.safety.normalise import views
from bot.safety.rules import Rules

LEAK = "leak"
PERSONAL_DATA = "personal_data"

_RUN = 6  # this many words in a row taken from a confidential text are no coincidence

_CONTROL_TOKEN = re.compile(
    r"<\|[^|<>\n]{1,40}\|>|<</?SYS>>|\[/?INST\]|^\s{0,8}(?:system|user|assistant)\s{0,4}:", re.IGNORECASE | re.MULTILINE
)
_EMAIL = re.compile(r"(?<![\w.+-])[\w.+-]{1,64}@(?!example\.)[\w-]{1,63}(?:\.[\w-]{1,63}){1,4}")
_AADHAAR = re.compile(r"(?<!\d)[2-9]\d{3}([ -])\d{4}\1\d{4}(?!\d)")
_PHONE_WITH_CODE = re.compile(r"\+\d{1,3}[ -]?\d(?:[ -]?\d){8,11}(?!\d)")
# A bare number of ten digits may well be arithmetic, so it takes a word beside it that speaks of telephones.
_PHONE_WORD = re.compile(
    r"phone|mobile|whats\s?app|telegram|\bcall\b|\bdial\b|\bcontact\b|\bsms\b|फोन|फ़ोन|मोबाइल|कॉल|संपर्क|सम्पर्क",
    re.IGNORECASE,
)
_TEN_DIGITS = re.compile(r"(?<![\d.,])0?[6-9]\d{4}[ -]?\d{5}(?![\d,])")
_NEARBY = 60  # characters


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
        for number in self._helplines:
            text = text.replace(number, " ")
        if any(pattern.search(text) for pattern in (_EMAIL, _AADHAAR, _PHONE_WITH_CODE)):
            return True
        return any(
            _PHONE_WORD.search(text, max(0, match.start() - _NEARBY), match.end() + _NEARBY)
            for match in _TEN_DIGITS.finditer(text)
        )


def _runs(form: str) -> list[tuple[str, ...]]:
    tokens = [token for token in form.split() if token != STOP]
    return [tuple(tokens[start : start + _RUN]) for start in range(len(tokens) - _RUN + 1)]
