"""What the log has to teach as training examples: the closed loop from a teacher's correction to an adapter."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rag.phonetic import is_devanagari
from rag.words import words
from training.base.grounded import refusal_of
from training.pairs.curate import Candidate, masked
from training.pairs.data import REVIEWED, UNANSWERABLE, Example
from training.pairs.sameness import key, normalised

if TYPE_CHECKING:
    from bot.store.log import Lessons
    from bot.tables import StoredAnswer

LOG = "log"  # the name of the log as a source
GENERAL = "general"  # of a question asked about no subject in particular
OFTEN = 2  # times from which a question was asked repeatedly


@dataclass(frozen=True, slots=True)
class AskedOften:
    """A question that students put again and again. `taught`: a teacher has reviewed an answer to it."""

    question: str
    times: int
    taught: bool


def candidates(lessons: Lessons) -> list[Candidate]:
    """Everything that a teacher stands for, in the order of the log: approved, corrected and verified answers.

    An approved "not in your books" is a question that no book answers. Approved answers keep the place they cite.
    """
    return [_candidate(answer) for answer in lessons.answers]


def asked_often(asked: Mapping[str, int], taught: Iterable[Example]) -> list[AskedOften]:
    """The questions that were put more than once, masked, the most often asked first."""
    spoken: Counter[str] = Counter()
    words_of: dict[str, tuple[int, str]] = {}
    for text, times in asked.items():
        question = " ".join(masked(Example(text, ""), Counter()).question.split())
        spoken[normalised(question)] += times
        words_of[normalised(question)] = max(words_of.get(normalised(question), (0, "")), (times, question))
    known = {key(example) for example in taught}
    often = [AskedOften(words_of[asks][1], times, asks in known) for asks, times in spoken.items() if times >= OFTEN]
    return sorted(often, key=lambda one: (-one.times, one.question))


def _candidate(answer: StoredAnswer) -> Candidate:
    text = (answer.correction or answer.text).strip()
    refused = answer.route == "not_in_book" and not answer.correction
    passages = tuple(text.strip() for text in answer.passages if str(text).strip())
    source = answer.sources[0] if answer.sources and not answer.correction else {}
    example = Example(
        question=" ".join(answer.question.split()),
        answer=refusal_of(answer.question) if refused else text,
        passages=() if refused else passages,
        language=_language(" ".join(passages) or text),
        subject=answer.subject or GENERAL,
        kind=UNANSWERABLE if refused else REVIEWED,
        title=source.get("book", ""),
        page=source.get("page") or None,
        class_level=answer.class_level,
        asked=answer.language,
    )
    return Candidate(example, LOG, when=(answer.reviewed_at or answer.created_at).isoformat())


def _language(text: str) -> str:
    """Of a book's text: Hindi is in Devanagari, all else passes for English."""
    said = words(text)
    return "hi" if 2 * sum(map(is_devanagari, said)) > len(said) else "en"
