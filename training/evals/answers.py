"""How good answers are, question by question: key facts, groundedness, and what a student would be shown of them."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace

from inference.engine import Engine
from inference.generation import Decoding
from inference.prompt import grounded
from rag.ground import Grounding
from rag.passage import Passage
from rag.sentences import split
from training.conversations import Retrieve
from training.data import Example
from training.grounded import NOT_IN_PASSAGES

GREEDY = Decoding(temperature=0.0)

Answerer = Callable[[str, Sequence[str]], str]  # question, passages -> answer
Check = Callable[[str, Sequence[str], str], Sequence[bool]]  # answer, passages, question -> is each sentence supported?


@dataclass(frozen=True, slots=True)
class Scores:
    """Means over questions, all from 0 to 1 but the counts.

    key_facts:       share of an example's facts that its answer holds
    grounded:        share of an answer's sentences that its passages support; an empty answer counts 0
    shown:           share of answers whose first sentence is supported: these the tutor shows, for others it quotes
    shown_key_facts: key facts in what is shown of the shown answers: their leading supported sentences
    refused:         share of answerable questions that are answered with the refusing line
    refused_rightly: share of questions with another chapter's passages that are answered with exactly that line
    """

    questions: int
    key_facts: float
    grounded: float
    shown: float
    shown_key_facts: float
    refused: float
    refused_rightly: float
    words: float

    def named(self, prefix: str = "") -> dict[str, float]:
        """The scores as an adapter's card keeps them."""
        return {f"{prefix}{name}": round(float(value), 4) for name, value in asdict(self).items()}


def evaluate(
    examples: Sequence[Example],
    retrieve: Retrieve,
    answer: Answerer,
    check: Check,
    *,
    unanswerable: int = 20,
    seed: int = 0,
) -> Scores:
    """Answer each example from what is retrieved for it, and up to `unanswerable` of them from another's passages.

    An example for which nothing is retrieved scores 0 throughout. Raises ValueError when there are no examples.
    """
    if not examples:
        raise ValueError("there are no examples to evaluate on")
    held = [replace(example, passages=example.passages or tuple(retrieve(example.question))) for example in examples]
    rows = [_row(example, answer, check) for example in held]
    shown = [row for row in rows if row.shown]
    return Scores(
        questions=len(rows),
        key_facts=_mean([row.key_facts for row in rows]),
        grounded=_mean([row.grounded for row in rows]),
        shown=len(shown) / len(rows),
        shown_key_facts=_mean([row.shown_key_facts for row in shown]),
        refused=_mean([row.text == NOT_IN_PASSAGES for row in rows]),
        refused_rightly=_mean(_refusals(held, answer, unanswerable, random.Random(seed))),
        words=_mean([len(row.text.split()) for row in rows]),
    )


def key_facts(answer: str, facts: Sequence[str]) -> float:
    """The share of `facts` that occur in `answer`, without regard to case; 1 where none are listed."""
    return _mean([fact.lower() in answer.lower() for fact in facts]) if facts else 1.0


def by_engine(engine: Engine, adapter: str, decoding: Decoding = GREEDY) -> Answerer:
    """Answers of the product's own engine. `adapter` is "base", "current" or an adapter's id."""

    def answer(question: str, passages: Sequence[str]) -> str:
        messages = grounded(question, passages)
        return engine.generate(messages, decoding=decoding, on_text=lambda _: True, adapter=adapter).text

    return answer


def by_grounding(grounding: Grounding) -> Check:
    """The product's own check of an answer against its passages."""

    def check(answer: str, passages: Sequence[str], question: str) -> list[bool]:
        held = [_passage(text) for text in passages]
        return [support.passage is not None for support in grounding.check(answer, held, question)]

    return check


@dataclass(frozen=True, slots=True)
class _Row:
    text: str
    key_facts: float
    grounded: float
    shown: bool
    shown_key_facts: float


def _row(example: Example, answer: Answerer, check: Check) -> _Row:
    if not example.passages:
        return _Row("", 0.0, 0.0, shown=False, shown_key_facts=0.0)
    text = answer(example.question, example.passages)
    supported = list(check(text, example.passages, example.question))
    leading = supported.index(False) if False in supported else len(supported)
    visible = " ".join(split(text)[:leading])
    return _Row(text, key_facts(text, example.facts), _mean(supported), leading > 0, key_facts(visible, example.facts))


def _refusals(examples: Sequence[Example], answer: Answerer, count: int, rng: random.Random) -> list[bool]:
    """Whether questions asked with the passages of another chapter's question are refused."""
    refused = []
    for example in rng.sample(list(examples), min(count, len(examples))):
        chapter = (example.title, example.chapter)
        elsewhere = [other for other in examples if other.passages and (other.title, other.chapter) != chapter]
        if elsewhere:
            refused.append(answer(example.question, rng.choice(elsewhere).passages) == NOT_IN_PASSAGES)
    return refused


def _passage(text: str) -> Passage:
    identity = hashlib.sha256(text.encode()).hexdigest()
    return Passage(identity, text, book="", chapter="", page=0, class_level=0, subject="", language="")


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else 0.0
