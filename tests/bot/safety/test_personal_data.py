"""What tells who or where somebody is goes; a sum, a date and a helpline stay."""

from __future__ import annotations

import pytest

from bot.safety.personal_data import mask


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("my number is 98765 43210 call me", "my number is [phone] call me"),
        ("मेरा फोन 9876543210 है", "मेरा फोन [phone] है"),
        ("9876543210", "[phone]"),
        ("whatsapp pe aao 09876543210", "whatsapp pe aao [phone]"),
        ("+91 98765 43210", "[phone]"),
        ("write to asha.k@gmail.com please", "write to [email] please"),
        ("my aadhaar is 2341 2341 2346", "my aadhaar is [aadhaar]"),
        ("mera aadhar 234123412346 hai", "mera aadhar [aadhaar] hai"),
        ("pan ABCPD1234F", "pan [pan]"),
        ("house no 12, gali 4, Rampur. what is mitosis", "[address]. what is mitosis"),
        ("my address is 4/5 MG road pune", "[address]"),
        ("I live in ward 4, Rampur village", "[address]"),
        ("मेरा पता गांधी नगर है। प्रकाश क्या है", "[address]। प्रकाश क्या है"),
        ("my mail a@b.in and phone 9876543210", "my mail [email] and phone [phone]"),
    ],
)
def test_what_is_personal_is_masked(text: str, masked: str) -> None:
    assert mask(text) == masked


@pytest.mark.parametrize(
    "text",
    [
        "What is photosynthesis?",
        "9876543210 + 5 = ?",
        "What is 9876543210 divided by 5 and how do I check the answer",
        "9876543210 km is how many metres, tell me with steps",
        "The population of India is 1428627663",
        "2341 2341 2347 lines of code",
        "call 1098 or 112 or 14416",
        "I live in a village near the river",
        "mujhe uska pata nahi hai",
        "The number 9876543210 has ten digits, what is its digit sum",
        "house of the parliament and the flat surface",
        "1/2 + 3/4, and 12345678901234567890 as a number in words",
        "ABCDE12345 is a code",
        "in 1857, 1919 and 1947",
    ],
)
def test_a_lesson_stays_as_it_is(text: str) -> None:
    assert mask(text) == text


def test_masking_twice_is_masking_once() -> None:
    once = mask("call 9876543210 or write a.b@c.in, house no 4, Pune")
    assert mask(once) == once
