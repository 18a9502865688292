from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoTokenizer

from inference.prompt import END, SPECIAL_TOKENS, SYSTEM, grounded
from training.base.corpus import chapters
from training.base.grounded import Grounded, Maker
from training.base.packed import Packed, pack
from training.base.stream import IGNORED, Batch, Stream, render
from training.base.tokenizer import build


@pytest.fixture(scope="module")
def tokenizer(base: Path) -> Any:
    return AutoTokenizer.from_pretrained(base, local_files_only=True)


@pytest.fixture(scope="module")
def packed(base: Path, textbooks: Path, tmp_path_factory: pytest.TempPathFactory) -> Packed:
    return pack(base, tmp_path_factory.mktemp("packed"), textbooks, validation=0.1)


@pytest.fixture(scope="module")
def stream(textbooks: Path, tokenizer: Any, packed: Packed) -> Stream:
    maker = Maker(chapters(textbooks))
    return Stream(tokenizer, packed.learned, maker, lambda step: (4, 256), grounded_share=0.7, seed=1)


def test_a_batch_is_a_function_of_its_step(stream: Stream) -> None:
    first, again, second = stream[0], stream[0], stream[1]
    assert torch.equal(first.ids, again.ids)
    assert torch.equal(first.labels, again.labels)
    assert not torch.equal(first.ids, second.ids)
    assert first.ids.shape == first.labels.shape == first.positions.shape == (4, 256)


def test_labels_are_the_tokens_themselves_or_ignored(stream: Stream) -> None:
    batch: Batch = stream[3]
    learned = batch.labels != IGNORED
    assert torch.equal(batch.labels[learned], batch.ids[learned])
    assert 0 < learned.float().mean() < 1


def test_positions_start_again_with_each_document(stream: Stream) -> None:
    for row in stream[5].positions.tolist():
        assert row[0] == 0
        assert all(after in (0, before + 1) for before, after in pairwise(row))


def test_only_the_answer_of_a_document_is_learned(tokenizer: Any) -> None:
    document = Grounded("What is sound?", ("Sound is energy.", "Rain is water."), "Sound is energy.")
    ids, labels = render(tokenizer, document)
    learned = [label for label in labels if label != IGNORED]
    assert tokenizer.decode(learned) == "Sound is energy." + END
    assert labels[-len(learned) :] == learned
    asked = tokenizer.decode(ids[: -len(learned)])
    assert SYSTEM in asked
    assert asked.endswith("Question: What is sound?<|im_end|>\n<|im_start|>assistant\n")


def test_a_document_has_the_tokens_that_serving_and_fine_tuning_use(tokenizer: Any) -> None:
    document = Grounded("What is sound?", ("Sound is energy.",), "It is energy.")
    messages = [*grounded(document.question, document.passages), {"role": "assistant", "content": document.answer}]
    whole = tokenizer.apply_chat_template(messages, return_dict=True)["input_ids"]
    ids, _ = render(tokenizer, document)
    assert whole[: len(ids)] == ids
    assert tokenizer.decode(whole[len(ids) :]) == "\n"


def test_the_packed_files_and_the_tokens_in_memory_give_the_same_batch(
    stream: Stream, packed: Packed, tokenizer: Any, textbooks: Path
) -> None:
    maker = Maker(chapters(textbooks))
    in_memory = Stream(tokenizer, list(packed.learned), maker, lambda step: (4, 256), grounded_share=0.7, seed=1)
    assert torch.equal(stream[3].ids, in_memory[3].ids)


@pytest.mark.parametrize(("tokens", "windows"), [(0, [4]), (256, [1, 1, 1, 1]), (600, [2, 2]), (800, [2, 2])])
def test_the_parts_of_a_batch_are_the_whole_of_it(stream: Stream, tokens: int, windows: list[int]) -> None:
    batch = stream[2]
    parts = batch.parts(tokens)
    assert [len(part.ids) for part in parts] == windows
    assert torch.equal(torch.cat([part.labels for part in parts]), batch.labels)
    assert sum(part.learned for part in parts) == batch.learned


def test_the_first_token_of_a_window_is_not_learned() -> None:
    ids = torch.arange(6).reshape(2, 3)
    labels = torch.tensor([[0, 1, IGNORED], [3, IGNORED, 5]])
    assert Batch(ids, labels, ids).learned == 2


@pytest.mark.parametrize("text", ["6CO₂ + 6H₂O → x² ÷ ½", "पौधे अपना भोजन बनाते हैं।", "🌱 tabs\t and\n\nlines", "é"])
def test_every_text_comes_back_whole(tokenizer: Any, text: str) -> None:
    assert tokenizer.decode(tokenizer(text)["input_ids"]) == text


def test_digits_stand_alone_and_special_tokens_are_one() -> None:
    tokenizer = build(["in 1857 and 1857 and 1857 again"] * 50, 300, 64)
    digits = tokenizer.tokenize("1857")
    assert digits == ["1", "8", "5", "7"]
    for token in SPECIAL_TOKENS:
        assert tokenizer(token)["input_ids"] == [tokenizer.convert_tokens_to_ids(token)]
    assert tokenizer.eos_token == END
    assert tokenizer.pad_token == "<|endoftext|>"
