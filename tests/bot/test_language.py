"""Three languages in two scripts, in messages as short and as misspelt as students write them."""

from __future__ import annotations

import pytest

from bot.language import NAMES, detect


@pytest.mark.parametrize(
    "text",
    [
        "What is photosynthesis?",
        "cell",
        "H2SO4",
        "the main idea of the poem",
        "explain to me how he is in the main hall",
        "Ka value of acetic acid",
        "Find the height h of a cone if r = 7 cm",
        "Who wrote Mein Kampf?",
        "What is the meaning of नमस्ते?",
        "Does 'hai' mean yes in Japanese?",
        "hum a tune",
        "Jo March is a character in which novel",
        "plz tell me abt tides",
        "",
        "42",
        "??",
    ],
)
def test_english_stays_english(text: str) -> None:
    assert detect(text) == "en"


@pytest.mark.parametrize(
    "text",
    [
        "photosynthesis kya hota hai",
        "PHOTOSYNTHESIS KYA HOTA HAI",
        "gravity kya h",
        "batao",
        "btaoooo",
        "smjhao sir",
        "newton ka dusra niyam",
        "pani ka formula",
        "cell ke parts",
        "tan 45 ki value",
        "mujhe fractions nhi samajh aate",
        "sir please tell me photosynthesis kya hota hai",
        "kyu hoti h barish",
        "decimal ko fraction me kese badle",
    ],
)
def test_romanised_hindi_is_hinglish(text: str) -> None:
    assert detect(text) == "hinglish"


@pytest.mark.parametrize(
    "text",
    ["प्रकाश संश्लेषण क्या है?", "photosynthesis क्या है", "gravity kya है", "समझाओ", "नमस्ते sir", "H2O का अर्थ"],
)
def test_devanagari_is_hindi(text: str) -> None:
    assert detect(text) == "hi"


def test_every_language_has_a_name_students_can_read() -> None:
    assert NAMES == {"en": "English", "hi": "हिन्दी", "hinglish": "Hinglish"}
