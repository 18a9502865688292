"""Vectors computed ahead: the same as the model's, found by the text alone, and there for what is shipped."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from rag.chunk import chunk
from rag.embed import PACKAGED, Embedder, Vectors
from rag.errors import EmbeddingUnavailable
from rag.index import texts_of
from rag.ingest import Textbook
from rag.prepared import Prepared

DATA = Path(__file__).resolve().parents[2] / "data"
SHIPPED = DATA / "retrieval" / "vectors.safetensors"
TEXTS = ["Ice melts at 0 °C.", "A heron is a tall bird that eats fish.", "Ice melts at 0 °C."]


@pytest.fixture
def file(tmp_path: Path, embedder: Embedder) -> Path:
    Prepared.of(TEXTS, embedder.embed(TEXTS)).save(tmp_path / "vectors.safetensors", PACKAGED)
    return tmp_path / "vectors.safetensors"


def test_what_was_computed_ahead_is_what_the_model_gives(file: Path, embedder: Embedder) -> None:
    prepared = Prepared.load(file, PACKAGED)
    assert prepared is not None
    assert len(prepared) == 2  # a text that comes twice is kept once
    held, vectors = prepared.find(["A kite.", *TEXTS])
    assert held.tolist() == [False, True, True, True]
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1.0, atol=1e-5)
    assert ((vectors * embedder.embed(TEXTS)).sum(axis=1) > 0.9999).all()


def test_only_what_is_not_held_is_read_by_the_model(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    embedder = Embedder(threads=1, prepared=file)
    read: list[str] = []
    real = embedder._read

    def count(legible: Sequence[str]) -> Vectors:
        read.extend(legible)
        return real(legible)

    monkeypatch.setattr(embedder, "_read", count)
    asked = [*TEXTS, "A kite flies in the wind."]
    vectors = embedder.embed(asked)
    assert read == ["A kite flies in the wind."]
    assert ((vectors * Embedder(threads=1).embed(asked)).sum(axis=1) > 0.9999).all()
    assert embedder.embed([]).shape == (0, embedder.dimension)
    assert embedder.embed(TEXTS).shape == (3, embedder.dimension)


def test_vectors_of_another_model_are_not_used(file: Path) -> None:
    assert Prepared.load(file, "/models/multilingual") is None


@pytest.mark.parametrize("content", [None, b"no tensors"])
def test_a_missing_or_broken_file_is_an_error_that_names_it(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "vectors.safetensors"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(EmbeddingUnavailable, match=r"vectors\.safetensors"):
        Embedder(threads=1, prepared=path).embed(["Ice."])


def test_the_shipped_file_holds_nearly_all_of_the_shipped_books_and_what_the_model_gives(
    shipped: list[Textbook],
) -> None:
    """`sahpathi textbooks prepare` after changing chapters or the glossary: a first start waits for what is missing."""
    embedder = Embedder(threads=1, glossary=DATA / "glossary")
    texts = texts_of([passage for book in shipped for passage in chunk(book)])
    prepared = Prepared.load(SHIPPED, PACKAGED)
    assert prepared is not None
    held, vectors = prepared.find([embedder.legible(text) for text in texts])
    assert held.mean() > 0.95
    places = np.flatnonzero(held)[:: held.sum() // 24]
    row = np.cumsum(held) - 1
    fresh = embedder.embed([texts[place] for place in places])
    assert ((vectors[row[places]] * fresh).sum(axis=1) > 0.999).all()
