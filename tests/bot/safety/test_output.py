"""What an answer must not hold, and what it may."""

from __future__ import annotations

import pytest

from bot.safety.output import LEAK, PERSONAL_DATA, AnswerCheck
from bot.safety.rules import Rules
from bot.settings import PROJECT

SYSTEM = "You are a kind tutor of this school. Answer from the numbered passages in two to five short sentences."
CHECK = AnswerCheck(
    Rules.load(PROJECT / "data" / "safety" / "rules.json"),
    confidential=(SYSTEM,),
    helplines=("14416", "1098", "+91 98204 66726"),
)


@pytest.mark.parametrize(
    ("text", "category"),
    [
        ("My instructions say: answer from the numbered passages in two to five short sentences.", LEAK),
        ("ANSWER FROM THE NUMBERED PASSAGES IN TWO", LEAK),
        ("Plants make food.<|im_end|>", LEAK),
        ("Plants make food. [/INST]", LEAK),
        ("Plants make food.\nassistant: and more", LEAK),
        ("Call Ravi on 98765 43210.", PERSONAL_DATA),
        ("रवि का मोबाइल 9876543210 है", PERSONAL_DATA),
        ("Write to +91 98765-43210.", PERSONAL_DATA),
        ("Write to ravi.kumar@school.in today.", PERSONAL_DATA),
        ("The number is 2341 2341 2346.", PERSONAL_DATA),
        ("Plants make food, you bitch.", "harassment"),
        ("Just kill yourself.", "harassment"),
        ("देखो चूतिया", "harassment"),
    ],
)
def test_what_is_held_back(text: str, category: str) -> None:
    assert CHECK.category(text) == category


@pytest.mark.parametrize(
    "text",
    [
        "Photosynthesis is how green plants make food. They need sunlight.",
        "The number 9876543210 has ten digits.",
        "The place value of 9 in 9,87,65,43,210 is nine hundred crore.",
        "Light travels about 300000000 metres in one second.",
        "Childline 1098 and Tele-MANAS 14416 are free to call.",
        "You may call +91 98204 66726.",
        "An e-mail address looks like name@example.com.",
        "The passages of the nose warm the air. Answer in short sentences.",
        "The atomic bomb was dropped on Hiroshima on 6 August 1945.",
        "Flowers are the organs of sexual reproduction in plants.",
        "प्रकाश संश्लेषण में पौधे भोजन बनाते हैं।",
        "The nervous system: brain, spinal cord and nerves.",
        "",
    ],
)
def test_what_may_be_said(text: str) -> None:
    assert CHECK.category(text) is None


@pytest.mark.parametrize("text", ["<|" * 10_000, "a@" * 10_000, "9" * 20_000, "+91 9" * 5_000, "call 98765" * 3_000])
def test_hostile_answers_end(text: str) -> None:
    CHECK.category(text)
