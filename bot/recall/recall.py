"""What is at hand for a question, in the order of who stands for it: a teacher's answer, then one given before."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from bot.ports import Answer, Decoding, Turn
from bot.recall.cache import AnswerCache, Setting
from bot.recall.verified import Verified


@dataclass(frozen=True, slots=True)
class Recall:
    """Both, as the tutor asks them. `index` gives the fingerprint of the books as they are indexed now."""

    verified: Verified
    cache: AnswerCache
    index: Callable[[], str]

    async def find(self, question: str, turn: Turn, language: str, decoding: Decoding) -> Answer | None:
        """The answer to the same question, if there is one that may be given to whoever asks now."""
        profile = turn.profile
        taught = await self.verified.find(
            question, language=language, class_level=profile.class_level, subject=profile.subject
        )
        if taught is not None:
            return taught
        setting = self._setting(turn, language, decoding)
        return await self.cache.get(question, setting, conversation=turn.conversation, message=int(turn.id))

    def keep(
        self, question: str, turn: Turn, language: str, decoding: Decoding, answer: Answer, topic: str | None
    ) -> None:
        """Remember an answer that has passed every check; `topic` is the subject that the generator was given."""
        setting = self._setting(turn, language, decoding)
        self.cache.put(question, setting, answer, topic=topic, conversation=turn.conversation, message=int(turn.id))

    def _setting(self, turn: Turn, language: str, decoding: Decoding) -> Setting:
        return Setting(language, turn.profile.class_level, turn.profile.subject, decoding, self.index())
