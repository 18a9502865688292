"""Textbooks as they are indexed: one Markdown file a chapter, with YAML front matter between two lines `---`, then text
whose pages begin with a line `<!-- page: 12 -->`; page 0 says that the book has no page numbers.

Files of other formats are put into this form by `rag.shelf`.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path

import yaml

from rag.errors import TextbookError

SUFFIX = ".md"
CODE = re.compile(r"[a-z][a-z0-9]*(?:-[a-z0-9]+)*")  # a subject or a board
LANGUAGE = re.compile(r"[a-z]{2,3}")
PAGE_MARK = re.compile(r"<!--\s*page:\s*(\d{1,5})\s*-->")
ALMOST_PAGE_MARK = re.compile(r"<!--\s*page\b", re.IGNORECASE)
NOT_TEXTBOOKS = frozenset({"readme.md", "card.md"})
KEYS: dict[str, type] = {
    "title": str,
    "chapter": int,
    "chapter_title": str,
    "class": int,
    "subject": str,
    "language": str,
    "board": str,
    "licence": str,
}
OPTIONAL: dict[str, type] = {"source": str, "source_sha256": str, "reader": int}  # of chapters that `rag.shelf` made


@dataclass(frozen=True, slots=True)
class Page:
    """One printed page, or all text of a book without page numbers (`number` 0). `text` is Markdown."""

    number: int
    text: str


@dataclass(frozen=True, slots=True)
class Textbook:
    """One chapter of a book, as one file holds it. `sha256` is of the file's bytes, in hex.

    `source`, `source_sha256` and `reader` tell which file it was made from and by which version of the readers; empty
    for one that was written in this form.
    """

    title: str
    chapter: int
    chapter_title: str
    class_level: int
    subject: str
    language: str
    pages: tuple[Page, ...]
    sha256: str
    board: str = "national"
    source: str = ""
    source_sha256: str = ""
    reader: int = 0


def read_textbook(path: Path) -> Textbook:
    """Read one file. Raises TextbookError."""
    if path.suffix.lower() != SUFFIX:
        raise TextbookError(path, 0, "only Markdown is read here; put other files on the shelf: sahpathi textbooks add")
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise TextbookError(path, 0, f"cannot be read: {error.strerror}") from error
    return _read_markdown(path, raw)


def read_library(*roots: Path) -> tuple[list[Textbook], list[TextbookError]]:
    """Every textbook under `roots` (folders or single files), in the order of their paths, and what could not be read.

    A README.md or CARD.md, and whatever starts with a dot, is no textbook. The same chapter of the same book twice is
    an error of the second file.
    """
    books: list[Textbook] = []
    errors: list[TextbookError] = []
    seen: dict[tuple[str, int, int, str], Path] = {}
    for path in dict.fromkeys(found for root in roots for found in _files(root)):
        try:
            book = read_textbook(path)
        except TextbookError as error:
            errors.append(error)
            continue
        key = (book.title, book.class_level, book.chapter, book.language)
        if key in seen:
            errors.append(TextbookError(path, 0, f"{book.title}, chapter {book.chapter} is already in {seen[key]}"))
        else:
            seen[key] = path
            books.append(book)
    return books, errors


def _files(root: Path) -> list[Path]:
    if not root.is_dir():
        return [root]
    return sorted(
        path
        for path in root.rglob("*")
        if path.suffix.lower() == SUFFIX
        and path.name.lower() not in NOT_TEXTBOOKS
        and not any(part.startswith(".") for part in path.relative_to(root).parts)
        and path.is_file()
    )


def _read_markdown(path: Path, raw: bytes) -> Textbook:
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw[: error.start].count(b"\n") + 1
        raise TextbookError(path, line, "is not UTF-8 text; save the file as UTF-8") from error
    lines = text.replace("\r\n", "\n").split("\n")
    if lines[0].strip() != "---":
        raise TextbookError(path, 1, "must start with front matter: a line ---, then title, chapter and so on")
    end = next((n for n, line in enumerate(lines[1:], start=1) if line.strip() == "---"), None)
    if end is None:
        raise TextbookError(path, 1, "the front matter has no end; close it with a line ---")
    facts = _front_matter(path, "\n".join(lines[1:end]))
    return Textbook(
        title=str(facts["title"]),
        chapter=int(str(facts["chapter"])),
        chapter_title=str(facts["chapter_title"]),
        class_level=int(str(facts["class"])),
        subject=str(facts["subject"]),
        language=str(facts["language"]),
        pages=_pages(path, lines, end + 1),
        sha256=hashlib.sha256(raw).hexdigest(),
        board=str(facts["board"]),
        source=str(facts.get("source", "")),
        source_sha256=str(facts.get("source_sha256", "")),
        reader=int(str(facts.get("reader", 0))),
    )


def _front_matter(path: Path, text: str) -> dict[str, object]:
    """The values of KEYS and OPTIONAL, checked. Line numbers count the opening --- as line 1."""
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
        values = yaml.safe_load(text)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 2 if error.problem_mark else 1
        why = f"the front matter is not valid YAML ({error.problem}); a value with a colon needs quotes around it"
        raise TextbookError(path, line, why) from error
    except yaml.YAMLError as error:
        raise TextbookError(path, 1, "the front matter holds characters that YAML does not allow") from error
    if not isinstance(node, yaml.MappingNode) or not isinstance(values, dict):
        raise TextbookError(path, 1, "the front matter must be lines of the form key: value")
    lines = {str(key.value): key.start_mark.line + 2 for key, _ in node.value}
    for key, kind in KEYS.items():
        if key not in values:
            raise TextbookError(path, 1, f"the front matter lacks {key}; it needs {', '.join(KEYS)}")
        _check_value(path, lines[key], key, kind, values[key])
    for key, kind in OPTIONAL.items():
        if key in values and type(values[key]) is not kind:
            raise TextbookError(path, lines[key], f"{key} is written by `sahpathi textbooks add`; leave it as it was")
    return {key: values[key] for key in (*KEYS, *OPTIONAL) if key in values}


def _check_value(path: Path, line: int, key: str, kind: type, value: object) -> None:
    if kind is int:
        highest = 12 if key == "class" else 999
        if type(value) is not int or not 1 <= value <= highest:
            raise TextbookError(path, line, f"{key} must be a number from 1 to {highest}, without quotes")
    elif not isinstance(value, str) or not value.strip():
        raise TextbookError(path, line, f"{key} must be text; put quotes around it if it looks like something else")
    elif key in ("subject", "board") and not CODE.fullmatch(value):
        example = "science or study-skills" if key == "subject" else "national or tamil-nadu"
        raise TextbookError(path, line, f"{key} must be lower case with hyphens, such as {example}")
    elif key == "language" and not LANGUAGE.fullmatch(value):
        raise TextbookError(path, line, "language must be a code of two or three letters, such as en or hi")


def _pages(path: Path, lines: list[str], start: int) -> tuple[Page, ...]:
    """Cut the body, which begins at `lines[start]`, at its page marks. A page with no text is left out."""
    pages: list[tuple[int, list[str]]] = []
    for number, line in enumerate(lines[start:], start=start + 1):
        mark = PAGE_MARK.fullmatch(line.strip())
        if mark:
            page = int(mark[1])
            if pages and page <= pages[-1][0]:
                raise TextbookError(path, number, f"page {page} comes after page {pages[-1][0]}; pages must go up")
            pages.append((page, []))
        elif ALMOST_PAGE_MARK.search(line):
            raise TextbookError(path, number, "write a page mark on a line of its own, as <!-- page: 12 -->")
        elif pages:
            pages[-1][1].append(line)
        elif line.strip():
            raise TextbookError(path, number, "there is text before the first page mark; put <!-- page: 1 --> above it")
    if not any("".join(body).strip() for _, body in pages):
        raise TextbookError(path, 0, "has no text; put it after a page mark such as <!-- page: 1 -->")
    texts = [(page, "\n".join(body).strip()) for page, body in pages]
    return tuple(Page(page, text) for page, text in texts if text)
