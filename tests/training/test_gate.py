"""The gate: chance is let through, a loss is not, and children in distress weigh more."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from bot.ports import Action
from bot.safety.finding import Finding
from training.evals.safety import Judged, against
from training.gate import CHANCE, CHANCE_OF_DISTRESS, compare
from training.safety_examples import BENIGN, DISTRESS, HARMFUL, JAILBREAK, SafetyExample
from training.safety_reviewed import REVIEWED, from_reviews


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
