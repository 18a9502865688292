"""What is made of the tutor's answers to questions whose right answers are known."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from bot.ports import Answer, Route, Source
from training.evals.tutor import Row, report, serve
from training.pairs.data import Example

PAGE = Source("Science 7", "Plants", 12, "Leaves make food in sunlight.")
OTHER = Source("Science 7", "Plants", 40, "Roots hold the plant.")

FACT = Example(
    "What do leaves make?", "Leaves make food.", facts=("food", "sunlight"), kind="factual", title="Science 7", page=12
)
HINGLISH = Example(
    "patte kya banate hain", "x", facts=("food",), kind="why", title="Science 7", page=12, asked="hinglish"
)
HINDI = Example(
    "पत्ते क्या बनाते हैं?", "x", facts=("भोजन",), kind="why", title="Science 7", page=12, asked="hi", language="en"
)
FAR = Example("Who won the match?", "x", kind="unanswerable", distance="far")
NEAR = Example("Who first grew a leaf?", "x", kind="unanswerable", distance="near")


def answer(text: str, route: Route, *sources: Source, confidence: float | None = None, took: float = 5.0) -> Answer:
    return Answer(text, route, "en", confidence, sources, timings={"total": took})


ANSWERS: Mapping[str, Answer] = {
    FACT.question: answer("Leaves make food in Sunlight.", Route.GENERATED, PAGE, confidence=0.9, took=10.0),
    HINGLISH.question: answer("Roots hold the plant.", Route.QUOTED, OTHER, confidence=0.6, took=30.0),
    HINDI.question: answer("यह मुझे नहीं मिला।", Route.NOT_IN_BOOK),
    FAR.question: answer("I could not find this.", Route.NOT_IN_BOOK),
    NEAR.question: answer("Leaves make food.", Route.QUOTED, PAGE, confidence=0.8, took=20.0),
}


async def ask(example: Example) -> Answer:
    return ANSWERS[example.question]


def named(rows: tuple[Row, ...], name: str) -> Row:
    return next(row for row in rows if row.name == name)


async def test_what_is_not_answered_counts_as_no_fact() -> None:
    made = report(await serve([FACT, HINGLISH, HINDI], ask))
    row = named(made.rows, "all in the book")
    assert row.n == 3
    assert (row.key_facts.mean, row.given) == pytest.approx((1 / 3, 1 / 2))
    assert row.answered == pytest.approx(2 / 3)
    assert row.routes == {
        "generated": pytest.approx(1 / 3),
        "quoted": pytest.approx(1 / 3),
        "not_in_book": pytest.approx(1 / 3),
    }


async def test_a_page_that_does_not_answer_is_no_right_page() -> None:
    made = report(await serve([FACT, HINGLISH], ask))
    assert named(made.rows, "all in the book").cited == 0.5
    assert named(made.rows, "English").cited == 1.0
    also = Example(
        HINGLISH.question, "x", facts=("food",), kind="why", title="Science 7", page=12, also=(("Science 7", 40),)
    )
    assert named(report(await serve([also], ask)).rows, "all in the book").cited == 1.0


async def test_hinglish_may_be_answered_in_english_and_hindi_may_not() -> None:
    hindi = {**ANSWERS, HINDI.question: answer("Leaves make food.", Route.QUOTED, PAGE, confidence=0.5)}

    async def in_english(example: Example) -> Answer:
        return hindi[example.question]

    made = report(await serve([HINGLISH, HINDI], in_english))
    assert named(made.rows, "Hinglish").language == 1.0
    assert named(made.rows, "Hindi, English book").language == 0.0


async def test_an_answer_to_what_no_book_holds_is_not_told_so_and_not_right() -> None:
    made = report(await serve([FACT, FAR, NEAR], ask))
    assert {one.name: one.share.mean for one in made.told} == {
        "not in the book": 0.5,
        "far ones": 1.0,
        "near ones": 0.0,
    }
    assert made.routes == {"generated": (1, 1.0)}  # of the answerable ones
    assert made.sure is not None
    assert made.sure.n == 2
    assert made.sure.ece == pytest.approx((abs(0.9 - 1.0) + abs(0.8 - 0.0)) / 2)


async def test_time_is_that_of_answers_alone() -> None:
    made = report(await serve([FACT, HINGLISH, HINDI], ask))
    assert made.milliseconds[0] == 20.0
    assert made.milliseconds[1] == pytest.approx(29.0)
    assert made.named()["milliseconds"]["p50"] == 20.0


async def test_questions_about_the_tutor_and_inside_a_dialogue_are_not_asked() -> None:
    about = Example("who are you", "x", kind="self")
    later = Example("and roots?", "x", earlier=(("a", "b"),))
    told: list[tuple[int, int]] = []
    served = await serve([about, later, FACT], ask, lambda done, total: told.append((done, total)))
    assert [one.example for one in served] == [FACT]
    assert told == [(1, 1)]


def test_nothing_asked_is_said() -> None:
    with pytest.raises(ValueError, match="no question"):
        report([])
