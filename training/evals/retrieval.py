"""How often the right page is found, by each side of the search, and how well "not in your book" is told."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from math import log2

from rag.passage import Retrieval
from rag.phonetic import is_devanagari
from rag.retrieve import Side
from training.pairs.data import UNANSWERABLE, Example

DEPTH = 10  # pages

Rank = Callable[[str, Side], Awaitable[Retrieval]]
Progress = Callable[[int, int], None]
Page = tuple[str, int]  # title of the book, page


@dataclass(frozen=True, slots=True)
class Scores:
    """Means over the questions of one row, by one side; all from 0 to 1.

    recall_1, recall_3, recall_5: share whose page is among the first 1, 3, 5 distinct pages
    mrr_10:  1 / the place of the page, 0 beyond the tenth
    ndcg_10: 1 / log2(1 + place); with one right page, that is nDCG
    """

    row: str
    side: Side
    questions: int
    recall_1: float
    recall_3: float
    recall_5: float
    mrr_10: float
    ndcg_10: float

    def named(self) -> dict[str, str | int | float]:
        """For a table or JSON."""
        return {key: round(value, 4) if isinstance(value, float) else value for key, value in asdict(self).items()}


@dataclass(frozen=True, slots=True)
class Abstention:
    """At one threshold: shares of out-of-book questions recognised (of near and far ones too) and of others refused."""

    threshold: float
    recognised: float
    near: float
    far: float
    refused: float


@dataclass(frozen=True, slots=True)
class Found:
    """What one side made of a question: the place of its page, from 1 (None when not found), and its confidence."""

    example: Example
    place: int | None
    confidence: float


@dataclass(frozen=True, slots=True)
class Report:
    """Rows by language and way of asking, then by subject; the curve, empty without out-of-book questions."""

    scores: tuple[Scores, ...]
    curve: tuple[Abstention, ...]
    missed: tuple[Example, ...]  # answerable questions whose page the hybrid search does not have among its first five


async def measure(
    examples: Sequence[Example], rank: Rank, *, sides: Sequence[Side] = tuple(Side), progress: Progress | None = None
) -> Report:
    """Ask every question of every side. Raises ValueError when no example names its page or is out of the book."""
    asked = [example for example in examples if example.page is not None or example.kind == UNANSWERABLE]
    if not asked:
        raise ValueError("no question says which page answers it, nor that none does")
    scores: list[Scores] = []
    curve: tuple[Abstention, ...] = ()
    missed: list[Example] = []
    for number, side in enumerate(sides):
        found = []
        for done, example in enumerate(asked, start=1):
            found.append(_found(example, await rank(example.question, side)))
            if progress is not None:
                progress(number * len(asked) + done, len(sides) * len(asked))
        answerable = [one for one in found if one.example.kind != UNANSWERABLE]
        scores += _scores(answerable, side)
        if side is Side.HYBRID:
            curve = abstention(found)
            missed = [one.example for one in answerable if one.place is None or one.place > 5]
    order = {row: place for place, row in enumerate(dict.fromkeys(score.row for score in scores))}
    scores.sort(key=lambda score: (order[score.row], score.side))
    return Report(tuple(scores), curve, tuple(missed))


def abstention(found: Sequence[Found]) -> tuple[Abstention, ...]:
    """The curve, a point for each thousandth between 0 and 1 at which anything changes."""
    outside = [one for one in found if one.example.kind == UNANSWERABLE]
    inside = [one.confidence for one in found if one.example.kind != UNANSWERABLE]
    if not outside or not inside:
        return ()
    points: list[Abstention] = []
    for thousandth in range(1001):
        threshold = thousandth / 1000
        point = Abstention(
            threshold,
            recognised=_below([one.confidence for one in outside], threshold),
            near=_below([one.confidence for one in outside if one.example.distance == "near"], threshold),
            far=_below([one.confidence for one in outside if one.example.distance == "far"], threshold),
            refused=_below(inside, threshold),
        )
        if not points or (points[-1].recognised, points[-1].refused) != (point.recognised, point.refused):
            points.append(point)
    return tuple(points)


def at(curve: Sequence[Abstention], threshold: float) -> Abstention:
    """The point of the curve in force at a threshold: the last one not beyond it, or else the first."""
    before = [point for point in curve if point.threshold <= threshold]
    return before[-1] if before else curve[0]


def _found(example: Example, ranked: Retrieval) -> Found:
    pages = list(dict.fromkeys((passage.book, passage.page) for passage in ranked.passages))[:DEPTH]
    right = set(_pages(example))
    place = next((n for n, page in enumerate(pages, start=1) if page in right), None)
    return Found(example, place, ranked.confidence)


def _pages(example: Example) -> Iterable[Page]:
    return ((example.title, example.page), *example.also) if example.page is not None else ()


def _scores(found: Sequence[Found], side: Side) -> list[Scores]:
    rows: dict[str, list[Found]] = {}
    for one in found:
        rows.setdefault("all", []).append(one)
        rows.setdefault(_way(one.example), []).append(one)
    for one in sorted(found, key=lambda one: one.example.subject):
        rows.setdefault(one.example.subject or "no subject", []).append(one)
    return [_score(row, side, [one.place for one in held]) for row, held in rows.items()]


def _way(example: Example) -> str:
    """The row of a question: how it is asked, and for Hindi whether a Hindi chapter answers it."""
    ways = {"en": "English", "sms": "SMS", "hinglish": "Hinglish"}
    if example.asked != "hi":
        return ways.get(example.asked, example.asked)
    in_hindi = any(is_devanagari(title) for title, _ in _pages(example)) or example.language == "hi"
    return "Hindi, Hindi book" if in_hindi else "Hindi, English book only"


def _score(row: str, side: Side, places: Sequence[int | None]) -> Scores:
    def share(depth: int) -> float:
        return sum(place is not None and place <= depth for place in places) / len(places)

    return Scores(
        row=row,
        side=side,
        questions=len(places),
        recall_1=share(1),
        recall_3=share(3),
        recall_5=share(5),
        mrr_10=sum(1 / place for place in places if place) / len(places),
        ndcg_10=sum(1 / log2(1 + place) for place in places if place) / len(places),
    )


def _below(scores: Sequence[float], threshold: float) -> float:
    return sum(score < threshold for score in scores) / len(scores) if scores else 0.0
