"""EPUB: a ZIP of HTML in reading order. (EbookLib would do more but is AGPL.)"""

from __future__ import annotations

import posixpath
import re
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote

from rag.formats import archive
from rag.formats.characters import mended
from rag.formats.document import UNPAGED, Document, DraftChapter, DraftPage, Limits, Unreadable
from rag.formats.flow import first_heading, named
from rag.formats.html import page_texts

if TYPE_CHECKING:
    from bs4 import BeautifulSoup

CONTAINER = "META-INF/container.xml"
ENCRYPTION = "META-INF/encryption.xml"
FEWEST_WORDS = 30  # a part with less is a cover or a title page


def read(path: Path, limits: Limits) -> Document:
    """Raises Unreadable."""
    with archive.opened(path, limits) as packed:
        names = set(packed.namelist())
        if CONTAINER not in names:
            raise Unreadable("is named .epub but holds no book; fetch the file again")
        if ENCRYPTION in names and _protects_text(archive.content(packed, ENCRYPTION, limits)):
            raise Unreadable("is protected against copying (DRM), so its text cannot be read")
        package_name = _package_name(archive.content(packed, CONTAINER, limits))
        if package_name not in names:
            raise Unreadable("is damaged: its table of parts is missing")
        package = _xml(archive.content(packed, package_name, limits))
        parts = [name for name in dict.fromkeys(_spine(package, package_name)) if name in names]
        chapters, left_out = _chapters(packed, parts, limits)
    if not chapters:
        raise Unreadable("has no text in it")
    title = package.find(re.compile(r"(?:^|:)title$"))
    note = (f"{left_out} parts with almost no text (cover, title page) are left out.",) if left_out else ()
    return Document(" ".join(mended(title.get_text()).split()) if title else "", chapters, note)


def _chapters(packed: zipfile.ZipFile, parts: list[str], limits: Limits) -> tuple[tuple[DraftChapter, ...], int]:
    chapters: list[DraftChapter] = []
    left_out = 0
    for name in parts:
        pages, title = page_texts(archive.content(packed, name, limits))
        if sum(len(page.text.split()) for page in pages) < FEWEST_WORDS:
            left_out += 1
            continue
        heading = first_heading(pages) or title or f"Part {len(chapters) + 1}"
        chapters.append(named(heading, _after(chapters, pages)))
    return tuple(chapters), left_out


def _after(chapters: list[DraftChapter], pages: tuple[DraftPage, ...]) -> tuple[DraftPage, ...]:
    """Pages of a part that marks none go on from the part before, if that one has numbers: it ends mid-page."""
    if pages[0].number == UNPAGED and chapters and chapters[-1].pages[-1].number != UNPAGED:
        return (DraftPage(chapters[-1].pages[-1].number, pages[0].text), *pages[1:])
    return pages


def _protects_text(encryption: bytes) -> bool:
    """Fonts may be scrambled in an open book; text may not."""
    uris = [str(item.get("URI", "")) for item in _xml(encryption).find_all(re.compile(r"(?:^|:)CipherReference$"))]
    return any(not uri.lower().endswith((".otf", ".ttf", ".woff", ".woff2")) for uri in uris)


def _package_name(container: bytes) -> str:
    root = _xml(container).find(re.compile(r"(?:^|:)rootfile$"))
    return str(root.get("full-path", "")) if root is not None else ""


def _spine(package: BeautifulSoup, package_name: str) -> list[str]:
    """The names of the parts in reading order."""
    folder = posixpath.dirname(package_name)
    places = {
        str(item.get("id")): posixpath.normpath(posixpath.join(folder, unquote(str(item.get("href", "")))))
        for item in package.find_all(re.compile(r"(?:^|:)item$"))
        if "html" in str(item.get("media-type", "")) and "nav" not in str(item.get("properties", "")).split()
    }
    order = [str(item.get("idref")) for item in package.find_all(re.compile(r"(?:^|:)itemref$"))]
    return [places[name] for name in order if name in places]


def _xml(text: bytes) -> BeautifulSoup:
    from bs4 import BeautifulSoup

    return BeautifulSoup(text, "xml")
