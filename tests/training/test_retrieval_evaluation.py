from __future__ import annotations

import pytest

from rag.passage import Passage, Retrieval
from rag.retrieve import Side
from training.evals.retrieval import abstention, at, measure
from training.pairs.data import UNANSWERABLE, Example


def passage(page: int, score: float, book: str = "Science, Class 7") -> Passage:
    return Passage(f"{book}-{page}-{score}", "Text.", book, "Plants", page, 7, "science", "en", score)


def asked(question: str, page: int | None = 2, **facts: object) -> Example:
    return Example(question, "An answer.", title="Science, Class 7", subject="science", page=page, **facts)  # type: ignore[arg-type]


EXAMPLES = [
    asked("first"),
    asked("third", asked="sms"),
    asked("never", asked="hinglish"),
    asked("elsewhere", page=9, also=(("Science, Class 7", 2),)),
    asked("far", None, kind=UNANSWERABLE, distance="far"),
    asked("near", None, kind=UNANSWERABLE, distance="near"),
]


async def rank(question: str, side: Side) -> Retrieval:
    """Page 2 comes first, or third after a page that is found twice; a book of another title never counts."""
    passages = {
        "first": [passage(2, 0.9), passage(3, 0.8)],
        "elsewhere": [passage(2, 0.9)],
        "third": [passage(4, 0.8), passage(4, 0.7), passage(5, 0.6), passage(2, 0.5)],
        "never": [passage(2, 0.7, "Science, Class 8")],
        "far": [passage(1, 0.1)],
        "near": [passage(1, 0.6)],
    }[question]
    return Retrieval(tuple(passages), confidence=passages[0].score)


async def test_a_page_counts_once_however_many_passages_it_has() -> None:
    report = await measure(EXAMPLES, rank)
    rows = {(score.row, score.side): score for score in report.scores}
    every = rows["all", Side.HYBRID]
    assert (every.questions, every.recall_1, every.recall_3, every.recall_5) == (4, 0.5, 0.75, 0.75)
    assert every.mrr_10 == pytest.approx((1 + 1 + 1 / 3) / 4)
    assert every.ndcg_10 == pytest.approx((1 + 1 + 0.5) / 4)
    assert rows["SMS", Side.DENSE].recall_1 == 0.0
    assert rows["SMS", Side.DENSE].recall_3 == 1.0
    assert rows["Hinglish", Side.LEXICAL].recall_5 == 0.0
    assert [example.question for example in report.missed] == ["never"]


async def test_the_curve_tells_what_each_threshold_does() -> None:
    curve = (await measure(EXAMPLES, rank)).curve
    assert [(point.recognised, point.refused) for point in curve] == [
        (0.0, 0.0), (0.5, 0.0), (1.0, 0.0), (1.0, 0.25), (1.0, 0.5), (1.0, 1.0),
    ]  # fmt: skip
    here = at(curve, 0.65)
    assert (here.recognised, here.near, here.far, here.refused) == (1.0, 1.0, 1.0, 0.0)
    assert at(curve, 0.0).recognised == 0.0


async def test_questions_without_a_page_cannot_be_measured() -> None:
    with pytest.raises(ValueError, match="which page"):
        await measure([asked("first", None)], rank)


def test_no_out_of_book_questions_give_no_curve() -> None:
    assert abstention([]) == ()
