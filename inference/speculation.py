"""Drafts by prompt lookup: an answer from passages repeats them, so what followed there may follow here.

What followed the latest occurrence of the last three tokens, else of the last two or the last one, is read together
with the next token (Saxena 2023, "Prompt Lookup Decoding"; Leviathan et al. 2023 for why nothing changes but the
speed). A drafted token counts only where it is the one that would have been chosen.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable

SHORTEST, LONGEST = 3, 10  # tokens that are drafted, as far as there is room
_SIZES = (3, 2, 1)  # of the beginnings that are looked up


class PromptLookup:
    """The drafts of one answer. Longer while they are right, shorter while they are wrong."""

    def __init__(self, prompt: Iterable[int]) -> None:
        self._tokens: list[int] = []
        self._after: list[dict[tuple[int, ...], int]] = [{} for _ in _SIZES]  # where what followed begins
        self._length = 2 * SHORTEST
        for token in prompt:
            self.push(token)

    def push(self, token: int) -> None:
        """Note a token of the prompt or of the answer."""
        at = len(self._tokens)
        for size, after in zip(_SIZES, self._after, strict=True):
            if at >= size:
                after[tuple(self._tokens[at - size :])] = at
        self._tokens.append(token)

    def draft(self, room: int) -> list[int]:
        """At most `room` tokens that may come next; none where the last token is new."""
        length = min(room, self._length)
        for size, after in zip(_SIZES, self._after, strict=True):
            begin = after.get(tuple(self._tokens[-size:]))
            if begin is not None and length > 0:
                again = itertools.cycle(self._tokens[begin:])  # where it ends with the text, it may go round once more
                return list(itertools.islice(again, length))
        return []

    def judge(self, drafted: int, accepted: int) -> None:
        """Learn how the last draft did."""
        if accepted == drafted:
            self._length = min(LONGEST, self._length * 2)
        elif accepted < drafted // 2:
            self._length = max(SHORTEST, self._length // 2)
