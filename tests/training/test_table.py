"""The table of runs: means and differences with intervals, as data and as one HTML file."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence

import pytest

from training.evals.answers import Answered
from training.evals.table import Run, html, table


def rows(
    facts: Sequence[float], *, first: int = 0, confidence: float | None = 0.8, text: str = "Sound is energy."
) -> list[Answered]:
    return [
        Answered(
            key=str(first + number), question="Q", text=text, absent=False, key_facts=value, grounded=value, shown=True,
            shown_key_facts=value, abstained=False, refused=False, words=9, grade=5.0, confidence=confidence,
            seconds=2.0,
        )
        for number, value in enumerate(facts)
    ]  # fmt: skip


def test_each_run_has_its_mean_and_all_but_the_first_the_difference() -> None:
    made = table([Run("base", rows([0.2] * 10)), Run("new", rows([0.6] * 10))])
    facts = next(line for line in made.lines if line.measure == "key facts")
    first, second = facts.cells
    assert first is not None
    assert second is not None
    assert first.difference is None
    assert second.mean.mean == pytest.approx(0.6)
    assert second.difference is not None
    assert second.difference.mean == pytest.approx(0.4)
    assert second.difference.better


def test_only_questions_that_both_answered_are_compared() -> None:
    made = table([Run("base", rows([0.2] * 10)), Run("new", rows([0.2] * 5 + [1.0] * 5, first=5))])
    cell = next(line for line in made.lines if line.measure == "key facts").cells[1]
    assert cell is not None
    assert cell.difference is not None
    assert cell.difference.mean == pytest.approx(0.0)
    assert cell.mean.mean == pytest.approx(0.6)


def test_a_measure_that_no_run_has_is_left_out() -> None:
    made = table([Run("base", rows([0.2] * 3, confidence=None))])
    assert "said not to be in the book, rightly" not in {line.measure for line in made.lines}
    assert made.sure == (None,)


def test_how_answers_read_and_how_long_they_take_are_rows() -> None:
    made = {line.measure: line.cells[0] for line in table([Run("base", rows([0.2] * 3, text="पानी जल है।"))]).lines}
    for measure, mean in (("words a sentence", 3.0), ("aksharas a word, Hindi", 5 / 3), ("seconds an answer", 2.0)):
        cell = made[measure]
        assert cell is not None
        assert cell.mean.mean == pytest.approx(mean)
    english = {line.measure for line in table([Run("base", rows([0.2] * 3))]).lines}
    assert "aksharas a word, Hindi" not in english
    assert {"words an answer", "school grade of the language, English"} <= english


def test_it_goes_into_json_with_the_reliability_plot_as_points() -> None:
    named = json.loads(json.dumps(table([Run("base", rows([1.0, 1.0, 0.0, 1.0]))]).named()))
    assert named["runs"] == ["base"]
    (point,) = [one for one in named["calibration"][0]["bins"] if one["n"]]
    assert (point["n"], point["right"], point["confidence"]) == (4, 0.75, pytest.approx(0.8))


def test_the_html_stands_alone_and_escapes_names() -> None:
    made = table([Run("base", rows([0.2] * 10)), Run("<new>", rows([0.6] * 10))])
    page = html(made, "Answers & more", {"Questions": "10, <test>"})
    assert "Answers &amp; more" in page
    assert "&lt;new&gt;" in page
    assert "<new>" not in page
    assert "<test>" not in page
    assert re.search(r"""(?:src|href|url)\s*[=(]""", page) is None
    assert page.count("<svg") == 2
    assert 'class="sure">+0.400' in page


def test_a_figure_is_shown_to_the_digits_of_its_measure_with_a_true_minus() -> None:
    made = table([Run("base", rows([0.6] * 10)), Run("new", rows([0.2] * 10))])
    shown = {line.measure: line.shown(cell) for line in made.lines if (cell := line.cells[1]) is not None}
    assert shown["key facts"] == ("0.200", "[0.200, 0.200]", "\u22120.400 [\u22120.400, \u22120.400]")
    assert shown["words an answer"] == ("9.0", "[9.0, 9.0]", "0.0 [0.0, 0.0]")


def test_a_page_of_one_run_compares_nothing_and_without_confidence_draws_nothing() -> None:
    page = html(table([Run("base", rows([0.2] * 3, confidence=None))]), "Answers", {})
    assert "difference" not in page
    assert "<svg" not in page
    assert "Reliability" not in page


def test_no_runs_no_table() -> None:
    with pytest.raises(ValueError, match="no runs"):
        table([])
