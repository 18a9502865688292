"""Consent before the first answer: asked once, in the student's language; the question waits and is answered after it.

Nothing is logged, retrieved or generated before. A message in distress is answered all the same: the safety filter runs
first.
"""

from __future__ import annotations

from bot.folding import STOP, words
from bot.language import detect
from bot.ports import Answer, Choice, Effect, Route, Turn
from bot.replies import Replies
from bot.tutoring.menu import menu

AGREE, DECLINE = "/agree", "/decline"

_YES = (
    "yes", "y", "yes i agree", "i agree", "agree", "agreed", "ok", "okay", "sure", "haan", "han", "ha", "haan ji", "ji",
    "ji haan", "theek hai", "thik hai", "manzoor", "हाँ", "हां", "जी", "जी हाँ", "ठीक है", "मंज़ूर", "सहमत",
)  # fmt: skip
_NO = ("no", "n", "nope", "no thanks", "i do not agree", "nahi", "nahin", "nhi", "na", "mat", "नहीं", "नही", "ना")


class Consent:
    """What a student who has not agreed yet is answered."""

    def __init__(self, replies: Replies) -> None:
        self._replies = replies
        self._yes, self._no = (frozenset(_plain(phrase) for phrase in phrases) for phrases in (_YES, _NO))

    def respond(self, turn: Turn, text: str) -> Answer:
        """Take a yes or a no once we have asked; hold everything else, asking unless we did so just now."""
        said = _plain(text)
        if turn.consent_asked and said in self._yes:
            return self.agreed(turn)
        if turn.consent_asked and said in self._no:
            return self.declined(turn)
        language = turn.profile.language or detect(turn.text)
        if turn.consent_asked:
            return Answer("", Route.COMMAND, language, effect=Effect.HOLD)
        return self.asked(turn, effect=Effect.HOLD)

    def asked(self, turn: Turn, *, effect: Effect, before: str = "") -> Answer:
        """The request itself, after a greeting where there is one."""
        language = turn.profile.language or detect(turn.text)
        text = "\n\n".join(part for part in (before, self._replies.say("consent_ask", language)) if part)
        choices = (
            Choice(self._replies.say("consent_yes", language), AGREE),
            Choice(self._replies.say("consent_no", language), DECLINE),
        )
        return Answer(text, Route.COMMAND, language, choices=choices, effect=effect)

    def agreed(self, turn: Turn) -> Answer:
        language = turn.profile.language or detect(turn.text)
        key = "consent_given_before" if turn.consented else "consent_given"
        text, ready = self._replies.say(key, language), menu(self._replies, language)
        return Answer(text, Route.COMMAND, language, menu=ready, effect=Effect.CONSENT)

    def declined(self, turn: Turn) -> Answer:
        language = turn.profile.language or detect(turn.text)
        return Answer(self._replies.say("consent_declined", language), Route.COMMAND, language, effect=Effect.WITHDRAW)


def _plain(text: str) -> str:
    """The folded words, without the ends of sentences."""
    return " ".join(word for word in words(text).split() if word != STOP)
