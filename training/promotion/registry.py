"""Registers a trained adapter with its scores: how it does on held-out questions, beside the base model.

The means stand on its card. Beside the card lie files that its hash does not cover: `scores.jsonl`, every answer with
what it is worth, so that adapters can be compared question by question later; and `gate.json`, what the gate said.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from inference.adapters import AdapterCard, Shelf, write_card
from inference.files import write_json, write_text
from inference.generation import Decoding
from training.errors import TrainingError
from training.evals.answers import (
    GREEDY,
    Answered,
    Answerer,
    Asked,
    Check,
    OnAnswer,
    answered,
    by_engine,
    row,
    summary,
)
from training.pairs.conversations import Retrieve
from training.pairs.data import SELF, UNANSWERABLE, Example, of_split

if TYPE_CHECKING:
    from inference.engine import Engine

logger = logging.getLogger(__name__)

BASE = "base"
SCORES, GATE = "scores.jsonl", "gate.json"


@dataclass(frozen=True, slots=True)
class Gate:
    """What the gate said of an adapter beside the one that answered then. `rows` are those of `gate.py`, named."""

    compared_with: str  # an adapter's id, or "base"
    at: str
    questions: int
    passed: bool
    rows: Sequence[Mapping[str, Any]]


def score(
    card: AdapterCard,
    engine: Engine,
    shelf: Shelf,
    examples: Sequence[Example],
    retrieve: Retrieve,
    check: Check,
    decoding: Decoding = GREEDY,
) -> AdapterCard:
    """Answer the test split (dev where there is none) with the base model and with the adapter; register the scores.

    Every answer is kept beside the card. Raises TrainingError when there are no held-out examples.
    """
    questions = held_out(examples)
    found: dict[str, float] = {}
    for prefix, adapter in (("base_", BASE), ("", card.id)):
        rows = answered(questions, retrieve, by_engine(engine, adapter, decoding), check)
        keep(shelf, card.id, adapter, rows)
        found |= summary(rows).named(prefix)
    return register(shelf, card, found)


def held_out(examples: Sequence[Example], most: int | None = None) -> list[Example]:
    """The test split (dev where there is none), or at most so many of it, always the same ones.

    Raises TrainingError when there are none.
    """
    found = of_split(examples, "test") or of_split(examples, "dev")
    if all(example.kind in (UNANSWERABLE, SELF) or example.earlier for example in found):
        raise TrainingError("no example of the test or dev split: an adapter is not scored on what it learned")
    if most is None or most >= len(found):
        return found
    by_hash = sorted(found, key=lambda example: hashlib.sha256(example.question.encode()).digest())
    return by_hash[:most]


def register(shelf: Shelf, card: AdapterCard, scores: Mapping[str, float]) -> AdapterCard:
    """Add scores to an adapter's card. The id stays: it is the hash of the weights."""
    return write_card(
        _own_folder(shelf, card),
        subject=card.subject,
        base_sha256=card.base_sha256,
        dataset_sha256=card.dataset_sha256,
        recipe=card.recipe,
        scores={**card.scores, **scores},
        examples=card.examples,
        language=card.language,
        created=card.created,
    )


def keep(shelf: Shelf, beside: str, adapter: str, rows: Iterable[Answered]) -> None:
    """Store the answers of `adapter` (an id or "base") beside the adapter `beside`, in place of its earlier ones."""
    folder = shelf.measured(beside)
    folder.mkdir(parents=True, exist_ok=True)
    held = _stored(folder)
    held[adapter] = {**held.get(adapter, {}), **{one.key: one for one in rows}}
    lines = [
        json.dumps({"adapter": name, **asdict(one)}, ensure_ascii=False) + "\n"
        for name, answers in sorted(held.items())
        for one in answers.values()
    ]
    write_text(folder / SCORES, "".join(lines))


def kept(shelf: Shelf, adapter: str, beside: str = "") -> dict[str, Answered]:
    """The stored answers of `adapter` (an id or "base"), by key: those beside itself and beside `beside`."""
    found: dict[str, Answered] = {}
    for place in dict.fromkeys((beside, "" if adapter == BASE else adapter)):
        if place:
            found |= _stored(shelf.measured(place)).get(adapter, {})
    return found


def answers(
    shelf: Shelf,
    adapter: str,
    questions: Sequence[Asked],
    answer: Answerer,
    check: Check,
    *,
    beside: str,
    progress: OnAnswer | None = None,
) -> list[Answered]:
    """A row a question: those that are stored, and new answers to the rest, which are stored beside `beside`."""
    known = kept(shelf, adapter, beside)
    made, new = [], []
    for done, one in enumerate(questions, start=1):
        found = known.get(one.key)
        if found is None:
            found = row(one, answer, check)
            new.append(found)
        made.append(found)
        if progress is not None:
            progress(done, len(questions))
    if new:
        keep(shelf, beside, adapter, new)
    return made


def write_gate(shelf: Shelf, adapter: str, gate: Gate) -> None:
    folder = shelf.measured(adapter)
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / GATE, asdict(gate))


def read_gate(shelf: Shelf, adapter: str) -> Gate | None:
    """What the gate said of an adapter; None where it was not asked, or its file cannot be read."""
    path = shelf.measured(adapter) / GATE
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
        return Gate(**{field.name: raw[field.name] for field in fields(Gate)})
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError, KeyError) as error:
        logger.warning("%s cannot be read (%s); the gate is asked again", path, type(error).__name__)
        return None


def _stored(folder: Path) -> dict[str, dict[str, Answered]]:
    """By adapter and key. Lines of an older form are left out: those questions are asked again."""
    found: dict[str, dict[str, Answered]] = {}
    path = folder / SCORES
    for line in path.read_text(encoding="utf-8").splitlines() if path.exists() else []:
        try:
            raw = json.loads(line)
            one = Answered(**{field.name: raw[field.name] for field in fields(Answered)})
            found.setdefault(str(raw["adapter"]), {})[one.key] = one
        except (ValueError, TypeError, KeyError):
            logger.warning("%s: a line that cannot be read is left out", path)
    return found


def _own_folder(shelf: Shelf, card: AdapterCard) -> Path:
    """The adapter's folder. Raises TrainingError when its files are not those of the card."""
    folder = shelf.folder(card.id)
    shelf.verify(card, card.base_sha256)
    if folder.parent != shelf.roots[0]:
        raise TrainingError(f"{card.id} lies in {folder.parent}, which is read only; scores go to {shelf.roots[0]}")
    return folder
