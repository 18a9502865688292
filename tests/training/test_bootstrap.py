"""Intervals: they hold the truth about as often as they say, and pairing takes out what is hard for both."""

from __future__ import annotations

import numpy as np
import pytest

from training.evals.bootstrap import mean, paired, shares


def test_the_interval_lies_around_the_mean_and_repeats() -> None:
    values = [0.0, 1.0] * 20
    found = mean(values)
    assert found.mean == 0.5
    assert found.low == pytest.approx(0.35, abs=0.03)  # 0.5 - 1.96 * 0.5 / sqrt(40)
    assert found.high == pytest.approx(0.65, abs=0.03)
    assert mean(values) == found


def test_equal_values_leave_no_doubt() -> None:
    found = mean([0.25] * 9)
    assert (found.mean, found.low, found.high) == (0.25, 0.25, 0.25)


def test_more_questions_make_it_narrower() -> None:
    few, many = mean([0.0, 1.0] * 10), mean([0.0, 1.0] * 200)
    assert many.high - many.low < (few.high - few.low) / 3


def test_it_holds_the_truth_about_nineteen_times_in_twenty() -> None:
    rng = np.random.default_rng(3)
    samples = [mean(list(rng.normal(0.3, 1.0, 40)), resamples=400) for _ in range(200)]
    assert 0.88 < sum(one.low <= 0.3 <= one.high for one in samples) / len(samples) <= 1.0


def test_a_small_steady_gain_shows_only_when_the_questions_are_paired() -> None:
    rng = np.random.default_rng(0)
    hard = rng.random(60)
    before, after = list(hard), list(hard + 0.05 + rng.normal(0, 0.02, 60))
    found = paired(before, after)
    assert found.better
    assert found.low < 0.05 < found.high
    apart = mean(after), mean(before)
    assert apart[0].low < apart[1].high  # by themselves the two cannot be told apart
    assert paired(after, before).worse


def test_the_same_answers_differ_by_nothing() -> None:
    found = paired([0.1, 0.9, 0.4], [0.1, 0.9, 0.4])
    assert (found.mean, found.better, found.worse) == (0.0, False, False)


@pytest.mark.parametrize(("before", "after"), [([], []), ([1.0], [1.0, 0.0])])
def test_only_the_same_questions_can_be_compared(before: list[float], after: list[float]) -> None:
    with pytest.raises(ValueError, match=r"same|nothing"):
        paired(before, after)


def test_thumbs_of_one_conversation_count_as_one_voice() -> None:
    spread = shares([(1, 2)] * 50, [(2, 2)] * 25 + [(1, 2)] * 25)
    assert spread.mean == pytest.approx(0.25)
    assert spread.better
    loud = shares([(50, 100), (0, 1)], [(75, 100), (0, 1)])  # as many thumbs, of two conversations
    assert not loud.better


def test_a_side_without_thumbs_cannot_be_compared() -> None:
    with pytest.raises(ValueError, match="nothing"):
        shares([(0, 0)], [(1, 2)])
