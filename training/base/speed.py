"""How fast a model is trained here: the arithmetic of a step, the peak of a device, and which way is the faster."""

from __future__ import annotations

import copy
import importlib.util
import logging
import os
import re
import shutil
import time
from typing import Any

import torch

from training.base.objective import Objective
from training.base.stream import Batch
from training.errors import TrainingError

logger = logging.getLogger(__name__)

# Dense bfloat16 operations a second, by the makers' data sheets.
_PEAKS = {
    "B200": 2250e12,
    "H200": 989e12,
    "H100": 989e12,
    "A100": 312e12,
    "L40S": 362e12,
    "L4": 121e12,
    "A10": 125e12,
    "RTX 4090": 165e12,
    "RTX 3090": 71e12,
}
_WORTHWHILE = 300.0  # seconds of training left; below, compiling takes longer than it can save


def peak(device: torch.device) -> float | None:
    """Floating-point operations a second that the device can do in bfloat16; None where that is not known."""
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else ""
    return next((value for key, value in _PEAKS.items() if re.search(rf"\b{key}\b", name)), None)


def operations(config: Any, tokens: int, length: int, learned: int) -> float:
    """Floating-point operations of a step on `tokens` in windows of `length`, of which `learned` are predicted.

    `config` is the LlamaConfig. Two a weight and token forward, and twice as many backward; attention looks back on
    half of the window.
    """
    hidden: int = config.hidden_size
    head = hidden // config.num_attention_heads
    attention = 2 * hidden * hidden + 2 * hidden * head * config.num_key_value_heads
    layer = 2 * (attention + 3 * hidden * config.intermediate_size) + 2 * hidden * length
    vocabulary = 2 * hidden * config.vocab_size
    total: int = 3 * (tokens * config.num_hidden_layers * layer + learned * vocabulary)
    return float(total)


def faster_precision(objective: Objective, batch: Batch) -> str:
    """Time the forward and backward pass in both; the weights stay as they are."""
    if objective.device.type == "cuda":
        return "bfloat16" if torch.cuda.is_bf16_supported() else "float32"
    seconds = {}
    for precision in ("float32", "bfloat16"):
        objective.precision = precision
        seconds[precision] = _seconds(objective, batch)
    return min(seconds, key=lambda name: seconds[name])


def compiling_pays(objective: Objective, batch: Batch, steps: int) -> bool:
    """Whether torch.compile makes the `steps` that are left faster here. On a processor that is tried."""
    if objective.device.type == "cuda":
        return importlib.util.find_spec("triton") is not None
    if shutil.which(os.environ.get("CXX", "g++")) is None and shutil.which("clang++") is None:
        return False
    plain = _seconds(objective, batch)
    if plain * steps < _WORTHWHILE:
        return False
    tried = copy.deepcopy(objective)
    try:
        compile_layers(tried)
        compiled = _seconds(tried, batch)
    except TrainingError as error:
        logger.warning("%s", error)
        return False
    logger.info("a step takes %.2f s, compiled %.2f s", plain, compiled)
    return compiled < plain


def compile_layers(objective: Objective) -> None:
    """Compile each layer of the model, in place. One layer's code serves for all of them."""
    for layer in objective.model.model.layers:
        layer.compile(dynamic=False)


def _seconds(objective: Objective, batch: Batch) -> float:
    """The best of three forward and backward passes; the first also warms up. Raises TrainingError."""
    times = []
    for _ in range(3):
        began = time.perf_counter()
        try:
            objective(batch.ids, batch.labels, batch.positions)[0].backward()
        except torch._dynamo.exc.TorchDynamoException as error:
            raise TrainingError(f"the model cannot be compiled here ({error}); set `compile: never`") from error
        times.append(time.perf_counter() - began)
    objective.zero_grad(set_to_none=True)
    return min(times)
