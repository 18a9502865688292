"""The school's books, as the service sees them: open, index, retrieve, check, quote; never blocking the event loop.

The embedding model and Chroma are not thread-safe and not fast: one thread of our own runs both. Importing this module
loads neither.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from rag.chunk import chunk
from rag.embed import PACKAGED, Embedder, Vectors
from rag.errors import TextbookError
from rag.glossary import Glossary
from rag.ground import Grounding
from rag.index import LAYOUT, Index, Progress, Stamp, fingerprint
from rag.ingest import Textbook, read_library
from rag.passage import Passage, Quote, Retrieval, Support
from rag.retrieve import FOUND_AT, Retriever, Scope, Side
from rag.sentences import complete

REMEMBERED_QUESTIONS = 256

T = TypeVar("T")

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class IndexReport:
    """What indexing found and did. `rebuilt` is False when the index was up to date."""

    chapters: int
    passages: int
    errors: tuple[TextbookError, ...]
    rebuilt: bool
    seconds: float


class Library:
    """Make one with `open`; end it with `close`. It is both Retriever and Grounder of the service."""

    def __init__(
        self, index: Index, embedder: Embedder, glossary: Glossary, thread: ThreadPoolExecutor, found_at: float | None
    ) -> None:
        self._index = index
        self._embedder = embedder
        self._retriever = Retriever(index, embedder, glossary)
        self._grounding = Grounding(embedder)
        self._thread = thread
        self._fixed = found_at
        self._vectors: OrderedDict[str, Vectors] = OrderedDict()
        self._indexing = asyncio.Lock()

    @classmethod
    async def open(
        cls,
        place: Path | str,
        *,
        embedding_model: str = PACKAGED,
        threads: int = 1,
        glossary: Glossary | None = None,
        found_at: float | None = None,
        any_model: bool = False,
    ) -> Library:
        """Open the index in a folder (a Path) or on a Chroma server (a URL), and load the embedding model.

        `glossary` lets books in English answer questions in Hindi. `found_at` overrides the threshold that is stored
        with the index.

        Raises IndexInUse, IndexUnavailable, EmbeddingUnavailable; EmbeddingMismatch when the index was made by another
        model, unless `any_model`: that is for `index`, which then builds it anew.
        """
        thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="library")

        def load() -> Library:
            embedder = Embedder(embedding_model, threads=threads)
            index = Index.on_server(place) if isinstance(place, str) else Index.embedded(place)
            try:
                if not any_model:
                    index.check(embedder)
                embedder.embed(["warm"])
            except BaseException:
                index.close()
                raise
            return cls(index, embedder, glossary or Glossary(), thread, found_at)

        try:
            return await asyncio.get_running_loop().run_in_executor(thread, load)
        except BaseException:
            thread.shutdown(wait=False)
            raise

    async def close(self) -> None:
        """Finish what is running, then release the index."""
        await self._run(self._index.close)
        self._thread.shutdown()

    @property
    def fingerprint(self) -> str:
        """Identifies the indexed passages and the model, for logs and caches; "" while nothing is indexed."""
        stamp = self._index.stamp
        return f"{stamp.fingerprint}-{stamp.model}" if stamp else ""

    async def index(
        self, roots: Sequence[Path], progress: Progress | None = None, *, force: bool = False
    ) -> IndexReport:
        """Read the textbooks under `roots`, and index them when they, the model or the index's layout changed.

        `progress(done, total)` is called in the event loop. Questions are answered between the steps of a build, from
        the old index. A textbook that cannot be read is reported and left out; when none can, the index stays as it is.
        """
        async with self._indexing:
            began = time.perf_counter()
            books, errors = await asyncio.to_thread(read_library, *roots)
            passages = await asyncio.to_thread(_passages, books)
            stale = bool(passages) and (force or await self._run(lambda: self._is_stale(passages)))
            if stale:
                await self._build(passages, progress)
            await self._run(self._retriever.refresh)
            seconds = time.perf_counter() - began
            return IndexReport(len(books), len(passages), tuple(errors), stale, seconds)

    async def retrieve(
        self, question: str, *, class_level: int | None = None, subject: str | None = None, k: int = 3
    ) -> Retrieval:
        """The passages that bear on `question`, best first; none when the books do not hold the answer."""

        def find() -> Retrieval:
            read = self._retriever.read(question)
            scope = Scope(class_level, subject)
            return self._retriever.retrieve(read, self._vector(question), scope, k=k, found_at=self.found_at)

        return await self._run(find)

    async def ranked(self, question: str, side: Side = Side.HYBRID) -> list[Passage]:
        """Every candidate for a question, by relevance alone, best first, as one side of the search sees it."""
        return await self._run(
            lambda: self._retriever.ranked(self._retriever.read(question), self._vector(question), side=side)
        )

    async def calibrate(self, found_at: float) -> None:
        """Store a fitted threshold with the index."""
        await self._run(lambda: self._index.calibrate(found_at))

    async def check(self, text: str, passages: Sequence[Passage], question: str) -> list[Support]:
        """One Support for each sentence of `text`, in order."""
        return await self._run(lambda: self._grounding.check(text, passages, question))

    def complete(self, text: str) -> int:
        """How much of a growing text, in characters, is whole sentences."""
        return complete(text)

    async def quote(self, question: str, passages: Sequence[Passage]) -> Quote | None:
        """The sentences of one passage that answer best, word for word; None when none is close enough."""
        return await self._run(lambda: self._grounding.quote(question, passages, self._vector(question)))

    async def answers(self, question: str, sentence: str, quote: Quote) -> bool:
        """Whether a sentence bears on the question about as well as the book's own best sentences."""
        return await self._run(lambda: self._grounding.answers(question, sentence, quote.text, self._vector(question)))

    async def embed(self, question: str) -> Vectors:
        """The question's vector, shape (dimension,): computed once, then remembered."""
        return await self._run(lambda: self._vector(question))

    async def _build(self, passages: Sequence[Passage], progress: Progress | None) -> None:
        steps = self._index.building(passages, self._embedder)
        try:
            while (done := await self._run(lambda: next(steps, None))) is not None:
                if progress is not None:
                    progress(done, len(passages))
        finally:
            await self._run(steps.close)

    def _is_stale(self, passages: Sequence[Passage]) -> bool:
        current = Stamp(self._embedder.name, self._embedder.dimension, fingerprint(passages), LAYOUT, len(passages))
        return self._index.stamp != current

    @property
    def found_at(self) -> float:
        """The relevance from which a passage counts as found: as configured, or fitted, or the shipped one."""
        return self._fixed or self._index.found_at or FOUND_AT

    def _vector(self, question: str) -> Vectors:
        """The vector of a question in the language of the embedding model, as far as it can be put into it."""
        if question not in self._vectors:
            read = self._retriever.read(question)
            self._vectors[question] = self._embedder.embed([read.english])[0]
            if len(self._vectors) > REMEMBERED_QUESTIONS:
                self._vectors.popitem(last=False)
        self._vectors.move_to_end(question)
        return self._vectors[question]

    async def _run(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)


def _passages(books: Sequence[Textbook]) -> list[Passage]:
    return [passage for book in books for passage in chunk(book)]
