"""The embedding model through ONNX Runtime and OpenVINO, for the bench to compare with what the product uses."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import onnxscript  # noqa: F401  torch's exporter needs it
import openvino as ov
import torch
from numpy.typing import NDArray

from rag.embed import Embedder, Vectors

BATCH, LONGEST, THREADS = 32, 256, 2

Tokens = NDArray[np.int64]
Run = Callable[[Tokens, Tokens], Vectors]


class Pooled(torch.nn.Module):
    """The encoder, the mean over its tokens, length 1."""

    def __init__(self, encoder: Any) -> None:
        super().__init__()
        self.encoder = encoder

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        states = self.encoder(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
        kept = attention_mask.unsqueeze(-1).to(states.dtype)
        pooled: torch.Tensor = (states * kept).sum(1) / kept.sum(1).clamp(min=1e-9)
        return torch.nn.functional.normalize(pooled, dim=-1)


def exported(embedder: Embedder, folder: Path) -> Path:
    """The model as an ONNX file."""
    model = embedder._loaded()
    sample = model.tokenizer(["a text", "a longer text of words"], padding=True, return_tensors="pt")
    dynamic = torch.export.Dim.DYNAMIC
    path = folder / "model.onnx"
    torch.onnx.export(
        Pooled(model[0].auto_model).eval(),
        (sample["input_ids"], sample["attention_mask"]),
        str(path),
        dynamo=True,
        external_data=False,
        verbose=False,
        input_names=["input_ids", "attention_mask"],
        output_names=["vectors"],
        dynamic_shapes=({0: dynamic, 1: dynamic}, {0: dynamic, 1: dynamic}),
    )
    return path


def onnx_runtime(embedder: Embedder, folder: Path) -> Iterator[tuple[str, Callable[[Sequence[str]], Vectors]]]:
    """float32, and weights and activations in int8."""
    from onnxruntime.quantization import QuantType, quantize_dynamic

    path = exported(embedder, folder)
    small = folder / "model-int8.onnx"
    quantize_dynamic(path, small, weight_type=QuantType.QInt8)
    for name, file in (("ONNX Runtime, float32", path), ("ONNX Runtime, int8", small)):
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = THREADS
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        session = onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])

        def run(ids: Tokens, mask: Tokens, session: Any = session) -> Vectors:
            vectors: Vectors = session.run(None, {"input_ids": ids, "attention_mask": mask})[0]
            return vectors

        yield name, batched(embedder, run)


def openvino(embedder: Embedder, folder: Path) -> Iterator[tuple[str, Callable[[Sequence[str]], Vectors]]]:
    """float32 and bfloat16."""
    core = ov.Core()
    path = folder / "model.onnx"
    for name, precision in (("OpenVINO, float32", "f32"), ("OpenVINO, bfloat16", "bf16")):
        hints = {"INFERENCE_NUM_THREADS": THREADS, "INFERENCE_PRECISION_HINT": precision}
        request = core.compile_model(str(path), "CPU", hints).create_infer_request()

        def run(ids: Tokens, mask: Tokens, request: Any = request) -> Vectors:
            return np.asarray(request.infer([ids, mask])[0], dtype=np.float32)

        yield name, batched(embedder, run)


def batched(embedder: Embedder, run: Run) -> Callable[[Sequence[str]], Vectors]:
    """Texts in batches of like length, as sentence-transformers does it."""
    model = embedder._loaded()

    def embed(texts: Sequence[str]) -> Vectors:
        pieces = model.tokenizer(list(texts), truncation=True, max_length=LONGEST)["input_ids"]
        order = sorted(range(len(texts)), key=lambda place: -len(pieces[place]))
        vectors = np.zeros((len(texts), embedder.dimension), dtype=np.float32)
        for start in range(0, len(texts), BATCH):
            batch = order[start : start + BATCH]
            longest = max(len(pieces[place]) for place in batch)
            ids, mask = (np.zeros((len(batch), longest), dtype=np.int64) for _ in range(2))
            for row, place in enumerate(batch):
                ids[row, : len(pieces[place])] = pieces[place]
                mask[row, : len(pieces[place])] = 1
            vectors[batch] = run(ids, mask)
        return vectors

    return embed
