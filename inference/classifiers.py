"""Safety classifiers on disk: the shipped one, those trained here, and which one screens. Imports no torch.

A classifier trained here is a folder named by the first 12 hex digits of its sha256, that holds the files of
`inference.moderation`, `thresholds.json`, and `card.json`: where it came from, and how it did beside the one before it.
`current.json` beside the folders holds the promotions that hold, the last one serving; without it the shipped one does.
`history.jsonl` keeps every promotion, also those that were taken back: see `inference.history`.
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from inference import history
from inference.errors import ModerationRefused
from inference.files import Stamp, locked, sha256_of, stamp, write_json
from inference.history import Deed
from inference.moderation import CARD as MODEL_CARD
from inference.moderation import WEIGHTS
from inference.ngrams import NGRAMS

logger = logging.getLogger(__name__)

SHIPPED = "shipped"
THRESHOLDS = "thresholds.json"
FILES = (WEIGHTS, NGRAMS, MODEL_CARD, THRESHOLDS)
CARD, CURRENT = "card.json", "current.json"

_ID = re.compile(r"[0-9a-f]{12}")  # also what keeps "../.." out of a path


@dataclass(frozen=True, slots=True)
class ClassifierCard:
    """Where a classifier came from. `created` is ISO 8601 with its offset.

    `reviewed` of its `messages` are what staff said of alarms and refusals here. `sets` holds, for each set of held-out
    messages, the shares that came out right before (with the classifier then in use) and after, and whether it passed.
    """

    id: str
    created: str
    messages: int
    reviewed: int
    corpus: bool
    compared_with: str
    passed: bool
    sets: Sequence[Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class Promotion:
    """One line of the history. `reason` is given where the gate was overruled."""

    id: str
    at: str
    by: str
    reason: str = ""


class ClassifierShelf:
    """The classifiers of one home. Safe to read while another process promotes or adds."""

    def __init__(self, root: Path, shipped: Path) -> None:
        self.root = root
        self._shipped = shipped
        self._read: tuple[Stamp, tuple[Promotion, ...]] | None = None

    def list(self) -> list[ClassifierCard]:
        """Those trained here, newest first. A folder whose card cannot be read is logged and left out."""
        cards = []
        for folder in sorted(self.root.iterdir()) if self.root.is_dir() else []:
            if _ID.fullmatch(folder.name):
                try:
                    cards.append(_card(folder))
                except ModerationRefused as error:
                    logger.warning("%s", error)
        return sorted(cards, key=lambda card: (card.created, card.id), reverse=True)

    def find(self, classifier: str) -> ClassifierCard:
        """Raises ModerationRefused when there is none of that id."""
        if not _ID.fullmatch(classifier) or not (self.root / classifier / CARD).is_file():
            raise ModerationRefused(
                f"there is no classifier {classifier!r}; `sahpathi classifiers list` names those there are"
            )
        return _card(self.root / classifier)

    def folder(self, classifier: str) -> Path:
        """Where its files are. Raises ModerationRefused when there is none, or its files were altered."""
        if classifier == SHIPPED:
            return self._shipped
        folder = self.root / self.find(classifier).id
        if classifier_id(folder) != classifier:
            raise ModerationRefused(f"{folder}: altered since it was made; restore its files, or roll back")
        return folder

    @property
    def current(self) -> str:
        """The id of the one that screens."""
        held = self.history()
        return held[-1].id if held else SHIPPED

    def history(self) -> tuple[Promotion, ...]:
        """Promotions that hold, the first one first. Read again whenever the file has changed.

        Raises ModerationRefused when it cannot be read: to go on with another classifier than staff chose would be to
        screen in a way that nobody decided.
        """
        path = self.root / CURRENT
        try:
            seen = stamp(path)
            if self._read is None or self._read[0] != seen:
                raw = json.loads(path.read_text(encoding="utf-8"))
                self._read = seen, tuple(Promotion(**entry) for entry in raw)
        except FileNotFoundError:
            return ()
        except (OSError, ValueError, TypeError) as error:
            raise ModerationRefused(f"{path}: cannot be read ({error}); remove it to use the shipped one") from error
        return self._read[1]

    def add(self, made: Path, **card: Any) -> ClassifierCard:
        """Move a finished classifier under its id, with its card. `made` must lie on the root's file system."""
        written = ClassifierCard(id=classifier_id(made), created=history.now(), **card)
        target = self.root / written.id
        write_json(made / CARD, asdict(written))
        if not target.exists():
            made.replace(target)
        return _card(target)

    def promote(self, classifier: str, *, by: str, reason: str = "") -> None:
        """Let it screen from the next message on, in every process of this home. Raises ModerationRefused."""
        self.folder(classifier)
        now = history.now()
        with locked(self.root):
            held = self.history()
            gate = "" if classifier == SHIPPED else "passed" if self.find(classifier).passed else "failed"
            history.add(self.root, Deed(history.PROMOTED, classifier, now, by, reason, gate, before=self.current))
            self._write([*held, Promotion(classifier, now, by, reason)])
        logger.info("classifier %s promoted%s", classifier, " against the gate" if reason else "")

    def rollback(self) -> str:
        """Take back the last promotion: the id of what screens now. Raises ModerationRefused when there is none."""
        with locked(self.root):
            held = self.history()
            if not held:
                raise ModerationRefused("there is nothing to take back: the shipped classifier is in use")
            before = held[-2].id if len(held) > 1 else SHIPPED
            self.folder(before)
            self._write(held[:-1])
            history.add(self.root, Deed(history.TAKEN_BACK, held[-1].id, history.now()))
        logger.info("classifier %s taken back, %s screens again", held[-1].id, before)
        return before

    def _write(self, held: Sequence[Promotion]) -> None:
        write_json(self.root / CURRENT, [asdict(entry) for entry in held])


def classifier_id(folder: Path) -> str:
    """Raises ModerationRefused when a file is missing."""
    if missing := [name for name in FILES if not (folder / name).is_file()]:
        raise ModerationRefused(f"{folder}: {' and '.join(missing)} missing")
    return sha256_of(folder / name for name in FILES)[:12]


def _card(folder: Path) -> ClassifierCard:
    try:
        raw = json.loads((folder / CARD).read_text(encoding="utf-8"))
        card = ClassifierCard(**{field.name: raw[field.name] for field in fields(ClassifierCard)})
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise ModerationRefused(f"{folder / CARD} cannot be read as a classifier's card ({error})") from error
    if card.id != folder.name:
        raise ModerationRefused(f"{folder / CARD} is the card of {card.id}; the folder must have that name")
    return card
