"""The weights: where they are, in which precision they run fastest here, and one merged model an adapter."""

from __future__ import annotations

import gc
import logging
import time
from collections import OrderedDict
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

import torch
from peft import PeftModel
from safetensors import SafetensorError
from transformers import AutoModelForCausalLM, GenerationConfig

from inference.adapters import AdapterCard, Shelf, model_files, model_sha256
from inference.errors import ModelMissing
from inference.executor import Span, executor_for

logger = logging.getLogger(__name__)

_WANTED = ["*.json", "*.safetensors", "*.jinja", "*.model", "*.txt"]
Served = TypeVar("Served")

_GAIN = 0.95  # bf16 is less exact, so it must at least be this much quicker to be worth it


def local_folder(base: Path | str) -> Path:
    """The folder that holds the model: `base` itself, or the hub's model of that name, downloaded once.

    Raises ModelMissing.
    """
    path = Path(base)
    if path.is_dir():
        return path
    if isinstance(base, Path) or path.is_absolute() or str(base).count("/") != 1:
        raise ModelMissing.at(base)
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    try:
        return Path(snapshot_download(str(base), allow_patterns=_WANTED))
    except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OSError) as error:
        raise ModelMissing(
            str(base), f"neither a folder nor a model the hub would give ({type(error).__name__})"
        ) from error


def load_base(folder: Path, dtype: str, device: str) -> tuple[Any, str]:
    """The base model, ready to generate, and the precision it runs in: `dtype`, or the better one for "auto".

    Raises ModelMissing when the files are there but are no causal language model.
    """
    if dtype != "auto":
        return _load(folder, dtype, device), dtype
    if device != "cpu":
        return _load(folder, "bfloat16", device), "bfloat16"
    model = _load(folder, "float32", device)
    if not _cpu_has_bf16():
        logger.info("float32: this processor has no bfloat16 instructions")
        return model, "float32"
    full = decode_seconds(model)
    cast(model, torch.bfloat16)
    half = decode_seconds(model)
    chosen = "bfloat16" if half < _GAIN * full else "float32"
    logger.info("%s: a decode step takes %.1f ms in float32, %.1f ms in bfloat16", chosen, full * 1e3, half * 1e3)
    if chosen == "float32":
        model = _load(folder, "float32", device)  # what was rounded away does not come back by casting
    return model, chosen


def cast(model: Any, dtype: torch.dtype) -> None:
    """Convert the parameters, and nothing else, into memory of their own (loaded weights may still be the mapped file).

    `model.to(dtype)` would convert the rotary frequencies too, and in bfloat16 those give later positions wrong angles.
    """
    for parameter in model.parameters():
        parameter.data = parameter.data.to(dtype, copy=True)


def decode_seconds(model: Any, *, prompt: int = 32, steps: int = 8, rounds: int = 3) -> float:
    """Seconds that one token takes after a short prompt: the best round, so that a busy machine misleads less."""
    vocabulary = model.get_input_embeddings().num_embeddings
    executor = executor_for(model, rows=1, context=prompt + steps)
    best = float("inf")
    for _ in range(rounds):
        executor.forward([Span(0, 0, [token % vocabulary for token in range(prompt)])], every=False)
        started = time.perf_counter()
        for step in range(steps):
            executor.forward([Span(0, prompt + step, [0])], every=False)
        best = min(best, (time.perf_counter() - started) / steps)
    return best


@dataclass(frozen=True, slots=True)
class Facts:
    """What a base model says of itself. `ends` are the tokens that end a turn."""

    context: int  # tokens of prompt and answer
    parameters: int
    ends: tuple[int, ...]


def facts_of(model: Any) -> Facts:
    """Of a model as `load_base` gives it."""
    ends = model.generation_config.eos_token_id
    return Facts(
        context=int(getattr(model.config.get_text_config(), "max_position_embeddings", 2048)),
        parameters=int(model.num_parameters()),
        ends=tuple(ends if isinstance(ends, list) else [] if ends is None else [ends]),
    )


class Replaced(Exception):
    """The base model's files are no longer those that were loaded at the start. Only a new process can go on."""


class Models(Generic[Served]):
    """What is being served, by adapter: what `make` makes of the base model's weights with one adapter merged in.

    Unmerged adapters cost a third of the speed, and merging in and out of one model drifts a little every time. So
    each adapter gets weights of its own, read from disk, and the base model takes no memory while nobody asks for it.
    At most `limit` are kept; the one not used for longest goes first. Raises ModelMissing.
    """

    def __init__(
        self, folder: Path, shelf: Shelf, *, dtype: str, device: str, limit: int, make: Callable[[Any], Served]
    ) -> None:
        if limit < 1:
            raise ValueError(f"at least one model must be kept in memory, got {limit}")
        self._folder = folder
        self._shelf = shelf
        self._device = device
        self._limit = limit
        self._make = make
        self._stamp = _stamp(folder)
        self.base_sha256 = model_sha256(folder)
        base, self.dtype = load_base(folder, dtype, device)
        self.facts = facts_of(base)
        self._kept: OrderedDict[str | None, Served] = OrderedDict({None: make(base)})

    @property
    def kept(self) -> Mapping[str | None, Served]:
        """What is in memory, by the adapter's id; None is the base model as it is."""
        return self._kept

    def room(self, adapter: str | None, in_use: Collection[str | None] = ()) -> bool:
        """Whether `get` would find it, or a place for it, without taking one that is in use."""
        return adapter in self._kept or len(self._kept) < self._limit or any(n not in in_use for n in self._kept)

    def get(self, card: AdapterCard | None, in_use: Collection[str | None] = ()) -> Served:
        """What serves an adapter; None means the base model as it is. There must be `room`.

        Raises AdapterRefused, ModelMissing or Replaced.
        """
        adapter = card.id if card else None
        if adapter not in self._kept:
            if card:
                self._shelf.verify(card, self.base_sha256)
            self._make_room(in_use, base=card is None)
            gc.collect()  # modules are full of reference cycles, and their memory is wanted now
            self._kept[adapter] = self._make(self._read(card))
        self._kept.move_to_end(adapter)
        return self._kept[adapter]

    def _make_room(self, in_use: Collection[str | None], *, base: bool) -> None:
        idle = [adapter for adapter in self._kept if adapter not in in_use]
        if not base and None in idle:
            self._kept.pop(None)  # where there is an adapter, the base model is seldom asked for again
            idle.remove(None)
        while len(self._kept) >= self._limit:
            self._kept.pop(idle.pop(0))

    def _read(self, card: AdapterCard | None) -> Any:
        if _stamp(self._folder) != self._stamp:
            raise Replaced(f"{self._folder} has changed since it was loaded")
        if card is None:
            return _load(self._folder, self.dtype, self._device)
        started = time.perf_counter()
        model = _load(self._folder, "float32", self._device)  # so that the sum is rounded once, not each of its parts
        adapted = PeftModel.from_pretrained(model, str(self._shelf.folder(card.id)), torch_device=self._device)
        merged = adapted.merge_and_unload(safe_merge=True)
        cast(merged, getattr(torch, self.dtype))
        logger.info("adapter %s merged in %.1f s", card.id, time.perf_counter() - started)
        return merged.eval()


def _stamp(folder: Path) -> list[tuple[int, int, int]]:
    statuses = [path.stat() for path in model_files(folder)]
    return [(status.st_mtime_ns, status.st_size, status.st_ino) for status in statuses]


def _load(folder: Path, dtype: str, device: str) -> Any:
    try:
        model, report = AutoModelForCausalLM.from_pretrained(
            folder, dtype=getattr(torch, dtype), local_files_only=True, output_loading_info=True
        )
    except (OSError, ValueError, RuntimeError, SafetensorError) as error:
        raise ModelMissing.at(folder, f"the model there cannot be loaded ({error})") from error
    if report["missing_keys"]:  # transformers would fill them with random numbers and warn
        raise ModelMissing.at(folder, f"{len(report['missing_keys'])} tensors of the model there are missing")
    # No decoding defaults of a downloaded model behind our back; only what it says ends a turn is kept.
    model.generation_config = GenerationConfig(eos_token_id=model.generation_config.eos_token_id)
    return model.to(device).eval()


def _cpu_has_bf16() -> bool:
    known = torch.cpu.get_capabilities()
    return any(known.get(name, False) for name in ("avx512_bf16", "amx_bf16", "bf16"))
