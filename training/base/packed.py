"""Packed text: the plain text of a pretraining run as tokens on disk, made once and read through memory maps.

A folder of packed text holds shards (`*.tokens`: what is learned, then what is held back), what each holds (`*.json`,
written after it) and `card.json`, the index, written last. A shard's name comes from what its tokens depend on: the
tokenizer, its source, the share held back. So a kill leaves the shards that were finished, and only a source that
changed is packed anew.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from inference.files import locked, sha256_of, write_json
from training.base.packing import How, Part, Shard, write_shards
from training.base.sources import Source, digest, parts, sources
from training.base.tokens import Stretch, Tokens
from training.errors import TrainingError

logger = logging.getLogger(__name__)

CARD = "card.json"
PART = 16_000_000  # characters of text in a shard

_FORMAT = 1

OnPacked = Callable[[int, int, str], None]  # bytes of the sources done, of all of them, the source


@dataclass(frozen=True, slots=True)
class Counted:
    """What came from one source: documents, tokens to learn and tokens held back."""

    name: str
    documents: int
    learned: int
    kept_back: int


@dataclass(frozen=True, slots=True)
class Packed:
    """The plain text of a run. `sha256` identifies every token of it, in order."""

    learned: Tokens
    kept_back: Tokens
    sources: tuple[Counted, ...]
    sha256: str


def pack(
    tokenizer: Path,
    folder: Path,
    textbooks: Path,
    corpus: Path | None = None,
    *,
    validation: float,
    processes: int = 0,
    part: int = PART,
    on_packed: OnPacked | None = None,
) -> Packed:
    """Pack what is not packed yet into `folder`, and open all of it. Several processes may call this at once.

    `tokenizer` is the folder of the tokenizer; of each document the last `validation` is held back; 0 `processes` are
    as many as there are processors; a shard has about `part` characters of text. Raises TrainingError.
    """
    found = sources(textbooks, corpus)
    plan = _Plan.of(tokenizer, folder, validation, part)
    with locked(folder):
        _tell_changes(plan, found)
        before = {source.name: sum(s.size for s in found[:at]) for at, source in enumerate(found)}
        total = sum(source.size for source in found)

        def report(done: Part) -> None:
            if on_packed is not None:
                on_packed(before[done.source] + done.position, total, done.source)

        write_shards(_missing(plan, found), folder, plan.how, processes, report)
        shards = {source.name: plan.shards(source) for source in found}
        card = _card(plan, found, shards)
        if card != _read(folder / CARD):
            write_json(folder / CARD, card)
        _clear(folder, [shard for several in shards.values() for shard in several])
        return _open(folder, card)


@dataclass(frozen=True, slots=True)
class _Plan:
    """How text becomes shards in a folder. `tokenizer` identifies the tokens that it gives."""

    folder: Path
    how: How
    tokenizer: str
    part: int

    @classmethod
    def of(cls, tokenizer: Path, folder: Path, validation: float, part: int) -> _Plan:
        file = tokenizer / "tokenizer.json"
        try:
            content = json.loads(file.read_text(encoding="utf-8"))
            ids = [*content["model"]["vocab"].values(), *(added["id"] for added in content["added_tokens"])]
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise TrainingError(
                f"{file}: cannot be read ({error!r}); make it with `sahpathi train tokenizer`"
            ) from error
        # Only what decides the tokens: a tokenizer that is saved again also writes what was last asked of it.
        decides = [content.get(key) for key in ("added_tokens", "normalizer", "pre_tokenizer", "model")]
        how = How(file, "uint16" if max(ids) < 1 << 16 else "uint32", validation)
        return cls(folder, how, digest(decides), part)

    def stem(self, source: Source) -> str:
        """How the names of the source's shards begin."""
        depends = [_FORMAT, self.tokenizer, self.how.validation, self.part, source.sha256]
        return f"{source.name.split('.')[0]}-{digest(depends)[:16]}"

    def shards(self, source: Source) -> list[Shard]:
        """The source's finished shards, in order. One whose file is not as long as it was is not finished."""
        read = [_read(path) for path in sorted(self.folder.glob(f"{self.stem(source)}-*.json"))]
        shards = [Shard(**values) for values in read if values is not None]
        return [
            shard for shard in shards if _size(self.folder, shard) == self.width * (shard.learned + shard.kept_back)
        ]

    def complete(self, source: Source) -> bool:
        names = [shard.name for shard in self.shards(source)]
        whole = [f"{self.stem(source)}-{number:05}" for number in range(len(names))]
        return names == whole and any(shard.last for shard in self.shards(source))

    @property
    def width(self) -> int:
        """Bytes of a token."""
        return 2 if self.how.dtype == "uint16" else 4


def _missing(plan: _Plan, found: list[Source]) -> Iterator[Part]:
    """What no finished shard holds. A source whose shards are all there is not read again."""
    for source in found:
        if plan.complete(source):
            continue
        ready = {shard.name for shard in plan.shards(source)}
        for number, (texts, position, last) in enumerate(parts(source, plan.part)):
            name = f"{plan.stem(source)}-{number:05}"
            if name not in ready:
                yield Part(source.name, name, texts, position, last)


def _tell_changes(plan: _Plan, found: list[Source]) -> None:
    """Say in the log what is not as it was when the folder was last packed."""
    card = _read(plan.folder / CARD)
    if card is None:
        return
    if card["tokenizer"] != plan.tokenizer or card["validation"] != plan.how.validation:
        logger.warning("%s: the tokenizer or `validation` is another one; all text is packed anew", plan.folder)
        return
    before = {source["name"]: source["sha256"] for source in card["sources"]}
    now = {source.name: source.sha256 for source in found}
    changed = {name for name in now.keys() & before.keys() if now[name] != before[name]}
    for what, names in (("new", now.keys() - before), ("changed", changed), ("gone", before.keys() - now)):
        if names:
            logger.warning("%s: the text is another one; %s: %s", plan.folder, what, ", ".join(sorted(names)))


def _card(plan: _Plan, found: list[Source], shards: dict[str, list[Shard]]) -> dict[str, Any]:
    everything = [shard for source in found for shard in shards[source.name]]
    return {
        "format": _FORMAT,
        "tokenizer": plan.tokenizer,
        "validation": plan.how.validation,
        "dtype": plan.how.dtype,
        "sha256": digest([plan.how.dtype, *(shard.sha256 for shard in everything)]),
        **_counts(everything),
        "sources": [
            {
                "name": source.name,
                "sha256": source.sha256,
                "bytes": source.size,
                **_counts(shards[source.name]),
                "shards": [asdict(shard) for shard in shards[source.name]],
            }
            for source in found
        ],
    }


def _counts(shards: list[Shard]) -> dict[str, int]:
    return {name: sum(getattr(shard, name) for shard in shards) for name in ("documents", "learned", "kept_back")}


def _clear(folder: Path, wanted: list[Shard]) -> None:
    """Remove the shards of an older text, and what a kill left unfinished."""
    names = {shard.name for shard in wanted}
    for path in [*folder.glob("*.tokens"), *folder.glob("*.part"), *folder.glob("*-*.json")]:
        if path.stem not in names or path.suffix == ".part":
            path.unlink()


def _open(folder: Path, card: dict[str, Any]) -> Packed:
    learned, kept_back = list[Stretch](), list[Stretch]()
    for values in (values for source in card["sources"] for values in source["shards"]):
        path = folder / f"{values['name']}.tokens"
        if sha256_of([path]) != values["sha256"]:
            raise TrainingError(f"{path}: is not what was written there; remove it and give the same command again")
        learned.append(Stretch(path, card["dtype"], 0, values["learned"]))
        kept_back.append(Stretch(path, card["dtype"], values["learned"], values["kept_back"]))
    names = ("name", "documents", "learned", "kept_back")
    counted = tuple(Counted(*(source[name] for name in names)) for source in card["sources"])
    return Packed(Tokens(learned), Tokens(kept_back), counted, card["sha256"])


def _size(folder: Path, shard: Shard) -> int:
    try:
        return (folder / f"{shard.name}.tokens").stat().st_size
    except OSError:
        return -1


def _read(path: Path) -> dict[str, Any] | None:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return content if isinstance(content, dict) else None
