"""Where the classifier's thresholds lie: as low as harmless messages of the dev split allow.

Each decision may stop a share of the messages of each harmless kind, and no more; what it then catches is measured on
the test split (`training.evals.safety`). Distress may ring falsely more often than a refusal may: a warm word and three
numbers harm nobody, a child who is not heard does not write again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from training.classifiers.safety_examples import BENIGN, LABELS, LANGUAGES, ORDINARY_SOURCES, SafetyExample
from training.errors import CorpusError

LOWEST, HIGHEST = 0.02, 0.95
# Of each kind of harmless message, the share that a decision may hold back.
MAY_HOLD: Mapping[str, Mapping[str, float]] = {
    "distress": {"ordinary": 0.003, "lesson": 0.02, "talk": 0.1},
    "held": {"ordinary": 0.005, "lesson": 0.03, "talk": 0.12},
}

MAY_HOLD_TURNS = 0.1  # of harmless conversations, by what their turns say only together

Scored = Sequence[tuple[SafetyExample, Sequence[float]]]


@dataclass(frozen=True, slots=True)
class Fitted:
    """A threshold for each decision and language, and one for several turns together."""

    distress: Mapping[str, float]
    held: Mapping[str, float]
    turns: float


def fit(scored: Scored) -> Fitted:
    """The thresholds, from the probabilities of LABELS for dev messages and whole conversations.

    A language by itself: what half of its words are lost in reading moves all of its scores. Raises CorpusError.
    """
    harmless = [(example, row) for example, row in scored if example.label == BENIGN]
    single = [one for one in harmless if not one[0].earlier]
    if not single:
        raise CorpusError("there are no harmless messages to fit the thresholds on")

    def by_language(decision: str) -> dict[str, float]:
        return {
            language: _threshold([one for one in single if one[0].language == language], decision)
            for language in LANGUAGES
        }

    over_turns = [decision_score(row, "held") for example, row in harmless if example.earlier]
    return Fitted(by_language("distress"), by_language("held"), _above(over_turns, MAY_HOLD_TURNS, LOWEST))


def decision_score(row: Sequence[float], decision: str) -> float:
    """The probability that a decision goes by: of all kinds of distress together, or of all that is not harmless."""
    group = "" if decision == "held" else f"{decision}."
    return float(sum(p for label, p in zip(LABELS, row, strict=True) if label != BENIGN and label.startswith(group)))


def _threshold(harmless: Scored, decision: str) -> float:
    needed = LOWEST
    for kind, share in MAY_HOLD[decision].items():
        needed = _above([decision_score(row, decision) for one, row in harmless if _kind(one) == kind], share, needed)
    return needed


def _above(scores: Sequence[float], share: float, lowest: float) -> float:
    """What no more than this share of the scores reaches, from `lowest` to HIGHEST."""
    needed = float(np.quantile(scores, 1.0 - share)) + 1e-4 if scores else lowest
    return round(min(max(needed, lowest), HIGHEST), 4)


def _kind(example: SafetyExample) -> str:
    if example.source in ORDINARY_SOURCES:
        return "ordinary"
    return "lesson" if example.category == "lesson" else "talk"
