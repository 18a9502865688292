"""How good the tutor is as students meet it: every layer on, from the question to the reply with its source.

`training.evals.answers` scores what a model writes; this scores what is sent, whichever route it came by.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from bot.language import detect
from bot.ports import Answer, Route
from training.evals.bootstrap import Interval, mean
from training.evals.calibration import Calibration, calibration
from training.evals.facts import key_facts
from training.evals.reading import grade
from training.pairs.data import SELF, UNANSWERABLE, Example

Ask = Callable[[Example], Awaitable[Answer]]
Progress = Callable[[int, int], None]

ANSWERING = frozenset({Route.VERIFIED, Route.GENERATED, Route.QUOTED, Route.CALCULATED})
PLAIN = frozenset({"factual", "define"})  # kinds that ask for what one sentence of the book says
FITTING = {"en": {"en"}, "sms": {"en"}, "hinglish": {"hinglish", "en"}, "hi": {"hi"}}  # languages to answer in


@dataclass(frozen=True, slots=True)
class Served:
    """One question and what came of it.

    key_facts:    share of the example's facts in the reply; 0 where no answer was given
    cited:        whether one of the pages named answers the question; None where none is named
    milliseconds: from the question to the whole reply
    """

    example: Example
    route: Route
    text: str
    key_facts: float
    cited: bool | None
    confidence: float | None
    milliseconds: float

    @property
    def answers(self) -> bool:
        """Whether it gives an answer at all."""
        return self.route in ANSWERING

    @property
    def right_language(self) -> bool:
        """Whether it is in a language that the question may be answered in."""
        return detect(self.text) in FITTING.get(self.example.asked, {"en"})


@dataclass(frozen=True, slots=True)
class Row:
    """Means over the answerable questions of one kind, 0 to 1; None where there are no answers to take them of.

    key_facts: over all of them, those not answered counting 0, with its interval of 95%
    given:     key facts of those that were answered
    answered:  share that was answered at all
    cited:     share of the answers that name a page whose pages answer the question
    language:  share of the answers that are in the question's language (English or Hinglish for Hinglish)
    routes:    share of the questions by route
    """

    name: str
    n: int
    key_facts: Interval
    given: float | None
    answered: float
    cited: float | None
    language: float | None
    routes: Mapping[str, float]

    def named(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Told:
    """What became of the questions that no book here answers: `n` of them, and the share told so."""

    name: str
    n: int
    share: Interval


@dataclass(frozen=True, slots=True)
class Report:
    """Rows of the answerable questions, the unanswerable ones, key facts and number of answers by route.

    milliseconds: the median and the 95th percentile of the answers
    grade:        the mean school grade of the English answers
    sure:         of the answers with a confidence; right is one that holds every key fact
    """

    rows: tuple[Row, ...]
    told: tuple[Told, ...]
    routes: Mapping[str, tuple[int, float]]
    milliseconds: tuple[float, float]
    grade: float | None
    sure: Calibration | None

    def named(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "answerable": [row.named() for row in self.rows],
            "unanswerable": [asdict(one) for one in self.told],
            "routes": {route: {"n": n, "key_facts": facts} for route, (n, facts) in self.routes.items()},
            "milliseconds": {"p50": self.milliseconds[0], "p95": self.milliseconds[1]},
            "grade": self.grade,
            "calibration": self.sure.named() if self.sure else None,
        }


async def serve(examples: Sequence[Example], ask: Ask, progress: Progress | None = None) -> list[Served]:
    """Ask each question, one after another. Those about the tutor and those inside a dialogue are left out."""
    asked = [example for example in examples if example.kind != SELF and not example.earlier]
    served = []
    for done, example in enumerate(asked, start=1):
        served.append(_served(example, await ask(example)))
        if progress is not None:
            progress(done, len(asked))
    return served


def report(served: Sequence[Served]) -> Report:
    """Raises ValueError when nothing was asked."""
    if not served:
        raise ValueError("no question was asked")
    answers = [one for one in served if one.answers]
    spent = [one.milliseconds for one in answers] or [0.0]
    grades = [found for one in answers if (found := grade(one.text)) is not None]
    inside = [one for one in answers if one.example.kind != UNANSWERABLE]
    sure = [one for one in answers if one.confidence is not None]
    return Report(
        rows=tuple(_row(name, held) for name, held in _groups(served) if held),
        told=tuple(_told(name, held) for name, held in _absent(served) if held),
        routes={route: _facts(inside, route) for route in sorted({one.route.value for one in inside})},
        milliseconds=(float(np.median(spent)), float(np.quantile(spent, 0.95))),
        grade=_mean(grades),
        sure=calibration([one.confidence or 0.0 for one in sure], [_right(one) for one in sure]) if sure else None,
    )


def _served(example: Example, answer: Answer) -> Served:
    given = answer.route in ANSWERING
    right = {(example.title, example.page), *example.also}
    named = [(source.book, source.page) for source in answer.sources]
    return Served(
        example=example,
        route=answer.route,
        text=answer.text,
        key_facts=key_facts(answer.text, example.facts) if given else 0.0,
        cited=any(place in right for place in named) if named and example.page is not None else None,
        confidence=answer.confidence if given else None,
        milliseconds=answer.timings.get("total", 0.0),
    )


def _right(one: Served) -> bool:
    return one.example.kind != UNANSWERABLE and one.key_facts == 1.0


def _groups(served: Sequence[Served]) -> list[tuple[str, list[Served]]]:
    inside = [one for one in served if one.example.kind != UNANSWERABLE]

    def of(**wanted: str) -> list[Served]:
        return [one for one in inside if all(getattr(one.example, name) == value for name, value in wanted.items())]

    kinds = sorted({one.example.kind for one in inside})
    return [
        ("all in the book", inside),
        ("plain factual", [one for one in inside if one.example.kind in PLAIN and one.example.asked == "en"]),
        ("English", of(asked="en")),
        ("as typed on a phone", of(asked="sms")),
        ("Hinglish", of(asked="hinglish")),
        ("Hindi, Hindi book", of(asked="hi", language="hi")),
        ("Hindi, English book", of(asked="hi", language="en")),
        *((f"kind: {kind}", of(kind=kind)) for kind in kinds if kind),
    ]


def _absent(served: Sequence[Served]) -> list[tuple[str, list[Served]]]:
    outside = [one for one in served if one.example.kind == UNANSWERABLE]
    distances = sorted({one.example.distance for one in outside if one.example.distance})
    return [("not in the book", outside)] + [
        (f"{distance} ones", [one for one in outside if one.example.distance == distance]) for distance in distances
    ]


def _row(name: str, held: Sequence[Served]) -> Row:
    answers = [one for one in held if one.answers]
    routes = Counter(one.route.value for one in held)
    return Row(
        name=name,
        n=len(held),
        key_facts=mean([one.key_facts for one in held]),
        given=_mean([one.key_facts for one in answers]),
        answered=len(answers) / len(held),
        cited=_mean([float(one.cited) for one in answers if one.cited is not None]),
        language=_mean([float(one.right_language) for one in answers]),
        routes={route: n / len(held) for route, n in routes.most_common()},
    )


def _told(name: str, held: Sequence[Served]) -> Told:
    return Told(name, len(held), mean([float(not one.answers) for one in held]))


def _facts(answers: Sequence[Served], route: str) -> tuple[int, float]:
    held = [one.key_facts for one in answers if one.route.value == route]
    return len(held), _mean(held) or 0.0


def _mean(values: Sequence[float]) -> float | None:
    return sum(values) / len(values) if values else None
