"""Follows a run that another process makes, by reading what is added to its record."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

from training.errors import TrainingError
from training.records.record import RECORD, Event, Finished, from_line
from training.report.run import is_held

POLL = 0.5  # seconds between two looks


class Tail:
    """The lines of a growing file, each given once and whole."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._read = 0

    def lines(self) -> list[str]:
        """Those that were completed since the last call. Raises TrainingError when the file cannot be read."""
        try:
            with self._path.open("rb") as file:
                file.seek(self._read)
                added = file.read()
        except OSError as error:
            raise TrainingError(f"{self._path} cannot be read ({error.strerror})") from error
        whole = added[: added.rfind(b"\n") + 1]
        self._read += len(whole)
        return whole.decode("utf-8", errors="replace").splitlines()


def follow(folder: Path, poll: float = POLL) -> Iterator[tuple[str, Event]]:
    """Every line of the record with its event, from the first, until the run ends or its process is gone.

    Raises TrainingError.
    """
    tail = Tail(folder / RECORD)
    last: Event | None = None
    gone = False
    while True:
        lines = tail.lines()
        for line in lines:
            try:
                last = from_line(line)
            except ValueError as error:
                raise TrainingError(f"{folder / RECORD}: {error}") from error
            yield line, last
        # After its last line a run may have been taken up again; after its process has gone, lines may be left to read.
        if gone or isinstance(last, Finished):
            return
        gone = not lines and not is_held(folder)
        if not gone:
            time.sleep(poll)
