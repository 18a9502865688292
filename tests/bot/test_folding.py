"""Texts that mean the same compare equal once folded."""

from __future__ import annotations

import pytest

from bot.folding import clean, words


@pytest.mark.parametrize(
    ("text", "folded"),
    [
        ("Hello,  World!", "hello world ."),
        ("don't", "dont"),
        ("ＨＥＬＬＯ", "hello"),
        ("h\u200be\u202el\u00adlo\ufeff", "hello"),
        ("hеllо", "hello"),  # Cyrillic е and о
        ("café naïve", "cafe naive"),
        ("🅱🅾🅼🅱", "bomb"),
        ("[b]omb", "bomb"),
        ("H2SO4 and x+y=3.5", "h2so4 and x y 3 5"),
        ("ज़हर", "जहर"),
        ("हिन्दी", "हिंदी"),
        ("हूँ", "हूं"),
        ("क्या है? हाँ।", "क्या है . हां ."),
        ("...", "."),
        ("❤️ ok", "ok"),
        ("ㅤ", ""),
        ("", ""),
    ],
)
def test_folding(text: str, folded: str) -> None:
    assert words(text) == folded


@pytest.mark.parametrize("text", ["Hello, World!", "हिन्दी में ज़हर क्या है?", "e\u0301 3.5 ... x"])
def test_folding_twice_changes_nothing(text: str) -> None:
    assert words(words(text)) == words(text)


def test_cleaning_keeps_lines_and_case() -> None:
    assert clean("A\u0000b\n\tC\u200d") == "Ab\n\tC"
