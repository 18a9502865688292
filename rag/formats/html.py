"""HTML by Beautiful Soup and markdownify: what is read aloud, without scripts, navigation and pictures."""

from __future__ import annotations

import re
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rag.formats.characters import lowered, mended, raised
from rag.formats.document import Document, DraftPage, Limits, Unreadable
from rag.formats.flow import PAGE, WORD_JOINER, chapters, cut

if TYPE_CHECKING:
    from bs4 import BeautifulSoup

UNSEEN = (
    "script", "style", "noscript", "template", "iframe", "object", "embed", "button", "input", "select", "textarea",
    "svg", "canvas", "video", "audio", "nav", "link", "meta", "title",
)  # fmt: skip
ASIDE = ("aside", "footer")  # links and notices on a web page, boxes and notes in an EPUB
HIDDEN = re.compile(r"(?:display\s*:\s*none|visibility\s*:\s*hidden)", re.IGNORECASE)
NUMBER = re.compile(r"(?<!\d)(\d{1,5})\s*\.?$")
# XHTML closes an empty element so; HTML would take all that follows for its content.
CLOSED = re.compile(rb"<(?!br\b)([A-Za-z][\w:-]*)(\s[^<>]*)?/>")
LABEL = 12  # characters: a page break that holds more is the text that begins there


def read(path: Path, limits: Limits) -> Document:
    """Raises Unreadable."""
    pages, title = page_texts(path.read_bytes(), (*UNSEEN, *ASIDE))
    if not pages:
        raise Unreadable("has no text in it")
    return Document(title, chapters(pages, title))


def page_texts(markup: bytes, unseen: Sequence[str] = UNSEEN) -> tuple[tuple[DraftPage, ...], str]:
    """The pages of an HTML document, one numbered UNPAGED where it marks none; and its <title>."""
    from bs4 import BeautifulSoup, XMLParsedAsHTMLWarning
    from bs4.element import PreformattedString
    from markdownify import markdownify

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", XMLParsedAsHTMLWarning)
        soup = BeautifulSoup(CLOSED.sub(rb"<\1\2></\1>", markup), "lxml")
    title = mended(" ".join(soup.title.get_text().split())) if soup.title else ""
    hidden = soup.select("[hidden], [aria-hidden=true]") + soup.find_all(style=HIDDEN)
    for element in (*soup.find_all(list(unseen)), *hidden):
        element.decompose()
    for text in soup.find_all(string=True):
        if isinstance(text, PreformattedString):  # comments and the like
            text.extract()
        elif WORD_JOINER in text:
            text.replace_with(text.replace(WORD_JOINER, ""))
    for bar in soup.find_all(string=re.compile(r"\|")):
        if bar.find_parent(["td", "th"]):
            bar.replace_with(str(bar).replace("|", "/"))
    _shift(soup)
    _mark_pages(soup)
    markdown = markdownify(
        str(soup.body or soup), heading_style="ATX", bullets="-", strip=["a", "img"], escape_misc=False,
        escape_underscores=False, escape_asterisks=False,
    )  # fmt: skip
    return cut(markdown), title


def _shift(soup: BeautifulSoup) -> None:
    for name, shift in (("sup", raised), ("sub", lowered)):
        for mark in soup.find_all(name):
            text = mark.get_text().strip()
            mark.replace_with(shift(text) or text)


def _mark_pages(soup: BeautifulSoup) -> None:
    """Page breaks as EPUB marks them, by type, role or class, with the number as label, title, text or id."""
    for mark in soup.select("[epub\\:type~=pagebreak], [role=doc-pagebreak], .pagebreak, .page-number"):
        text = mark.get_text().strip()
        holds_text = len(text) > LABEL
        labels = (mark.get("aria-label"), mark.get("title"), "" if holds_text else text, mark.get("id"))
        number = next((match[1] for name in labels if (match := NUMBER.search(str(name or "").strip()))), None)
        if number is not None:
            mark.insert_before(PAGE.format(number))
        if not holds_text:
            mark.decompose()
