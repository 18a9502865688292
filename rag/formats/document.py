"""What a reader of any format makes of a file."""

from __future__ import annotations

from dataclasses import dataclass

UNPAGED = 0  # the page number of text from a format without pages


class Unreadable(Exception):
    """Why a file cannot be used and what to do, as the end of a sentence that begins with the file's name."""


@dataclass(frozen=True, slots=True)
class DraftPage:
    """A page as Markdown. `number` is the printed one where it can be told, else the position; or UNPAGED."""

    number: int
    text: str


@dataclass(frozen=True, slots=True)
class DraftChapter:
    """A chapter as a file holds it; `number` is None when the file does not say."""

    title: str
    pages: tuple[DraftPage, ...]
    number: int | None = None


@dataclass(frozen=True, slots=True)
class Document:
    """A file's chapters in order, and its own title ("" when it has none).

    `notes` say what was left out or read by OCR, a sentence each, for the person who adds the file.
    """

    title: str
    chapters: tuple[DraftChapter, ...]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Limits:
    """What one file may ask of the machine."""

    file_bytes: int = 300_000_000
    pages: int = 2_000
    unpacked_bytes: int = 600_000_000
    entries: int = 2_000
    ratio: int = 200  # unpacked over packed size, of an entry above 1 MB
    picture_pixels: int = 40_000_000


LIMITS = Limits()
