"""One process at a time: an advisory lock on a file that says who holds it, and that the kernel frees on a crash."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from rag.errors import IndexInUse


class FolderLock:
    """Held from construction until `release`. Raises IndexInUse when another process, or this one, holds it."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / "lock"
        self._descriptor: int | None = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.read(self._descriptor, 20).decode("ascii", "replace").strip()
            self.release()
            raise IndexInUse(folder, int(holder) if holder.isdigit() else None) from None
        os.ftruncate(self._descriptor, 0)
        os.write(self._descriptor, f"{os.getpid()}\n".encode())

    def release(self) -> None:
        """Give the lock up; harmless when it is already."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None
