"""Registers a trained adapter with its scores: how it does on held-out questions, beside the base model."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path

from inference.adapters import AdapterCard, Shelf, write_card
from inference.engine import Engine
from inference.generation import Decoding
from training.conversations import Retrieve
from training.data import Example, of_split
from training.errors import TrainingError
from training.evals.answers import GREEDY, Check, Scores, by_engine, evaluate

logger = logging.getLogger(__name__)


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

    Raises TrainingError when there are no held-out examples.
    """
    held_out = of_split(examples, "test") or of_split(examples, "dev")
    if not held_out:
        raise TrainingError("no example of the test or dev split: an adapter is not scored on what it learned")
    found: dict[str, float] = {}
    for prefix, adapter in (("base_", "base"), ("", card.id)):
        scores: Scores = evaluate(held_out, retrieve, by_engine(engine, adapter, decoding), check)
        found |= scores.named(prefix)
    return register(shelf, card, found)


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


def _own_folder(shelf: Shelf, card: AdapterCard) -> Path:
    """The adapter's folder. Raises TrainingError when its files are not those of the card."""
    folder = shelf.folder(card.id)
    shelf.verify(card, card.base_sha256)
    if folder.parent != shelf.roots[0]:
        raise TrainingError(f"{card.id} lies in {folder.parent}, which is read only; scores go to {shelf.roots[0]}")
    return folder
