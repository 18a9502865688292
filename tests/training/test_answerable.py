from __future__ import annotations

from pathlib import Path

import pytest

from rag.answerable import MEASURES, UNFITTED, Answerable
from training.classifiers.answerable import REFUSED, fit
from training.errors import CorpusError
from training.pairs.data import UNANSWERABLE, Example

SHIPPED = Path(__file__).parents[2] / "data" / "retrieval" / "answerable.json"


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


def test_a_fitted_score_survives_being_stored() -> None:
    shipped = Answerable.load(SHIPPED)
    assert Answerable.loads(shipped.dumps()) == shipped
    assert 0.0 < shipped.threshold < 1.0


@pytest.mark.parametrize("text", ["", "[]", "{}", UNFITTED.dumps().replace("meaning", "feeling")])
def test_what_another_version_fitted_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"fit|JSON|Expecting"):
        Answerable.loads(text)
