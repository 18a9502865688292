"""Plain text and Markdown without front matter. A form feed begins a page; so does our own page mark."""

from __future__ import annotations

import contextlib
import re
from pathlib import Path

from rag.formats.document import UNPAGED, Document, DraftPage, Limits, Unreadable
from rag.formats.flow import chapters, tidy

PAGE_MARK = re.compile(r"^<!--\s*page:\s*(\d{1,5})\s*-->\s*$", re.MULTILINE)
BINARY = re.compile(rb"[\x00-\x08\x0e-\x1a]")
MOSTLY = 0.7  # share of a text in the letters of Windows that is ASCII; with less it is another script


def read(path: Path, limits: Limits) -> Document:
    """Raises Unreadable."""
    text = decoded(path.read_bytes())
    if PAGE_MARK.search(text):
        first, *rest = PAGE_MARK.split(text)
        numbered = [(UNPAGED, first), *((int(n), body) for n, body in zip(rest[::2], rest[1::2], strict=True))]
    elif "\f" in text.strip("\f\n "):
        numbered = list(enumerate(text.split("\f"), start=1))
    else:
        numbered = [(UNPAGED, text)]
    pages = tuple(DraftPage(number, tidied) for number, body in numbered if (tidied := tidy(body)))
    if not pages:
        raise Unreadable("is empty")
    return Document("", chapters(pages, ""))


def decoded(raw: bytes) -> str:
    """Text in UTF-8, UTF-16 with its mark, or Windows' Latin letters. Raises Unreadable when it is none of them."""
    if not raw.strip():
        raise Unreadable("is empty")
    return _any_encoding(raw).replace("\r\n", "\n").replace("\r", "\n")


def _any_encoding(raw: bytes) -> str:
    if raw.startswith((b"\xff\xfe", b"\xfe\xff")):
        return raw.decode("utf-16", "replace")
    if BINARY.search(raw[:4096]):
        raise Unreadable("is no text file, whatever its name says")
    for encoding in ("utf-8-sig", "cp1252"):
        with contextlib.suppress(UnicodeDecodeError):
            text = raw.decode(encoding)
            if encoding != "cp1252" or sum(map(str.isascii, text)) > MOSTLY * len(text):
                return text
    raise Unreadable("is in an unknown encoding; save it as UTF-8")
