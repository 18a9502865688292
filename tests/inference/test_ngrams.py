"""Letters as features: the same for the same spelling, bounded for any text, and stored without loss that matters."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference.errors import ModerationRefused
from inference.ngrams import NGRAMS, PLACES, READ, NgramModel, places
from training.classifiers.ngrams import UNSEEN, fit

SAD = ["mujhe jeene ka mann nhi krta", "jeena nahi chahti", "mann nhi karta jeene ka", "jeene se thak gaya"]
GLAD = ["sound kya hota hai", "light kaise chalti hai", "kya hai force", "hota kya hai heat"]


@pytest.fixture(scope="module")
def model() -> NgramModel:
    return fit([*SAD, *GLAD], [2] * len(SAD) + [0] * len(GLAD), [1.0] * 8, 3)


def test_a_spelling_it_has_not_seen_is_known_by_its_parts(model: NgramModel) -> None:
    glad, _, sad = model.logits(["jeeene ka man nahi krtaa"])[0]
    assert sad > glad


def test_a_group_without_texts_is_unlikely(model: NgramModel) -> None:
    assert model.bias[1] == UNSEEN
    assert (model.logits([*SAD, *GLAD])[:, 1] == UNSEEN).all()


def test_what_is_stored_says_the_same_when_it_is_read(model: NgramModel, tmp_path: Path) -> None:
    model.save(tmp_path / NGRAMS)
    assert np.allclose(NgramModel.load(tmp_path / NGRAMS).logits(SAD), model.logits(SAD), atol=0.02)


@given(st.text(max_size=300))
def test_any_text_has_places_each_once(text: str) -> None:
    found = places(text)
    assert len(set(found.tolist())) == len(found)
    assert all(0 <= place < PLACES for place in found)


def test_case_and_spaces_do_not_count() -> None:
    assert places("  Kya HAI ").tolist() == places("kya hai").tolist()


def test_of_an_endless_text_the_beginning_and_the_end_are_read() -> None:
    filling = "abcd " * READ
    assert set(places("zzz").tolist()) <= set(places(f"zzz {filling}").tolist())
    assert set(places("zzz").tolist()) <= set(places(f"{filling} zzz").tolist())
    assert not set(places("zzz").tolist()) <= set(places(f"{filling} zzz {filling}").tolist())


@pytest.mark.parametrize("text", ["", " ", "\u200b", "\ud800"])
def test_no_letters_are_the_bias_alone_or_nearly(model: NgramModel, text: str) -> None:
    assert np.isfinite(model.logits([text])).all()


def test_no_text_is_no_row(model: NgramModel) -> None:
    assert model.logits([]).shape == (0, 3)


def test_a_damaged_file_is_refused_with_its_name(tmp_path: Path) -> None:
    (tmp_path / NGRAMS).write_bytes(b"{}")
    with pytest.raises(ModerationRefused, match=NGRAMS):
        NgramModel.load(tmp_path / NGRAMS)


def test_weights_of_another_size_are_refused(tmp_path: Path) -> None:
    NgramModel(np.ones(8, np.float32), np.ones((8, 2), np.float32), np.ones(2, np.float32)).save(tmp_path / NGRAMS)
    with pytest.raises(ModerationRefused, match="shape"):
        NgramModel.load(tmp_path / NGRAMS)
