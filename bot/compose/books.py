"""The textbooks, opened and indexed."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from bot.compose.places import PREPARED, shelves
from bot.errors import IndexBusy, IndexMismatch, SetupError
from bot.folding import words
from bot.safety.rules import Rules
from bot.settings import PROJECT, Settings

if TYPE_CHECKING:  # imported where they are made: a web process needs neither Chroma nor the providers' clients
    from rag.library import Library
    from rag.prepared import Prepared

logger = logging.getLogger(__name__)

AT_ONCE = 256  # texts embedded at a step


@asynccontextmanager
async def opened_library(
    settings: Settings, *, rebuild: bool = False, progress: Callable[[int, int], None] | None = None
) -> AsyncIterator[Library]:
    """The textbooks, indexed when they changed. Raises SetupError: index in use, or made by another model."""
    from rag.errors import EmbeddingMismatch, IndexInUse, RagError
    from rag.fitted import Fitted
    from rag.library import Library

    place = str(settings.chroma_url) if settings.chroma_url else settings.home / "index"
    try:
        library = await Library.open(
            place,
            embedding_model=settings.retrieval.embedding_model,
            threads=settings.model.threads,
            glossary=PROJECT / "data" / "glossary",
            fitted=await asyncio.to_thread(Fitted.load, PROJECT / "data" / "retrieval" / "fitted.json"),
            prepared=PREPARED if PREPARED.is_file() else None,  # without them a build only takes longer
            board=settings.retrieval.board,
            reranker=settings.retrieval.reranker,
            admits=await asyncio.to_thread(_passage_check),
            any_model=rebuild,
        )
    except EmbeddingMismatch as error:
        raise IndexMismatch(str(error)) from error
    except IndexInUse as error:
        raise IndexBusy(str(error)) from error
    except RagError as error:
        raise SetupError(str(error)) from error
    try:
        report = await library.index(shelves(settings), progress, force=rebuild)
        for problem in report.summary()["errors"]:
            logger.warning("left out: %s", problem)
        logger.info("%d chapters, %d passages%s", report.chapters, report.passages, ", indexed" * report.rebuilt)
        yield library
    finally:
        await library.close()


def prepared_vectors(settings: Settings, progress: Callable[[int, int], None]) -> Prepared:
    """What the embedding model makes of the shipped textbooks, computed now. Raises SetupError for a malformed one."""
    import numpy as np

    from rag.chunk import chunk
    from rag.embed import Embedder
    from rag.errors import RagError
    from rag.index import texts_of
    from rag.ingest import read_library
    from rag.prepared import Prepared

    books, problems = read_library(PROJECT / "data" / "textbooks")
    if problems:
        raise SetupError(str(problems[0]))
    embedder = Embedder(
        settings.retrieval.embedding_model, threads=settings.model.threads, glossary=PROJECT / "data" / "glossary"
    )
    made = []
    try:
        texts = list(dict.fromkeys(map(embedder.legible, texts_of([one for book in books for one in chunk(book)]))))
        for start in range(0, len(texts), AT_ONCE):
            made.append(embedder.embed(texts[start : start + AT_ONCE]))
            progress(min(start + AT_ONCE, len(texts)), len(texts))
    except RagError as error:
        raise SetupError(str(error)) from error
    return Prepared.of(texts, np.concatenate(made))


def _passage_check() -> Callable[[str], bool]:
    """What tells a passage that gives orders to the tutor from one that teaches: a model might obey it."""
    rules = Rules.load(PROJECT / "data" / "safety" / "rules.json")
    return lambda text: rules.may_be_printed((words(text),))  # one view: a model reads no base64 either
