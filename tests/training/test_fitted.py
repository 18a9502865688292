from __future__ import annotations

from pathlib import Path

import pytest

from rag.answerable import MEASURES
from rag.certainty import Certainty, measures
from rag.fitted import UNFITTED, Fitted
from rag.passage import Passage, Quote
from training.classifiers.fitted import REFUSED, fit, fit_certainty
from training.errors import CorpusError
from training.pairs.data import UNANSWERABLE, Example

SHIPPED = Path(__file__).parents[2] / "data" / "retrieval" / "fitted.json"


def measured(count: int, kind: str, meaning: float) -> list[tuple[Example, tuple[float, ...]]]:
    """Questions whose first measure spreads around `meaning`, and whose others say nothing."""
    rest = (0.0,) * (len(MEASURES) - 1)
    return [(Example("Q", "A", kind=kind), (meaning + n / (10 * count), *rest)) for n in range(count)]


def test_what_tells_is_learned_and_the_threshold_refuses_the_share_that_is_allowed() -> None:
    both = [*measured(100, "factual", 0.6), *measured(40, UNANSWERABLE, 0.2)]
    fitted = fit(both, both)
    scores = [fitted.score(row) for _, row in both]
    assert max(scores[100:]) < fitted.threshold
    assert sum(score < fitted.threshold for score in scores[:100]) == pytest.approx(100 * REFUSED, abs=1)


@pytest.mark.parametrize("kind", ["factual", UNANSWERABLE])
def test_questions_of_one_kind_are_not_enough(kind: str) -> None:
    with pytest.raises(CorpusError, match="both kinds"):
        fit(measured(5, kind, 0.5), measured(5, kind, 0.5))


def quoted(relevance: float, worth: float) -> Quote:
    return Quote("A.", Passage("1", "A.", "Book", "Chapter", 1, 7, "science", "en", score=relevance), worth=worth)


def test_how_sure_a_quote_is_follows_how_often_such_quotes_held_the_answer() -> None:
    sure = [(n % 10 != 0, measures(0.9, quoted(0.8, 1.0 + n / 1000))) for n in range(200)]
    unsure = [(n % 10 == 0, measures(0.4, quoted(0.4, 0.6 + n / 1000))) for n in range(200)]
    fitted = fit_certainty([*sure, *unsure])
    assert fitted.score(measures(0.9, quoted(0.8, 1.1))) == pytest.approx(0.9, abs=0.03)
    assert fitted.score(measures(0.4, quoted(0.4, 0.7))) == pytest.approx(0.1, abs=0.03)
    with pytest.raises(CorpusError, match="both kinds"):
        fit_certainty(sure[1:10])


def test_an_answerability_at_its_very_end_can_be_measured() -> None:
    low, high = (measures(answerable, quoted(0.5, 0.5))[0] for answerable in (0.0, 1.0))
    assert low == pytest.approx(-high)
    assert high < 10


def test_fitted_scores_survive_being_stored() -> None:
    shipped = Fitted.load(SHIPPED)
    assert Fitted.loads(shipped.dumps()) == shipped
    assert 0.0 < shipped.answerable.threshold < 1.0
    weak, strong = (shipped.certainty.score(measures(0.9, quoted(*held))) for held in ((0.4, 0.6), (0.8, 1.1)))
    assert weak < 0.6 < 0.8 < strong
    assert Certainty.unfitted().score(measures(0.9, quoted(0.8, 1.0))) == 0.5


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", UNFITTED.dumps().replace("meaning", "feeling"), UNFITTED.dumps().replace("worth", "price")]
)
def test_what_another_version_fitted_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"fit|JSON|Expecting"):
        Fitted.loads(text)
