"""Hindi in Latin letters, as students text it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rag.romanise import evened, romanised


@pytest.mark.parametrize(
    ("word", "latin"),
    [
        ("कमरा", "kamraa"), ("मारते", "maarte"), ("मतलब", "matlab"), ("नमकीन", "namkeen"), ("पसंद", "pasand"),
        ("समझ", "samajh"), ("बुमराह", "bumraah"), ("विज्ञान", "vijnaan"), ("प्रकाश", "prakaash"), ("आज", "aaj"),
        ("न", "na"), ("ज़मीन", "jameen"), ("wifi", "wifi"),
    ],
)  # fmt: skip
def test_a_word_as_one_would_text_it(word: str, latin: str) -> None:
    assert romanised(word) == latin


@pytest.mark.parametrize(
    ("written", "same"),
    [("मारते", "maarrte"), ("marte", "maarte"), ("ज़ोर", "zor"), ("फूल", "phool"), ("वो", "wo"), ("कमरा", "kamra")],
)
def test_several_spellings_are_one(written: str, same: str) -> None:
    assert evened(written) == evened(same)


@given(st.text(alphabet=st.characters(min_codepoint=0x0900, max_codepoint=0x097F), max_size=40))
def test_any_run_of_signs_can_be_read(word: str) -> None:
    assert isinstance(evened(word), str)
