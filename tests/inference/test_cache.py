from __future__ import annotations

from collections.abc import Sequence

import torch
from hypothesis import given
from hypothesis import strategies as st

from inference.cache import Rows
from inference.executor import Span

SYSTEM = list(range(100, 120))


class Paper:
    """An executor that keeps the tokens themselves: what a row holds can be read."""

    together = 1

    def __init__(self, rows: int, *, rewinds: bool = True) -> None:
        self.rows, self.rewinds = rows, rewinds
        self.held: list[list[int]] = [[] for _ in range(rows)]
        self.copied = 0

    def forward(self, spans: Sequence[Span], *, every: bool) -> torch.Tensor:
        for span in spans:
            self.held[span.row][span.start :] = span.tokens
        return torch.empty(0)

    def copy(self, source: int, target: int, length: int) -> None:
        self.held[target] = self.held[source][:length]
        self.copied += length

    def swap(self, one: int, other: int, length: int) -> None:
        assert max(map(len, (self.held[one], self.held[other]))) <= length
        self.held[one], self.held[other] = self.held[other], self.held[one]

    def clear(self, row: int) -> None:
        self.held[row] = []


def read(rows: Rows, paper: Paper, row: int, prompt: list[int]) -> int:
    """Open a row for a prompt and read what is not there: how much was."""
    known = rows.open(row, prompt)
    paper.forward([Span(row, known, prompt[known:])], every=False)
    rows.hold(row, prompt)
    return known


def test_the_system_line_is_read_once() -> None:
    paper = Paper(4)
    rows = Rows(paper)
    assert read(rows, paper, 0, [*SYSTEM, 1, 2, 3]) == 0
    assert read(rows, paper, 1, [*SYSTEM, 4, 5]) == len(SYSTEM)  # from the row in use
    assert paper.copied == len(SYSTEM)
    assert read(rows, paper, 2, [7, *SYSTEM]) == 0


def test_a_further_question_finds_its_conversation_again() -> None:
    paper = Paper(4)
    rows = Rows(paper)
    first = [*SYSTEM, *range(30)]
    read(rows, paper, 0, first)
    for n in range(2):
        read(rows, paper, 0, [*SYSTEM, 50 + n])  # others, one after another: each takes the row not used for longest
    copied = paper.copied
    assert read(rows, paper, 0, [*first, 31, 32]) == len(first)
    assert paper.copied == copied  # it was moved, not copied


def test_the_same_prompt_again_reads_its_last_token_only() -> None:
    paper = Paper(1)
    rows = Rows(paper)
    read(rows, paper, 0, SYSTEM)
    assert read(rows, paper, 0, SYSTEM) == len(SYSTEM) - 1


def test_what_was_cleared_is_not_used_again() -> None:
    paper = Paper(2)
    rows = Rows(paper)
    read(rows, paper, 0, SYSTEM)
    rows.clear(0)
    assert read(rows, paper, 0, [*SYSTEM, 1]) == 0


def test_nothing_is_used_again_where_a_row_cannot_be_taken_back() -> None:
    paper = Paper(2, rewinds=False)
    rows = Rows(paper)
    read(rows, paper, 0, SYSTEM)
    assert read(rows, paper, 0, [*SYSTEM, 1]) == 0


@given(data=st.data())
def test_a_row_always_holds_the_prompt_it_was_opened_for(data: st.DataObject) -> None:
    paper = Paper(4)
    rows = Rows(paper)
    used: list[list[int]] = []
    for _ in range(data.draw(st.integers(1, 12))):
        if len(used) == 4 or (used and data.draw(st.booleans())):
            row = data.draw(st.integers(0, len(used) - 1))
            rows.swap(row, len(used) - 1)
            used[row] = used[-1]
            used.pop()
        else:
            base = data.draw(st.sampled_from([SYSTEM, SYSTEM[:12], [1, 2]]))
            prompt = base + data.draw(st.lists(st.integers(0, 1), min_size=1, max_size=12))
            assert read(rows, paper, len(used), prompt) < len(prompt)
            used.append(prompt)
        assert [paper.held[row] for row in range(len(used))] == used
