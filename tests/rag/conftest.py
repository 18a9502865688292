"""The real embedding model and a real index of some shipped chapters, made once a session."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from rag.chunk import chunk
from rag.embed import Embedder
from rag.index import Index
from rag.ingest import Textbook, read_library
from rag.passage import Passage

SHIPPED = Path(__file__).resolve().parents[2] / "data" / "textbooks"
INDEXED = (
    "class-6/science/01-water-cycle.md",
    "class-7/science/01-photosynthesis.md",
    "class-8/history/01-freedom-movement.md",
    "class-8/mathematics/01-linear-equations.md",
    "class-8/science/03-sound.md",
)


@pytest.fixture(scope="session")
def shipped() -> list[Textbook]:
    """Every chapter that comes with the product."""
    books, errors = read_library(SHIPPED)
    assert errors == []
    return books


@pytest.fixture(scope="session")
def indexed_files() -> list[Path]:
    """The chapters that `index` holds."""
    return [SHIPPED / name for name in INDEXED]


@pytest.fixture(scope="session")
def passages(indexed_files: list[Path]) -> list[Passage]:
    """The passages that `index` holds."""
    books, errors = read_library(*indexed_files)
    assert errors == []
    return [passage for book in books for passage in chunk(book)]


@pytest.fixture(scope="session")
def embedder() -> Embedder:
    made = Embedder(threads=1)
    made.embed(["warm"])
    return made


@pytest.fixture(scope="session")
def index(passages: list[Passage], embedder: Embedder, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Index]:
    """An embedded index that tests only read."""
    made = Index.embedded(tmp_path_factory.mktemp("index"))
    made.build(passages, embedder)
    yield made
    made.close()


MakePassage = Callable[..., Passage]


@pytest.fixture
def make_passage() -> MakePassage:
    """Makes a passage of a book that nobody wrote."""

    def make(text: str, *, page: int = 1, class_level: int = 7, subject: str = "science") -> Passage:
        return Passage(
            id=f"{class_level}-{subject}-1-p{page}-{zlib.crc32(text.encode()):x}",
            text=text,
            book=f"{subject.title()}, Class {class_level}",
            chapter="A Chapter",
            page=page,
            class_level=class_level,
            subject=subject,
            language="en",
            score=0.8,
        )

    return make
