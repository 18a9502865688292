from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from bot.channels.text import storable


@given(st.text(alphabet=st.characters(), max_size=60))
def test_what_is_stored_can_be_encoded_and_holds_no_nul(text: str) -> None:
    stored = storable(text)
    stored.encode("utf-8")
    assert "\0" not in stored


@given(st.text(max_size=60).filter(lambda text: "\0" not in text))
def test_ordinary_text_is_not_touched(text: str) -> None:
    assert storable(text) == text


def test_lone_surrogates_become_replacement_signs() -> None:
    assert storable("a\ud83db\0c") == "a\ufffdbc"
