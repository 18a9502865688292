"""One file of any format into a Document: what it is by its content, then its reader, in a process of its own.

PDFs and pictures are read by large libraries in C++. A file that crashes or hangs one of them, or eats all memory, must
cost that file only: so the reading is done by a child with bounded memory, and ended when it falls silent.
"""

from __future__ import annotations

import multiprocessing
import os
import resource
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path

from rag.formats.document import LIMITS, Document, Limits, Unreadable

SILENCE = 300.0  # seconds without a sign of life; one page by OCR takes a few
MEMORY = 6 * 2**30  # bytes of address space, most of it libraries
SUFFIXES = (".pdf", ".epub", ".docx", ".html", ".htm", ".xhtml", ".md", ".txt")
ZIP = b"PK\x03\x04"
OLE = b"\xd0\xcf\x11\xe0"  # the old Word format, and every encrypted Office file
NAMES = {".pdf": "a PDF", ".epub": "an EPUB", ".docx": "a Word document", ".zip": "a ZIP file"}

Progress = Callable[[int, int], None]


def read(path: Path, limits: Limits = LIMITS, progress: Progress = lambda done, total: None) -> Document:
    """Read one file (not a ZIP of files). `progress(done, total)` counts pages. Raises Unreadable."""
    _examine(path, limits)
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    child = context.Process(target=_child, args=(path, limits, theirs), daemon=True)
    child.start()
    theirs.close()
    try:
        return _listen(ours, progress)
    finally:
        ours.close()
        child.kill()
        child.join()


def _listen(ours: Connection, progress: Progress) -> Document:
    while True:
        try:
            if not ours.poll(SILENCE):
                raise Unreadable("took too long to read and was given up; it may be damaged on purpose")
            what, value = ours.recv()
        except (EOFError, OSError):
            raise Unreadable("crashed its reader and was given up; it may be damaged on purpose") from None
        if what == "page":
            progress(*value)
        elif what == "unreadable":
            raise Unreadable(value)
        else:
            found: Document = value
            return found


def _child(path: Path, limits: Limits, pipe: Connection) -> None:
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    os.environ.setdefault("OMP_THREAD_LIMIT", "1")  # Tesseract's four threads wait for each other: 2.5 times as slow
    try:
        found = read_here(path, limits, lambda done, total: pipe.send(("page", (done, total))))
    except Unreadable as error:
        pipe.send(("unreadable", str(error)))
    except MemoryError:
        pipe.send(("unreadable", "needs more memory than a textbook may; split it into parts"))
    except Exception as error:  # noqa: BLE001  whatever a hostile file makes a library raise costs that file only
        pipe.send(("unreadable", f"cannot be read ({type(error).__name__}); it is probably damaged"))
    else:
        pipe.send(("document", found))


def read_here(path: Path, limits: Limits, progress: Progress = lambda done, total: None) -> Document:
    """`read` without a process of its own."""
    suffix = path.suffix.lower()
    if suffix == ".pdf":
        from rag.formats import pdf

        return pdf.read(path, limits, progress)
    if suffix == ".epub":
        from rag.formats import epub

        found = epub.read(path, limits)
    elif suffix == ".docx":
        from rag.formats import docx

        found = docx.read(path, limits)
    elif suffix in (".html", ".htm", ".xhtml"):
        from rag.formats import html

        found = html.read(path, limits)
    else:
        from rag.formats import text

        found = text.read(path, limits)
    progress(1, 1)
    return _checked(found)


def _examine(path: Path, limits: Limits) -> None:
    """Whether a file is what its name says. Raises Unreadable."""
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        raise Unreadable(f"is of a format that is not read; use one of {', '.join(s[1:] for s in SUFFIXES)} or zip")
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            start = file.read(1024)
    except OSError as error:
        raise Unreadable(f"cannot be opened: {error.strerror}") from error
    if size == 0:
        raise Unreadable("is empty")
    if size > limits.file_bytes:
        raise Unreadable(f"is larger than {limits.file_bytes // 10**6} MB; split it into volumes")
    actual = _sniffed(path, start)
    if start.startswith(OLE):
        raise Unreadable("is locked with a password or in the old .doc format; save it as .docx without a password")
    if actual != suffix and (actual or suffix in NAMES):
        expected, found = NAMES.get(suffix, "text"), NAMES.get(actual, "something else")
        raise Unreadable(f"is named like {expected} but is {found}; give it its right name or fetch it again")


def _sniffed(path: Path, start: bytes) -> str:
    """The suffix that a file's content asks for; "" for text and for what is not known."""
    if b"%PDF-" in start:
        return ".pdf"
    if not start.startswith(ZIP):
        return ""
    if b"application/epub+zip" in start:
        return ".epub"
    suffix = path.suffix.lower()
    if suffix not in (".docx", ".epub"):
        return ".zip"
    # A ZIP whose table of contents is lost (cut short) keeps its name: its reader says what is wrong.
    import zipfile

    try:
        with zipfile.ZipFile(path) as packed:
            names = set(packed.namelist())
    except (zipfile.BadZipFile, OSError):
        return suffix
    if "word/document.xml" in names:
        return ".docx"
    return ".epub" if "META-INF/container.xml" in names else ".zip"


def _checked(document: Document) -> Document:
    """Raises Unreadable for text in an old Hindi font, which only a PDF lets us see as a picture."""
    from rag.formats.characters import Kind, kind

    for page in (page for chapter in document.chapters for page in chapter.pages):
        if kind(page.text) in (Kind.LEGACY, Kind.BROKEN):
            raise Unreadable(
                "is set in an old Hindi font (such as Kruti Dev) and not in Unicode; print it to a PDF and add that, "
                "which is read by OCR, or convert it to Unicode first"
            )
    return document
