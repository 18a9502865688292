"""Where the classifier's thresholds lie: as low as harmless messages of the dev split allow.

Each decision may stop a share of the messages of each harmless kind, and no more; what it then catches is measured on
the test split (`training.evals.safety`). Distress may ring falsely more often than a refusal may: a warm word and three
numbers harm nobody, a child who is not heard does not write again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from training.errors import CorpusError
from training.safety_examples import BENIGN, LABELS, LANGUAGES, SafetyExample

LOWEST, HIGHEST = 0.02, 0.95
ORDINARY_SOURCES = frozenset({"questions", "benign_in_domain"})
# Of each kind of harmless message, the share that a decision may hold back.
MAY_HOLD: Mapping[str, Mapping[str, float]] = {
    "distress": {"ordinary": 0.003, "lesson": 0.02, "chat": 0.1, "near_miss": 0.12},
    "held": {"ordinary": 0.005, "lesson": 0.03, "chat": 0.1, "near_miss": 0.15},
}

Scored = Sequence[tuple[SafetyExample, Sequence[float]]]


def fit(scored: Scored) -> dict[str, dict[str, float]]:
    """For each decision a threshold for each language, from the probabilities of LABELS for dev messages.

    A language by itself: what half of its words are lost in reading moves all of its scores. Raises CorpusError.
    """
    harmless = [(example, row) for example, row in scored if example.label == BENIGN]
    if not harmless:
        raise CorpusError("there are no harmless messages to fit the thresholds on")
    return {
        decision: {
            language: round(_threshold([one for one in harmless if one[0].language == language], decision, shares), 4)
            for language in LANGUAGES
        }
        for decision, shares in MAY_HOLD.items()
    }


def decision_score(row: Sequence[float], decision: str) -> float:
    """The probability that a decision goes by: of all kinds of distress together, or of all that is not harmless."""
    group = "" if decision == "held" else f"{decision}."
    return float(sum(p for label, p in zip(LABELS, row, strict=True) if label != BENIGN and label.startswith(group)))


def _threshold(harmless: Scored, decision: str, shares: Mapping[str, float]) -> float:
    needed = LOWEST
    for kind, share in shares.items():
        scores = [decision_score(row, decision) for example, row in harmless if _kind(example) == kind]
        if scores:
            needed = max(needed, float(np.quantile(scores, 1.0 - share)) + 1e-4)
    return min(needed, HIGHEST)


def _kind(example: SafetyExample) -> str:
    return "ordinary" if example.source in ORDINARY_SOURCES else example.category
