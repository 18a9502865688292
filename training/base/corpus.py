"""The text a base model is pretrained on: our own textbooks and, where one is given, a larger corpus of prose."""

from __future__ import annotations

import json
import lzma
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from rag.chunk import chunk
from rag.ingest import Textbook, read_library
from rag.passage import Passage
from rag.sentences import split
from training.errors import BadLine, CorpusError, DatasetError

_HEADING = re.compile(r"^#{1,6} +(.+)$")
_BULLET = re.compile(r"^(?:[-*] +|\d+\. +)")
_TERM = re.compile(r"^[-*] +\*\*(.+?)\*\*(?: \([^)]*\))?: *(.+)$", re.MULTILINE)
_APPARATUS = frozenset(
    {"key terms", "summary", "exercises", "answers", "मुख्य शब्द", "सारांश", "अभ्यास", "उत्तर"}
)  # sections that are not running text


@dataclass(frozen=True, slots=True)
class Section:
    """A heading and the sentences under it, in order."""

    heading: str
    sentences: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Chapter:
    """One textbook chapter. `text` is the whole of it without markup; `sections` only its running text."""

    book: str
    name: str
    text: str
    sections: tuple[Section, ...]
    terms: tuple[tuple[str, str], ...]  # (term, definition) as listed under "Key terms"
    language: str = "en"


def chapters(textbooks: Path) -> list[Chapter]:
    """Every chapter under `textbooks`, in order of path. Raises CorpusError when there is none, or one is malformed."""
    return [_chapter(book) for book in _books(textbooks)]


def passages(textbooks: Path) -> list[Passage]:
    """The passages of every chapter, as they are indexed for retrieval. Raises CorpusError."""
    return [passage for book in _books(textbooks) for passage in chunk(book)]


def prose(corpus: Path) -> Iterator[str]:
    """The "text" of every line of every file of `prose_files`. Raises CorpusError, DatasetError."""
    for path in prose_files(corpus):
        for text, _ in documents(path):
            yield text


def prose_files(corpus: Path) -> list[Path]:
    """`corpus`/prose/*.jsonl and *.jsonl.xz, in the order of their names. Raises CorpusError when there are none."""
    paths = sorted([*(corpus / "prose").glob("*.jsonl"), *(corpus / "prose").glob("*.jsonl.xz")])
    if not paths:
        raise CorpusError(f"{corpus / 'prose'}: no *.jsonl or *.jsonl.xz there; name the folder that holds prose/")
    return paths


def documents(path: Path) -> Iterator[tuple[str, int]]:
    """The "text" of each line of a file, and how many of the file's bytes were read by then.

    Raises CorpusError when the file is broken, DatasetError when a line is.
    """
    for number, line, read in lines(path):
        yield _text_of(path, number, line), read


def lines(path: Path) -> Iterator[tuple[int, bytes, int]]:
    """The lines of a file, packed with xz or not: the number, the line, and how many of the file's bytes were read.

    Raises CorpusError when the file is broken.
    """
    number = 0
    with path.open("rb") as raw, lzma.open(raw) if path.suffix == ".xz" else raw as unpacked:
        try:
            for number, line in enumerate(unpacked, start=1):
                yield number, line, raw.tell()
        except (lzma.LZMAError, EOFError) as error:
            raise CorpusError(f"{path}: cannot be unpacked after line {number} ({error}); fetch it again") from error


def _books(textbooks: Path) -> list[Textbook]:
    books, errors = read_library(textbooks)
    if errors:
        raise CorpusError("these textbooks cannot be read:\n" + "\n".join(f"  {error}" for error in errors))
    if not books:
        raise CorpusError(f"{textbooks}: no textbook chapters there; name the folder that holds the textbooks")
    return books


def _text_of(path: Path, number: int, line: bytes) -> str:
    try:
        text = json.loads(line)["text"]
    except (ValueError, KeyError, TypeError) as error:
        raise DatasetError([BadLine(path, number, f'no JSON object with a "text" ({error})')]) from error
    if not isinstance(text, str):
        raise DatasetError([BadLine(path, number, '"text" must be a string')])
    return text


def _chapter(book: Textbook) -> Chapter:
    body = "\n".join(page.text for page in book.pages)
    parts = list(_sections(body))
    return Chapter(
        book=book.title,
        name=book.chapter_title,
        text="\n".join(line for heading, lines in parts for line in [heading, *lines]),
        sections=tuple(
            Section(heading, tuple(sentence for line in lines for sentence in split(line)))
            for heading, lines in parts
            if heading.lower() not in _APPARATUS and lines
        ),
        terms=tuple((term, definition) for term, definition in _TERM.findall(body)),
        language=book.language,
    )


def _sections(body: str) -> Iterator[tuple[str, list[str]]]:
    """Headings with the lines under them, markup removed. Tables are left out: their cells are no sentences."""
    heading, lines = "", list[str]()
    for line in body.splitlines():
        if match := _HEADING.match(line):
            if heading or lines:
                yield heading, lines
            heading, lines = match.group(1).strip(), []
        elif line.strip() and not line.startswith("|"):
            lines.append(_BULLET.sub("", line).replace("**", "").strip())
    yield heading, lines
