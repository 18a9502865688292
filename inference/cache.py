"""Which tokens each row of an executor holds, and what of them the next prompt can use again.

A row keeps what it holds when its answer is finished. A new prompt takes the row that holds little but its beginning,
or copies that beginning into the row that was not used for longest: the system line is read once, and a further
question of the same conversation reads only what is new.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from inference.executor import Executor

_WORTH = 8  # tokens: a shorter beginning is read as quickly as it is copied


class Rows:
    """The bookkeeping of an executor's rows. Whoever decodes says which of them are in use."""

    def __init__(self, executor: Executor) -> None:
        self._executor = executor
        self._held: list[list[int]] = [[] for _ in range(executor.rows)]
        self._opened = [0] * executor.rows  # when, in openings
        self._openings = 0

    def open(self, row: int, prompt: Sequence[int]) -> int:
        """Make `row` ready for a prompt, and return how many of its tokens are there already: never all of them.

        This row and all after it must be free.
        """
        self._openings += 1
        shared = [_shared(held, prompt) if self._executor.rewinds else 0 for held in self._held]
        donor = max(range(len(shared)), key=lambda at: (shared[at], at))
        known = shared[donor] if shared[donor] >= _WORTH else 0
        if known and donor >= row and 2 * known > len(self._held[donor]):
            self.swap(row, donor)  # little is lost of what it held
        else:
            oldest = min(range(row, len(shared)), key=self._opened.__getitem__)
            self.swap(row, oldest)
            if known:
                self._executor.copy(row if donor == oldest else oldest if donor == row else donor, row, known)
        self._held[row] = list(prompt[:known])
        self._opened[row] = self._openings
        return known

    def hold(self, row: int, tokens: Sequence[int]) -> None:
        """Note what the row holds now, from its first position on."""
        self._held[row] = list(tokens)

    def swap(self, one: int, other: int) -> None:
        """Exchange two rows with all that is in them."""
        if one != other:
            length = max(len(self._held[one]), len(self._held[other]))
            self._executor.swap(one, other, length)
            self._held[one], self._held[other] = self._held[other], self._held[one]
            self._opened[one], self._opened[other] = self._opened[other], self._opened[one]

    def clear(self, row: int) -> None:
        """Forget what a row holds: it is not to be trusted."""
        self._executor.clear(row)
        self._held[row] = []


def _shared(held: Sequence[int], prompt: Sequence[int]) -> int:
    """The length of the common beginning. The last token of the prompt is not counted: it must be read in any case."""
    longest = min(len(held), len(prompt) - 1)
    return next((at for at in range(longest) if held[at] != prompt[at]), longest)
