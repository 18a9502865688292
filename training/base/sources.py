"""Where the plain text of a pretraining run comes from: the textbooks, and each file of a corpus."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from inference.files import sha256_of
from training.base.corpus import chapters, documents, prose_files


@dataclass(frozen=True, slots=True)
class Source:
    """Where text comes from. `texts` yields each document, and how many of the source's `size` bytes were read then."""

    name: str
    sha256: str
    size: int
    texts: Callable[[], Iterator[tuple[str, int]]]


def sources(textbooks: Path, corpus: Path | None) -> list[Source]:
    """The textbooks as one source, and each file of prose as one. Raises CorpusError."""
    books = [chapter.text for chapter in chapters(textbooks)]
    size = sum(len(book.encode()) for book in books)
    found = [Source("textbooks", digest(books), size, lambda: ((text, size) for text in books))]
    files = prose_files(corpus) if corpus else []
    return found + [
        Source(file.name, sha256_of([file]), file.stat().st_size, partial(documents, file)) for file in files
    ]


def parts(source: Source, size: int) -> Iterator[tuple[list[str], int, bool]]:
    """The source in pieces of about `size` characters: texts, the byte they end at, and whether it is the last."""
    texts, length, position = list[str](), 0, 0
    for text, after in source.texts():
        if length >= size:
            yield texts, position, False
            texts, length = [], 0
        texts.append(text)
        length += len(text)
        position = after
    yield texts, source.size, True


def digest(value: Any) -> str:
    """The sha256 of a value, whatever the order of its keys."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()
