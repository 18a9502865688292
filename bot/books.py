"""The books of a running service: which chapters there are, and the jobs that index and search them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bot.jobs import Handler, Progress
from bot.ports import Chapter

if TYPE_CHECKING:  # a web process has no index
    from rag.library import Library

Shelves = Callable[[], Sequence[Path]]
Told = Callable[[Sequence[Chapter]], None]


class Books:
    """What stands on the shelves. `shelves` names their folders, and is asked again each time they are read."""

    def __init__(self, shelves: Shelves) -> None:
        self._shelves = shelves
        self._chapters: list[Chapter] | None = None

    async def chapters(self) -> list[Chapter]:
        """What the shelves held when they were last read."""
        if self._chapters is None:
            from rag.ingest import read_library

            books, _ = await asyncio.to_thread(read_library, *self._shelves())
            self._chapters = [Chapter(book.title, book.chapter_title, book.class_level, book.subject) for book in books]
        return self._chapters

    def jobs(self, library: Library, told: Told) -> dict[str, Handler]:
        """What a process that has the index open does for others. `told` hears what the shelves hold from then on."""

        async def index(arguments: Mapping[str, Any], progress: Progress) -> dict[str, Any]:
            """Read the shelves again and index what changed; all of it anew with `rebuild`."""
            report = await library.index(self._shelves(), progress, force=bool(arguments.get("rebuild")))
            self._chapters = None
            told(await self.chapters())
            return report.summary()

        async def search(arguments: Mapping[str, Any], progress: Progress) -> dict[str, Any]:
            return (await library.retrieve(**arguments)).summary()

        return {"index": index, "search": search}
