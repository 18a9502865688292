"""Trains the safety classifier: a LoRA adapter on the embedding model's encoder, and one layer on top of it.

The vector that retrieval uses says what a message is about; whether it is asked for a lesson or for harm is hardly in
it (docs/benchmarks.md). So the classifier reads a message itself, in a few milliseconds, with weights learned for that.
Hindi is read word by word in English (`rag.gloss`), which the encoder knows.
"""

from __future__ import annotations

import logging
import math
import random
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from peft import LoraConfig, get_peft_model
from safetensors.torch import save_file
from transformers import AutoModel, AutoTokenizer

from inference.moderation import (
    CARD,
    HEAD_BIAS,
    HEAD_WEIGHT,
    WEIGHTS,
    ModerationCard,
    multiplies_bfloat16,
    pooled,
    windows,
)
from training.errors import CorpusError, TrainingError
from training.progress import OnProgress, Progress, reporting
from training.safety_arguments import SafetyArguments
from training.safety_examples import CORPUS, LABELS, SafetyExample

logger = logging.getLogger(__name__)

Read = Callable[[str], str]


@dataclass(frozen=True, slots=True)
class SafetyRun:
    """What a run did. `losses` in nats a message on the dev split, an epoch each."""

    examples: int
    seconds: float
    losses: tuple[float, ...]


def train(
    args: SafetyArguments,
    place: Path,
    examples: Sequence[SafetyExample],
    read: Read,
    *,
    on_progress: OnProgress | None = None,
) -> SafetyRun:
    """Train on the train split and write what was learned to `args.output`.

    The last epoch's weights are kept: the loss on the dev split rises early, since a model that is sure of itself pays
    dearly for each slip, while it still tells more and more messages apart. Thresholds are fitted afterwards.

    `place` is the encoder's folder; `read` puts a message into the encoder's language. Raises CorpusError when a split
    is empty.
    """
    learned = [example for example in examples if example.split == "train"]
    held = [example for example in examples if example.split == "dev"]
    if not learned or not held:
        raise CorpusError("the messages need both a train and a dev split")
    learned = [example for example in learned for _ in range(1 if example.source in CORPUS else args.repeat)]
    trainee = _Trainee(args, place)
    rows = trainee.encoded(learned, read, first_only=False)
    dev = trainee.encoded(held, read, first_only=True)
    began, losses = time.perf_counter(), []
    steps = math.ceil(len(rows) / args.batch) * args.epochs
    with reporting("Safety classifier", steps, on_progress) as report:
        for epoch in range(args.epochs):
            trainee.epoch(rows, epoch, steps, report)
            losses.append(trainee.loss(dev))
            logger.info("epoch %d of %d: loss %.3f on the dev split", epoch + 1, args.epochs, losses[-1])
            report(Progress(min(steps, (epoch + 1) * steps // args.epochs), steps, losses[-1], 0.0, losses[-1]))
    trainee.save(args.output)
    return SafetyRun(len(learned), time.perf_counter() - began, tuple(losses))


Row = tuple[list[int], tuple[int, ...]]


class _Trainee:
    def __init__(self, args: SafetyArguments, place: Path) -> None:
        torch.set_num_threads(args.threads)
        torch.manual_seed(args.seed)
        self._args = args
        self._random = random.Random(args.seed)
        try:
            self._tokenizer = AutoTokenizer.from_pretrained(place, local_files_only=True)
            encoder = AutoModel.from_pretrained(place, local_files_only=True, dtype=torch.float32)
        except (OSError, ValueError) as error:
            raise TrainingError(f"{place}: no encoder there ({error})") from error
        linear = [
            name
            for name, module in encoder.named_modules()
            if isinstance(module, torch.nn.Linear) and "pooler" not in name
        ]
        config = LoraConfig(r=args.rank, lora_alpha=args.alpha, lora_dropout=args.dropout, target_modules=linear)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", ".is_gradient_checkpointing. is deprecated", FutureWarning)  # PEFT's use
            self._encoder = get_peft_model(encoder, config)
        self._head = torch.nn.Linear(encoder.config.hidden_size, len(LABELS))
        matrices = [parameter for parameter in self._encoder.parameters() if parameter.requires_grad]
        self._trained = [*matrices, *self._head.parameters()]
        self._optimizer = torch.optim.AdamW(
            [
                {"params": matrices, "lr": args.learning_rate, "weight_decay": 0.01},
                {"params": list(self._head.parameters()), "lr": args.head_learning_rate, "weight_decay": 0.01},
            ]
        )
        self._rates = [group["lr"] for group in self._optimizer.param_groups]

    def encoded(self, examples: Sequence[SafetyExample], read: Read, *, first_only: bool) -> list[Row]:
        """Token ids and the labels that are right. Of a long message one window, another each time, is learned."""
        rows: list[Row] = []
        for example in examples:
            found = windows(self._tokenizer, read(example.whole), self._args.window, self._args.windows)
            rows.append((found[0] if first_only else self._random.choice(found), example.allowed))
        return rows

    def epoch(self, rows: Sequence[Row], epoch: int, steps: int, report: OnProgress) -> None:
        self._encoder.train()
        self._head.train()
        done = epoch * (steps // self._args.epochs)
        began, tokens = time.perf_counter(), 0
        for batch in self._batches(rows):
            self._set_rate(done / steps)
            loss = self._loss(batch, self._args.smoothing)
            self._optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            torch.nn.utils.clip_grad_norm_(self._trained, 1.0)
            self._optimizer.step()
            done += 1
            tokens += sum(len(ids) for ids, _ in batch)
            report(Progress(done, steps, float(loss.detach()), tokens / (time.perf_counter() - began)))

    def _batches(self, rows: Sequence[Row]) -> list[list[Row]]:
        """Batches of like length, in random order."""
        size = self._args.batch
        order = sorted(range(len(rows)), key=lambda n: len(rows[n][0]) + self._random.random() * 8)
        batches = [[rows[n] for n in order[start : start + size]] for start in range(0, len(order), size)]
        self._random.shuffle(batches)
        return batches

    def _set_rate(self, share: float) -> None:
        warm = self._args.warmup
        factor = share / warm if share < warm else 0.5 * (1.0 + math.cos(math.pi * (share - warm) / (1.0 - warm)))
        for group, rate in zip(self._optimizer.param_groups, self._rates, strict=True):
            group["lr"] = rate * factor

    def _loss(self, batch: Sequence[Row], smoothing: float) -> torch.Tensor:
        """Minus the log of the probability that any right label has, smoothed a little towards all labels."""
        padded = self._tokenizer.pad({"input_ids": [ids for ids, _ in batch]}, return_tensors="pt")
        right = torch.zeros(len(batch), len(LABELS), dtype=torch.bool)
        for row, (_, allowed) in enumerate(batch):
            right[row, list(allowed)] = True
        with torch.autocast("cpu", torch.bfloat16, enabled=multiplies_bfloat16()):
            states = pooled(self._encoder, padded)
        logged = torch.log_softmax(self._head(states.float()), dim=-1)
        missed = -torch.logsumexp(logged.masked_fill(~right, -math.inf), dim=-1)
        return ((1.0 - smoothing) * missed - smoothing * logged.mean(dim=-1)).mean()

    @torch.no_grad()
    def loss(self, rows: Sequence[Row]) -> float:
        self._encoder.eval()
        self._head.eval()
        size = 4 * self._args.batch
        ordered = sorted(rows, key=lambda row: len(row[0]))
        parts = [ordered[start : start + size] for start in range(0, len(ordered), size)]
        return sum(float(self._loss(part, 0.0)) * len(part) for part in parts) / len(rows)

    def save(self, folder: Path) -> None:
        """The matrices by the name of their layer, and the card."""
        learned = {HEAD_WEIGHT: self._head.weight, HEAD_BIAS: self._head.bias}
        for name, parameter in self._encoder.named_parameters():
            if parameter.requires_grad:
                layer, _, matrix = name.removeprefix("base_model.model.").partition(".lora_")
                learned[f"{layer}.lora_{matrix[0]}"] = parameter
        folder.mkdir(parents=True, exist_ok=True)
        save_file(
            {name: value.detach().to(torch.bfloat16).contiguous() for name, value in learned.items()}, folder / WEIGHTS
        )
        args = self._args
        ModerationCard(args.encoder, LABELS, args.alpha / args.rank, args.window, args.windows).save(folder / CARD)
