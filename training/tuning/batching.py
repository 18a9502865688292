"""Which examples each step reads: all batches of a run, a function of the seed alone, so that it can be resumed."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

_WINDOW = 50  # batches that are sorted by length together, and a quarter of an epoch at most: chance stays in it


@dataclass(frozen=True, slots=True)
class Plan:
    """`batches` has the indices of the examples of each step; `ends` the number of steps done after each epoch."""

    batches: list[list[int]]
    ends: tuple[int, ...]


def plan(lengths: Sequence[int], batch: int, epochs: int, seed: int, *, grouped: bool = True) -> Plan:
    """Every example once an epoch, in an order of chance; `grouped` puts those of like length into one batch.

    `lengths` in tokens. The last batch of an epoch may be smaller.
    """
    batches: list[list[int]] = []
    ends = []
    for epoch in range(epochs):
        rng = random.Random(f"{seed} {epoch}")
        order = list(range(len(lengths)))
        rng.shuffle(order)
        made = _grouped(order, lengths, batch) if grouped else _cut(order, batch)
        rng.shuffle(made)
        batches += made
        ends.append(len(batches))
    return Plan(batches, tuple(ends))


def parts(batch: Sequence[int], lengths: Sequence[int], number: int) -> list[list[int]]:
    """A batch in at most `number` parts of like size, each of examples of like length."""
    ordered = sorted(batch, key=lambda index: lengths[index])
    return _cut(ordered, -(-len(ordered) // number))


def padding(batches: Sequence[Sequence[int]], lengths: Sequence[int]) -> float:
    """The share of what is read that is padding, where each batch is padded to its longest example."""
    read = sum(len(batch) * max(lengths[index] for index in batch) for batch in batches)
    return 1 - sum(lengths[index] for batch in batches for index in batch) / read


def _grouped(order: Sequence[int], lengths: Sequence[int], batch: int) -> list[list[int]]:
    window = batch * max(1, min(len(order) // (4 * batch), _WINDOW))
    made: list[list[int]] = []
    for start in range(0, len(order), window):
        made += _cut(sorted(order[start : start + window], key=lambda index: lengths[index]), batch)
    return made


def _cut(order: Sequence[int], size: int) -> list[list[int]]:
    return [list(order[start : start + size]) for start in range(0, len(order), size)]
