from __future__ import annotations

import random
from collections import Counter

import pytest

from training.tuning.batching import padding, parts, plan


@pytest.fixture
def lengths() -> list[int]:
    rng = random.Random(1)
    return [rng.randint(60, 900) for _ in range(500)]


@pytest.mark.parametrize("grouped", [True, False])
def test_every_example_is_read_once_an_epoch(lengths: list[int], grouped: bool) -> None:
    made = plan(lengths, 8, 3, seed=1, grouped=grouped)
    assert made.ends == (63, 126, 189)
    start = 0
    for end in made.ends:
        assert Counter(index for batch in made.batches[start:end] for index in batch) == Counter(range(500))
        start = end
    assert max(map(len, made.batches)) == 8


def test_grouped_batches_hold_little_padding(lengths: list[int]) -> None:
    assert padding(plan(lengths, 8, 1, seed=1, grouped=False).batches, lengths) > 0.4
    assert padding(plan(lengths, 8, 1, seed=1).batches, lengths) < 0.08


def test_the_plan_is_the_seeds_and_each_epoch_is_another(lengths: list[int]) -> None:
    made = plan(lengths, 8, 2, seed=1)
    assert made == plan(lengths, 8, 2, seed=1)
    assert made.batches != plan(lengths, 8, 2, seed=2).batches
    first, second = ({frozenset(batch) for batch in part} for part in (made.batches[:63], made.batches[63:]))
    assert len(first & second) < 5


def test_short_and_long_batches_are_mixed(lengths: list[int]) -> None:
    means = [sum(lengths[index] for index in batch) / len(batch) for batch in plan(lengths, 8, 1, seed=1).batches]
    half = len(means) // 2
    assert abs(sum(means[:half]) / half - sum(means[half:]) / (len(means) - half)) < 120


def test_parts_are_even_and_of_like_length() -> None:
    lengths = [9, 1, 8, 2, 7, 3]
    assert parts([0, 1, 2, 3, 4, 5], lengths, 3) == [[1, 3], [5, 4], [2, 0]]
    assert parts([0, 1, 2], lengths, 2) == [[1, 2], [0]]
    assert parts([4], lengths, 8) == [[4]]
