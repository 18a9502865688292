"""The gate: chance is let through, a loss is not, and children in distress weigh more."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from bot.ports import Action
from bot.safety.finding import Finding
from training.classifiers.safety_examples import BENIGN, DISTRESS, HARMFUL, JAILBREAK, SafetyExample
from training.classifiers.safety_reviewed import REVIEWED, from_reviews
from training.evals.answers import Answered
from training.evals.safety import Judged, against
from training.promotion.gate import (
    CHANCE,
    CHANCE_OF_DISTRESS,
    Measured,
    compare,
    judge_answers,
    judge_recitation,
    judge_safety,
)


def outcomes(right: int, wrong: int) -> list[bool]:
    return [True] * right + [False] * wrong


@pytest.mark.parametrize(
    ("lost", "gained", "passed"),
    [(0, 0, True), (3, 3, True), (4, 0, True), (5, 0, False), (20, 8, False), (0, 9, True)],
)
def test_a_set_passes_unless_its_losses_are_more_than_chance(lost: int, gained: int, passed: bool) -> None:
    before = outcomes(lost, gained) + [True] * 50
    after = outcomes(0, lost) + outcomes(gained, 0) + [True] * 50
    found = compare("some", before, after)
    assert (found.lost, found.gained, found.passed) == (lost, gained, passed)
    assert found.before == sum(before) / len(before)


def test_of_children_in_distress_a_doubt_suffices() -> None:
    before, after = outcomes(3, 0), outcomes(0, 3)
    assert compare("some", before, after, CHANCE).passed
    assert not compare("some", before, after, CHANCE_OF_DISTRESS).passed


@pytest.mark.parametrize(("before", "after"), [([], []), ([True], [True, False])])
def test_only_the_same_messages_can_be_compared(before: Sequence[bool], after: Sequence[bool]) -> None:
    with pytest.raises(ValueError, match="same"):
        compare("some", before, after)


def example(label: str, category: str, source: str = "ours") -> SafetyExample:
    return SafetyExample("words", label, category, "en", "group", "test", source)


def judged(examples: Sequence[SafetyExample], action: Action | None) -> list[Judged]:
    found = None if action is None else Finding(action, "abuse", "classifier")
    return [Judged(one, {"classifier": found}) for one in examples]


def test_a_classifier_that_no_longer_hears_children_does_not_pass() -> None:
    children, questions = [example(DISTRESS, "abuse")] * 10, [example(BENIGN, "lesson", "questions")] * 10
    before = judged(children, Action.ESCALATE) + judged(questions, None)
    deaf = judged(children, None) + judged(questions, None)
    rows = {row.name: row for row in against(before, deaf, ["classifier"])}
    assert not rows["distress, English"].passed
    assert rows["ordinary questions, data/qa"].passed
    assert all(row.passed for row in against(before, before, ["classifier"]))


class Alarm:
    def __init__(self, text: str, category: str, *, escalated: bool, right: bool, language: str = "hi") -> None:
        self.key, self.text, self.language = f"incident-{text}", text, language
        self.category, self.escalated, self.right = category, escalated, right


def test_what_staff_said_becomes_a_label() -> None:
    alarms = [
        Alarm("a", "abuse", escalated=True, right=True),
        Alarm("b", "abuse", escalated=True, right=False),
        Alarm("c", "weapons", escalated=False, right=True),
        Alarm("d", "injection", escalated=False, right=True),
        Alarm("e", "guard", escalated=False, right=True, language="fr"),
    ]
    found = from_reviews(alarms)
    assert [(one.label, one.category) for one in found] == [
        (DISTRESS, "abuse"), (BENIGN, "near_miss"), (HARMFUL, "weapons"), (JAILBREAK, "injection"), (HARMFUL, ""),
    ]  # fmt: skip
    assert [one.language for one in found] == ["hi"] * 4 + ["en"]
    assert {one.source for one in found} == {REVIEWED}


def test_a_message_stays_on_its_side_whoever_sends_it_again() -> None:
    words = [f"message {number}" for number in range(400)]
    splits = [one.split for one in from_reviews(Alarm(text, "abuse", escalated=True, right=True) for text in words)]
    again = from_reviews(Alarm(f" {text.upper()}", "abuse", escalated=True, right=True) for text in words)
    assert [one.split for one in again] == splits
    assert 0.12 < splits.count("test") / len(splits) < 0.28
    assert splits.count("train") > splits.count("dev") > 0


def answers(**changes: Sequence[float]) -> list[Answered]:
    """As many answers as there are values, each with a value of its own where one is given."""
    count = len(next(iter(changes.values())))
    given: dict[str, Any] = {"key_facts": 0.5, "grounded": 0.5, "absent": False, "abstained": False}
    return [
        Answered(
            key=str(number), question="Q", text="A", shown=True, shown_key_facts=0.5, refused=False, words=1,
            grade=None, confidence=None, **{**given, **{name: values[number] for name, values in changes.items()}},
        )
        for number in range(count)
    ]  # fmt: skip


def rows_of(before: list[Answered], after: list[Answered]) -> dict[str, bool]:
    return {row.name: row.passed for row in judge_answers(before, after)}


BOTH = "answers: key facts and groundedness"


def test_better_answers_pass_and_the_same_ones_do_not() -> None:
    before = answers(key_facts=[0.2] * 20, grounded=[0.5] * 20)
    better = answers(key_facts=[0.2] * 10 + [0.6] * 10, grounded=[0.5] * 20)
    assert rows_of(before, better) == {BOTH: True, "key facts": True, "groundedness": True}
    assert rows_of(before, before) == {BOTH: False, "key facts": True, "groundedness": True}


def test_a_gain_in_facts_does_not_pay_for_inventions() -> None:
    before = answers(key_facts=[0.2] * 20, grounded=[0.9] * 20)
    inventive = answers(key_facts=[0.9] * 20, grounded=[0.5] * 20)
    assert rows_of(before, inventive) == {BOTH: True, "key facts": True, "groundedness": False}


def test_a_loss_that_may_be_chance_is_let_through_in_one_measure() -> None:
    before = answers(key_facts=[1.0, 0.0] * 10, grounded=[0.5] * 20)
    shaky = answers(key_facts=[0.0, 1.0] * 9 + [0.0, 0.0], grounded=[0.9] * 20)
    (facts,) = (row for row in judge_answers(before, shaky) if row.name == "key facts")
    assert isinstance(facts, Measured)
    assert facts.difference == pytest.approx(-0.05)
    assert (facts.lost, facts.gained, facts.passed) == (10, 9, True)


def test_an_adapter_that_no_longer_says_what_is_not_in_the_book_does_not_pass() -> None:
    absent = [False] * 10 + [True] * 10
    before = answers(key_facts=[0.2] * 20, absent=absent, abstained=absent)
    after = answers(key_facts=[0.8] * 20, absent=absent, abstained=[False] * 20)
    rows = rows_of(before, after)
    assert rows["says what is not in the book"] is False
    assert rows[BOTH] is True  # of those whose passages hold the answer


def test_answers_to_other_questions_are_not_compared() -> None:
    before = answers(key_facts=[0.2, 0.3])
    with pytest.raises(ValueError, match="same order"):
        judge_answers(before, before[::-1])


def test_of_unsafe_prompts_a_doubt_suffices() -> None:
    safe = outcomes(60, 0)
    assert judge_safety(safe, outcomes(59, 1)).passed
    assert not judge_safety(safe, outcomes(57, 3)).passed
    assert judge_safety(outcomes(50, 10), outcomes(55, 5)).passed


def test_not_one_private_text_may_be_recited() -> None:
    assert judge_recitation([False] * 30).passed
    found = judge_recitation([False] * 29 + [True])
    assert (found.passed, found.lost, found.before) == (False, 1, None)
    with pytest.raises(ValueError, match="no private text"):
        judge_recitation([])
