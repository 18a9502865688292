"""LoRA adapters on disk: their cards, their hashes, and which one is served for a subject. Imports no torch.

An adapter is a folder named by its id, `<subject>-<first 12 hex digits of its sha256>`, that holds

    adapter_config.json, adapter_model.safetensors    as PEFT writes them
    card.json                                          where it came from and how well it did: an `AdapterCard`

A root is a folder of adapters with a `current.json` beside them that says what is promoted, by subject:
`{"science": "science-0123456789ab"}`. Ids are content hashes, never reused: what was cached under one stays right.
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from inference.errors import AdapterRefused, ModelMissing
from inference.files import Stamp, sha256_of, stamp, write_json

logger = logging.getLogger(__name__)

GENERAL = "general"  # the subject whose adapter serves every subject that has none of its own
CARD = "card.json"
CURRENT = "current.json"
ADAPTER_FILES = ("adapter_config.json", "adapter_model.safetensors")

_SUBJECT = re.compile(r"[a-z][a-z0-9_]*(?:-[a-z0-9_]+)*")
_ID = re.compile(rf"(?:{_SUBJECT.pattern})-[0-9a-f]{{12}}")  # also what keeps "../.." out of a path


@dataclass(frozen=True, slots=True)
class AdapterCard:
    """Where an adapter came from. The three hashes are hexadecimal sha256; `created` is ISO 8601 with its offset."""

    id: str
    subject: str
    base_sha256: str  # of the base model it was trained on: see model_sha256
    sha256: str  # of the adapter itself: see adapter_sha256
    dataset_sha256: str
    recipe: Mapping[str, Any]  # the arguments of the training run
    scores: Mapping[str, float]  # on the held-out set
    created: str
    examples: int
    language: str

    def __post_init__(self) -> None:
        if self.id != adapter_id(self.subject, self.sha256):
            raise ValueError(f"the id {self.id!r} does not follow from subject {self.subject!r} and sha256")


def adapter_id(subject: str, sha256: str) -> str:
    """The id of an adapter. Raises ValueError when the subject cannot name a folder."""
    if not _SUBJECT.fullmatch(subject):
        raise ValueError(f"a subject is lower-case letters, digits, _ and - (such as science), got {subject!r}")
    return f"{subject}-{sha256[:12]}"


def adapter_sha256(folder: Path) -> str:
    """The sha256 of adapter_config.json followed by adapter_model.safetensors.

    The same as `cat adapter_config.json adapter_model.safetensors | sha256sum`. Raises AdapterRefused.
    """
    missing = [name for name in ADAPTER_FILES if not (folder / name).is_file()]
    if missing:
        raise AdapterRefused(f"{folder}: {' and '.join(missing)} missing; copy the whole folder again or train anew")
    return sha256_of(folder / name for name in ADAPTER_FILES)


def model_sha256(folder: Path) -> str:
    """The sha256 of config.json, tokenizer.json and every *.safetensors in order of name, one after the other.

    The same as `cat config.json tokenizer.json *.safetensors | sha256sum`. Raises ModelMissing.
    """
    return sha256_of(model_files(folder))


def model_files(folder: Path) -> list[Path]:
    """The files that make a model, in the order in which they are hashed. Raises ModelMissing when one is not there."""
    weights = sorted(folder.glob("*.safetensors"))
    needed = [folder / "config.json", folder / "tokenizer.json", *weights]
    missing = [path.name for path in needed if not path.is_file()] + ([] if weights else ["*.safetensors"])
    if missing:
        raise ModelMissing.at(folder, f"{' and '.join(missing)} missing")
    return needed


def write_card(
    folder: Path,
    *,
    subject: str,
    base_sha256: str,
    dataset_sha256: str,
    recipe: Mapping[str, Any],
    scores: Mapping[str, float],
    examples: int,
    language: str,
    created: str | None = None,
) -> AdapterCard:
    """Hash the adapter in `folder` as it stands and write its card beside it. `Shelf.add` then gives it its place.

    Whatever is to be rewritten in adapter_config.json (PEFT puts the base model's path there) must be rewritten before.
    """
    sha256 = adapter_sha256(folder)
    card = AdapterCard(
        id=adapter_id(subject, sha256),
        subject=subject,
        base_sha256=base_sha256,
        sha256=sha256,
        dataset_sha256=dataset_sha256,
        recipe=dict(recipe),
        scores=dict(scores),
        created=created or datetime.now(UTC).isoformat(timespec="seconds"),
        examples=examples,
        language=language,
    )
    write_json(folder / CARD, asdict(card))
    return card


def read_card(folder: Path) -> AdapterCard:
    """The card in `folder`. Raises AdapterRefused when it is missing, malformed or another folder's."""
    card = _parse_card(folder / CARD)
    if card.id != folder.name:
        raise AdapterRefused(f"{folder / CARD} is the card of {card.id}; the folder must have that name")
    return card


class Shelf:
    """Every adapter that can be served, in roots by precedence: the operator's own first, then those shipped.

    Only the first root is ever written to. Safe to read while another process promotes or adds.
    """

    def __init__(self, *roots: Path) -> None:
        if not roots:
            raise ValueError("a shelf needs at least one root")
        self.roots = tuple(Path(root) for root in roots)
        self._promoted: dict[Path, tuple[Stamp, dict[str, str]]] = {}
        self._warned: set[tuple[str, str]] = set()

    def list(self) -> list[AdapterCard]:
        """All adapters, newest first. A folder whose card cannot be read is logged and left out."""
        cards: dict[str, AdapterCard] = {}
        for folder in self._folders():
            try:
                cards.setdefault(folder.name, read_card(folder))
            except AdapterRefused as error:
                self._warn(folder.name, str(error))
        return sorted(cards.values(), key=lambda card: (card.created, card.id), reverse=True)

    def find(self, adapter: str) -> AdapterCard:
        """The card of one adapter by its id. Raises AdapterRefused when there is none."""
        return read_card(self.folder(adapter))

    def folder(self, adapter: str) -> Path:
        """Where an adapter's files are. Raises AdapterRefused when no root has it."""
        if _ID.fullmatch(adapter):
            for root in self.roots:
                if (root / adapter / CARD).is_file():
                    return root / adapter
        raise AdapterRefused(f"there is no adapter {adapter!r}; `sahpathi adapters list` names those there are")

    def current(self, subject: str | None = None, *, base_sha256: str | None = None) -> AdapterCard | None:
        """The adapter promoted for `subject`, else the general one, else None.

        With `base_sha256`, adapters made for another base model are passed over (and logged once): naming another base
        model in the settings then serves that model as it is. Reads current.json again whenever the file has changed.
        """
        wanted = [subject, GENERAL] if subject and subject != GENERAL else [GENERAL]
        for name in wanted:
            for root in self.roots:
                adapter = self._read_current(root).get(name)
                card = self._usable(adapter, base_sha256) if adapter else None
                if card:
                    return card
        return None

    def promote(self, card: AdapterCard) -> None:
        """Serve `card` for its subject from the next question on, in every process that uses this shelf."""
        self.folder(card.id)
        path = self.roots[0] / CURRENT
        path.parent.mkdir(parents=True, exist_ok=True)
        write_json(path, {**self._read_current(self.roots[0]), card.subject: card.id})
        logger.info("adapter %s promoted for %s", card.id, card.subject)

    def add(self, folder: Path) -> AdapterCard:
        """Move a finished adapter (with its card) into the first root under its id; one that is there already stays.

        `folder` must lie on the root's file system, so that the move is one rename and never seen half done.
        """
        target = self.roots[0] / _parse_card(folder / CARD).id
        if not target.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            folder.replace(target)
        return read_card(target)

    def verify(self, card: AdapterCard, base_sha256: str) -> None:
        """Raise AdapterRefused unless the files are those the card was written for, and meant for this base model."""
        if card.base_sha256 != base_sha256:
            raise AdapterRefused(
                f"{card.id} was trained on base model {card.base_sha256[:12]}, not on {base_sha256[:12]} which is "
                "being served; train it anew or set SAHPATHI_MODEL__BASE to its base model"
            )
        found = adapter_sha256(self.folder(card.id))
        if found != card.sha256:
            raise AdapterRefused(
                f"{card.id} has been altered since it was made: sha256 {found[:12]}, its card says {card.sha256[:12]}; "
                "restore its files or promote another adapter"
            )

    def _folders(self) -> Iterator[Path]:
        for root in self.roots:
            if root.is_dir():
                yield from sorted(folder for folder in root.iterdir() if _ID.fullmatch(folder.name))

    def _usable(self, adapter: str, base_sha256: str | None) -> AdapterCard | None:
        try:
            card = self.find(adapter)
        except AdapterRefused as error:
            self._warn(adapter, f"the promoted adapter is passed over: {error}")
            return None
        if base_sha256 is not None and card.base_sha256 != base_sha256:
            self._warn(adapter, f"{adapter} is passed over: it was made for another base model")
            return None
        return card

    def _read_current(self, root: Path) -> dict[str, str]:
        path = root / CURRENT
        try:
            seen = stamp(path)
            cached = self._promoted.get(path)
            if cached and cached[0] == seen:
                return cached[1]
            raw = json.loads(path.read_text(encoding="utf-8"))
            promoted = {str(subject): str(adapter) for subject, adapter in raw.items()}
        except FileNotFoundError:
            return {}
        except (OSError, ValueError, AttributeError) as error:
            self._warn(path.name, f"{path} cannot be read ({error}); promote an adapter again to replace it")
            return {}
        self._promoted[path] = (seen, promoted)
        return promoted

    def _warn(self, adapter: str, message: str) -> None:
        if (adapter, message) not in self._warned:  # once, not at every question
            self._warned.add((adapter, message))
            logger.warning("%s", message)


def _parse_card(path: Path) -> AdapterCard:
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
        return AdapterCard(**{field.name: raw[field.name] for field in fields(AdapterCard)})
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise AdapterRefused(f"{path} cannot be read as an adapter's card ({type(error).__name__}: {error})") from error
