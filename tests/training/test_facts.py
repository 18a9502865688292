"""A right answer counts however its words and numbers are written, and a wrong one does not."""

from __future__ import annotations

import pytest

from training.evals.facts import key_facts


def test_the_share_is_counted_without_case() -> None:
    assert key_facts("SOUND is not much", ["sound", "energy"]) == 0.5
    assert key_facts("anything", []) == 1.0


@pytest.mark.parametrize(
    ("answer", "fact"),
    [
        ("Only about 3 per cent of the water is fresh.", "3%"),
        ("पृथ्वी का 3 प्रतिशत जल मीठा है।", "3%"),
        ("The loan grows to ₹1,00,000.", "100000"),
        ("साहूकार ₹4,800 ज़्यादा लेता है।", "4,800 रुपये"),
        ("नाव 50 m दूर है।", "50 मीटर"),
        ("दूरी = 2 + 2 = 4 मीटर।", "4 मीटर"),  # the danda after a unit is no letter of it
        ("वर्षा 400 cm होती है।", "400 सेंटीमीटर"),
        ("क्षेत्रफल 500 वर्ग सेंटीमीटर है।", "500 वर्ग सेमी"),
        ("The area is 500 cm².", "500 square centimetres"),
        ("फ़सल अच्छी हुई।", "फसल"),
        ("सँकरी घाटी", "संकरी"),
        ("2 × 3 = 6", "2×3=6"),
        ("The answer is −8.", "-8"),
        ("Shahjahan’s reign", "Shahjahan's"),
    ],
)
def test_the_same_fact_in_other_letters_counts(answer: str, fact: str) -> None:
    assert key_facts(answer, [fact]) == 1.0


@pytest.mark.parametrize(
    ("answer", "fact"),
    [
        ("The sum is 15.", "5"),
        ("The sum is 150.", "15"),
        ("It is 2.5 m long.", "2"),
        ("It is 2.5 m long.", "5 m"),
        ("The distance is 50 km.", "50 m"),
        ("The sum is −8.", "−18"),
    ],
)
def test_another_number_does_not(answer: str, fact: str) -> None:
    assert key_facts(answer, [fact]) == 0.0


def test_a_fact_may_be_said_in_the_words_of_the_page() -> None:
    fact = "shaant area | calm area"
    assert key_facts("The eye of a cyclone is the calm area at its centre.", [fact]) == 1.0
    assert key_facts("Ankh beech ka shaant area hai.", [fact]) == 1.0
    assert key_facts("The eye is at its centre.", [fact]) == 0.0
