"""An ONNX graph with key-value cache, which onnxruntime runs without Python or torch: phones, browsers, C#, Java.

Inputs: input_ids and attention_mask, int64 (batch, tokens) and (batch, cached + tokens); past_key_values.N.key and
.value, float32 (batch, key-value heads, cached, head size), with 0 cached for a new prompt. Outputs: logits (batch,
tokens, vocabulary) and present.N.key and .value, to be given back with the next token. Padding goes to the left.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from training.errors import ExportError
from training.export.check import Logits, Tolerance

FILE = "model.onnx"
TOLERANCE = Tolerance(difference=1e-3, equal=0.999)

_ONE_FILE = 1 << 30  # bytes of weights that still go into the graph's own file: protobuf ends at 2 GiB
_KINDS = ("key", "value")


class _Cached(torch.nn.Module):
    """The model with its cache as plain tensors. Positions and mask are made here, from the attention mask alone."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model

    def forward(
        self, input_ids: torch.Tensor, attention_mask: torch.Tensor, past: list[torch.Tensor]
    ) -> tuple[torch.Tensor, ...]:
        from transformers import DynamicCache

        tokens, length = input_ids.shape[1], past[0].shape[2] + input_ids.shape[1]
        positions = (attention_mask.cumsum(-1) - 1).clamp(min=0)[:, -tokens:]
        seen = torch.arange(length)[None, :] <= torch.arange(length)[-tokens:, None]
        allowed = seen[None, None] & attention_mask.bool()[:, None, None, :]
        mask = torch.where(allowed, 0.0, torch.finfo(torch.float32).min)
        result = self.model(
            input_ids=input_ids,
            attention_mask=mask,
            position_ids=positions,
            past_key_values=DynamicCache(zip(past[::2], past[1::2], strict=True)),
            use_cache=True,
        )
        present = [tensor for layer in result.past_key_values.layers for tensor in (layer.keys, layer.values)]
        return (result.logits, *present)


def write(model: Any, tokenizer: Any, folder: Path) -> None:
    """Write the graph, the configuration and the tokenizer. `model` is in float32. Raises ExportError."""
    import onnxscript  # noqa: F401  what torch's exporter needs: missing, it shall be said before the work

    names = _names("past_key_values", model.config.num_hidden_layers)
    grows = {0: torch.export.Dim.DYNAMIC, 1: torch.export.Dim.DYNAMIC}
    cache = {0: torch.export.Dim.DYNAMIC, 2: torch.export.Dim.DYNAMIC}
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), torch.no_grad():
            warnings.simplefilter("ignore")  # of torch's exporter, about itself
            program: Any = torch.onnx.export(
                _Cached(model).eval(),
                _sample(model.config),
                input_names=["input_ids", "attention_mask", *names],
                output_names=["logits", *_names("present", model.config.num_hidden_layers)],
                dynamic_shapes=(grows, grows, [cache] * len(names)),
                dynamo=True,
                verbose=False,
            )
    except torch.onnx.OnnxExporterError as error:
        raise ExportError(f"{type(model).__name__} cannot be written as ONNX: {str(error).splitlines()[0]}") from error
    size = sum(tensor.nbytes for tensor in model.state_dict().values())
    program.save(folder / FILE, external_data=size > _ONE_FILE)
    model.config.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def read(folder: Path, threads: int) -> Logits:
    """The logits of what was written: the prompt in one run of onnxruntime, then the answer token by token."""
    from onnxruntime import InferenceSession, SessionOptions

    options = SessionOptions()
    options.intra_op_num_threads = threads
    session = InferenceSession(folder / FILE, options, providers=["CPUExecutionProvider"])
    empty = {
        entry.name: np.zeros((1, entry.shape[1], 0, entry.shape[3]), np.float32)
        for entry in session.get_inputs()
        if entry.name.startswith("past_key_values")
    }

    def logits(ids: Sequence[int], asked: int) -> torch.Tensor:
        past, found = empty, []
        for start, end in [(0, asked), *((place, place + 1) for place in range(asked, len(ids) - 1))]:
            given = {"input_ids": np.array([ids[start:end]], np.int64), "attention_mask": np.ones((1, end), np.int64)}
            made, *present = session.run(None, given | past)
            past = dict(zip(empty, present, strict=True))
            found.append(torch.from_numpy(made[0, -1:]))
        return torch.cat(found)

    return logits


def _names(of: str, layers: int) -> list[str]:
    return [f"{of}.{layer}.{kind}" for layer in range(layers) for kind in _KINDS]


def _sample(config: Any) -> tuple[torch.Tensor, torch.Tensor, list[torch.Tensor]]:
    """Two rows of three tokens after four cached: with a one anywhere the exporter would take that size for fixed."""
    cached = torch.zeros(2, config.num_key_value_heads, 4, config.head_dim)
    past = [cached.clone() for _ in range(2 * config.num_hidden_layers)]
    return torch.ones(2, 3, dtype=torch.long), torch.ones(2, 7, dtype=torch.long), past
