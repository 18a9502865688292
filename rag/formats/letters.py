"""The lines of a PDF's page from its characters, as PDFium finds them with their places."""

from __future__ import annotations

import ctypes
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import TYPE_CHECKING

from rag.formats.characters import lowered, mended, raised
from rag.formats.lines import Line

if TYPE_CHECKING:
    import pypdfium2

WIDE_GAP = 1.6  # of the size: between two cells of a table
SMALL = 0.86  # of the line's size: a raised or lowered character
SPACE = 0.18  # of the size: the narrowest space between two words
NEARBY = 120  # characters: how far back a syllable that is told twice may have been told first
BOLD = re.compile(r"bold|black|heavy|demi", re.IGNORECASE)
DEVANAGARI = re.compile(r"[\u0900-\u0963\u0966-\u097f]")
HYPHEN_AT_END = 2  # what PDFium puts in place of a hyphen at the end of a line and of the line's end itself


@dataclass(frozen=True, slots=True)
class _Character:
    """A character with its box in points; `size` is that of its font on the page.

    `guessed`: PDFium put it in. `piece`: the piece of text that it is of, 0 when guessed.
    """

    letter: str
    guessed: bool
    size: float
    bold: bool
    left: float
    right: float
    bottom: float
    piece: int = 0


def lines_of(page: pypdfium2.PdfPage) -> tuple[list[Line], frozenset[str]]:
    """The lines of a page in reading order, and the names of its fonts."""
    text = page.get_textpage()
    try:
        characters, fonts = _characters(text)
        if any(DEVANAGARI.match(character.letter) for character in characters):
            characters = _without_false_spaces(_without_doubles(characters), _ink(page))
        made: list[Line] = []
        held: list[_Character] = []
        for place, character in enumerate(characters):
            if character.letter != "\n":
                held.append(character)
            elif not _goes_on(held, characters[place + 1 :]):
                _finish(held, made)
                held = []
        _finish(held, made)
        return made, fonts
    finally:
        text.close()


def _characters(text: pypdfium2.PdfTextPage) -> tuple[list[_Character], frozenset[str]]:
    import pypdfium2.raw as pdfium

    edges = [ctypes.c_double() for _ in range(4)]
    left, right, bottom, _ = edges
    matrix = pdfium.FS_MATRIX()
    buffer = ctypes.create_string_buffer(128)
    found: list[_Character] = []
    fonts: set[str] = set()
    high, bold, piece = 0, False, 0
    for place in range(text.count_chars()):
        code = pdfium.FPDFText_GetUnicode(text, place)
        if 0xD800 <= code < 0xDC00:  # a character beyond the first plane comes in two halves
            high = code
            continue
        if 0xDC00 <= code < 0xE000:
            code = 0x10000 + ((high - 0xD800) << 10) + (code - 0xDC00) if high else 0
        if code in (0, 0xFFFE, 0xFFFF, 13):
            continue
        guessed = pdfium.FPDFText_IsGenerated(text, place) == 1
        if guessed:
            before = found[-1] if found else None
            right_edge = before.right if before is not None else 0.0
            found.append(_Character(chr(code), True, 0.0, bold, right_edge, right_edge, 0.0))
            continue
        pdfium.FPDFText_GetCharBox(text, place, *edges)
        pdfium.FPDFText_GetMatrix(text, place, matrix)
        size = pdfium.FPDFText_GetFontSize(text, place) * (matrix.c**2 + matrix.d**2) ** 0.5
        object_ = pdfium.FPDFText_GetTextObject(text, place)
        address = ctypes.addressof(object_.contents) if object_ else 0
        if piece != address:  # asking for the name at each character would take as long as all the rest
            piece = address
            if 0 < pdfium.FPDFText_GetFontInfo(text, place, buffer, len(buffer), None) <= len(buffer):
                name = buffer.value.decode("utf-8", "replace")
                fonts.add(name)
                bold = BOLD.search(name) is not None
        letter = "-" if code == HYPHEN_AT_END else chr(code)
        found.append(_Character(letter, False, size, bold, left.value, right.value, bottom.value, piece))
        if code == HYPHEN_AT_END:
            found.append(_Character("\n", True, 0.0, bold, right.value, right.value, 0.0))
    return found, frozenset(fonts)


def _ink(page: pypdfium2.PdfPage) -> list[tuple[float, float, float, float]]:
    """The boxes of all pieces of text: left, bottom, right, top."""
    import pypdfium2.raw as pdfium

    boxes = []
    edges = [ctypes.c_float() for _ in range(4)]
    for piece in page.get_objects(filter=[pdfium.FPDF_PAGEOBJ_TEXT], max_depth=4):
        if pdfium.FPDFPageObj_GetBounds(piece, *edges):
            left, bottom, right, top = (edge.value for edge in edges)
            boxes.append((left, bottom, right, top))
    return boxes


def _without_false_spaces(
    characters: Sequence[_Character], ink: Sequence[tuple[float, float, float, float]]
) -> list[_Character]:
    """Without the spaces that PDFium guessed inside Hindi words.

    A syllable drawn in several pieces is reported with the place of its first piece only, so what follows seems to
    stand apart. A gap in which a piece of text stands is none.
    """
    kept: list[_Character] = []
    for place, character in enumerate(characters):
        after = characters[place + 1] if place + 1 < len(characters) else None
        before = kept[-1] if kept else None
        if character.letter == " " and character.guessed and before is not None and after is not None:
            hindi = DEVANAGARI.match(before.letter)
            if hindi and (after.letter in ",;:?!).।॥’”" or _is_covered(before, after, ink)):
                continue
        kept.append(character)
    return kept


def _without_doubles(characters: Sequence[_Character]) -> list[_Character]:
    """Without the Hindi syllables that are told twice.

    A syllable drawn in several pieces may be told with each of them: "हैं" once more with its sign above the line.
    """
    kept: list[_Character] = []
    for piece, together in groupby(characters, key=lambda character: character.piece):
        group = list(together)
        before = kept[-1] if kept else None
        if piece and _is_told(group, kept[-NEARBY:]):
            continue
        if piece == 0 and before is not None and before.guessed:  # around a double that was left out
            kept[-1:] = [before] if before.letter == "\n" else group[:1]
        elif piece and len(kept) > 1 and kept[-1].letter == "\n" and _is_beside(kept[-2], group[0]):
            before = kept[-1]
            kept[-1:] = [replace(before, letter=" "), *group]
        else:
            kept += group
    return kept


def _is_told(group: Sequence[_Character], before: Sequence[_Character]) -> bool:
    """Whether a piece of text says what was said at its place already."""
    first, count, middle = group[0], len(group), (group[0].left + group[-1].right) / 2
    if not DEVANAGARI.match(first.letter):
        return False
    letters = [character.letter for character in group]
    return any(
        [character.letter for character in before[place : place + count]] == letters
        and before[place].left <= middle <= before[place + count - 1].right
        and abs(before[place].bottom - first.bottom) < first.size
        for place in range(len(before) - count + 1)
    )


def _is_beside(before: _Character, after: _Character) -> bool:
    beside = -before.size < after.left - before.right < 2 * before.size
    return beside and not before.guessed and abs(after.bottom - before.bottom) < 0.5 * before.size


def _is_covered(before: _Character, after: _Character, ink: Sequence[tuple[float, float, float, float]]) -> bool:
    """Whether other pieces of text leave no room for a space between two characters."""
    start, end = before.right, after.left
    low, high = before.bottom + 0.2 * before.size, before.bottom + 0.5 * before.size
    between = ((max(start, left), min(end, right)) for left, bottom, right, top in ink if bottom <= high and top >= low)
    covered = max((stop - begin for begin, stop in between), default=0.0)
    return end - start - max(0.0, covered) < SPACE * before.size


def _goes_on(held: Sequence[_Character], rest: Sequence[_Character]) -> bool:
    """Whether what PDFium takes for a new line is a raised or lowered character, or what follows one."""
    before = next((character for character in reversed(held) if not character.guessed), None)
    after = next((character for character in rest[:3] if not character.guessed), None)
    if before is None or after is None or before.size == after.size:
        return False
    beside = -0.3 * before.size <= after.left - before.right <= before.size
    return beside and abs(after.bottom - before.bottom) < 0.6 * max(before.size, after.size)


def _finish(held: Sequence[_Character], made: list[Line]) -> None:
    """One line of text from its characters, added to `made` unless it is blank."""
    visible = [character for character in held if not character.letter.isspace()]
    if not visible:
        return
    size = sorted(character.size for character in visible)[len(visible) // 2]
    base = sorted(character.bottom for character in visible if character.size > SMALL * size)
    floor = base[len(base) // 2] if base else visible[0].bottom
    cells: list[tuple[float, str]] = []
    start, pieces = visible[0].left, list[str]()
    before: _Character | None = None
    for character in held:
        if character.letter.isspace():
            pieces.append(" ")
            continue
        if before is not None and character.left - before.right > WIDE_GAP * size:
            cells.append((start, _joined(pieces)))
            start, pieces = character.left, []
        shifted = _shifted(character, size, floor)
        if shifted != character.letter and pieces and pieces[-1] == " ":
            pieces.pop()
        pieces.append(shifted)
        before = character
    cells.append((start, _joined(pieces)))
    text = unmarked(" ".join(cell for _, cell in cells if cell))
    if text:
        bold = sum(character.bold for character in visible) > len(visible) / 2
        edges = (min(c.left for c in visible), max(c.right for c in visible))
        made.append(Line(text, size, bold, *edges, floor, tuple((x, cell) for x, cell in cells if cell)))


def _shifted(character: _Character, size: float, base: float) -> str:
    """A small character above or below the line as what it means: the 2 of x² and of H₂O."""
    if character.size > SMALL * size:
        return character.letter
    if character.bottom > base + 0.12 * size:
        return raised(character.letter) or character.letter
    below = character.bottom < base - 0.05 * size
    return (lowered(character.letter) if below else None) or character.letter


def _joined(pieces: Sequence[str]) -> str:
    return " ".join(mended("".join(pieces)).split())


def unmarked(text: str) -> str:
    """Text that cannot be taken for our own page marks and headings."""
    return re.sub(r"^(?:#+\s+)+", "", text.replace("<!--", "<! --"), flags=re.MULTILINE)
