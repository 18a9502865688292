"""How surely what is quoted holds the whole answer: the confidence that a quote is sent with.

A passage's relevance says which passage is best, and not whether it answers: it is high for a question that repeats
the book's words and low for a child's own. Fitted on the dev split by `sahpathi evaluate retrieval --fit`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

from rag.logistic import Logistic
from rag.passage import Quote

EDGE = 1e-4  # nearer to 0 or 1 than this no answerability is told apart


@dataclass(frozen=True, slots=True)
class Certainty(Logistic):
    """Of a quote: how surely the books answer (log odds), its passage's relevance, its best sentence's worth."""

    TAKES: ClassVar[tuple[str, ...]] = ("answerable", "relevance", "worth")


def measures(answerable: float, quote: Quote) -> tuple[float, ...]:
    """What `Certainty` takes. `answerable` is `Retrieval.confidence`, 0 to 1."""
    held = min(max(answerable, EDGE), 1.0 - EDGE)
    return math.log(held / (1.0 - held)), quote.passage.score, quote.worth
