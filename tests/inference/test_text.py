from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders, models
from transformers import AutoTokenizer

from inference.text import Detokeniser, StopFilter

MARKERS = ("<|im_end|>", "\nQuestion:", "\nPassages:")
WORDS = st.sampled_from(["जल", "प्रकाश", "संश्लेषण", "क्षेत्र", "rain", "😀", "é", " ", "\n", "²", "한"])


@pytest.fixture(scope="module")
def tokenizer(base: Path) -> Any:
    return AutoTokenizer.from_pretrained(base)


def stream(tokenizer: Any, tokens: list[int]) -> list[str]:
    detokeniser = Detokeniser(lambda ids: str(tokenizer.decode(ids, skip_special_tokens=True)))
    return [*(detokeniser.push(token) for token in tokens), detokeniser.finish()]


@given(words=st.lists(WORDS | st.text(alphabet=st.characters(exclude_categories=["Cs"]), max_size=8)))
def test_pieces_of_any_text_join_to_it_and_hold_whole_characters(tokenizer: Any, words: list[str]) -> None:
    text = "".join(words).replace("\N{REPLACEMENT CHARACTER}", "").replace("<|", "")
    tokens = tokenizer.encode(text, add_special_tokens=False)
    pieces = stream(tokenizer, tokens)
    assert "".join(pieces) == text
    assert not any("\N{REPLACEMENT CHARACTER}" in piece for piece in pieces)


@given(data=st.data())
def test_pieces_of_any_tokens_join_to_their_text(tokenizer: Any, data: st.DataObject) -> None:
    tokens = data.draw(st.lists(st.integers(0, len(tokenizer) - 1), max_size=30))  # broken bytes, special tokens, all
    whole = tokenizer.decode(tokens, skip_special_tokens=True)
    assert "".join(stream(tokenizer, tokens)) == whole.rstrip("\N{REPLACEMENT CHARACTER}")


def test_a_letter_waits_for_its_last_byte(tokenizer: Any) -> None:
    tokens = tokenizer.encode("ठ", add_special_tokens=False)
    assert len(tokens) > 1  # no sentence the tokenizer was made from has this letter
    assert stream(tokenizer, tokens) == [*[""] * (len(tokens) - 1), "ठ", ""]
    assert stream(tokenizer, tokens[:-1]) == [""] * len(tokens)  # cut short: nothing rather than half a letter


def test_spaces_are_kept_with_tokenizers_that_lose_the_first() -> None:
    words = Tokenizer(models.WordLevel({"▁Rain": 0, "▁falls": 1, ".": 2}, unk_token="."))
    words.decoder = decoders.Metaspace()
    assert words.decode([1]) == "falls"  # without its space, as SentencePiece does it
    detokeniser = Detokeniser(words.decode)
    assert [detokeniser.push(token) for token in (0, 1, 2)] == ["Rain", " falls", "."]


def filtered(pieces: list[str]) -> tuple[str, bool]:
    markers = StopFilter(MARKERS)
    shown = "".join([*map(markers.push, pieces), markers.finish()])
    return shown, markers.stopped


FRAGMENTS = st.sampled_from(["<|im", "_end|>", "<", "\n", "Ques", "tion:", "Question:", " ", "rain", "Passages:", "।"])


@given(pieces=st.lists(FRAGMENTS, max_size=12))
def test_what_is_shown_is_the_text_before_the_first_marker(pieces: list[str]) -> None:
    text = "\n" + "".join(pieces)
    end = min((at for marker in MARKERS if (at := text.find(marker)) >= 0), default=len(text))
    assert filtered(pieces) == (text[:end].strip(), end < len(text))


@given(pieces=st.lists(FRAGMENTS, max_size=12))
def test_every_piece_is_the_next_part_of_the_final_text(pieces: list[str]) -> None:
    """So a page that appends the pieces never has to take anything back."""
    final, _ = filtered(pieces)
    markers = StopFilter(MARKERS)
    sofar = ""
    for piece in pieces:
        sofar += markers.push(piece)
        assert final.startswith(sofar)


def test_text_is_not_held_back_without_reason() -> None:
    markers = StopFilter(MARKERS)
    assert markers.push("Rain falls.") == "Rain falls."
    assert markers.push(" Then\nQ") == " Then"
    assert markers.push("uiet") == "\nQuiet"
