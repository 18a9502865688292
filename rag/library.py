"""The school's books, as the service sees them: open, index, retrieve, check, quote; never blocking the event loop.

The embedding model and Chroma are not thread-safe and not fast: one thread of our own runs both. Importing this module
loads neither.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

from rag import certainty
from rag.chunk import chunk
from rag.embed import PACKAGED, Embedder, Vectors
from rag.errors import TextbookError
from rag.fitted import UNFITTED, Fitted
from rag.glossary import Glossary
from rag.ground import Grounding
from rag.index import LAYOUT, Index, Progress, Stamp, fingerprint
from rag.ingest import Textbook, read_library
from rag.passage import Passage, Quote, Retrieval, Support
from rag.question import Question
from rag.rerank import Reranker
from rag.retrieve import Retriever, Scope, Side
from rag.sentences import complete

REMEMBERED_QUESTIONS = 256

T = TypeVar("T")

logger = logging.getLogger(__name__)


def admit_all(_text: str) -> bool:
    return True


@dataclass(frozen=True, slots=True)
class IndexReport:
    """What indexing found and did. `rebuilt` is False when the index was up to date.

    `withheld` are passages that were left out because they may not be shown to a model.
    """

    chapters: int
    passages: int
    errors: tuple[TextbookError, ...]
    rebuilt: bool
    seconds: float
    withheld: tuple[Passage, ...] = ()

    def summary(self) -> dict[str, Any]:
        """For a table or JSON."""
        errors = [str(error) for error in self.errors]
        errors += [f"{one.book}, {one.chapter}, page {one.page}: orders to the tutor itself" for one in self.withheld]
        return {"chapters": self.chapters, "passages": self.passages, "rebuilt": self.rebuilt, "errors": errors}


class Library:
    """Make one with `open`; end it with `close`. It is both Retriever and Grounder of the service."""

    def __init__(
        self,
        index: Index,
        embedder: Embedder,
        retriever: Retriever,
        thread: ThreadPoolExecutor,
        *,
        board: str | None,
        fitted: Fitted,
        admits: Callable[[str], bool] = admit_all,
    ) -> None:
        self._index = index
        self._admits = admits
        self._embedder = embedder
        self._retriever = retriever
        self._board = board
        self._grounding = Grounding(embedder, indexed=retriever.sentences)
        self._thread = thread
        self._shipped = fitted
        self._asked: OrderedDict[str, tuple[Question, Vectors]] = OrderedDict()
        self._stored = ("", fitted)  # what is stored with the index, and the same as an object
        self._indexing = asyncio.Lock()
        self.last_report = IndexReport(0, 0, (), rebuilt=False, seconds=0.0)  # of the last `index`

    @classmethod
    async def open(
        cls,
        place: Path | str,
        *,
        embedding_model: str = PACKAGED,
        threads: int = 1,
        glossary: Path | None = None,
        prepared: Path | None = None,
        board: str | None = None,
        reranker: str = "",
        fitted: Fitted = UNFITTED,
        admits: Callable[[str], bool] = admit_all,
        any_model: bool = False,
    ) -> Library:
        """Open the index in a folder (a Path) or on a Chroma server (a URL), and load the embedding model.

        `glossary`, a folder of tables, lets books in English answer questions in Hindi; `prepared` is a file of vectors
        that were computed ahead. Books of `board` are preferred.
        `reranker` names a cross-encoder; "" goes without. `fitted` decides what is not in the books, and how sure a
        quote is, unless others were stored with the index. `admits` says of a passage's text whether it may be indexed.

        Raises IndexInUse, IndexUnavailable, EmbeddingUnavailable; EmbeddingMismatch when the index was made by another
        model, unless `any_model`: that is for `index`, which then builds it anew.
        """
        thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="library")

        def load() -> Library:
            known = Glossary.load(glossary) if glossary is not None else None
            embedder = Embedder(embedding_model, threads=threads, glossary=glossary, prepared=prepared)
            index = Index.on_server(place) if isinstance(place, str) else Index.embedded(place)
            try:
                if not any_model:
                    index.check(embedder)
                embedder.embed(["warm"])
            except BaseException:
                index.close()
                raise
            retriever = Retriever(index, embedder, known, Reranker(reranker) if reranker else None)
            return cls(index, embedder, retriever, thread, board=board, fitted=fitted, admits=admits)

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
        Where there is no textbook at all, the index is emptied.
        """
        async with self._indexing:
            began = time.perf_counter()
            books, errors = await asyncio.to_thread(read_library, *roots)
            passages, withheld = await asyncio.to_thread(self._admitted, books)
            usable = bool(passages) or not errors
            stale = usable and (force or await self._run(lambda: self._is_stale(passages)))
            if stale:
                await self._build(passages, progress)
            await self._run(self._retriever.refresh)
            self._asked.clear()  # a question is read by the words of the books
            seconds = time.perf_counter() - began
            self.last_report = IndexReport(len(books), len(passages), tuple(errors), stale, seconds, withheld)
            return self.last_report

    async def retrieve(
        self,
        question: str,
        *,
        class_level: int | None = None,
        subject: str | None = None,
        language: str | None = None,
        board: str | None = None,
        k: int = 3,
    ) -> Retrieval:
        """The passages that bear on `question`, best first; none when the books do not hold the answer."""

        def find() -> Retrieval:
            scope = Scope(class_level, subject, language, board or self._board)
            return self._retriever.retrieve(*self._read(question), scope, k=k, answerable=self.fitted.answerable)

        return await self._run(find)

    async def ranked(self, question: str, side: Side = Side.HYBRID) -> Retrieval:
        """Every candidate for a question, by relevance alone, best first, as one side of the search sees it.

        Only the hybrid search has a confidence.
        """

        def find() -> Retrieval:
            ranking = self._retriever.ranked(*self._read(question), side=side)
            confidence = self.fitted.answerable.score(ranking.measures) if ranking.measures else 0.0
            return Retrieval(ranking.passages, confidence=confidence)

        return await self._run(find)

    async def measures(self, question: str) -> tuple[float, ...]:
        """What `Answerable` decides by."""
        return await self._run(lambda: self._retriever.ranked(*self._read(question)).measures)

    async def calibrate(self, fitted: Fitted) -> None:
        """Store fitted scores with the index."""
        await self._run(lambda: self._index.calibrate(fitted.dumps()))

    async def check(self, text: str, passages: Sequence[Passage], question: str) -> list[Support]:
        """One Support for each sentence of `text`, in order."""
        return await self._run(lambda: self._grounding.check(text, passages, question))

    def complete(self, text: str) -> int:
        """How much of a growing text, in characters, is whole sentences."""
        return complete(text)

    async def quote(self, question: str, found: Retrieval, *, language: str | None = None) -> Quote | None:
        """The sentences of one passage that answer best, word for word; None when none is close enough."""

        def choose() -> Quote | None:
            read, vector = self._read(question)
            chosen = self._grounding.quote(read, found.passages, vector, language=language)
            if chosen is None:
                return None
            confidence = self.fitted.certainty.score(certainty.measures(found.confidence, chosen))
            return replace(chosen, confidence=confidence)

        return await self._run(choose)

    async def gather(self, question: str, passages: Sequence[Passage], *, language: str | None = None) -> list[str]:
        """The sentences of the passages that bear on the question, each with what it leans on, best first."""

        def choose() -> list[str]:
            read, vector = self._read(question)
            return self._grounding.gather(read, passages, vector, language=language)

        return await self._run(choose)

    async def answers(self, question: str, text: str, quote: Quote, *, says: float) -> bool:
        """Whether a text bears on the question about as well as the book's own best sentences (`Grounding.answers`)."""

        def judge() -> bool:
            read, vector = self._read(question)
            return self._grounding.answers(read, text, quote, vector, says=says)

        return await self._run(judge)

    async def embed(self, question: str) -> Vectors:
        """The question's vector, shape (dimension,): computed once, then remembered."""
        return await self._run(lambda: self._read(question)[1])

    def _admitted(self, books: Sequence[Textbook]) -> tuple[list[Passage], tuple[Passage, ...]]:
        """The passages, and those among them that may not be indexed."""
        admitted: list[Passage] = []
        withheld: list[Passage] = []
        for book in books:
            for passage in chunk(book):
                (admitted if self._admits(passage.text) else withheld).append(passage)
        return admitted, tuple(withheld)

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
    def fitted(self) -> Fitted:
        """What decides whether the books hold the answer, and how sure a quote is: fitted here, or the shipped ones."""
        text = self._index.calibration
        if text != self._stored[0]:
            self._stored = text, self._shipped
            with contextlib.suppress(ValueError):  # fitted by another version, or nothing
                self._stored = text, Fitted.loads(text)
        return self._stored[1]

    def _read(self, question: str) -> tuple[Question, Vectors]:
        """A question as read, and the vector of what could be put into the language of the embedding model."""
        if question not in self._asked:
            read = self._retriever.read(question)
            self._asked[question] = read, self._embedder.embed_question(read)
            if len(self._asked) > REMEMBERED_QUESTIONS:
                self._asked.popitem(last=False)
        self._asked.move_to_end(question)
        return self._asked[question]

    async def _run(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)
