"""ZIP files, of which EPUB and DOCX are two, opened only when they are what they seem."""

from __future__ import annotations

import lzma
import re
import struct
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

from rag.formats.document import Limits, Unreadable

SMALL = 1_000_000  # bytes: below this any ratio is harmless
ENCRYPTED = 0x1
LINK = 0o120000
# What zipfile raises for bytes that are no ZIP: a ValueError is a place before the start, or a name that is no UTF-8.
DAMAGE = (zipfile.BadZipFile, zlib.error, lzma.LZMAError, struct.error, EOFError, NotImplementedError, ValueError)
DAMAGED = "is damaged or cut short; fetch the file again"


@contextmanager
def opened(path: Path, limits: Limits) -> Iterator[zipfile.ZipFile]:
    """A ZIP file whose entries may be read with `content`. Raises Unreadable for one that could do harm."""
    try:
        packed = zipfile.ZipFile(path)
    except DAMAGE as error:
        raise Unreadable(DAMAGED) from error
    with packed:
        _examine(packed, limits)
        yield packed


def content(packed: zipfile.ZipFile, entry: zipfile.ZipInfo | str, limits: Limits) -> bytes:
    """One entry. What its header says of its size is not believed. Raises Unreadable."""
    try:
        with packed.open(entry) as file:
            found = file.read(limits.file_bytes + 1)
    except (*DAMAGE, OSError) as error:
        raise Unreadable(DAMAGED) from error
    if len(found) > limits.file_bytes:
        raise Unreadable(f"holds a file that unpacks to more than {limits.file_bytes // 10**6} MB")
    return found


def files(packed: zipfile.ZipFile) -> list[zipfile.ZipInfo]:
    """The entries that are files and are meant to be seen, in order of their names."""
    return sorted(
        (
            entry for entry in packed.infolist()
            if not entry.is_dir() and not any(part.startswith((".", "__MACOSX")) for part in entry.filename.split("/"))
        ),
        key=lambda entry: natural(entry.filename),
    )  # fmt: skip


def natural(name: str) -> list[tuple[int, str]]:
    """What sorts "chapter 2" before "chapter 10"."""
    return [(int(part), "") if part.isdecimal() else (0, part.casefold()) for part in re.split(r"(\d+)", name)]


def _examine(packed: zipfile.ZipFile, limits: Limits) -> None:
    entries = packed.infolist()
    if len(entries) > limits.entries:
        raise Unreadable(f"holds {len(entries):,} files, and {limits.entries:,} is the most")
    if sum(entry.file_size for entry in entries) > limits.unpacked_bytes:
        raise Unreadable(f"unpacks to more than {limits.unpacked_bytes // 10**6} MB; it may be a zip bomb")
    for entry in entries:
        if entry.file_size > SMALL and entry.file_size > limits.ratio * max(1, entry.compress_size):
            raise Unreadable("unpacks to far more than it should; it may be a zip bomb")
        path = PurePosixPath(entry.filename.replace("\\", "/"))
        if path.is_absolute() or ".." in path.parts or ":" in (path.parts or ("",))[0]:
            raise Unreadable("holds a file whose path leads out of it; it is not safe to open")
        if (entry.external_attr >> 16) & 0o170000 == LINK:
            raise Unreadable("holds a link to another file; it is not safe to open")
        if entry.flag_bits & ENCRYPTED:
            raise Unreadable("is locked with a password; save it without one and add it again")
