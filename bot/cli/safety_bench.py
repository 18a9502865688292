"""What training and evaluation of the safety filter stand on: messages, and how they are read at serving time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from bot.cli.common import errors
from bot.cli.workbench import SHIPPED, pairs
from bot.settings import PROJECT

if TYPE_CHECKING:
    from training.safety_examples import SafetyExample

MESSAGES = PROJECT / "data" / "safety" / "messages"
CONVERSATIONS = PROJECT / "data" / "safety" / "conversations.jsonl"
NEAR = 0.85  # cosine above which two messages say the same


def messages(corpus: Path | None, *, apart: bool = False) -> list[SafetyExample]:
    """The shipped messages and questions, and a corpus folder's; `apart`: no training one near a held-out one."""
    from training import safety_examples as sets

    found = [*sets.shipped(MESSAGES), *sets.conversations(CONVERSATIONS), *sets.questions(pairs([SHIPPED]))]
    if corpus is None:
        errors.print("[yellow]Without --corpus: only the messages that are shipped, in data/safety/messages.[/yellow]")
    else:
        found += sets.corpus(corpus)
    return sets.apart(found, NEAR, _likeness) if apart else found


def read_as_served() -> Callable[[str], str]:
    """What puts a message into English before the classifier sees it."""
    from transformers import AutoTokenizer

    from bot.compose import message_reader
    from rag.embed import packaged

    tokenizer = AutoTokenizer.from_pretrained(packaged(), local_files_only=True)
    return message_reader(lambda word: len(tokenizer.tokenize(word)) == 1)


def probabilities(folder: Path, examples: Sequence[SafetyExample], batch: int = 64) -> list[Sequence[float]]:
    """What the classifier in `folder` thinks of each message."""
    from inference.moderation import Moderator
    from rag.embed import packaged

    moderator, read = Moderator.load(folder, packaged(), threads=2), read_as_served()
    order = sorted(range(len(examples)), key=lambda place: len(examples[place].text))
    rows: dict[int, Sequence[float]] = {}
    for start in range(0, len(order), batch):
        places = order[start : start + batch]
        found = moderator.scores([read(examples[place].whole) for place in places])
        rows |= {place: row.tolist() for place, row in zip(places, found, strict=True)}
    return [rows[place] for place in range(len(examples))]


def _likeness(texts: Sequence[str], others: Sequence[str]) -> list[float]:
    from rag.embed import Embedder

    embedder = Embedder(threads=2)
    theirs = embedder.embed(others)
    return [float(cosine) for cosine in (embedder.embed(texts) @ theirs.T).max(axis=1)]
