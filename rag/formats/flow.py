"""Text that flows, as HTML, EPUB, DOCX and plain text have it: cut at its page breaks, and into chapters by headings.

A reader puts PAGE where a page begins, and hands over Markdown; what comes back is tidy and cannot be taken for our own
marks. (PDF has pages of its own, and uses only what tells a chapter's number.)
"""

from __future__ import annotations

import re

from rag.formats.characters import mended
from rag.formats.document import UNPAGED, DraftChapter, DraftPage

WORD_JOINER = "\u2060"
PAGE = f"{WORD_JOINER}page:{{}}{WORD_JOINER}"  # stands for a page break while the text is Markdown in the making
NUMBERED = re.compile(r"(?:chapter|lesson|unit|पाठ|अध्याय)\s*[-:.]?\s*(\d{1,3})\b[\s:.–-]*", re.IGNORECASE)
_PAGE = re.compile(PAGE.format(r"(\d{1,5})"))


def tidy(text: str) -> str:
    """Markdown with mended characters, no run of blank lines, and nothing that could be taken for our own marks."""
    lines = [line.rstrip() for line in mended(text).replace("<!--", "<! --").splitlines()]
    return re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).strip()


def cut(text: str) -> tuple[DraftPage, ...]:
    """Cut at the page breaks and tidy. What stands before the first one is on the page before it, if there is one."""
    first, *rest = _PAGE.split(text)
    if not rest:
        return (DraftPage(UNPAGED, tidied),) if (tidied := tidy(text)) else ()
    marked = [(int(n), part) for n, part in zip(rest[::2], rest[1::2], strict=True)]
    kept: list[DraftPage] = []
    for number, part in [(max(marked[0][0] - 1, 1), first), *marked]:
        tidied = tidy(part)
        if kept and tidied and kept[-1].number == number:
            kept[-1] = DraftPage(number, f"{kept[-1].text}\n\n{tidied}")
        elif tidied:
            kept.append(DraftPage(number, tidied))
    return tuple(kept)


def first_heading(pages: tuple[DraftPage, ...]) -> str:
    """The first heading, "" without one."""
    found = next((match for page in pages if (match := re.search(r"^#{1,3} (.+)$", page.text, re.MULTILINE))), None)
    return found[1].strip() if found else ""


def chapters(pages: tuple[DraftPage, ...], title: str) -> tuple[DraftChapter, ...]:
    """A text with two or more top headings is a book of as many chapters; else it is one chapter called `title`."""
    whole = "\n".join(page.text for page in pages)
    if len(re.findall(r"^# \S", whole, re.MULTILINE)) < 2:
        return (named(first_heading(pages) or title, pages),)
    found: list[tuple[str, list[DraftPage]]] = []
    for page in pages:
        for part in re.split(r"^(?=# \S)", page.text, flags=re.MULTILINE):
            heading = re.match(r"# (.+)", part)
            if heading or not found:
                found.append((heading[1].strip() if heading else title, []))
            if part.strip():
                found[-1][1].append(DraftPage(page.number, part.strip()))
    return tuple(named(name, tuple(parts)) for name, parts in found if parts)


def named(heading: str, pages: tuple[DraftPage, ...]) -> DraftChapter:
    """A chapter whose heading may say its number: "Chapter 4: Heat"."""
    number = NUMBERED.match(heading)
    return DraftChapter((NUMBERED.sub("", heading) or heading).strip(), pages, int(number[1]) if number else None)
