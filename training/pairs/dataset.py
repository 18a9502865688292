"""Datasets on disk: a folder named by the hash of what it holds, which is never changed again.

    train.jsonl, dev.jsonl, test.jsonl    the examples, as `training.pairs.data` reads them
    card.json                             where they came from and what was done to them: a `Card`

`<root>/<first 12 hex digits of its sha256>`. Beside them lies `splits.json`, the ledger of `training.pairs.splits`.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from inference.files import flush, locked, write_json
from training.errors import TrainingError
from training.pairs.curate import Contradiction, questions_of
from training.pairs.data import CARD, SPLIT_FILES, Example, as_row, files_sha256, is_dataset, of_split, read
from training.pairs.sameness import Asked, asked, key
from training.pairs.splits import LEDGER, read_ledger, write_ledger
from training.tuning.lengths import Tokens, Words

FEW = 50
WHY_FEW = (
    "fewer than {few} examples hardly move an adapter, and a tenth of them is too little to measure anything by: "
    "review more answers, or add pairs from files"
)

_ID = re.compile(r"[0-9a-f]{12}")


@dataclass(frozen=True, slots=True)
class Source:
    """Where examples came from: the log, or a file by its name. `sha256` is of the file, or of the log's examples."""

    name: str
    sha256: str
    examples: int


@dataclass(frozen=True, slots=True)
class Card:
    """What a dataset is. `sha256` is that of its three files, one after the other; the id is its first 12 digits.

    counts:  examples by split, subject, language, asked (how the question is put) and kind
    filters: how many examples each filter removed
    masks:   how many pieces of personal data were masked, by kind
    notes:   further counts: liked, withheld, drafts left out, asked_often ...
    parent:  the id of the dataset that was the latest before, or ""
    index:   the books that passages came from, by the fingerprint of their index, or ""
    """

    id: str
    sha256: str
    name: str
    created: str  # ISO 8601 in UTC
    parent: str
    examples: int
    counts: Mapping[str, Mapping[str, int]]
    sources: Sequence[Mapping[str, Any]]
    filters: Mapping[str, int]
    masks: Mapping[str, int]
    contradictions: Sequence[Mapping[str, Any]]
    notes: Mapping[str, Any]
    index: str = ""


@dataclass(frozen=True, slots=True)
class Made:
    """What the card of a new dataset says beyond what its examples say themselves."""

    name: str = ""
    sources: Sequence[Source] = ()
    filters: Mapping[str, int] = field(default_factory=dict)
    masks: Mapping[str, int] = field(default_factory=dict)
    contradictions: Sequence[Contradiction] = ()
    notes: Mapping[str, Any] = field(default_factory=dict)
    index: str = ""


Place = Callable[[Mapping[str, str]], list[Example]]  # from the ledger to the examples with their splits


def write(root: Path, place: Place, made: Made, *, ledger: Path | None = None) -> tuple[Card, Path]:
    """Write a dataset under `root`, complete or not at all. Its card, and the folder it is in.

    `place` is given what the ledger says; the sides it chooses are recorded before the dataset appears. The same
    examples give the same folder, which then stays as it is. Raises TrainingError, DatasetError.
    """
    root.mkdir(parents=True, exist_ok=True)
    ledger = ledger or root / LEDGER
    with locked(ledger.parent):  # one build at a time decides where questions stand
        recorded = read_ledger(ledger)
        examples = sorted(place(recorded), key=lambda example: (key(example), example.answer))
        if not examples:
            raise TrainingError("there is nothing to put into a dataset: review some answers, or name files with pairs")
        questions = questions_of(examples)
        unfinished = Path(tempfile.mkdtemp(dir=root, prefix=".unfinished-"))
        try:
            _write_files(unfinished, examples)
            card = _card(unfinished, examples, made, parent=_latest(root))
            target = root / card.id
            write_ledger(ledger, recorded, questions, [question.said for question in questions])
            if target.exists():
                read(target)  # raises when it was altered
                return read_card(target), target
            write_json(unfinished / CARD, asdict(card))
            for path in unfinished.iterdir():
                path.chmod(0o444)
            unfinished.chmod(0o755)
            unfinished.replace(target)
            flush(root)
        finally:
            shutil.rmtree(unfinished, ignore_errors=True)
    return card, target


def read_card(folder: Path) -> Card:
    """The card of a dataset. Raises TrainingError when there is none, or it is malformed."""
    try:
        raw = json.loads((folder / CARD).read_text(encoding="utf-8"))
        return Card(**{one.name: raw[one.name] for one in fields(Card)})
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise TrainingError(f"{folder / CARD} cannot be read as a dataset's card ({type(error).__name__})") from error


def cards(root: Path) -> list[Card]:
    """The datasets under `root`, the latest first. Raises TrainingError for a card that cannot be read."""
    found = [read_card(folder) for folder in sorted(root.glob("*")) if _ID.fullmatch(folder.name)]
    return sorted(found, key=lambda card: (card.created, card.id), reverse=True)


def find(root: Path, named: str) -> Path:
    """The folder of a dataset by its id, the beginning of it, or its path; a file stays what it is.

    Raises TrainingError.
    """
    if named and Path(named).exists():
        return Path(named)
    found = [folder for folder in sorted(root.glob(f"{named}*")) if _ID.fullmatch(folder.name) and is_dataset(folder)]
    if len(found) == 1 and named:
        return found[0]
    many = f": {', '.join(folder.name for folder in found)}" if found else ""
    raise TrainingError(f"there is {'more than one' if found else 'no'} dataset {named!r} in {root}{many}")


@dataclass(frozen=True, slots=True)
class Stats:
    """What a set of examples amounts to. Lengths are the median, the 95th percentile and the longest, in `unit`."""

    examples: int
    unit: str  # "tokens" or "words"
    lengths: Mapping[str, tuple[int, int, int]]  # of the question, the answer, and all of it with its passages
    counts: Mapping[str, Mapping[str, int]]
    repeated: int  # questions that are there in the same words already
    reworded: int  # that ask the same in nearly the same words
    dialogues: int
    without_passages: int


def stats(examples: Sequence[Example], counter: Words | Tokens) -> Stats:
    """What `examples` amount to, in the unit of `counter`."""
    keys = Counter(key(example) for example in examples)
    read_off = {key(example): Asked.of(asked(example)) for example in examples}
    telling = [read for read in read_off.values() if read.stems]
    return Stats(
        examples=len(examples),
        unit=counter.unit,
        lengths={
            "question": _spread([counter.text(asked(example)) for example in examples]),
            "answer": _spread([counter.text(example.answer) for example in examples]),
            "whole": _spread([counter.whole(example) for example in examples]),
        },
        counts=_counts(examples),
        repeated=len(examples) - len(keys),
        reworded=len(telling) - len(set(telling)),
        dialogues=sum(bool(example.earlier) for example in examples),
        without_passages=sum(not example.passages for example in examples),
    )


@dataclass(frozen=True, slots=True)
class Difference:
    """What changed from one set of examples to another, by question. `moved`: (question, side before, side after)."""

    added: tuple[str, ...]
    removed: tuple[str, ...]
    changed: tuple[str, ...]
    moved: tuple[tuple[str, str, str], ...]


def diff(before: Iterable[Example], after: Iterable[Example]) -> Difference:
    """Questions are the same in any case and punctuation. A question that is there twice is compared as a whole."""
    old, new = _by_question(before), _by_question(after)
    both = [asks for asks in old if asks in new]
    return Difference(
        added=tuple(asked(new[asks][0]) for asks in new if asks not in old),
        removed=tuple(asked(old[asks][0]) for asks in old if asks not in new),
        changed=tuple(asked(new[asks][0]) for asks in both if _said(old[asks]) != _said(new[asks])),
        moved=tuple(
            (asked(new[asks][0]), ", ".join(_sides(old[asks])), ", ".join(_sides(new[asks])))
            for asks in both
            if _sides(old[asks]) != _sides(new[asks])
        ),
    )


def warning_if_few(count: int) -> str:
    """Why so few examples are too few, or ""."""
    return f"Only {count}: {WHY_FEW.format(few=FEW)}." if count < FEW else ""


def _write_files(folder: Path, examples: Sequence[Example]) -> None:
    for name in SPLIT_FILES:
        with (folder / name).open("w", encoding="utf-8") as file:
            for example in of_split(examples, name.removesuffix(".jsonl")):
                file.write(json.dumps(as_row(example), ensure_ascii=False, sort_keys=True) + "\n")
            file.flush()
            os.fsync(file.fileno())


def _card(folder: Path, examples: Sequence[Example], made: Made, *, parent: str) -> Card:
    sha256 = files_sha256(folder)
    return Card(
        id=sha256[:12],
        sha256=sha256,
        name=made.name,
        created=datetime.now(UTC).isoformat(timespec="milliseconds"),
        parent=parent,
        examples=len(examples),
        counts=_counts(examples),
        sources=[asdict(source) for source in made.sources],
        filters=dict(made.filters),
        masks=dict(made.masks),
        contradictions=[_as_json(one) for one in made.contradictions],
        notes=dict(made.notes),
        index=made.index,
    )


def _as_json(contradiction: Contradiction) -> dict[str, Any]:
    names = ("question", "answer", "source")
    said = [dict(zip(names, one, strict=True)) for one in contradiction.said]
    return {"why": contradiction.why, "said": said}


def _counts(examples: Sequence[Example]) -> dict[str, dict[str, int]]:
    by = {name: Counter(getattr(example, name) or "none" for example in examples) for name in _COUNTED}
    return {name: dict(found.most_common()) for name, found in by.items()}


_COUNTED = ("split", "subject", "language", "asked", "kind")


def _latest(root: Path) -> str:
    return next((card.id for card in cards(root)), "")


def _spread(lengths: Sequence[int]) -> tuple[int, int, int]:
    """Of no lengths, zeros."""
    if not lengths:
        return 0, 0, 0
    ordered = sorted(lengths)
    last = len(ordered) - 1
    return ordered[round(0.5 * last)], ordered[round(0.95 * last)], ordered[-1]


def _by_question(examples: Iterable[Example]) -> dict[str, list[Example]]:
    found: dict[str, list[Example]] = {}
    for example in examples:
        found.setdefault(key(example), []).append(example)
    return found


def _said(examples: Iterable[Example]) -> list[str]:
    return sorted(json.dumps(as_row(replace(example, split="train")), sort_keys=True) for example in examples)


def _sides(examples: Iterable[Example]) -> list[str]:
    return sorted({example.split for example in examples})
