"""PDF by pypdfium2 (PDFium, Apache-2.0 and BSD): pages, printed page numbers, outline; scans by OCR."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rag.formats import ocr
from rag.formats.characters import Kind, kind, mended
from rag.formats.document import UNPAGED, Document, DraftChapter, DraftPage, Limits, Unreadable
from rag.formats.flow import NUMBERED, named
from rag.formats.letters import lines_of, unmarked
from rag.formats.lines import Line, body_size, markdown, vocabulary, without_headers

if TYPE_CHECKING:
    import pypdfium2

Progress = Callable[[int, int], None]

POINTS_AN_INCH = 72
TEXT, PATH, PICTURE = 1, 2, 3  # FPDF_PAGEOBJ_...
CURVES = 40  # paths on a page without text that are more than rules and frames: letters made into curves
STAMPED, SCANNED = 25, 0.6  # a page of fewer words than that, and a picture over that share of it, is a stamped scan
SEEN_SIZE = 11.0  # points, which OCR does not tell
LONGEST_HEADING = 80  # characters
FRONT = 0.25  # share of the pages that may stand before the first chapter and be left out
PLAIN_NUMBER = re.compile(r"[0-9]{1,5}")


@dataclass
class _Page:
    """A page as read: its lines, or when it was `seen`, its paragraphs by OCR, a line each; or neither."""

    lines: list[Line] = field(default_factory=list)
    seen: bool = False
    kind: Kind = Kind.TEXT


def read(path: Path, limits: Limits, progress: Progress) -> Document:
    """Raises Unreadable."""
    import pypdfium2

    try:
        book = pypdfium2.PdfDocument(path)
    except pypdfium2.PdfiumError as error:
        if "password" in str(error).lower():
            raise Unreadable("is locked with a password; save it without one and add it again") from error
        raise Unreadable("is damaged or cut short; fetch the file again") from error
    try:
        if len(book) == 0:
            raise Unreadable("has no pages")
        if len(book) > limits.pages:
            raise Unreadable(f"has {len(book):,} pages, and {limits.pages:,} is the most; split it into volumes")
        return _document(book, limits, progress)
    finally:
        book.close()


def _document(book: pypdfium2.PdfDocument, limits: Limits, progress: Progress) -> Document:
    pages = []
    for place in range(len(book)):
        pages.append(_page(book, place, limits))
        progress(place + 1, len(book))
    lines, printed = without_headers([page.lines for page in pages])
    if not printed:
        printed = _labels(book)
    body = body_size([held for held, page in zip(lines, pages, strict=True) if not page.seen])
    known = vocabulary(lines)
    texts = [
        _headed(held) if page.seen else markdown(held, body, known) for held, page in zip(lines, pages, strict=True)
    ]
    numbers = [printed.get(place, UNPAGED) if printed else place + 1 for place in range(len(texts))]
    if not any(text.strip() for text in texts):
        raise Unreadable(_no_text(pages))
    chapters, notes = _chapters(book, texts, numbers)
    return Document(_title(book), chapters, (*_about_pictures(pages, numbers), *notes))


def _page(book: pypdfium2.PdfDocument, place: int, limits: Limits) -> _Page:
    import pypdfium2

    try:
        page = book[place]
    except pypdfium2.PdfiumError:
        return _Page(kind=Kind.EMPTY)
    try:
        lines, fonts = lines_of(page)
        text = "\n".join(line.text for line in lines)
        found = kind(text, fonts)
        stamped = found is Kind.TEXT and len(text.split()) < STAMPED and _is_scan(page)
        if not stamped and (found is Kind.TEXT or (found is Kind.EMPTY and not _is_drawn(page))):
            return _Page(lines if found is Kind.TEXT else [])
        seen = _seen(page, limits) if _readable(found) else []
        if stamped and sum(len(line.text.split()) for line in seen) <= len(text.split()):
            return _Page(lines, kind=Kind.TEXT if _readable(found) else Kind.EMPTY)
        return _Page(seen, seen=bool(seen), kind=Kind.EMPTY if stamped else found)
    except pypdfium2.PdfiumError:
        return _Page(kind=Kind.EMPTY)
    finally:
        page.close()


def _readable(found: Kind) -> bool:
    """Whether OCR can be trusted with such a page here: without Hindi it makes English of an old Hindi font."""
    return bool(ocr.languages()) if found in (Kind.EMPTY, Kind.TEXT) else "hin" in ocr.languages()


def _is_drawn(page: pypdfium2.PdfPage) -> bool:
    """Whether a page without text has something on it that may be read: a picture, or letters that are none to us."""
    objects = Counter(piece.type for piece in page.get_objects(max_depth=2))
    return objects[PICTURE] > 0 or objects[TEXT] > 0 or objects[PATH] > CURVES


def _is_scan(page: pypdfium2.PdfPage) -> bool:
    """Whether one picture covers most of a page."""
    width, height = page.get_size()
    for picture in page.get_objects(filter=[PICTURE], max_depth=2):
        left, bottom, right, top = picture.get_bounds()
        if (min(right, width) - max(left, 0)) * (min(top, height) - max(bottom, 0)) > SCANNED * width * height:
            return True
    return False


def _seen(page: pypdfium2.PdfPage, limits: Limits) -> list[Line]:
    """What OCR reads on a page; none where an old Hindi font is not in the file, so that even its picture is Latin."""
    text = ocr.read(_picture(page, limits))
    if kind(text) is Kind.LEGACY:
        return []
    paragraphs = enumerate(text.split("\n\n") if text else [])
    return [Line(unmarked(paragraph), SEEN_SIZE, False, 0, 0, -place) for place, paragraph in paragraphs]


def _headed(paragraphs: Sequence[Line]) -> str:
    """Paragraphs by OCR, with "Chapter 4 ..." as a heading."""
    headings = (NUMBERED.match(line.text) and len(line.text) <= LONGEST_HEADING for line in paragraphs)
    return "\n\n".join("# " * bool(head) + line.text for head, line in zip(headings, paragraphs, strict=True))


def _picture(page: pypdfium2.PdfPage, limits: Limits) -> Any:
    width, height = page.get_size()
    scale = ocr.DPI / POINTS_AN_INCH
    pixels = width * height * scale * scale
    if pixels > limits.picture_pixels:
        scale *= (limits.picture_pixels / pixels) ** 0.5
    return page.render(scale=scale, grayscale=True).to_pil()


def _labels(book: pypdfium2.PdfDocument) -> dict[int, int]:
    """Page numbers as the file itself labels its pages: those that are plain numbers (not iv), where they go up."""
    labels = {place: _told(partial(book.get_page_label, place)) for place in range(len(book))}
    numbers = {place: int(label) for place, label in labels.items() if PLAIN_NUMBER.fullmatch(label)}
    return numbers if all(a < b for a, b in pairwise(numbers.values())) else {}


def _told(ask: Callable[[], str]) -> str:
    """What a file says of itself on one line; "" when that is no text."""
    try:
        return " ".join(mended(ask()).split())
    except UnicodeDecodeError:
        return ""


def _title(book: pypdfium2.PdfDocument) -> str:
    title = _told(partial(book.get_metadata_value, "Title"))
    made_by_program = re.search(r"\.(?:docx?|indd|pmd|qxd|pdf|p65)\b|^untitled|^microsoft word", title, re.IGNORECASE)
    return "" if made_by_program or len(title) > 120 else title


def _chapters(
    book: pypdfium2.PdfDocument, texts: Sequence[str], numbers: Sequence[int]
) -> tuple[tuple[DraftChapter, ...], tuple[str, ...]]:
    """The chapters of the file, by its outline, else by headings "Chapter 4 ..."; and what stands before the first."""
    starts = _outline(book) or _by_headings(texts)
    if len(starts) < 2:
        title = starts[0][1] if starts else next((title for text in texts for title in _headings(text)), "")
        pages = tuple(DraftPage(n, text) for n, text in zip(numbers, texts, strict=True) if text.strip())
        return (named(title, pages),), ()
    chapters = []
    before = starts[0][0]
    if before > FRONT * len(texts):
        starts, before = [(0, next(iter(_headings(texts[0])), "")), *starts], 0
    ends = [start for start, _ in starts[1:]] + [len(texts)]
    for (start, title), end in zip(starts, ends, strict=True):
        pages = tuple(DraftPage(numbers[place], texts[place]) for place in range(start, end) if texts[place].strip())
        if pages:
            chapters.append(named(title, pages))
    note = (f"{before} pages before the first chapter are left out.",) if before else ()
    return tuple(chapters), note


def _outline(book: pypdfium2.PdfDocument) -> list[tuple[int, str]]:
    """Where each chapter starts and its title, by the outermost level of the outline that has several entries."""
    entries = []
    for item in book.get_toc(max_depth=3):
        target = item.get_dest()
        place = target.get_index() if target is not None else None
        if place is not None:
            entries.append((item.level, place, _told(item.get_title)))
    for level in range(3):
        starts: dict[int, str] = {}
        for at, place, title in entries:
            if at == level:
                starts.setdefault(place, title)
        if len(starts) > 1:
            return sorted(starts.items())
    return []


def _headings(text: str) -> list[str]:
    return re.findall(r"^#{1,2} (.+)$", text, re.MULTILINE)


def _by_headings(texts: Sequence[str]) -> list[tuple[int, str]]:
    """Pages that open with a heading of the form "Chapter 4: Heat"."""
    starts = []
    for place, text in enumerate(texts):
        title = next((title for title in _headings(text)[:2] if NUMBERED.match(title)), None)
        if title is not None:
            starts.append((place, title))
    return starts


def _no_text(pages: Sequence[_Page]) -> str:
    if any(page.kind is not Kind.TEXT for page in pages):
        if not all(_readable(page.kind) for page in pages):
            return f"holds only pictures of pages or an old Hindi font; {ocr.HOW_TO_INSTALL}"
        return "holds only pictures in which no text could be read"
    return "has no text on any page"


def _about_pictures(pages: Sequence[_Page], numbers: Sequence[int]) -> list[str]:
    """What was read from pictures, and what could not be."""
    notes = []
    reasons = {
        Kind.EMPTY: "hold a picture and no text",
        Kind.LEGACY: "are set in an old Hindi font that is no Unicode",
        Kind.BROKEN: "hold Hindi in the order of drawing",
    }
    for wrong, reason in reasons.items():
        of_kind = [(number, page) for number, page in zip(numbers, pages, strict=True) if page.kind is wrong]
        done = [number for number, page in of_kind if page.seen]
        lost = [number for number, page in of_kind if not page.seen]
        if done:
            notes.append(f"Pages {spans(done)} {reason} and were read by OCR: look them over.")
        if lost:
            left_out = f"and were left out; {ocr.HOW_TO_INSTALL}"
            how = "and nothing could be read in them" if _readable(wrong) else left_out
            notes.append(f"Pages {spans(lost)} {reason} {how}.")
    return notes


def spans(numbers: Sequence[int]) -> str:
    """1, 2, 3, 7 as "1-3, 7"; pages without a number are counted."""
    unnumbered = sum(number == UNPAGED for number in numbers)
    runs: list[list[int]] = []
    for number in filter(None, numbers):
        if runs and number == runs[-1][-1] + 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    named = [str(run[0]) if len(run) == 1 else f"{run[0]}-{run[-1]}" for run in runs]
    return ", ".join([f"without a number ({unnumbered})"] * bool(unnumbered) + named)
