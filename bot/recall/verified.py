"""A teacher's answer for whoever asks the same again, within seconds of the review and with no model involved.

Questions are held in memory as read, answers are not: what is said is read from the database when it is said, so that
nothing that was taken back or erased a moment ago goes out.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from sqlalchemy.exc import SQLAlchemyError

from bot.ports import Answer, Route, Source
from bot.store.verified import REJECTED, Decision, is_answer
from bot.tables import StoredAnswer
from rag.same import Asked, Known, Reader, Threshold

EVERY = 2.0  # seconds between looks for new reviews
THOROUGH = 60.0  # seconds after which every review is listed anew, whatever the stamp says: clocks of machines differ
AT_ONCE = 100  # questions read between two looks at whatever else there is to do
MARK = "checked_by_teacher"

logger = logging.getLogger(__name__)


class Reviews(Protocol):
    """What is needed of the store."""

    async def reviews_stamp(self) -> tuple[int, datetime | None]: ...

    async def decisions(self) -> list[Decision]: ...

    async def answers_named(self, ids: Collection[str]) -> list[StoredAnswer]: ...


@dataclass(frozen=True, slots=True)
class _Entry:
    decision: Decision
    language: str
    class_level: int | None
    subject: str | None

    def fits(self, language: str, class_level: int | None, subject: str | None) -> bool:
        """Whether it was answered in this language, and for this class and subject where both are known."""
        level = None in (self.class_level, class_level) or self.class_level == class_level
        return self.language == language and level and (None in (self.subject, subject) or self.subject == subject)


@dataclass(slots=True)
class Verified:
    """Run `watch` in the background; `find` answers from what it has seen. `say` gives a localised reply."""

    store: Reviews
    reader: Reader
    threshold: Threshold
    say: Callable[[str, str], str]
    _known: Known[str] = field(init=False)
    _entries: dict[str, _Entry] = field(default_factory=dict)
    _stamp: tuple[int, datetime | None] = (-1, None)
    _listed: float = 0.0

    def __post_init__(self) -> None:
        self._known = Known(self.reader, self.threshold)

    def __len__(self) -> int:
        return len(self._entries)

    async def watch(self) -> None:
        """Look for new reviews until cancelled; a database that is away is asked again."""
        while True:
            try:
                await self.refresh()
            except (SQLAlchemyError, OSError) as error:
                logger.warning("reviews cannot be read (%s); trying again", type(error).__name__)
            await asyncio.sleep(EVERY)

    async def refresh(self) -> None:
        """Take over what was reviewed, changed or taken back since the last look."""
        stamp = await self.store.reviews_stamp()
        if stamp == self._stamp and time.monotonic() - self._listed < THOROUGH:
            return
        decisions = {decision.answer_id: decision for decision in await self.store.decisions()}
        for gone in self._entries.keys() - decisions.keys():
            self._drop(gone)
        held = {entry.decision for entry in self._entries.values()}
        fresh = [answer_id for answer_id, decision in decisions.items() if decision not in held]
        for start in range(0, len(fresh), AT_ONCE):
            await self._take(fresh[start : start + AT_ONCE], decisions)
        self._stamp, self._listed = stamp, time.monotonic()

    async def find(
        self, question: str, *, language: str, class_level: int | None = None, subject: str | None = None
    ) -> Answer | None:
        """The answer that a teacher stands for, if one of this language, class and subject was asked the same.

        The latest decision on the question counts: where that was to reject, there is none.
        """
        same = self._known.same(self.reader.read(question))
        fitting = [self._entries[answer_id] for answer_id, _ in same]
        fitting = [entry for entry in fitting if entry.fits(language, class_level, subject)]
        for entry in sorted(fitting, key=lambda one: one.decision.at, reverse=True):
            named = await self.store.answers_named([entry.decision.answer_id])
            if not named or named[0].review is None or not named[0].question:
                continue  # taken back or erased a moment ago
            return self._given(named[0], language) if is_answer(named[0]) else None
        return None

    def _given(self, answer: StoredAnswer, language: str) -> Answer:
        mark = self.say(MARK, language)
        return Answer(
            text=answer.correction or answer.text,
            route=Route.VERIFIED,
            language=language,
            confidence=1.0,
            sources=tuple(Source(**source) for source in answer.sources),
            source_line="\n".join(filter(None, (mark, answer.source_line))),
            passages=tuple(answer.passages),
        )

    async def _take(self, ids: Sequence[str], decisions: dict[str, Decision]) -> None:
        answers = await self.store.answers_named(ids)
        read = await asyncio.to_thread(self._read, answers)
        for answer, asked in zip(answers, read, strict=True):
            self._drop(answer.id)
            if is_answer(answer) or answer.review == REJECTED:
                decision = decisions[answer.id]
                self._entries[answer.id] = _Entry(decision, answer.language, answer.class_level, answer.subject)
                self._known.put(answer.id, asked)

    def _read(self, answers: Sequence[StoredAnswer]) -> list[Asked]:
        return [self.reader.read(answer.question) for answer in answers]

    def _drop(self, answer_id: str) -> None:
        self._entries.pop(answer_id, None)
        self._known.drop(answer_id)
