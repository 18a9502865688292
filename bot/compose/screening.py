"""The safety filter with every layer, and the classifier that is promoted."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from bot.compose.places import classifiers
from bot.errors import SetupError
from bot.safety.classifier import Classifier, Judge, Thresholds
from bot.safety.filter import SafetyFilter
from bot.safety.guard import Guard
from bot.settings import PROJECT, Settings
from inference.classifiers import THRESHOLDS
from inference.errors import InferenceError
from inference.prompt import SYSTEM

if TYPE_CHECKING:  # imported where they are made: a web process needs neither Chroma nor the providers' clients
    from inference.moderation import Moderator, Worded

logger = logging.getLogger(__name__)


@asynccontextmanager
async def opened_safety(settings: Settings) -> AsyncIterator[SafetyFilter]:
    """The safety filter with every layer. Raises SetupError when a part of it is missing: nothing runs without it."""
    safety = settings.safety
    key = safety.guard_key.get_secret_value() if safety.guard_key else ""
    guard = (
        Guard(str(safety.guard_url), safety.guard_model, deadline=safety.guard_seconds, key=key)
        if safety.guard_url is not None
        else None
    )
    with ThreadPoolExecutor(1, "safety") as executor:
        try:
            serving = _Serving(settings)
            await asyncio.get_running_loop().run_in_executor(executor, serving)  # now, not at the first message
            opened = SafetyFilter.load(
                PROJECT / "data" / "safety",
                Classifier(serving, executor),
                *([guard] if guard is not None else []),
                confidential=(SYSTEM,),
                helplines=tuple(settings.helplines.model_dump().values()),
            )
        except (InferenceError, OSError, ValueError) as error:
            raise SetupError(f"The safety filter cannot be opened: {error}") from error
        try:
            yield opened
        finally:
            if guard is not None:
                await guard.close()


class _Serving:
    """The classifier that is promoted. It is looked for before each message, so that a promotion needs no restart."""

    def __init__(self, settings: Settings) -> None:
        self._fixed = settings.safety.classifier
        self._threads = settings.model.threads
        self._shelf = classifiers(settings)
        self._id = ""
        self._judge: Judge | None = None

    def __call__(self) -> Judge:
        """Raises InferenceError, OSError or ValueError when there is none that can be loaded."""
        wanted = str(self._fixed or self._shelf.current)
        if self._judge is None or wanted != self._id:
            self._judge = self._load(self._fixed or self._shelf.folder(wanted))
            self._id = wanted
            logger.info("safety: classifier %s", wanted)
        return self._judge

    def _load(self, folder: Path) -> Judge:
        from inference.moderation import Moderator
        from rag.embed import packaged

        moderator = Moderator.load(folder, packaged(), threads=self._threads)
        scorer = _ReadingModerator(moderator, message_reader(moderator.knows))
        return Judge(scorer, Thresholds.load(folder / THRESHOLDS))


@dataclass(frozen=True, slots=True)
class _ReadingModerator:
    """Satisfies `classifier.Scorer`: puts messages into the model's form first."""

    moderator: Moderator
    read: Callable[[str], Worded]

    @property
    def labels(self) -> Sequence[str]:
        return self.moderator.labels

    def scores(self, texts: Sequence[str]) -> Iterable[Iterable[float]]:
        return self.moderator.scores([self.read(text) for text in texts])


def message_reader(is_word: Callable[[str], bool]) -> Callable[[str], Worded]:
    """What puts a message before the safety classifier, in English and as spelled; training reads the same way."""
    from inference.moderation import Worded
    from rag.gloss import Gloss

    gloss = Gloss.load(PROJECT / "data" / "glossary", is_word)

    def read(text: str) -> Worded:
        return Worded(gloss.english(text), gloss.spelled(text))

    return read
