"""What the gate of adapters stands on: held-out questions, unsafe prompts, and texts from the log."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from bot.cli.common import errors, progress
from bot.cli.people import with_store
from bot.cli.workbench import SHIPPED, bench, pairs
from bot.errors import IndexBusy
from inference.generation import Decoding

if TYPE_CHECKING:
    from bot.settings import Settings
    from inference.adapters import AdapterCard, Shelf
    from inference.engine import Engine
    from training.evals.answers import Check
    from training.pairs.data import Example
    from training.promotion.registry import Gate

UNSAFE = 60  # prompts
WRITING = Decoding(temperature=0.0)  # as the scores of a card are made
RECITING = Decoding(temperature=0.0, repetition_penalty=1.0, no_repeat_ngram=0)  # nothing that hinders it
QUESTIONS = 200  # held-out ones, where the operator names no other number


def answering(settings: Settings, shelf: Shelf, subject: str) -> str:
    """The id of what answers a subject now, or "base"."""
    from inference.adapters import model_sha256
    from training.promotion.registry import BASE

    base = Path(settings.model.base)
    current = shelf.current(subject, base_sha256=model_sha256(base) if base.is_dir() else None)
    return current.id if current is not None else BASE


def ask_gate(settings: Settings, shelf: Shelf, card: AdapterCard, most: int = QUESTIONS) -> Gate:
    """Ask the adapter and the one that answers now the same questions, and store what comes of it.

    Answers that are stored already are not asked for again. Raises AdapterRefused, SetupError or TrainingError.
    """
    from inference.history import now
    from training.evals.answers import asked, by_engine
    from training.promotion.gate import judge_answers, judge_recitation, judge_safety
    from training.promotion.registry import Gate, answers, held_out, write_gate

    shipped = pairs([SHIPPED])
    examples = held_out(_of_subject(shipped, card.subject), most)
    other = answering(settings, shelf, card.subject)
    with bench(settings, Path(settings.model.base), shelf, examples) as (engine, retrieve, check):
        shelf.verify(card, engine.base_sha256)
        questions = asked(examples, retrieve)
        found = {}
        for adapter in (other, card.id):
            with progress(f"Asking {adapter}") as bar:
                answer = by_engine(engine, adapter, WRITING)
                found[adapter] = answers(shelf, adapter, questions, answer, check, beside=card.id, progress=bar)
        rows = [
            *judge_answers(found[other], found[card.id]),
            judge_safety(*(_safely(settings, engine, adapter) for adapter in (other, card.id))),
        ]
        if recited := _recited(engine, card.id, shipped):
            rows.append(judge_recitation(recited))
    gate = Gate(other, now(), len(questions), all(row.passed for row in rows), [row.named() for row in rows])
    write_gate(shelf, card.id, gate)
    return gate


def side_by_side(
    settings: Settings, shelf: Shelf, question: str, passages: Sequence[str], adapters: Sequence[str]
) -> tuple[list[str], list[dict[str, object]]]:
    """The passages, and the answer of each adapter (an id or "base") with what the books support of it."""
    from training.evals.answers import by_engine
    from training.pairs.data import Example

    held = tuple(passages) or tuple(_passages(settings, question))
    example = Example(question, "-", passages=held or ("",))
    with bench(settings, Path(settings.model.base), shelf, [example]) as (engine, _, check):
        rows = []
        for adapter in adapters:
            written = by_engine(engine, adapter, WRITING)(question, held)
            rows.append(_shown(adapter, written.text, written.confidence, question, held, check))
    return list(held), rows


def _shown(
    adapter: str, text: str, confidence: float | None, question: str, passages: Sequence[str], check: Check
) -> dict[str, object]:
    supported = list(check(text, passages, question)) if text and passages else []
    return {
        "adapter": adapter,
        "text": text,
        "confidence": confidence,
        "sentences": len(supported),
        "supported": sum(supported),
        "words": len(text.split()),
    }


def _passages(settings: Settings, question: str) -> list[str]:
    """From the index in use, or one of its own where the service has that open."""
    from bot.cli.workbench import given, retrieved
    from bot.compose import opened_library

    async def ask() -> list[str]:
        async with opened_library(settings) as library:
            return await given(library, question)

    try:
        return asyncio.run(ask())
    except IndexBusy:
        return asyncio.run(retrieved(settings, [question]))[question]


def _of_subject(examples: Sequence[Example], subject: str) -> list[Example]:
    """Those of the adapter's subject; all of them for the general one, and where there are none."""
    return [example for example in examples if example.subject == subject] or list(examples)


def _safely(settings: Settings, engine: Engine, adapter: str) -> list[bool]:
    """Of each unsafe prompt, put as if it had passed the filter, whether the answer may be sent."""
    from training.evals.answers import by_engine

    may_be_sent, answer = _answer_check(settings), by_engine(engine, adapter, WRITING)
    prompts = _unsafe_prompts()
    found = []
    with progress(f"Unsafe prompts, {adapter}") as bar:
        for done, prompt in enumerate(prompts, start=1):
            found.append(may_be_sent(answer(prompt, ()).text))
            bar(done, len(prompts))
    return found


def _unsafe_prompts() -> list[str]:
    """Harmful questions of the test split, always the same ones."""
    from bot.cli.safety_bench import MESSAGES
    from training.classifiers.safety_examples import HARMFUL, shipped

    texts = {one.text for one in shipped(MESSAGES) if one.label == HARMFUL and one.split == "test"}
    return sorted(texts, key=lambda text: hashlib.sha256(text.encode()).digest())[:UNSAFE]


def _answer_check(settings: Settings) -> Callable[[str], bool]:
    """The filter's own check of an answer."""
    from bot.safety.output import AnswerCheck
    from bot.safety.rules import Rules
    from bot.settings import PROJECT
    from inference.prompt import SYSTEM

    rules = Rules.load(PROJECT / "data" / "safety" / "rules.json")
    check = AnswerCheck(rules, confidential=(SYSTEM,), helplines=tuple(settings.helplines.model_dump().values()))
    return lambda text: check.category(text) is None


def _recited(engine: Engine, adapter: str, shipped: Sequence[Example]) -> list[bool]:
    """Of each text of the log that an adapter may have learned, whether it recites it."""
    from training.evals.answers import by_engine
    from training.evals.recitation import probes, recited
    from training.pairs.data import Example
    from training.promotion.registry import BASE

    private = [
        Example(answer.question, answer.correction or answer.text, passages=tuple(answer.passages))
        for answer in with_store(lambda store: store.reviewed())
    ]
    found = probes(private, (text for one in shipped for text in (one.question, one.answer)))
    if not found:
        errors.print("[yellow]The log holds no private text yet, so there is nothing to be recited.[/yellow]")
        return []
    with progress("Private texts") as bar:
        return recited(found, by_engine(engine, adapter, RECITING), by_engine(engine, BASE, RECITING), bar)
