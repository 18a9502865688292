"""Reviewed answers from the log as training examples: the closed loop from a teacher's correction to an adapter.

Personal data is not masked here yet: until it is (a later issue brings it), only what a teacher has read and approved
may come this way.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass

from training.data import Example
from training.errors import BadLine, DatasetError

_HELD_OUT = 8  # one reviewed question in so many is kept for the test split


@dataclass(frozen=True, slots=True)
class Reviewed:
    """One answer that a teacher approved or corrected. `passages` are those the model was shown."""

    question: str
    passages: tuple[str, ...]
    answer: str  # the corrected text, or the text approved as it was
    subject: str
    language: str


def from_log(rows: Iterable[Reviewed]) -> list[Example]:
    """The examples that reviewed answers make. The latest review of a question counts; rows come oldest first.

    An eighth, chosen by a hash of the question, is the test split: the same question always falls on the same side.
    Raises DatasetError when a question or an answer is empty.
    """
    latest: dict[str, Example] = {}
    bad: list[BadLine] = []
    for number, row in enumerate(rows, start=1):
        question, answer = " ".join(row.question.split()), row.answer.strip()
        if not question or not answer:
            bad.append(BadLine("the log", number, f"the {'answer' if question else 'question'} is empty"))
            continue
        latest.pop(_key(question), None)  # so that order follows the latest review
        latest[_key(question)] = Example(
            question=question,
            answer=answer,
            passages=row.passages,
            split=_split(question),
            subject=row.subject,
            language=row.language,
            kind="reviewed",
        )
    if bad:
        raise DatasetError(bad)
    return list(latest.values())


def _key(question: str) -> str:
    return question.casefold().rstrip("?!. ")


def _split(question: str) -> str:
    return "test" if hashlib.sha256(_key(question).encode()).digest()[0] % _HELD_OUT == 0 else "train"
