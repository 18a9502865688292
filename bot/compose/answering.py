"""The tutor with everything it answers from."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bot.books import Books
from bot.calculating.calculator import Calculator
from bot.compose.books import opened_library
from bot.compose.generating import TranslatedGenerator, start_engine
from bot.compose.screening import opened_safety
from bot.errors import SetupError
from bot.ports import Decoding, Generator
from bot.replies import Replies
from bot.settings import PROJECT, Settings
from bot.store import Store
from bot.tutor import Tutor
from bot.tutoring.commands import Commands
from bot.tutoring.everyday import Everyday
from inference.adapters import Shelf
from inference.prompt import grounded

if TYPE_CHECKING:  # imported where they are made: a web process needs neither Chroma nor the providers' clients
    from bot.recall.recall import Recall
    from rag.library import Library


@dataclass(frozen=True, slots=True)
class Opened:
    """A tutor that can answer, and what it answers with. `engine` is None where generation is switched off."""

    tutor: Tutor
    library: Library
    engine: Generator | None
    commands: Commands


@asynccontextmanager
async def opened_tutor(
    settings: Settings, books: Books, replies: Replies, say: Callable[[str], None]
) -> AsyncIterator[Opened]:
    """The tutor alone, without database or channels. Raises SetupError when a part of it is missing."""
    async with AsyncExitStack() as stack:
        say("Opening the textbooks and the model ...")
        try:
            async with asyncio.TaskGroup() as group:  # both take seconds, and on different cores
                starting = group.create_task(start_engine(settings, stack))
                library = await stack.enter_async_context(opened_library(settings))
        except* SetupError as errors:
            raise errors.exceptions[0] from None
        engine = starting.result()
        commands = Commands(replies, await books.chapters())
        tutor = Tutor(
            safety=await stack.enter_async_context(opened_safety(settings)),
            retriever=library,
            grounder=library,
            generator=TranslatedGenerator(engine) if engine is not None else None,
            replies=replies,
            everyday=Everyday().match,
            calculate=Calculator().answer,
            commands=commands,
            prompt=grounded,
            decoding=Decoding(**settings.decoding.model_dump()),
            passages=settings.retrieval.passages,
            says=settings.model.says,
            longest_question=settings.limits.question_characters,
        )
        yield Opened(tutor, library, engine, commands)


async def opened_recall(store: Store, replies: Replies, adapters: Shelf, library: Library) -> Recall:
    """What was answered before, by a teacher or by us; its `verified.watch` is the caller's to run.

    Raises SetupError when its word lists cannot be used.
    """
    from bot.recall.cache import AnswerCache
    from bot.recall.recall import Recall
    from bot.recall.verified import Verified
    from rag.same import Reader, Threshold

    data = PROJECT / "data"
    try:
        reader = await asyncio.to_thread(Reader.load, data / "glossary", data / "same")
        threshold = Threshold.load(data / "same" / "threshold.json")
    except (OSError, ValueError) as error:
        raise SetupError(f"The list of what means the same cannot be opened: {error}") from error

    def writer(subject: str | None, conversation: str | None) -> str:
        card = adapters.current(subject, conversation=conversation)
        return card.id if card else "base"

    cache = AnswerCache(reader, threshold, writer, store.may_be_repeated)
    return Recall(Verified(store, reader, threshold, replies.say), cache, lambda: library.fingerprint)
