"""What the service costs around the model: one question at a time, from the stored message to the stored answer.

    python -m tests.bench.overhead [--asked 60] [--passages 10000] [--json]

The library is the shipped one, and again and again as other books; the vectors of those are drawn at random, since
nobody has to wait for them. Prints a Markdown table. Nothing here is asserted: a noisy machine must not fail a test
run.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import sys
import tempfile
import time
import uuid
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing, asynccontextmanager
from dataclasses import replace
from pathlib import Path

from bot.books import Books
from bot.channels.page import PageChannel
from bot.compose import opened_store, opened_tutor
from bot.live import MemoryLive
from bot.ports import Answer, Decoding, Generation, Generator, Inbound, Kind, Message, Turn
from bot.replies import Replies
from bot.settings import PROJECT, Settings
from bot.tutor import Publish, Tutor
from bot.worker import Patience, Worker
from rag.fitted import Fitted
from rag.glossary import Glossary
from rag.index import Index
from rag.library import Library
from rag.retrieve import Retriever
from tests.bench.figures import Figure, quantile, tell
from tests.bench.retrieval import Drawn, many, questions

WARM = 5  # questions that count for nothing
STAGES = ("screen", "retrieve", "quote", "check", "store")
NAMES = {
    "screen": "screening question and answer",
    "retrieve": "retrieval",
    "quote": "choosing the sentences of the book",
    "check": "checking what the model writes, beyond its own time",
    "store": "database: message in, lease, answer out",
}


class Timed:
    """A generator that remembers how long its reader waited for the model. Satisfies `bot.ports.Generator`."""

    def __init__(self, inner: Generator) -> None:
        self._inner = inner
        self.seconds = 0.0

    async def stream(
        self,
        messages: Sequence[Message],
        *,
        decoding: Decoding,
        subject: str | None = None,
        adapter: str = "current",
        conversation: str | None = None,
    ) -> AsyncGenerator[str | Generation, None]:
        self.seconds = 0.0
        stream = self._inner.stream(
            messages, decoding=decoding, subject=subject, adapter=adapter, conversation=conversation
        )
        async with aclosing(stream) as pieces:  # the answer may be given up before its end
            while True:
                began = time.perf_counter()
                piece = await anext(pieces, None)
                self.seconds += time.perf_counter() - began
                if piece is None:
                    return
                yield piece


class Remembering:
    """A tutor whose last answer can be looked at. Satisfies `bot.worker.Tutor`."""

    def __init__(self, tutor: Tutor) -> None:
        self._tutor = tutor
        self.last: Answer | None = None

    async def answer(self, turn: Turn, publish: Publish) -> Answer:
        self.last = await self._tutor.answer(turn, publish)
        return self.last

    def say(self, key: str, turn: Turn) -> str:
        return self._tutor.say(key, turn)


@asynccontextmanager
async def library(folder: Path, passages: int) -> AsyncIterator[Library]:
    """So many passages, retrieved and checked as in the service."""
    thread = ThreadPoolExecutor(1, "library")

    def build() -> Library:
        data = PROJECT / "data"
        embedder = Drawn(once=True)
        embedder.embed(["warm"])
        index = Index.embedded(folder)
        embedder.drawing = True
        index.build(many(passages), embedder)
        embedder.drawing = False
        retriever = Retriever(index, embedder, Glossary.load(data / "glossary"))
        retriever.refresh()
        fitted = Fitted.load(data / "retrieval" / "fitted.json")
        return Library(index, embedder, retriever, thread, board=None, fitted=fitted)

    made = await asyncio.get_running_loop().run_in_executor(thread, build)
    try:
        yield made
    finally:
        await made.close()


async def measured(asked: int, passages: int, home: Path) -> list[dict[str, float]]:
    """Milliseconds by stage of each answer from the book."""
    books = home / "books"
    (books / "class-7").mkdir(parents=True)
    (books / "class-7" / "science").symlink_to(PROJECT / "data" / "textbooks" / "class-7" / "science")
    settings = Settings(home=home, textbooks=books)
    replies = Replies.load(PROJECT / "data" / "locales", settings.helplines.model_dump())
    rows = []
    print(f"building an index of {passages:,} passages ...", file=sys.stderr)
    async with (
        opened_store(settings) as store,
        opened_tutor(settings, Books(lambda: [books]), replies, lambda _: None) as opened,
        library(home / "large", passages) as large,
    ):
        assert opened.tutor.generator is not None
        model = Timed(opened.tutor.generator)
        tutor = Remembering(replace(opened.tutor, retriever=large, grounder=large, generator=model))
        page = {"web": PageChannel("web")}
        worker = Worker(store, tutor, page, MemoryLive(), patience=Patience(), concurrency=1)
        for number, question in enumerate(questions()[: asked + WARM]):
            began = time.perf_counter()
            message = Inbound("web", uuid.uuid4().hex, f"student-{number}", Kind.TEXT, question)
            await worker.drain((await store.accept(message)).conversation_id)
            total = (time.perf_counter() - began) * 1000.0
            if number >= WARM and tutor.last is not None and tutor.last.sources:
                rows.append(_stages(tutor.last, total, model.seconds * 1000.0))
    return rows


def _stages(answer: Answer, total: float, writing: float) -> dict[str, float]:
    spent = dict(answer.timings)
    row = {name: spent.get(name, 0.0) for name in ("screen", "retrieve", "quote")}
    row["check"] = max(0.0, spent.get("write", 0.0) - writing)
    row["store"] = total - spent["total"]
    return row | {"model": writing}


def figures(rows: Sequence[dict[str, float]], passages: int) -> list[Figure]:
    def row(name: str, values: list[float], goal: str = "") -> Figure:
        return Figure(name, f"{statistics.median(values):.1f} / {quantile(values, 0.95):.1f} ms", goal)

    around = [sum(one[stage] for stage in STAGES) for one in rows]
    return [
        *(row(NAMES[stage], [one[stage] for one in rows]) for stage in STAGES),
        row(f"the service around the model, {passages:,} passages, p50 / p95", around, "under 40 ms at the median"),
        row(f"the model itself ({len(rows)} answers from the book)", [one["model"] for one in rows]),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--asked", type=int, default=60, help="questions of the test split")
    parser.add_argument("--passages", type=int, default=10_000)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="sahpathi-") as home:
        rows = asyncio.run(measured(options.asked, options.passages, Path(home)))
    tell(figures(rows, options.passages), as_json=options.json)


if __name__ == "__main__":
    main()
