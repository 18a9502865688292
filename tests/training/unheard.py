"""Who follows a trainer and neither evaluates nor keeps checkpoints: for tests that ask for its loss or its batches.

What a test or a bench wants to hear, it says in a class of its own that stands on this one.
"""

from __future__ import annotations

from typing import Any


class Unheard:
    """Follows a trainer that is not run; to be told anything is an error."""

    def step(self, step: int, loss: float, learning_rate: float, tokens: int, seconds: float) -> None:
        raise AssertionError("no step is made")

    def evaluate(self, step: int) -> tuple[dict[str, float], bool]:
        return {}, False

    def checkpoint(self) -> tuple[None, dict[str, Any], float]:
        return None, {}, 0.0

    def restore(self, saved: object) -> bool:
        return False

    def note(self, message: str) -> None:
        raise AssertionError(message)
