"""Base and adapter as one model in the format of transformers, which vLLM and most other tools read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM

from inference.weights import cast
from training.export.check import Logits, Tolerance, from_model

# In float32 only the order of the sums differs; float16 keeps 11 bits of each weight, bfloat16 8.
TOLERANCE = {
    "float32": Tolerance(difference=1e-3, equal=0.999),
    "float16": Tolerance(difference=0.02, equal=0.98),
    "bfloat16": Tolerance(difference=0.1, equal=0.9),
}


def write(model: Any, tokenizer: Any, folder: Path, dtype: str) -> None:
    """Save weights, configuration and tokenizer. `model` is converted to `dtype` in place."""
    cast(model, getattr(torch, dtype))
    model.config.dtype = getattr(torch, dtype)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def read(folder: Path) -> Logits:
    """The logits of what was written, computed in float32."""
    return from_model(AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, local_files_only=True).eval())
