"""Real prompts to check an export with: questions as students ask them, over what their chapter says."""

from __future__ import annotations

from collections.abc import Sequence

from inference.generation import Message
from inference.prompt import grounded
from training.pairs.data import UNANSWERABLE, Example

PASSAGES = 3


def prompts(examples: Sequence[Example], count: int = 16) -> list[list[Message]]:
    """`count` grounded prompts, spread evenly over the ways of asking (language, spelling) and the books.

    An example without passages of its own gets the answers of its chapter as such, its own among them: sentences of
    the book, without an index to retrieve them from.
    """
    answerable = [example for example in examples if example.kind != UNANSWERABLE]
    chapters: dict[tuple[str, int | None], list[str]] = {}
    for example in answerable:
        chapters.setdefault((example.title, example.chapter), []).append(example.answer)
    ordered = sorted(answerable, key=lambda e: (e.asked, e.title, e.chapter or 0, e.question))
    count = min(count, len(ordered))
    chosen = [ordered[place * len(ordered) // count] for place in range(count)]
    return [grounded(e.question, e.passages or _around(e, chapters[e.title, e.chapter])) for e in chosen]


def _around(example: Example, answers: Sequence[str]) -> list[str]:
    """The example's answer in the middle of those that come before and after it in the file."""
    place = answers.index(example.answer)
    start = max(0, min(place - PASSAGES // 2, len(answers) - PASSAGES))
    return list(dict.fromkeys(answers[start : start + PASSAGES]))
