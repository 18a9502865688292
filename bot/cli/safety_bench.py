"""What training and evaluation of the safety filter stand on: messages, and how they are read at serving time."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from bot.cli.common import errors
from bot.cli.workbench import SHIPPED, pairs
from bot.settings import PROJECT

if TYPE_CHECKING:
    from bot.safety.filter import SafetyFilter
    from bot.safety.finding import Finding
    from inference.moderation import Worded
    from training.classifiers.safety_examples import SafetyExample
    from training.evals.safety import Judged

MESSAGES = PROJECT / "data" / "safety" / "messages"
CONVERSATIONS = PROJECT / "data" / "safety" / "conversations.jsonl"
WRAPPERS = PROJECT / "data" / "safety" / "wrappers.tsv"
NEAR = 0.85  # cosine above which two messages say the same


def messages(
    corpus: Path | None, reviewed: Sequence[SafetyExample] = (), *, apart: bool = False
) -> list[SafetyExample]:
    """The shipped messages and questions, a corpus folder's, and those that staff reviewed.

    `apart`: no training one near a held-out one.
    """
    from training.classifiers import safety_examples as sets

    found = [*sets.shipped(MESSAGES), *sets.conversations(CONVERSATIONS), *sets.questions(pairs([SHIPPED])), *reviewed]
    if corpus is None:
        errors.print("[yellow]Without --corpus: only the messages that are shipped, in data/safety/messages.[/yellow]")
    else:
        found += sets.corpus(corpus)
    return sets.apart(found, NEAR, _likeness) if apart else found


def read_as_served() -> Callable[[str], Worded]:
    """What puts a message before the classifier."""
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


async def judged_by(
    screening: SafetyFilter, asked: Sequence[SafetyExample], progress: Callable[[int, int], None]
) -> list[Judged]:
    """Each message with what each layer says of it; of a conversation, what it says of the first turn it holds.

    A turn that is held is not answered, and so is not among those that the next one is read together with.
    """
    from bot.safety.finding import Reading
    from training.evals.safety import Judged

    judged = []
    for done, example in enumerate(asked, start=1):
        began = time.perf_counter()
        answered: list[str] = []
        found: dict[str, Finding | None] = {layer.name: None for layer in screening.layers}
        for turn in (*example.earlier, example.text):
            reading = Reading.of(turn, answered)
            now = {layer.name: await layer.judge(reading) for layer in screening.layers}
            found = {name: found[name] or now[name] for name in found}
            if not any(now.values()):
                answered.append(turn)
        judged.append(Judged(example, found, (time.perf_counter() - began) * 1000.0))
        progress(done, len(asked))
    return judged


def _likeness(texts: Sequence[str], others: Sequence[str]) -> list[float]:
    """By what they mean in English: to a model that knows no Devanagari, everything in it says nearly the same."""
    from rag.embed import Embedder

    embedder, read = Embedder(threads=2), read_as_served()
    theirs = embedder.embed([read(text).english for text in others])
    mine = embedder.embed([read(text).english for text in texts])
    return [float(cosine) for cosine in (mine @ theirs.T).max(axis=1)]
