"""The second half of `make bench`: one question in small and large libraries, and how fast books are taken in.

    python -m tests.bench.retrieval [queries] [vectors] [backends] [book] [--sizes 1000,10000]
                                    [--vectors 100000,1000000] [--json]

Prints a Markdown table. Nothing here is asserted: a noisy machine must not fail a test run.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from rag.chunk import chunk
from rag.embed import PACKAGED, Embedder, Vectors
from rag.glossary import Glossary
from rag.index import Index
from rag.ingest import read_library
from rag.library import Library
from rag.passage import Passage
from rag.retrieve import Retriever, Scope
from rag.sentences import split
from rag.shelf import Added, Facts, Shelf
from tests.bench.figures import Figure, quantile, tell

DATA = Path(__file__).parents[2] / "data"
ASKED = 120  # questions a row
PAGES, WORDS_A_PAGE = 500, 350
ANYONE = Scope()
SCOPED = Scope(class_level=8, subject="science")

Say = Callable[[str], None]


class Drawn(Embedder):
    """The real model for questions, and vectors drawn at random for what is indexed, which nobody has to wait for.

    With `once`, a text that is indexed has its real vector the first time it comes.
    """

    def __init__(self, name: str = PACKAGED, *, once: bool = False) -> None:
        super().__init__(name, threads=2)
        self.draws = np.random.default_rng(7)
        self.drawing = False
        self._once = once
        self._met: set[str] = set()

    def embed(self, texts: Sequence[str]) -> Vectors:
        if not self.drawing:
            return super().embed(texts)
        drawn = self.draws.standard_normal((len(texts), self.dimension), dtype=np.float32)
        vectors = np.asarray(drawn / np.linalg.norm(drawn, axis=1, keepdims=True), dtype=np.float32)
        fresh = [place for place, text in enumerate(texts) if text not in self._met] if self._once else []
        if fresh:
            vectors[fresh] = super().embed([texts[place] for place in fresh])
            self._met.update(texts)
        return vectors


def shipped() -> list[Passage]:
    """The passages of the shipped library."""
    books, _ = read_library(DATA / "textbooks")
    return [passage for book in books for passage in chunk(book)]


def questions() -> list[str]:
    """Questions of the test split in all ways of asking."""
    rows = [json.loads(line) for path in sorted((DATA / "qa").glob("*.jsonl")) for line in path.open(encoding="utf-8")]
    asked = [row["messages"][0]["content"] for row in rows if row["split"] == "test"]
    return asked[:: max(1, len(asked) // ASKED)][:ASKED]


def many(count: int) -> list[Passage]:
    """The shipped passages, again and again as other books, until there are `count`."""
    base = shipped()
    return [
        Passage(
            f"{copy}-{passage.id}", passage.text, f"{passage.book} ({copy})" if copy else passage.book, passage.chapter,
            passage.page, passage.class_level, passage.subject, passage.language, heading=passage.heading,
            position=passage.position,
        )
        for copy in range(-(-count // len(base)))
        for passage in base
    ][:count]  # fmt: skip


def spread(times: Sequence[float]) -> str:
    return f"{statistics.median(times) * 1000:.1f} / {quantile(list(times), 0.95) * 1000:.1f} ms"


def queries(sizes: Sequence[int], say: Say) -> Iterator[Figure]:
    """One question, from its text to the passages, embedding included, in libraries of several sizes."""
    glossary = Glossary.load(DATA / "glossary")
    for size in sizes:
        say(f"building an index of {size:,} passages ...")
        with tempfile.TemporaryDirectory() as folder:
            embedder = Drawn()
            embedder.embed(["warm"])
            index = Index.embedded(Path(folder))
            embedder.drawing = True
            index.build(many(size), embedder)
            embedder.drawing = False
            retriever = Retriever(index, embedder, glossary)
            retriever.refresh()
            for name, scope in (("", ANYONE), (", class and subject set", SCOPED)):
                times = []
                for question in questions():
                    began = time.perf_counter()
                    read = retriever.read(question)
                    retriever.ranked(read, embedder.embed([read.english])[0], scope=scope)
                    times.append(time.perf_counter() - began)
                yield Figure(f"one question, {size:,} passages{name}, p50 / p95", spread(times[5:]), "")
            index.close()


def vectors(sizes: Sequence[int], say: Say) -> Iterator[Figure]:
    """The nearest neighbours of a drawn vector among many, by Chroma alone, without and with its own filter."""
    embedder = Drawn()
    dimension = embedder.dimension
    embedder.drawing = True
    for size in sizes:
        say(f"adding {size:,} vectors ...")
        with tempfile.TemporaryDirectory() as folder:
            index = Index.embedded(Path(folder))
            began = time.perf_counter()
            # Two records each, the passage's and a sentence's; a thousand at a step, since nothing is embedded.
            index.build([_bare(number) for number in range(size // 2)], embedder, batch=1_000)
            yield Figure(f"adding {size:,} vectors", f"{time.perf_counter() - began:.0f} s", "")
            asked = np.random.default_rng(1).standard_normal((40, dimension), dtype=np.float32)
            asked /= np.linalg.norm(asked, axis=1, keepdims=True)
            for name, where in (("no filter", None), ("one class of five", {"class_level": 8})):
                times = []
                for vector in asked:
                    began = time.perf_counter()
                    index.query(vector, 30, where)
                    times.append(time.perf_counter() - began)
                yield Figure(f"nearest 30 among {size:,} vectors, {name}, p50 / p95", spread(times[3:]), "")
            index.close()


def _bare(number: int) -> Passage:
    return Passage(f"p{number}", "A sentence.", "Book", "Chapter", 1 + number % 300, 6 + number % 5, "science", "en")


def backends(say: Say) -> Iterator[Figure]:
    """Texts a second of the embedding model: as it is used, in float32, and through ONNX Runtime and OpenVINO."""
    texts = [text for passage in shipped()[:120] for text in (passage.text, *split(passage.text))]
    used = Embedder(threads=2)
    plain = Plain(threads=2)
    reference = plain.embed(texts[:64])
    rows: list[tuple[str, Callable[[Sequence[str]], Vectors]]] = [
        ("as used here (bfloat16 where the processor has it)", used.embed),
        ("plain, float32", plain.embed),
    ]
    try:
        from tests.bench.backends import onnx_runtime, openvino
    except ModuleNotFoundError as error:
        say(f"without ONNX and OpenVINO: {error.name} is not installed (pip install 'sahpathi[bench]')")
    else:
        with tempfile.TemporaryDirectory() as folder:
            rows += [*onnx_runtime(plain, Path(folder)), *openvino(plain, Path(folder))]
            yield from _rates(rows, texts, reference, say)
            return
    yield from _rates(rows, texts, reference, say)


class Plain(Embedder):
    """The model in float32, whatever the processor can do."""

    def _load(self) -> Any:
        return super()._load().float()


def _rates(
    rows: Sequence[tuple[str, Callable[[Sequence[str]], Vectors]]], texts: Sequence[str], reference: Vectors, say: Say
) -> Iterator[Figure]:
    best: dict[str, float] = {}
    alike: dict[str, float] = {}
    for _ in range(3):  # in turns, so that a busy moment hits all of them
        for name, embed in rows:
            say(f"embedding: {name} ...")
            alike[name] = float((embed(texts[:64]) * reference).sum(axis=1).min())
            began = time.perf_counter()
            embed(texts)
            best[name] = max(best.get(name, 0.0), len(texts) / (time.perf_counter() - began))
    for name, rate in best.items():
        yield Figure(f"embedding, {name}", f"{rate:.0f} texts/s, least cosine {alike[name]:.4f}", "")


def book(say: Say) -> Iterator[Figure]:
    """A PDF of PAGES pages: read, cut, embedded and indexed."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "book.pdf"
        _typeset(path)
        say(f"reading {PAGES} pages ...")
        began = time.perf_counter()
        (added,) = Shelf(Path(folder) / "shelf").add([path], Facts(9, "science"))
        if not isinstance(added, Added):
            raise SystemExit(added.why)
        read = time.perf_counter() - began
        say("indexing them ...")

        async def index() -> int:
            library = await Library.open(Path(folder) / "index", threads=2)
            report = await library.index([Path(folder) / "shelf"])
            await library.close()
            return report.passages

        passages = asyncio.run(index())
        whole = time.perf_counter() - began
        name = f"a PDF of {PAGES} pages, {WORDS_A_PAGE} words each ({passages:,} passages): read / read and indexed"
        yield Figure(name, f"{read:.0f} / {whole:.0f} s", "under 180 s")


def _typeset(path: Path) -> None:
    """Pages of shipped prose, the sentences in another order on each."""
    from reportlab.lib.pagesizes import A4
    from reportlab.lib.utils import simpleSplit
    from reportlab.pdfgen.canvas import Canvas

    sentences = [s for p in shipped() if p.language == "en" for s in split(p.text) if s.isascii()]
    draws = np.random.default_rng(3)
    canvas = Canvas(str(path), pagesize=A4)
    for number in range(1, PAGES + 1):
        words: list[str] = []
        while len(words) < WORDS_A_PAGE:
            words += sentences[int(draws.integers(len(sentences)))].split()
        canvas.setFont("Helvetica", 11)
        for line, text in enumerate(simpleSplit(" ".join(words), "Helvetica", 11, 460)):
            canvas.drawString(60, 760 - 15 * line, text)
        canvas.drawCentredString(297, 40, str(number))
        canvas.showPage()
    canvas.save()


def main() -> None:
    """Measure what the command line names, or all of it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", choices=["queries", "vectors", "backends", "book", []], default=[])
    parser.add_argument("--sizes", default="1000,10000")
    parser.add_argument("--vectors", default="100000,1000000")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

    def say(line: str) -> None:
        print(line, file=sys.stderr, flush=True)

    parts: dict[str, Callable[[], Iterator[Figure]]] = {
        "queries": lambda: queries([int(size) for size in given.sizes.split(",")], say),
        "vectors": lambda: vectors([int(size) for size in given.vectors.split(",")], say),
        "backends": lambda: backends(say),
        "book": lambda: book(say),
    }
    figures: list[Figure] = []
    for name in given.parts or parts:
        for figure in parts[name]():
            figures.append(figure)
            say(f"{figure.name}: {figure.value}")
    tell(figures, as_json=given.json)


if __name__ == "__main__":
    main()
