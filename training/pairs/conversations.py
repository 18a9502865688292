"""Examples as conversations for fine-tuning: the grounded prompt with retrieved passages, and the answer."""

from __future__ import annotations

import logging
import random
from collections.abc import Callable, Sequence
from dataclasses import replace

from inference.generation import Message
from inference.prompt import grounded, shortened
from training.base.grounded import refusal_of
from training.errors import TrainingError
from training.pairs.data import SELF, Example
from training.pairs.evidence import borne_out

logger = logging.getLogger(__name__)

# The texts of the passages that a question is answered from, best first; none when the books do not hold the answer.
Retrieve = Callable[[str], Sequence[str]]


def build(
    examples: Sequence[Example],
    retrieve: Retrieve,
    *,
    unanswerable: float = 0.0,
    from_passages: bool = False,
    seed: int = 0,
) -> list[list[Message]]:
    """One conversation an example: the grounded prompt with its passages, and the answer.

    The earlier turns of a dialogue stand before, as at serving time; every answer in it is learned. What is asked about
    the tutor itself needs no passages. With `from_passages` what an example's passages do not hold is not learned
    (`evidence.borne_out`). To a share `unanswerable` of the others a second conversation is added, with the
    passages of an example from elsewhere in the books.
    """
    held = [e if e.kind == SELF else replace(e, passages=e.passages or tuple(retrieve(e.question))) for e in examples]
    held = [example for example in held if example.passages or example.kind == SELF]
    if left_out := len(examples) - len(held):
        logger.warning("%d of %d examples left out: nothing is retrieved for them", left_out, len(examples))
    if from_passages:
        held, before = [borne for example in held if (borne := borne_out(example))], len(held)
        logger.info("%d of %d examples left out: their passages hold none of the answer", before - len(held), before)
    conversations = [_conversation(example) for example in held]
    rng = random.Random(seed)
    from_books = [example for example in held if example.kind != SELF]
    for example in rng.sample(from_books, round(unanswerable * len(from_books))):
        elsewhere = [other for other in from_books if (other.title, other.chapter) != (example.title, example.chapter)]
        if elsewhere:
            passages = rng.choice(elsewhere).passages
            conversations.append(
                _conversation(replace(example, passages=passages, answer=refusal_of(example.question)))
            )
    return conversations


def _conversation(example: Example) -> list[Message]:
    earlier = [
        Message(role=role, content=text)
        for turn in example.earlier
        for role, text in zip(("user", "assistant"), turn, strict=True)
    ]
    asked = grounded(example.question, example.passages, earlier)
    return [*asked, Message(role="assistant", content=example.answer)]


def fit(conversation: Sequence[Message], length: Callable[[Sequence[Message]], int], context: int) -> list[Message]:
    """The conversation with as many passages as the context holds, as at serving time. Raises TrainingError."""
    *asked, answer = conversation
    rest: list[Message] | None = list(asked)
    while rest is not None:
        if length([*rest, answer]) <= context:
            return [*rest, answer]
        rest = shortened(rest)
    raise TrainingError(
        f"an example does not fit into {context} tokens even with one passage; shorten its answer or its passage: "
        f"{answer['content'][:60]!r}"
    )
