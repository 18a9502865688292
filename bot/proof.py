"""Reads what the model writes, sentence by sentence, and lets through what may be shown (decision 0004).

A sentence passes when a passage supports it, on one page with those before, and the safety filter allows it. At the
first one that fails the answer ends. Nothing is shown until what has passed bears on the question as well as the book's
own best sentences do, and says most of what they say: text can be true to the book and still answer something else, or
too little (decision 0034).
"""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field

from bot.ports import Action, Generation, Grounder, Passage, Quote, Safety, Support, Verdict

logger = logging.getLogger(__name__)

Publish = Callable[[str], Awaitable[None]]
UNSAFE = Verdict(Action.REFUSE, "safety_error", "safety_error")


@dataclass(frozen=True, slots=True)
class Draft:
    """What the model wrote and may be shown: leading sentences only, so that the text still hangs together."""

    supports: tuple[Support, ...]
    generation: Generation

    @property
    def text(self) -> str:
        return " ".join(support.sentence for support in self.supports)

    @property
    def confidence(self) -> float:
        """The model's own certainty, never above how well its weakest sentence is supported."""
        return min(self.generation.confidence, *(support.score for support in self.supports))

    @property
    def evidence(self) -> list[tuple[Passage, str]]:
        """The passages it rests on, each with the sentence that supports."""
        return [(support.passage, support.evidence) for support in self.supports if support.passage is not None]


@dataclass(slots=True)
class Proof:
    """The checking of one answer to `question`. `publish` is given what has passed, once that answers.

    `says` is the share of the quote's content words that it has to say.
    """

    grounder: Grounder
    safety: Safety
    question: str
    passages: Sequence[Passage]
    quote: Quote
    publish: Publish
    says: float
    _kept: list[Support] = field(default_factory=list)
    _answers: bool = False

    async def read(self, stream: AsyncGenerator[str | Generation, None]) -> Draft | None:
        """The draft; None when what passes is no answer, as soon as that is known."""
        pending, passing = "", True
        async with aclosing(stream) as pieces:
            async for piece in pieces:
                if isinstance(piece, Generation):
                    if passing:
                        await self._pass(pending)
                    return Draft(tuple(self._kept), piece) if self._answers else None
                if not passing:
                    continue  # the rest is not shown; its Generation still tells how sure the model was
                pending += piece
                if cut := self.grounder.complete(pending):
                    passing = await self._pass(pending[:cut])
                    pending = pending[cut:]
                    if not (passing or self._answers):
                        return None
        return None

    async def _pass(self, text: str) -> bool:
        """Keep the sentences of `text` up to the first that fails; publish once they answer. False when one failed."""
        if not text.strip():
            return True
        for support in await self.grounder.check(text, self.passages, self.question):
            if not self._on_the_page(support.passage) or not await self._is_safe(support.sentence):
                return False
            self._kept.append(support)
            if self._answers:
                await self.publish(f" {support.sentence}")
            elif await self._answer_yet():
                self._answers = True
                await self.publish(self._said)
        return True

    @property
    def _said(self) -> str:
        return " ".join(support.sentence for support in self._kept)

    def _on_the_page(self, passage: Passage | None) -> bool:
        """Whether a passage supports at all, and one of the page that supports what came before."""
        first = self._kept[0].passage if self._kept else passage
        return passage is not None and first is not None and (first.book, first.page) == (passage.book, passage.page)

    async def _answer_yet(self) -> bool:
        return await self.grounder.answers(self.question, self._said, self.quote, says=self.says)

    async def _is_safe(self, sentence: str) -> bool:
        return (await screened(self.safety.screen_answer, sentence)).action is Action.ALLOW


async def screened(screen: Callable[..., Awaitable[Verdict]], *said: str | Sequence[str]) -> Verdict:
    """The verdict; an error inside the filter means unsafe."""
    try:
        return await screen(*said)
    except Exception:  # fails closed, whatever broke
        logger.exception("the safety filter failed")
        return UNSAFE
