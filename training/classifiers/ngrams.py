"""Fits the letters' half of the safety classifier (`inference.ngrams`): logistic regression, in seconds."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from inference.ngrams import PLACES, NgramModel, places

STRENGTH = 8.0  # scikit-learn's C: the inverse of the penalty on large weights
ITERATIONS = 200
UNSEEN = -5.0  # logit of a group that no text is of


def fit(texts: Sequence[str], groups: Sequence[int], weights: Sequence[float], count: int) -> NgramModel:
    """`groups` are numbers below `count`; `weights` says how much each text counts. A group of no text is unlikely.

    Raises ValueError for texts of a single group.
    """
    from scipy.sparse import csr_matrix
    from sklearn.linear_model import LogisticRegression
    from sklearn.preprocessing import normalize

    found = [places(text) for text in texts]
    columns = np.concatenate(found)
    starts = np.concatenate([[0], np.cumsum([len(one) for one in found])])
    seen = np.bincount(columns, minlength=PLACES)
    rarity = (np.log((1 + len(texts)) / (1 + seen)) + 1.0).astype(np.float32)  # scikit-learn's smoothed idf
    rows = normalize(csr_matrix((rarity[columns], columns, starts), shape=(len(texts), PLACES)))
    model = LogisticRegression(C=STRENGTH, max_iter=ITERATIONS)
    model.fit(rows, np.asarray(groups), sample_weight=np.asarray(weights))
    learned, intercepts = model.coef_, model.intercept_
    if len(model.classes_) == 2:  # scikit-learn then keeps one row, of the second group against the first
        learned, intercepts = np.concatenate([-learned, learned]) / 2, np.concatenate([-intercepts, intercepts]) / 2
    weight, bias = np.zeros((PLACES, count), dtype=np.float32), np.full(count, UNSEEN, dtype=np.float32)
    weight[:, model.classes_], bias[model.classes_] = learned.T, intercepts
    return NgramModel(rarity, weight, bias)
