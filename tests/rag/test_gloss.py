"""Hindi, in either script, comes out as the same English words; English stays."""

from __future__ import annotations

from functools import cache

import pytest

from bot.settings import PROJECT
from rag.gloss import Gloss

SPELLED = "father school the main reason of war what is photosynthesis exam sir good morning hi"
ENGLISH = frozenset(SPELLED.split())


@cache
def gloss() -> Gloss:
    return Gloss.load(PROJECT / "data" / "glossary", ENGLISH.__contains__)


@pytest.mark.parametrize(
    ("devanagari", "latin"),
    [
        ("पापा रोज़ मुझे मारते हैं", "papa roz mujhe marte hain"),
        ("मुझे जीने का मन नहीं करता", "mujhe jeene ka man nahi karta"),
        ("मैं घर से भाग जाऊँ क्या", "mai ghar se bhag jau kya"),
    ],
)
def test_both_scripts_say_the_same(devanagari: str, latin: str) -> None:
    assert gloss().english(devanagari) == gloss().english(latin)


def test_a_message_in_hindi_can_be_understood() -> None:
    assert gloss().english("papa roz mujhe marte hain") == "father daily me hit are"


def test_fixed_phrases_are_read_whole() -> None:
    assert "run away home" in gloss().english("ghar se bhag jau kya")


@pytest.mark.parametrize("text", ["what is the main reason of war", "hi sir good morning", "photosynthesis"])
def test_english_stays(text: str) -> None:
    assert gloss().english(text) == text


@pytest.mark.parametrize("text", ["", "   ", "😭😭", "॥", "\u200b", "a" * 5_000, "क" * 5_000, "2 + 2 = ?"])
def test_any_text_can_be_read(text: str) -> None:
    assert isinstance(gloss().english(text), str)


@pytest.mark.parametrize(
    ("devanagari", "latin"),
    [("पापा रोज़ मारते हैं।", "paapaa roz maarte hain ।"), ("मैं थक गई हूँ!", "mai thak gayi hoon !")],
)
def test_both_scripts_are_spelled_nearly_alike(devanagari: str, latin: str) -> None:
    one, other = (set(gloss().spelled(text).split()) for text in (devanagari, latin))
    assert len(one & other) >= len(one) - 2


def test_the_mark_at_the_end_of_a_sentence_is_no_letter() -> None:
    assert gloss().english("पापा मुझे मारते हैं।").split()[:-1] == gloss().english("पापा मुझे मारते हैं").split()


@pytest.mark.parametrize(("one", "other"), [("दूँगा", "दूंगा"), ("रोज़", "रोज"), ("माँ", "मां")])
def test_what_phones_write_in_two_ways_is_one_word(one: str, other: str) -> None:
    assert gloss().english(one) == gloss().english(other)
