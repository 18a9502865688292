"""Files that other processes read while they are replaced: hashes of them, and writing them whole or not at all."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

Stamp = tuple[int, int, int]


def stamp(path: Path) -> Stamp:
    """Another one whenever the file was replaced. Raises OSError when there is none."""
    # An atomic replacement always brings a new inode, so two of them within one tick of the clock differ as well.
    status = path.stat()
    return status.st_mtime_ns, status.st_size, status.st_ino


def sha256_of(paths: Iterable[Path]) -> str:
    """Of the files one after the other, as `cat ... | sha256sum` gives it."""
    digest = hashlib.sha256()
    for path in paths:
        with path.open("rb") as file:
            while block := file.read(1 << 20):
                digest.update(block)
    return digest.hexdigest()


def write_json(path: Path, value: Any) -> None:
    """Replace `path` in one step: see write_text."""
    write_text(path, json.dumps(value, ensure_ascii=False, indent=2, sort_keys=True) + "\n")


def write_text(path: Path, text: str) -> None:
    """Replace `path` in one step that also survives a power cut: written aside, flushed to disk, renamed."""
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).chmod(0o644)  # mkstemp gives 0600; cards are no secret and may be read by another account
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    flush(path.parent)


def flush(path: Path) -> None:
    """Let what is in a file, or was renamed in a folder, survive a power cut."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """One writer at a time, among all processes; the kernel frees the lock of one that dies."""
    folder.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(folder / ".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
