"""Where the classifier's thresholds lie: as low as harmless messages of the dev split allow.

Each decision may stop a share of the messages of each harmless kind, and no more; what it then catches is measured on
the test split (`training.evals.safety`). Distress may ring falsely more often than a refusal may: a warm word and three
numbers harm nobody, a child who is not heard does not write again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from training.errors import CorpusError
from training.safety_examples import BENIGN, LABELS, SafetyExample

LOWEST, HIGHEST = 0.05, 0.95
ORDINARY_SOURCES = frozenset({"questions", "benign_in_domain"})
# Of each kind of harmless message, the share that a decision may hold back.
MAY_HOLD: Mapping[str, Mapping[str, float]] = {
    "distress": {"ordinary": 0.0015, "lesson": 0.01, "chat": 0.1, "near_miss": 0.15},
    "harmful": {"ordinary": 0.002, "lesson": 0.01, "chat": 0.05, "near_miss": 0.1},
    "jailbreak": {"ordinary": 0.001, "lesson": 0.005, "chat": 0.03, "near_miss": 0.1},
}

Scored = Sequence[tuple[SafetyExample, Sequence[float]]]


def fit(scored: Scored) -> dict[str, float]:
    """A threshold for each decision, from the probabilities of LABELS for dev messages. Raises CorpusError."""
    harmless = [(example, row) for example, row in scored if example.label == BENIGN]
    if not harmless:
        raise CorpusError("there are no harmless messages to fit the thresholds on")
    return {group: round(_threshold(harmless, group, shares), 4) for group, shares in MAY_HOLD.items()}


def group_score(row: Sequence[float], group: str) -> float:
    """The probability of all categories of a group together."""
    return float(sum(value for label, value in zip(LABELS, row, strict=True) if label.startswith(f"{group}.")))


def _threshold(harmless: Scored, group: str, shares: Mapping[str, float]) -> float:
    needed = LOWEST
    for kind, share in shares.items():
        scores = [group_score(row, group) for example, row in harmless if _kind(example) == kind]
        if scores:
            needed = max(needed, float(np.quantile(scores, 1.0 - share)) + 1e-4)
    return min(needed, HIGHEST)


def _kind(example: SafetyExample) -> str:
    return "ordinary" if example.source in ORDINARY_SOURCES else example.category
