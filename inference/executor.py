"""What runs a model over tokens: our own forward pass for the Llama family, transformers' own for all others.

An executor has rows, one for each answer under way. A row holds the keys and values of its tokens, from position 0 on.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from transformers import DynamicCache

from inference.llama import LlamaExecutor, is_plain_llama

_MEMORY = 2 << 30  # bytes for the keys and values of one model


@dataclass(frozen=True, slots=True)
class Span:
    """Tokens to be read: they take the positions from `start` on in `row`, whatever was there before."""

    row: int
    start: int
    tokens: Sequence[int]


class Executor(Protocol):
    """A model with its rows. Not safe for threads."""

    rows: int
    together: int  # tokens that one step takes without taking notably longer than for a single one
    rewinds: bool  # whether a row may go on from an earlier position; without it nothing is drafted and nothing reused

    def forward(self, spans: Sequence[Span], *, every: bool) -> torch.Tensor:
        """The logits after each token (`every`), or after the last of each span: float32 (tokens or spans, vocabulary).

        Spans lie in consecutive rows. What the row holds before `start` is taken as read.
        """

    def copy(self, source: int, target: int, length: int) -> None:
        """Give `target` the first `length` positions of `source`."""

    def swap(self, one: int, other: int, length: int) -> None:
        """Exchange two rows, of which the first `length` positions are in use."""

    def clear(self, row: int) -> None:
        """Forget a row, so that nothing of it can reach the next answer there."""


def executor_for(model: Any, rows: int, context: int) -> Executor:
    """The fastest executor there is for a model. The model itself may be let go once it has been made."""
    return LlamaExecutor(model, rows, context) if is_plain_llama(model) else TransformersExecutor(model, rows)


def affordable_rows(model: Any, rows: int, context: int) -> int:
    """As many rows, up to `rows`, as have room for their keys and values in _MEMORY."""
    config = model.config.get_text_config()
    heads = getattr(config, "num_key_value_heads", None) or config.num_attention_heads
    head = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    each: int = 2 * config.num_hidden_layers * heads * head * context * model.dtype.itemsize
    return max(1, min(rows, _MEMORY // each))


class TransformersExecutor:
    """Any causal language model of transformers: one cache a row, one row after another."""

    together = 6

    def __init__(self, model: Any, rows: int) -> None:
        self.rows = rows
        self._model = model
        self._caches: list[Any] = [None] * rows
        self.rewinds = _only_full_attention(model.config.get_text_config())

    @torch.inference_mode()
    def forward(self, spans: Sequence[Span], *, every: bool) -> torch.Tensor:
        return torch.cat([self._read(span, len(span.tokens) if every else 1) for span in spans])

    def copy(self, source: int, target: int, length: int) -> None:
        self._caches[target] = copy.deepcopy(self._caches[source])
        _cut(self._caches[target], length)

    def swap(self, one: int, other: int, length: int) -> None:
        self._caches[one], self._caches[other] = self._caches[other], self._caches[one]

    def clear(self, row: int) -> None:
        self._caches[row] = None

    def _read(self, span: Span, last: int) -> torch.Tensor:
        if span.start == 0 or self._caches[span.row] is None:
            self._caches[span.row] = DynamicCache(config=self._model.config)
        cache = self._caches[span.row]
        _cut(cache, span.start)
        device = self._model.device
        ids = torch.tensor([list(span.tokens)], device=device)
        found = self._model(
            input_ids=ids,
            attention_mask=torch.ones(1, span.start + len(span.tokens), dtype=torch.long, device=device),
            past_key_values=cache,
            use_cache=True,
            logits_to_keep=last,
        )
        logits: torch.Tensor = found.logits[0, -last:].float()
        return logits


def _cut(cache: Any, length: int) -> None:
    """Forget what comes after the first `length` positions."""
    if cache.get_seq_length() > length:
        cache.crop(length - cache.get_seq_length())


def _only_full_attention(config: Any) -> bool:
    """Whether the cache keeps every position: a sliding window or a recurrent state cannot be taken back."""
    kinds = getattr(config, "layer_types", None)
    if kinds is not None:
        return all(kind == "full_attention" for kind in kinds)
    return getattr(config, "sliding_window", None) is None
