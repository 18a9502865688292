"""Reads what the model writes, sentence by sentence, and lets through what may be shown (decision 0004).

A sentence passes when a passage supports it and the safety filter allows it. The first one must also bear on the
question as well as the book's own best sentences do: text can be true to the book and still answer something else. The
later ones must stand on the same page. At the first sentence that fails the answer ends.
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
    """The checking of one answer to `question`. `publish` is given each sentence once it has passed."""

    grounder: Grounder
    safety: Safety
    question: str
    passages: Sequence[Passage]
    quote: Quote
    publish: Publish
    _kept: list[Support] = field(default_factory=list)

    async def read(self, stream: AsyncGenerator[str | Generation, None]) -> Draft | None:
        """The draft; None, as soon as that is known, when not even the first sentence passes."""
        pending, passing = "", True
        async with aclosing(stream) as pieces:
            async for piece in pieces:
                if isinstance(piece, Generation):
                    if passing:
                        await self._pass(pending)
                    return Draft(tuple(self._kept), piece) if self._kept else None
                if not passing:
                    continue  # the rest is not shown; its Generation still tells how sure the model was
                pending += piece
                if cut := self.grounder.complete(pending):
                    passing = await self._pass(pending[:cut])
                    pending = pending[cut:]
                    if not self._kept:
                        return None
        return None

    async def _pass(self, text: str) -> bool:
        """Keep and publish the sentences of `text` up to the first that fails. False when one did."""
        if not text.strip():
            return True
        for support in await self.grounder.check(text, self.passages, self.question):
            if not await self._may_be_shown(support):
                return False
            await self.publish((" " if self._kept else "") + support.sentence)
            self._kept.append(support)
        return True

    async def _may_be_shown(self, support: Support) -> bool:
        if support.passage is None:
            return False
        if not self._kept:
            fitting = await self.grounder.answers(self.question, support.sentence, self.quote)
        else:
            first = self._kept[0].passage
            fitting = first is not None and (first.book, first.page) == (support.passage.book, support.passage.page)
        return fitting and (await screened(self.safety.screen_answer, support.sentence)).action is Action.ALLOW


async def screened(screen: Callable[..., Awaitable[Verdict]], *said: str | Sequence[str]) -> Verdict:
    """The verdict; an error inside the filter means unsafe."""
    try:
        return await screen(*said)
    except Exception:  # fails closed, whatever broke
        logger.exception("the safety filter failed")
        return UNSAFE
