"""What was done on a shelf, by whom and when: one JSON line a deed, in `history.jsonl`. Lines are added, never changed.

What is in use now stands in `current.json` beside it; this file is how it came to be, overruled gates included.
"""

from __future__ import annotations

import json
import logging
import os
from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime
from pathlib import Path

logger = logging.getLogger(__name__)

HISTORY = "history.jsonl"
PROMOTED, TAKEN_BACK, REMOVED = "promoted", "taken back", "removed"
CANARY, CANARY_ENDED = "canary", "canary ended"


@dataclass(frozen=True, slots=True)
class Deed:
    """One line. `at` is ISO 8601 with its offset.

    gate:   what the gate had said then: "passed", "failed" or "" where it was not asked
    reason: given where the gate was overruled
    before: of a promotion: the id that this root had promoted until then, "" for none
    share:  of a canary: the share of conversations, 0..1
    """

    did: str
    id: str
    at: str
    by: str = ""
    reason: str = ""
    gate: str = ""
    subject: str = ""
    before: str = ""
    share: float | None = None


def now() -> str:
    """The present as the history writes it."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def add(root: Path, deed: Deed) -> None:
    """Append to the history of `root`, and wait until it is on the disk."""
    root.mkdir(parents=True, exist_ok=True)
    line = json.dumps(asdict(deed), ensure_ascii=False) + "\n"
    descriptor = os.open(root / HISTORY, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
    try:
        size = os.fstat(descriptor).st_size
        if size and os.pread(descriptor, 1, size - 1) != b"\n":
            line = "\n" + line  # a power cut tore the last line: the next one must not be lost with it
        os.write(descriptor, line.encode())
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def read(root: Path) -> list[Deed]:
    """Every deed, oldest first. A line that cannot be read is logged and left out: the rest still counts."""
    path = root / HISTORY
    known = {field.name for field in fields(Deed)}
    deeds = []
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines() if path.exists() else []
    for number, line in enumerate(lines, start=1):
        try:
            raw = json.loads(line)
            deeds.append(Deed(**{name: value for name, value in raw.items() if name in known}))
        except (ValueError, TypeError, AttributeError):
            logger.warning("%s:%d cannot be read", path, number)
    return deeds
