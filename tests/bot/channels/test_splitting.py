from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bot.channels.splitting import code_units, split

WORDS = st.text(alphabet='ab .!?\n।क्ि👍🏽\u200dé🇮🇳)"', max_size=300)


def solid(text: str) -> str:
    """The text without white space."""
    return "".join(text.split())


@given(text=st.one_of(st.text(max_size=300), WORDS), limit=st.integers(2, 80))
@settings(deadline=None)
@pytest.mark.parametrize("measure", [len, code_units])
def test_parts_fit_and_lose_only_white_space(measure: object, text: str, limit: int) -> None:
    chosen = code_units if measure is code_units else len
    parts = split(text, limit, chosen)
    assert all(0 < chosen(part) <= limit for part in parts)
    assert all(part == part.strip() for part in parts)
    assert solid("".join(parts)) == solid(text)


@given(text=WORDS.map(str.strip).filter(bool))
def test_a_text_that_fits_is_left_as_it_is(text: str) -> None:
    assert split(text, len(text)) == [text]


@given(words=st.lists(st.text(alphabet="abcक", min_size=1, max_size=8), min_size=1, max_size=40))
def test_no_word_is_broken_that_fits(words: list[str]) -> None:
    parts = split(" ".join(words), 8)
    assert [word for part in parts for word in part.split()] == words


def test_nothing_is_no_part() -> None:
    assert split(" \n ", 10) == []


def test_paragraphs_come_before_sentences_and_sentences_before_words() -> None:
    text = "First one. It is short.\n\nSecond paragraph here. With more words in it."
    assert split(text, 40) == ["First one. It is short.", "Second paragraph here.", "With more words in it."]
    assert split("no full stop in here at all", 12) == ["no full stop", "in here at", "all"]


def test_a_sentence_is_not_broken_for_the_sake_of_a_fuller_part() -> None:
    assert split("Yes. The roots take up water and minerals", 40)[0] == "Yes."


def test_a_lonely_first_line_is_not_a_part_of_its_own() -> None:
    text = "Look:\n\n" + "Water boils at a hundred degrees. " * 4
    assert split(text, 80)[0].startswith("Look:\n\nWater")


def test_the_danda_ends_a_sentence() -> None:
    assert split("पौधे भोजन बनाते हैं। वे धूप लेते हैं।", 30) == ["पौधे भोजन बनाते हैं।", "वे धूप लेते हैं।"]


def test_a_list_number_stays_with_its_item() -> None:
    assert split("Steps follow here. 1. Boil it", 21) == ["Steps follow here.", "1. Boil it"]


def test_closing_quotes_stay_with_their_sentence() -> None:
    assert split('He said "Stop!" Then he left.', 18) == ['He said "Stop!"', "Then he left."]


@pytest.mark.parametrize(
    "cluster",
    ["क्षि", "👩🏽‍🚀", "👍🏽", "❤️", "é", "🇮🇳", "👨‍👩‍👧‍👦"],
    ids=["conjunct", "astronaut", "tone", "selector", "accent", "flag", "family"],
)
@pytest.mark.parametrize("measure", [len, code_units])
def test_what_a_reader_sees_as_one_is_not_cut(cluster: str, measure: object) -> None:
    chosen = code_units if measure is code_units else len
    for before in range(12):
        parts = split("x" * before + cluster * 3, 12, chosen)
        assert solid("".join(parts)) == "x" * before + cluster * 3
        for part in parts:
            assert part.lstrip("x").replace(cluster, "") == ""


def test_code_units_count_as_telegram_does() -> None:
    assert code_units("a👍क") == 4
    assert split("👍" * 3000, 4096, code_units) == ["👍" * 2048, "👍" * 952]


def test_a_limit_that_holds_no_character_is_refused() -> None:
    with pytest.raises(ValueError, match="holds no character"):
        split("👍👍", 1, code_units)
