"""Lines as they stand on a printed page into Markdown: headings, paragraphs, lists, tables; running headers dropped."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from statistics import median

EDGE = 2  # lines at the top and the foot of a page that may be running headers or the page's number
REPEATED = 0.3  # share of pages on which a running header stands, and at least:
FEWEST_REPEATS = 3
NEAR = 5  # pages within which as many make the running header of a chapter
LARGER = 1.14  # of the body's size: a heading
HEADING_WORDS = 16
GAP = 1.45  # of the usual distance of lines: a new paragraph
NUMBERED = 0.5  # share of pages whose printed number must agree
BULLET = re.compile(r"^[•●▪◦‣∙·–—*o\uf0b7\uf0a7\uf0d8-]\s+(?=\S)")
ITEM = re.compile(r"^(?:[-*+]\s|\(?(?:\d{1,3}|[a-zA-Z\u0905-\u0939]|[ivxIVX]{1,5})[.)]\s)")
NUMBER = re.compile(r"(?:page|पृष्ठ)?\s*[-–|]?\s*(\d{1,4})\s*[-–|]?", re.IGNORECASE)
HYPHEN = re.compile(r"(\w+)[-‐\u00ad]$")
COMPOUND = re.compile(r"[^\W\d_][\u093e-\u094d\u0900-\u0903]*[-‐]$")  # "Indo-" before "Gangetic", "सुख-" before "दुख"
ENDED = re.compile(r"[.?!:;।…”\"')\]]$")
OPENS = re.compile(r"[A-Z\u0900-\u0965“\"(]")
# Shares of the page's usual width: the last line of a paragraph, and a line by itself, such as an item of a list.
SHORT_LINE, VERY_SHORT_LINE = 0.75, 0.6


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a page. `cells` are its pieces where wide gaps part them; sizes and places in points, y upwards."""

    text: str
    size: float
    bold: bool
    left: float
    right: float
    bottom: float
    cells: tuple[tuple[float, str], ...] = ()


Pages = Sequence[Sequence[Line]]


def body_size(pages: Pages) -> float:
    """The size that most characters have."""
    sizes: Counter[float] = Counter()
    for page in pages:
        for line in page:
            sizes[round(line.size * 2) / 2] += len(line.text)
    return sizes.most_common(1)[0][0] if sizes else 0.0


def without_headers(pages: Pages) -> tuple[list[list[Line]], dict[int, int]]:
    """Pages without their running headers, footers and page numbers; and the printed numbers, by place of the page."""
    repeated = _repeated(pages)
    printed = _printed(pages)
    heading = LARGER * body_size(pages)
    kept = []
    for place, page in enumerate(pages):
        edge = {id(line) for line in _edges(page)}
        number = printed.get(place)
        kept.append(
            [
                line for line in page
                if id(line) not in edge
                or not (_looks(line) in repeated or (number is not None and _number(line, heading) == number))
            ]
        )  # fmt: skip
    return kept, printed


def markdown(page: Sequence[Line], body: float, known: frozenset[str] = frozenset()) -> str:
    """One page. `body` is the size of ordinary text in the whole file, `known` its words, to mend hyphens by."""
    blocks: list[str] = []
    spacing = _spacing(page)
    width = median([line.right for line in page]) if page else 0.0
    page = _without_weight(page)
    open_paragraph: Line | None = None
    for run in _runs(page):
        if len(run) > 1:
            blocks.append(_table(run))
            open_paragraph = None
            continue
        line = run[0]
        level = _level(line, body)
        text = BULLET.sub("- ", line.text)
        if level:
            merged = open_paragraph is not None and blocks and _is_one_heading(open_paragraph, line, level, body)
            blocks[-1:] = [f"{blocks[-1]} {text}"] if merged else [*blocks[-1:], f"{'#' * level} {text}"]
        elif open_paragraph is not None and not _begins(open_paragraph, line, text, spacing, width, body):
            blocks[-1] = _continued(blocks[-1], text, known)
        else:
            blocks.append(text)
        open_paragraph = line
    return "\n\n".join(blocks)


def _is_one_heading(above: Line, below: Line, level: int, body: float) -> bool:
    return _level(above, body) == level and abs(above.size - below.size) < 0.5


def _without_weight(page: Sequence[Line]) -> Sequence[Line]:
    """Where most of a page is bold, bold says nothing."""
    bold = sum(len(line.text) * line.bold for line in page) > 0.5 * sum(len(line.text) for line in page)
    return [replace(line, bold=False) for line in page] if bold else page


def vocabulary(pages: Pages) -> frozenset[str]:
    """The words of a file, lower case: whether "co-operate" or "cooperate" is meant at the end of a line."""
    return frozenset(word.lower() for page in pages for line in page for word in re.findall(r"[\w-]+", line.text))


def _continued(text: str, more: str, known: frozenset[str]) -> str:
    broken = HYPHEN.search(text)
    if broken is None or not more[:1].islower():
        return f"{text}{more}" if COMPOUND.search(text) and more[:1].isalnum() else f"{text} {more}"
    rest = re.match(r"\w+", more)
    whole = f"{broken[1]}-{rest[0] if rest else ''}".lower()
    kept = whole in known and whole.replace("-", "") not in known
    return text + more if kept else HYPHEN.sub(r"\1", text) + more


def _level(line: Line, body: float) -> int:
    """1 to 3 for a heading, 0 for text."""
    words = line.text.split()
    if not body or len(words) > HEADING_WORDS or not any(letter.isalpha() for letter in line.text):
        return 0
    ratio = line.size / body
    if ratio >= LARGER:
        return 1 if ratio >= 1.6 else 2
    bare = not ENDED.search(line.text) and not ITEM.match(line.text)
    return 3 if line.bold and bare and len(line.cells) < 2 and len(words) <= 10 else 0


def _begins(before: Line, line: Line, text: str, spacing: float, width: float, body: float) -> bool:
    """Whether a line begins a paragraph."""
    if _level(before, body) or ITEM.match(text):
        return True
    distance = before.bottom - line.bottom
    if distance < 0 or (spacing and distance > GAP * spacing):
        return True  # the next column or a gap; a sentence that runs on is joined all the same
    if OPENS.match(text) is None:
        return False
    ended = ENDED.search(before.text) is not None
    short = before.right < (SHORT_LINE if ended else VERY_SHORT_LINE) * width
    return short or (ended and line.left - before.left > 0.8 * line.size)


def _spacing(page: Sequence[Line]) -> float:
    """The distance of lines within a paragraph. There may be fewer of these than of paragraphs."""
    distances = sorted(above.bottom - below.bottom for above, below in pairwise(page) if above.bottom > below.bottom)
    return distances[len(distances) // 4] if distances else 0.0


def _runs(page: Sequence[Line]) -> Iterable[list[Line]]:
    """Lines one by one, and rows of a table together: lines in a row with the same number of cells, two or more."""
    run: list[Line] = []
    for line in page:
        if run and len(line.cells) > 1 and len(line.cells) == len(run[0].cells) and _aligned(run[-1], line):
            run.append(line)
            continue
        yield from _closed(run)
        run = [line]
    yield from _closed(run)


def _closed(run: list[Line]) -> Iterable[list[Line]]:
    if run:
        yield from ([run] if len(run) > 1 and len(run[0].cells) > 1 else [[line] for line in run])


def _aligned(above: Line, below: Line) -> bool:
    pairs = list(zip(above.cells, below.cells, strict=True))
    return sum(abs(a[0] - b[0]) < 2.5 * below.size for a, b in pairs) >= len(pairs) - 1


def _table(run: Sequence[Line]) -> str:
    rows = ["| " + " | ".join(text.replace("|", "/") for _, text in line.cells) + " |" for line in run]
    return "\n".join([rows[0], "|" + " --- |" * len(run[0].cells), *rows[1:]])


def _edges(page: Sequence[Line]) -> list[Line]:
    """The lines that stand highest and lowest."""
    by_height = sorted(page, key=lambda line: line.bottom)
    return [*by_height[:EDGE], *by_height[-EDGE:]] if len(page) > EDGE else list(by_height[:1])


def _looks(line: Line) -> tuple[str, int]:
    """What running headers have in common: words and size. (A chapter's title has the words, but is larger.)"""
    return re.sub(r"\d+", "#", " ".join(line.text.lower().split())), round(line.size)


def _repeated(pages: Pages) -> frozenset[tuple[str, int]]:
    """How lines at the edge look that stand so on a share of all pages, or word for word on pages nearby."""
    places: dict[tuple[str, int], list[int]] = {}
    same: dict[tuple[str, int], list[int]] = {}
    for place, page in enumerate(pages):
        for look, text in {(_looks(line), line.text) for line in _edges(page)}:
            places.setdefault(look, []).append(place)
            if look[0] == text.lower():
                same.setdefault(look, []).append(place)
    least = max(FEWEST_REPEATS, REPEATED * len(pages))
    often = {look for look, found in places.items() if len(set(found)) >= least}
    nearby = {
        look for look, found in same.items()
        if any(third - first < NEAR for first, third in zip(found, found[FEWEST_REPEATS - 1 :], strict=False))
    }  # fmt: skip
    return frozenset(often | nearby)


def _number(line: Line, heading: float) -> int | None:
    """The page's number as a line at its edge tells it. `heading` is the size from which lines are headings."""
    text = line.text.strip()
    match = NUMBER.fullmatch(text)
    if match is None and line.size < heading:  # "Chapter 3   Heat   47" and "47 Science", but not "1 Introduction"
        match = re.fullmatch(r"(?:\D.*\s)?(\d{1,4})", text) or re.fullmatch(r"(\d{1,4})\s\D*", text)
    return int(match[1]) if match else None


def _printed(pages: Pages) -> dict[int, int]:
    """The printed numbers: they go up by one a page, so the offset that most pages agree on tells them all."""
    offsets: Counter[int] = Counter()
    heading = LARGER * body_size(pages)
    for place, page in enumerate(pages):
        offsets.update({number - place for line in _edges(page) if (number := _number(line, heading)) is not None})
    filled = sum(bool(page) for page in pages)
    if not offsets or not filled:
        return {}
    offset, agreeing = offsets.most_common(1)[0]
    if agreeing < max(2, NUMBERED * filled):
        return {}
    return {place: place + offset for place in range(len(pages)) if place + offset > 0}
