"""The school's own books: files of any format, kept as one Markdown chapter a file in the form of the shipped books.

So there is one form that is indexed, a teacher can open a chapter and mend what OCR got wrong, and a file is read once:
its hash stands in the chapter's front matter.
"""

from __future__ import annotations

import contextlib
import hashlib
import math
import re
import stat
import tempfile
import unicodedata
import zipfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePath, PurePosixPath

import yaml

from rag.errors import TextbookError
from rag.formats import archive
from rag.formats.archive import natural
from rag.formats.characters import language, mended
from rag.formats.document import LIMITS, Document, DraftChapter, DraftPage, Limits, Unreadable
from rag.formats.epub import CONTAINER as EPUB_CONTAINER
from rag.formats.read import SUFFIXES, read
from rag.ingest import Textbook, read_textbook

READER = 1  # raise it when the readers change so much that files should be read again
SLUG = 48  # characters
LONGEST_TITLE = 200  # characters

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True, slots=True)
class Facts:
    """What the person who adds a file says of it; None where the file's own word, or a guess, will do."""

    class_level: int | None = None
    subject: str | None = None
    language: str | None = None
    board: str | None = None
    title: str | None = None


@dataclass(frozen=True, slots=True)
class Added:
    """One file that was added, or was there already (`known`). `pages` counts pages with text."""

    file: str
    book: str
    chapters: tuple[str, ...]
    pages: int
    notes: tuple[str, ...] = ()
    known: bool = False


@dataclass(frozen=True, slots=True)
class Refused:
    """One file that could not be used, and why: a sentence that begins with its name."""

    file: str
    why: str


@dataclass(frozen=True, slots=True)
class _File:
    """A file to add: what the person knows it by, what its book knows it by, and the book where it names none."""

    path: Path
    name: str
    source: str
    book: str | None = None


class Shelf:
    """Books in a folder, a folder for each."""

    def __init__(self, folder: Path, limits: Limits = LIMITS) -> None:
        self.folder = folder
        self._limits = limits
        self._held: dict[Path, tuple[tuple[int, int, int], Textbook]] = {}

    def add(
        self, paths: Sequence[Path], facts: Facts, progress: Progress = lambda name, done, total: None
    ) -> Iterator[Added | Refused]:
        """Add files, folders of files and ZIPs of files, one result a file, as each is done.

        The files of one folder or ZIP are the chapters of one book when `facts.title` is given or they name none.
        A file that was added before is not read again; one of the same name in the same book is replaced.
        """
        for path in paths:
            if path.is_dir():
                inside = [held for held in path.rglob("*") if held.is_file() and _is_wanted(held.relative_to(path))]
                if not inside:
                    yield Refused(str(path), "holds no file of a format that is read")
                book = _readable(path.resolve().name) if len(inside) > 1 else None
                for held in sorted(inside, key=lambda held: natural(str(held))):
                    file = _File(held, str(held), held.relative_to(path).as_posix(), book)
                    yield from self._add(file, facts, progress)
            else:
                yield from self._add(_File(path, str(path), path.name), facts, progress)

    def find(self, book: str, chapter: int | None = None) -> list[tuple[Path, Textbook]]:
        """The chapters of a book, or one of them; `book` is its title or the name of its folder."""
        return [
            (path, held)
            for path, held in self.chapters()
            if book.strip().casefold() in (held.title.casefold(), path.parent.name) and chapter in (None, held.chapter)
        ]

    def remove(self, chapters: Sequence[Path]) -> None:
        """Take chapters, as `find` gives them, from the shelf."""
        for path in chapters:
            path.unlink()
        for folder in {path.parent for path in chapters}:
            if not any(folder.iterdir()):
                folder.rmdir()

    def chapters(self) -> list[tuple[Path, Textbook]]:
        """What is on the shelf and can be read."""
        found = []
        for path in sorted(self.folder.rglob("*.md")):
            if any(part.startswith(".") for part in path.relative_to(self.folder).parts):
                continue
            with contextlib.suppress(TextbookError):
                found.append((path, self._textbook(path)))
        return found

    def _textbook(self, path: Path) -> Textbook:
        """A chapter, read anew only when its file has changed: each file that is added looks through all."""
        about = path.stat()
        stamp = (about.st_ino, about.st_mtime_ns, about.st_size)
        held = self._held.get(path)
        if held is None or held[0] != stamp:
            held = self._held[path] = (stamp, read_textbook(path))
        return held[1]

    def _add(self, file: _File, facts: Facts, progress: Progress) -> Iterator[Added | Refused]:
        try:
            _must_be_a_file(file.path)
            if file.path.suffix.lower() == ".zip":
                yield from self._add_archive(file, facts, progress)
            else:
                yield self._add_file(file, facts, progress)
        except Unreadable as error:
            yield Refused(file.name, str(error))
        except TextbookError as error:
            yield Refused(file.name, f"{f'line {error.line}: ' if error.line else ''}{error.why}")
        except OSError as error:
            yield Refused(file.name, f"cannot be opened: {error.strerror or error}")

    def _add_archive(self, file: _File, facts: Facts, progress: Progress) -> Iterator[Added | Refused]:
        """Every file of a ZIP, unpacked under a name of our own."""
        if not zipfile.is_zipfile(file.path):
            raise Unreadable("is named like a ZIP file but is none, or was cut short; fetch it again")
        with (
            archive.opened(file.path, self._limits) as packed,
            tempfile.TemporaryDirectory(prefix="sahpathi-") as folder,
        ):
            if EPUB_CONTAINER in packed.namelist():
                raise Unreadable("is named like a ZIP file but is an EPUB; give it its right name")
            wanted = [entry for entry in archive.files(packed) if _is_wanted(PurePosixPath(entry.filename))]
            if not wanted:
                raise Unreadable("holds no file of a format that is read")
            book = file.book or (_readable(file.path.stem) if len(wanted) > 1 else None)
            for number, entry in enumerate(wanted):
                name = f"{file.name}: {entry.filename}"
                held = Path(folder) / f"{number}{PurePosixPath(entry.filename).suffix.lower()}"
                try:
                    self._unpack(packed, entry, held)
                except Unreadable as error:
                    yield Refused(name, str(error))
                    continue
                yield from self._add(_File(held, name, entry.filename, book), facts, progress)
                held.unlink()

    def _unpack(self, packed: zipfile.ZipFile, entry: zipfile.ZipInfo, held: Path) -> None:
        if held.suffix == ".zip":
            raise Unreadable("is a ZIP file within a ZIP file; unpack it and add what it holds")
        held.write_bytes(archive.content(packed, entry, self._limits))

    def _add_file(self, file: _File, facts: Facts, progress: Progress) -> Added:
        sha = _sha256(file.path)
        declared = _declared(file.path)
        facts = _filled(facts, declared)
        if facts.class_level is None or facts.subject is None:
            raise Unreadable("does not say its class and subject; give them: --class 7 --subject science")
        wanted = replace(facts, title=_on_one_line(facts.title or file.book or "") or None)
        known = [
            held for _, held in self.chapters()
            if held.source_sha256 == sha and held.reader == READER and _agrees(held, wanted)
        ]  # fmt: skip
        if known:
            titles = tuple(held.chapter_title for held in known)
            return Added(file.name, known[0].title, titles, sum(len(held.pages) for held in known), known=True)
        if declared is not None:
            document = _as_document(declared)
        else:
            document = read(file.path, self._limits, lambda done, total: progress(file.name, done, total))
        stem = _readable(PurePosixPath(file.source).stem)
        book = wanted.title or _on_one_line(document.title) or stem
        told = replace(facts, title=book)
        chapters = self._write(_on_one_line(file.source), sha, told, document, stem)
        pages = sum(len(chapter.pages) for chapter in chapters)
        return Added(file.name, book, tuple(chapter.title for chapter in chapters), pages, document.notes)

    def _write(self, source: str, sha: str, facts: Facts, document: Document, untitled: str) -> list[DraftChapter]:
        """Put a file's chapters on the shelf, in place of those it had: whole, or not at all. Gives them numbered."""
        folder = self.folder / f"class-{facts.class_level}" / str(facts.subject) / _slug(facts.title or "")
        book = [(path, held) for path, held in self.chapters() if held.title == facts.title]
        old = {
            path: held.chapter for path, held in book
            if path.parent == folder and (held.source == source or held.source_sha256 == sha)
        }  # fmt: skip
        taken = {held.chapter for path, held in book if path not in old}
        chapters = _numbered(document.chapters, taken, sorted(old.values()), untitled)
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".adding-", dir=folder) as made:
            fresh = []
            for chapter in chapters:
                file = Path(made) / f"{chapter.number:03}-{_slug(chapter.title)}.md"
                file.write_text(_markdown(chapter, facts, source, sha), encoding="utf-8")
                read_textbook(file)  # raises TextbookError for what the index could not read later
                fresh.append(file)
            for file in fresh:
                file.replace(folder / file.name)
        for path in old.keys() - {folder / file.name for file in fresh}:
            path.unlink()
        return chapters


def _numbered(
    chapters: Sequence[DraftChapter], taken: set[int], before: Sequence[int], untitled: str
) -> list[DraftChapter]:
    """The chapters with their numbers: the file's own where they are free, else what it had `before`, else the next."""
    used = set(taken)
    found = []
    for chapter in chapters:
        number = chapter.number
        if number is None or number in used or not 1 <= number <= 999:
            number = next((old for old in before if old not in used), max(used, default=0) + 1)
        used.add(number)
        found.append(DraftChapter(_on_one_line(chapter.title) or untitled, chapter.pages, number))
    return found


def _markdown(chapter: DraftChapter, facts: Facts, source: str, sha: str) -> str:
    front = {
        "title": facts.title, "chapter": chapter.number, "chapter_title": chapter.title, "class": facts.class_level,
        "subject": facts.subject, "language": facts.language or _language(chapter), "board": facts.board or "national",
        "licence": "as the school holds it", "source": source, "source_sha256": sha, "reader": READER,
    }  # fmt: skip
    pages = []
    before = -1
    for page in chapter.pages:
        if page.number > before:
            pages.append(f"<!-- page: {page.number} -->\n{page.text}\n")
            before = page.number
        else:
            pages.append(f"{page.text}\n")
    head = yaml.safe_dump(front, allow_unicode=True, sort_keys=False, width=math.inf)  # a folded value could be ---
    return f"---\n{head}---\n" + "\n".join(pages)


def _must_be_a_file(path: Path) -> None:
    if not stat.S_ISREG(path.stat().st_mode):
        raise Unreadable("is neither a file nor a folder")


def _declared(path: Path) -> Textbook | None:
    """A Markdown file with front matter, which says all of itself; None for any other. Raises TextbookError."""
    if path.suffix.lower() != ".md":
        return None
    with path.open("rb") as file:
        opening = file.read(8)
    return read_textbook(path) if opening.removeprefix(b"\xef\xbb\xbf").startswith(b"---") else None


def _as_document(book: Textbook) -> Document:
    pages = tuple(DraftPage(page.number, page.text) for page in book.pages)
    return Document(book.title, (DraftChapter(book.chapter_title, pages, book.chapter),))


def _filled(facts: Facts, declared: Textbook | None) -> Facts:
    """The person's word first, then the file's."""
    if declared is None:
        return facts
    return Facts(
        class_level=facts.class_level or declared.class_level,
        subject=facts.subject or declared.subject,
        language=facts.language or declared.language,
        board=facts.board or declared.board,
        title=facts.title or declared.title,
    )


def _agrees(held: Textbook, facts: Facts) -> bool:
    wanted = (facts.class_level, facts.subject, facts.language, facts.board, facts.title)
    has = (held.class_level, held.subject, held.language, held.board, held.title)
    return all(want is None or want == have for want, have in zip(wanted, has, strict=True))


def _is_wanted(path: PurePath) -> bool:
    """Whether a file in a folder or ZIP, by its path there, is meant to be read."""
    hidden = any(part.startswith(".") for part in path.parts)
    return not hidden and path.suffix.lower() in (*SUFFIXES, ".zip") and path.name.lower() != "readme.md"


def _language(chapter: DraftChapter) -> str:
    return language(" ".join(page.text for page in chapter.pages))


def _readable(stem: str) -> str:
    """A file's name as a title."""
    return _on_one_line(re.sub(r"[_\-.]+", " ", stem)) or "Untitled"


def _on_one_line(text: str) -> str:
    """A title, whatever a file put into it."""
    return " ".join(mended(text).split())[:LONGEST_TITLE].strip()


def _slug(text: str) -> str:
    """A name for a file: letters of any script, digits and hyphens; never a path."""
    kept = "".join(c if c.isalnum() or unicodedata.category(c).startswith("M") else "-" for c in text.casefold())
    whole = re.sub(r"-+", "-", kept).strip("-")
    short = whole[:SLUG].strip("-")
    if short and short == whole:
        return short
    return "-".join(filter(None, (short, hashlib.sha256(text.encode()).hexdigest()[:8])))


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
