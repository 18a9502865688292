"""LoRA adapters on disk: their cards, their hashes, and which one is served for a subject. Imports no torch.

An adapter is a folder named by its id, `<subject>-<first 12 hex digits of its sha256>`, that holds

    adapter_config.json, adapter_model.safetensors    as PEFT writes them
    card.json                                          where it came from and how well it did: an `AdapterCard`

A root is a folder of adapters with a `current.json` beside them that says what is promoted, by subject:
`{"science": "science-0123456789ab"}`. Ids are content hashes, never reused: what was cached under one stays right.
Two more files lie beside it where they are needed:

    canary.json      what is tried on a share of the conversations, by subject: {"science": {"id", "share", "at", "by"}}
    history.jsonl    who promoted what, when and against which gate: see `inference.history`
"""

from __future__ import annotations

import hashlib
import json
import logging
import re
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from inference import history
from inference.errors import AdapterRefused, ModelMissing
from inference.files import Stamp, locked, sha256_of, stamp, write_json
from inference.history import Deed

logger = logging.getLogger(__name__)

GENERAL = "general"  # the subject whose adapter serves every subject that has none of its own
CARD = "card.json"
CURRENT, CANARIES = "current.json", "canary.json"
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


@dataclass(frozen=True, slots=True)
class Canary:
    """An adapter that answers a share of the conversations, 0..1, and who began that when."""

    id: str
    share: float
    at: str
    by: str

    def takes(self, conversation: str) -> bool:
        """Whether it answers in this conversation: always the same for the same two."""
        digest = hashlib.sha256(f"{self.id}\n{conversation}".encode()).digest()
        return int.from_bytes(digest[:8], "big") < self.share * 2**64


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
        self._files: dict[Path, tuple[Stamp, dict[str, Any]]] = {}
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

    def measured(self, adapter: str) -> Path:
        """Where what is measured of an adapter is kept, beside what its hash covers: its folder.

        A shipped one's folder is read only, so that is one of its name under the first root.
        """
        folder = self.folder(adapter)
        return folder if folder.parent == self.roots[0] else self.roots[0] / ".measured" / adapter

    def current(
        self, subject: str | None = None, *, base_sha256: str | None = None, conversation: str | None = None
    ) -> AdapterCard | None:
        """The adapter promoted for `subject`, else the general one, else None.

        With `base_sha256`, adapters made for another base model are passed over (and logged once): naming another base
        model in the settings then serves that model as it is. With `conversation`, a canary gets its share of them.
        Reads current.json and canary.json again whenever they have changed.
        """
        wanted = [subject, GENERAL] if subject and subject != GENERAL else [GENERAL]
        canaries = self.canaries() if conversation is not None else {}
        for name in wanted:
            tried = canaries.get(name)
            if tried and conversation is not None and tried.takes(conversation):
                card = self._usable(tried.id, base_sha256)
                if card:
                    return card
            for root in self.roots:
                adapter = self._read_current(root).get(name)
                card = self._usable(adapter, base_sha256) if adapter else None
                if card:
                    return card
        return None

    def promote(self, card: AdapterCard, *, by: str = "", reason: str = "", gate: str = "") -> None:
        """Serve `card` for its subject from the next question on, in every process that uses this shelf.

        A canary of the subject ends with it. Raises AdapterRefused when the files are not those of the card.
        """
        self.verify(card, card.base_sha256)
        root = self.roots[0]
        with locked(root):
            before = self._read_current(root).get(card.subject, "")
            if before != card.id:
                # Written down before it is done: no promotion can be in force that nobody answers for.
                deed = Deed(history.PROMOTED, card.id, history.now(), by, reason, gate, card.subject, before)
                history.add(root, deed)
                write_json(root / CURRENT, {**self._read_current(root), card.subject: card.id})
            self._end_canary(card.subject, by)
        logger.info("adapter %s promoted for %s%s", card.id, card.subject, " against the gate" if reason else "")

    def rollback(self, subject: str = GENERAL, *, by: str = "") -> AdapterCard | None:
        """Take back the last promotion for `subject`: what answers it now, None for the base model alone.

        A canary of the subject ends with it. Raises AdapterRefused when nothing was promoted here.
        """
        root = self.roots[0]
        with locked(root):
            promoted = self._read_current(root)
            taken = promoted.get(subject)
            if taken is None:
                raise AdapterRefused(f"there is nothing to take back: no adapter was promoted for {subject} here")
            before = self._before(subject, taken)
            rest = {name: adapter for name, adapter in promoted.items() if name != subject}
            if before:
                found = self.find(before)
                self.verify(found, found.base_sha256)
                rest[subject] = before
            write_json(root / CURRENT, rest)
            history.add(root, Deed(history.TAKEN_BACK, taken, history.now(), by, subject=subject))
            self._end_canary(subject, by)
        logger.info("adapter %s taken back for %s", taken, subject)
        return self.current(subject)

    def canaries(self) -> dict[str, Canary]:
        """What is tried on a share of the conversations, by subject."""
        found = {}
        for subject, raw in self._read(self.roots[0] / CANARIES).items():
            try:
                found[subject] = Canary(raw["id"], float(raw["share"]), raw["at"], raw["by"])
            except (TypeError, KeyError, ValueError):
                self._warn(CANARIES, f"{CANARIES}: the canary of {subject} cannot be read; begin it anew")
        return found

    def start_canary(self, card: AdapterCard, share: float, *, by: str, reason: str = "", gate: str = "") -> None:
        """Let `card` answer its subject in a share of the conversations, in place of the canary there was.

        Raises AdapterRefused when its files are not those of the card, ValueError for a share outside 0..1.
        """
        if not 0 < share < 1:
            raise ValueError(f"a canary takes a share of the conversations between 0 and 1, such as 0.1, not {share:g}")
        self.verify(card, card.base_sha256)
        root, at = self.roots[0], history.now()
        with locked(root):
            history.add(root, Deed(history.CANARY, card.id, at, by, reason, gate, card.subject, share=share))
            began = {"id": card.id, "share": share, "at": at, "by": by}
            write_json(root / CANARIES, {**self._read(root / CANARIES), card.subject: began})

    def end_canary(self, subject: str, *, by: str = "") -> Canary:
        """Every conversation gets the promoted adapter again. Raises AdapterRefused when there is no canary."""
        ended = self.canaries().get(subject)
        if ended is None:
            raise AdapterRefused(f"there is no canary for {subject}")
        with locked(self.roots[0]):
            self._end_canary(subject, by)
        return ended

    def remove(self, adapter: str, *, by: str = "") -> None:
        """Delete an adapter's files. Raises AdapterRefused for one that is shipped, answers, or is tried."""
        folder, root = self.folder(adapter), self.roots[0]
        if folder.parent != root:
            raise AdapterRefused(f"{adapter} is shipped; only adapters made here can be removed")
        with locked(root):
            if adapter in self._read_current(root).values():
                raise AdapterRefused(f"{adapter} is in use; promote another one or roll back first")
            if any(adapter == canary.id for canary in self.canaries().values()):
                raise AdapterRefused(f"{adapter} answers a share of the conversations; end its canary first")
            gone = root / f".removed-{adapter}"
            folder.replace(gone)  # at once; what is left of it after a crash has no adapter's name
            history.add(root, Deed(history.REMOVED, adapter, history.now(), by))
        shutil.rmtree(gone)

    def history(self, adapter: str | None = None) -> tuple[Deed, ...]:
        """What was done on this shelf, oldest first: with all adapters, or with one."""
        return tuple(deed for deed in history.read(self.roots[0]) if adapter in (None, deed.id))

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

    def _before(self, subject: str, taken: str) -> str:
        """What this root promoted for the subject before `taken`, as far as it is still there; "" for none.

        A promotion that was written down but not done, since its process ended in between, is not counted.
        """
        held: list[Deed] = []
        for deed in history.read(self.roots[0]):
            if deed.subject == subject and deed.did == history.PROMOTED:
                held.append(deed)
            elif deed.subject == subject and deed.did == history.TAKEN_BACK and held:
                held.pop()
        while held and held[-1].id != taken:
            held.pop()
        there = {folder.name for folder in self._folders()}
        return next((deed.before for deed in reversed(held) if deed.before in there), "")

    def _end_canary(self, subject: str, by: str) -> None:
        root = self.roots[0]
        canaries = self._read(root / CANARIES)
        if subject in canaries:
            ended = self.canaries().get(subject)
            write_json(root / CANARIES, {name: raw for name, raw in canaries.items() if name != subject})
            adapter = ended.id if ended else ""
            history.add(root, Deed(history.CANARY_ENDED, adapter, history.now(), by, subject=subject))

    def _read_current(self, root: Path) -> dict[str, str]:
        return {subject: str(adapter) for subject, adapter in self._read(root / CURRENT).items()}

    def _read(self, path: Path) -> dict[str, Any]:
        try:
            seen = stamp(path)
            cached = self._files.get(path)
            if cached and cached[0] == seen:
                return cached[1]
            found = {str(subject): value for subject, value in json.loads(path.read_text(encoding="utf-8")).items()}
        except FileNotFoundError:
            return {}
        except (OSError, ValueError, AttributeError) as error:
            self._warn(path.name, f"{path} cannot be read ({error}); promote an adapter again to replace it")
            return {}
        self._files[path] = (seen, found)
        return found

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
