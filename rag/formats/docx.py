"""DOCX by python-docx: headings, lists, tables, and the page breaks that the word processor last saw."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from rag.formats import archive
from rag.formats.characters import lowered, mended, raised
from rag.formats.document import Document, Limits, Unreadable
from rag.formats.flow import PAGE, WORD_JOINER, chapters, cut

if TYPE_CHECKING:
    from docx.document import Document as Word
    from docx.oxml.xmlchemy import BaseOxmlElement
    from docx.table import Table
    from docx.text.paragraph import Paragraph
    from docx.text.run import Run

LEVEL = re.compile(r"heading (\d)", re.IGNORECASE)
BREAK, SEEN = "\f", "\v"  # page breaks: asked for, and seen by the word processor; no XML can hold these letters
WORD = "{http://schemas.openxmlformats.org/wordprocessingml/2006/main}"
FALLBACK = "{http://schemas.openxmlformats.org/markup-compatibility/2006}Fallback"


def read(path: Path, limits: Limits) -> Document:
    """Raises Unreadable."""
    import docx
    from docx.opc.exceptions import PackageNotFoundError

    with archive.opened(path, limits):
        try:
            word = docx.Document(str(path))
            text = "\n\n".join(_blocks(word, word.element.body)).replace(WORD_JOINER, "")
            title = " ".join(mended(word.core_properties.title or "").split())
        except (*archive.DAMAGE, PackageNotFoundError, KeyError, AttributeError, SyntaxError) as error:
            raise Unreadable("is damaged, or no Word document; open it in a word processor and save it anew") from error
    pages = cut(_paged(text, _first_number(word)))
    if not pages:
        raise Unreadable("has no text in it")
    return Document(title, chapters(pages, title))


def _blocks(word: Word, inside: BaseOxmlElement) -> list[str]:
    from docx.table import Table
    from docx.text.paragraph import Paragraph

    found: list[str] = []
    for block in _paragraphs_and_tables(inside):
        if block.tag == f"{WORD}tbl":
            texts = [_table(Table(block, word._body))]
        else:
            texts = [_paragraph(Paragraph(block, word._body))]
            texts += [text for box in _boxes(block) for text in _blocks(word, box)]
        for text in filter(None, texts):
            if found and text.startswith("- ") and found[-1].startswith("- "):
                found[-1] += f"\n{text}"
            else:
                found.append(text)
    return found


def _paragraphs_and_tables(inside: BaseOxmlElement) -> Iterator[BaseOxmlElement]:
    """In order, also those within content controls and tracked changes."""
    for element in inside:
        if element.tag in (f"{WORD}p", f"{WORD}tbl"):
            yield element
        elif element.tag not in (f"{WORD}sectPr", f"{WORD}del", f"{WORD}moveFrom"):
            yield from _paragraphs_and_tables(element)


def _boxes(paragraph: BaseOxmlElement) -> list[BaseOxmlElement]:
    """The text boxes that hang on a paragraph. Each is there twice, the second time for old programs."""
    return [
        box for box in paragraph.iter(f"{WORD}txbxContent")
        if next(box.iterancestors(f"{WORD}p")) is paragraph and next(box.iterancestors(FALLBACK), None) is None
    ]  # fmt: skip


def _paragraph(paragraph: Paragraph) -> str:
    style = (paragraph.style.name or "") if paragraph.style is not None else ""
    level = LEVEL.match(style)
    mark = ""
    if level or style == "Title":
        mark = "#" * min(int(level[1]) if level else 1, 6) + " "
    elif style.startswith("List") or (paragraph._p.pPr is not None and paragraph._p.pPr.numPr is not None):
        mark = "- "
    text = BREAK * bool(paragraph.paragraph_format.page_break_before) + _words(paragraph)
    parts = [part if part in (BREAK, SEEN) else " ".join(part.split()) for part in re.split(f"([{BREAK}{SEEN}])", text)]
    first = next((n for n, part in enumerate(parts) if part.strip()), None)
    if first is not None:
        parts[first] = mark + parts[first]
    return "".join(parts)


def _words(paragraph: Paragraph) -> str:
    """The text of a paragraph with its page breaks, also that of links, fields and tracked insertions."""
    from docx.text.run import Run

    p = paragraph._p
    runs = [Run(r, paragraph) for r in p.iter(f"{WORD}r") if next(r.iterancestors(f"{WORD}p")) is p]
    return "".join(_run(run) for run in runs if not run.font.hidden)


def _run(run: Run) -> str:
    pieces = []
    for item in run._r:
        if item.tag == f"{WORD}br" and item.get(f"{WORD}type") == "page":
            pieces.append(BREAK)
        elif item.tag == f"{WORD}lastRenderedPageBreak":
            pieces.append(SEEN)
        elif item.tag in (f"{WORD}t", f"{WORD}noBreakHyphen"):
            pieces.append(str(item))
        elif item.tag in (f"{WORD}tab", f"{WORD}br", f"{WORD}cr"):
            pieces.append(" ")
    text = "".join(pieces)
    shifted = raised(text) if run.font.superscript else lowered(text) if run.font.subscript else None
    return shifted or text


def _table(table: Table) -> str:
    """A Markdown table, then the page breaks within it."""
    rows: list[list[str]] = []
    for row in table.rows:
        cells: list[str] = []
        last = None
        for cell in row.cells:
            if cell._tc is not last:
                cells.append(" ".join(_words(paragraph) for paragraph in cell.paragraphs))
            else:  # a merged cell comes once for each column it covers; as a heading it names each of them
                cells.append("" if rows else cells[-1])
            last = cell._tc
        rows.append(cells)
    width = max(map(len, rows), default=0)
    if not width:
        return ""
    lines = [
        "| " + " | ".join(" ".join(cell.split()).replace("|", "/") for cell in row + [""] * (width - len(row))) + " |"
        for row in rows
    ]
    breaks = SEEN * sum(any(BREAK in cell or SEEN in cell for cell in row) for row in rows)
    return "\n".join([lines[0], "|" + " --- |" * width, *lines[1:]]) + breaks


def _first_number(word: Word) -> int:
    """The number that the first page bears."""
    section = next(word.element.body.iter(f"{WORD}sectPr"), None)
    numbering = section.find(f"{WORD}pgNumType") if section is not None else None
    start = numbering.get(f"{WORD}start", "") if numbering is not None else ""
    return int(start) if re.fullmatch(r"[1-9]\d{0,3}", start) else 1


def _paged(text: str, start: int) -> str:
    """Page breaks numbered. A break that was asked for and then seen again by the word processor counts once."""
    first, *rest = re.split(rf"{BREAK}[ \n]*{SEEN}|{BREAK}|{SEEN}", text)
    return "".join([first, *(f"\n\n{PAGE.format(n)}\n\n{part}" for n, part in enumerate(rest, start=start + 1))])
