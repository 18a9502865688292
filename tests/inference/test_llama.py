"""Our forward pass against transformers' own, on models small enough to make at once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM, Qwen2Config, Qwen2ForCausalLM

from inference.executor import Executor, Span, TransformersExecutor, affordable_rows, executor_for
from inference.llama import LlamaExecutor
from inference.weights import cast

VOCABULARY, CONTEXT = 97, 64

SHAPES: dict[str, dict[str, Any]] = {
    "grouped heads": {},
    "one key head": {"num_key_value_heads": 1},
    "as many key heads": {"num_key_value_heads": 4},
    "its own head size": {"head_dim": 16},
    "untied": {"tie_word_embeddings": False},
    "coarse eps": {"rms_norm_eps": 0.5},
    "llama3": {
        "rope_parameters": {
            "rope_type": "llama3",
            "rope_theta": 10000.0,
            "factor": 8.0,
            "low_freq_factor": 1.0,
            "high_freq_factor": 4.0,
            "original_max_position_embeddings": 16,
        }
    },
    "linear": {"rope_parameters": {"rope_type": "linear", "rope_theta": 10000.0, "factor": 4.0}},
    "yarn": {
        "rope_parameters": {
            "rope_type": "yarn",
            "rope_theta": 10000.0,
            "factor": 4.0,
            "original_max_position_embeddings": 16,
        }
    },
}


def llama(**changes: Any) -> Any:
    torch.manual_seed(3)
    shape = {
        "vocab_size": VOCABULARY,
        "hidden_size": 32,
        "intermediate_size": 48,
        "num_hidden_layers": 3,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": CONTEXT,
        "initializer_range": 0.3,
        "tie_word_embeddings": True,
    }
    model = LlamaForCausalLM(LlamaConfig(**{**shape, **changes})).eval()
    for name, parameter in model.named_parameters():
        if "norm" in name:
            parameter.data.uniform_(0.5, 1.5)  # ones would hide a norm that forgets its weight
    return model


@torch.no_grad()
def whole(model: Any, tokens: Sequence[int]) -> torch.Tensor:
    """All logits of a text, without any cache."""
    found: torch.Tensor = model(torch.tensor([list(tokens)])).logits[0].float()
    return found


def text(seed: int, length: int) -> list[int]:
    found: list[int] = torch.randint(VOCABULARY, (length,), generator=torch.Generator().manual_seed(seed)).tolist()
    return found


def close(found: torch.Tensor, expected: torch.Tensor) -> None:
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES.keys())
def test_every_shape_of_the_family_computes_what_transformers_computes(shape: dict[str, Any]) -> None:
    model, tokens = llama(**shape), text(1, 40)
    executor = executor_for(model, rows=2, context=CONTEXT)
    assert isinstance(executor, LlamaExecutor)
    expected = whole(model, tokens)
    close(executor.forward([Span(1, 0, tokens[:25])], every=True), expected[:25])
    close(executor.forward([Span(1, 25, tokens[25:30])], every=True), expected[25:30])
    close(executor.forward([Span(1, 30, tokens[30:31])], every=False), expected[30:31])
    close(executor.forward([Span(1, 31, tokens[31:])], every=False), expected[39:])


@pytest.mark.parametrize("own", [True, False], ids=["ours", "transformers"])
def test_rows_of_different_lengths_go_on_together(own: bool) -> None:
    model = llama()
    executor: Executor = LlamaExecutor(model, 4, CONTEXT) if own else TransformersExecutor(model, 4)
    texts = [text(seed, length) for seed, length in ((1, 30), (2, 9), (3, 21))]
    for row, tokens in enumerate(texts):
        executor.forward([Span(row, 0, tokens[:-4])], every=False)
    one = [Span(row, len(tokens) - 4, tokens[-4:-3]) for row, tokens in enumerate(texts)]
    close(executor.forward(one, every=True), torch.stack([whole(model, tokens)[-4] for tokens in texts]))
    ragged = [
        Span(row, len(tokens) - 3, tokens[-3:][:length])
        for row, (tokens, length) in enumerate(zip(texts, (3, 1, 2), strict=True))
    ]
    expected = [whole(model, tokens)[-3:][:length] for tokens, length in zip(texts, (3, 1, 2), strict=True)]
    close(executor.forward(ragged, every=True), torch.cat(expected))
    close(executor.forward(ragged, every=False), torch.stack([logits[-1] for logits in expected]))


@pytest.mark.parametrize("own", [True, False], ids=["ours", "transformers"])
def test_a_row_goes_on_from_any_earlier_position(own: bool) -> None:
    model = llama()
    executor: Executor = LlamaExecutor(model, 2, CONTEXT) if own else TransformersExecutor(model, 2)
    first, other = text(1, 30), text(2, 30)
    executor.forward([Span(0, 0, first)], every=False)
    close(executor.forward([Span(0, 12, other[12:])], every=False), whole(model, first[:12] + other[12:])[-1:])
    executor.forward([Span(0, 0, other)], every=False)  # and from the beginning
    close(executor.forward([Span(0, 29, [5])], every=False), whole(model, [*other[:29], 5])[-1:])


@pytest.mark.parametrize("own", [True, False], ids=["ours", "transformers"])
def test_rows_are_copied_swapped_and_cleared(own: bool) -> None:
    model = llama()
    executor: Executor = LlamaExecutor(model, 3, CONTEXT) if own else TransformersExecutor(model, 3)
    first, other = text(1, 20), text(2, 24)
    executor.forward([Span(0, 0, first)], every=False)
    executor.forward([Span(1, 0, other)], every=False)
    executor.copy(0, 2, 15)
    close(executor.forward([Span(2, 15, [7])], every=False), whole(model, [*first[:15], 7])[-1:])
    executor.swap(0, 1, 24)
    close(executor.forward([Span(0, 24, [7])], every=False), whole(model, [*other, 7])[-1:])
    close(executor.forward([Span(1, 20, [7])], every=False), whole(model, [*first, 7])[-1:])
    executor.clear(1)
    close(executor.forward([Span(1, 0, other)], every=False), whole(model, other)[-1:])


def test_a_row_that_went_wrong_harms_no_other_and_is_as_new_once_cleared() -> None:
    model, tokens = llama(), text(2, 30)
    executor = LlamaExecutor(model, 2, CONTEXT)
    with torch.inference_mode():
        executor._cache[:, 1] = float("nan")
    executor.forward([Span(0, 0, tokens[:-1])], every=False)
    both = executor.forward([Span(0, 29, tokens[-1:]), Span(1, 20, tokens[:1])], every=True)
    close(both[:1], whole(model, tokens)[-1:])
    assert both[1].isnan().all()
    executor.clear(1)
    executor.forward([Span(1, 0, tokens[:3])], every=False)
    both = executor.forward([Span(0, 29, tokens[-1:]), Span(1, 3, tokens[3:4])], every=True)
    close(both[1:], whole(model, tokens[:4])[-1:])


def test_in_bfloat16_it_is_as_close_to_the_exact_model_as_transformers_is() -> None:
    exact, half, tokens = llama(), llama(), text(1, 50)
    cast(half, torch.bfloat16)
    expected = whole(exact, tokens)
    ours = LlamaExecutor(half, 1, CONTEXT).forward([Span(0, 0, tokens)], every=True)
    theirs = whole(half, tokens)
    assert (ours - expected).abs().mean() < 1.25 * (theirs - expected).abs().mean()
    assert ours.dtype == torch.float32


@pytest.mark.parametrize(
    "model",
    [
        llama(attention_bias=True),
        llama(mlp_bias=True),
        llama(hidden_act="gelu"),
        llama(rope_parameters={"rope_type": "dynamic", "rope_theta": 10000.0, "factor": 2.0}),
        Qwen2ForCausalLM(
            Qwen2Config(
                vocab_size=VOCABULARY,
                hidden_size=32,
                intermediate_size=48,
                num_hidden_layers=2,
                num_attention_heads=4,
                num_key_value_heads=2,
                initializer_range=0.3,
            )
        ).eval(),
    ],
    ids=["attention bias", "mlp bias", "gelu", "dynamic rope", "another family"],
)
def test_whatever_is_not_this_very_model_is_left_to_transformers(model: Any) -> None:
    executor, tokens = executor_for(model, rows=1, context=CONTEXT), text(1, 20)
    assert isinstance(executor, TransformersExecutor)
    assert executor.rewinds
    executor.forward([Span(0, 0, tokens[:-1])], every=False)
    close(executor.forward([Span(0, 19, tokens[-1:])], every=True), whole(model, tokens)[-1:])


def test_a_model_that_looks_back_only_so_far_is_never_taken_back() -> None:
    sliding = Qwen2Config(
        vocab_size=VOCABULARY,
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        use_sliding_window=True,
        sliding_window=8,
        max_window_layers=0,
    )
    assert not executor_for(Qwen2ForCausalLM(sliding), rows=1, context=CONTEXT).rewinds


def test_a_model_with_a_long_context_gets_fewer_rows() -> None:
    model = llama()  # 2 * 3 layers * 2 heads * 8 numbers of 4 bytes a position
    assert affordable_rows(model, 16, CONTEXT) == 16
    assert affordable_rows(model, 16, (2 << 30) // (4 * 2 * 3 * 2 * 8 * 4)) == 4
    assert affordable_rows(model, 16, 1 << 40) == 1
