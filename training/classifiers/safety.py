"""Trains the safety classifier: a LoRA adapter on the embedding model's encoder with one layer on top of it, and a
linear model of the letters beside it.

The vector that retrieval uses says what a message is about; whether it is asked for a lesson or for harm is hardly in
it (docs/benchmarks.md). So the classifier reads a message itself, in a few milliseconds, with weights learned for that.
Hindi is read word by word in English (`rag.gloss`), which the encoder knows; the letters are read as they were written.
"""

from __future__ import annotations

import logging
import math
import random
import time
import warnings
from collections import Counter
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
    Worded,
    multiplies_bfloat16,
    pooled,
    windows,
)
from inference.ngrams import NGRAMS
from training.classifiers import ngrams
from training.classifiers.safety_arguments import SafetyArguments
from training.classifiers.safety_examples import CATEGORIES, LABELS, SafetyExample
from training.errors import CorpusError, TrainingError
from training.records.progress import OnProgress, Progress, reporting

logger = logging.getLogger(__name__)

Read = Callable[[str], Worded]


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
    began, losses = time.perf_counter(), []
    worded, weights = [read(example.whole) for example in learned], balanced(learned)
    groups = [tuple(CATEGORIES).index(example.label) for example in learned]
    letters = ngrams.fit([text.spelled for text in worded], groups, weights, len(CATEGORIES))
    trainee = _Trainee(args, place)
    rows = trainee.rows(learned, worded, weights)
    dev = trainee.rows(held, [read(example.whole) for example in held], [1.0] * len(held))
    steps = math.ceil(len(rows) / args.batch) * args.epochs
    with reporting("Safety classifier", steps, on_progress) as report:
        for epoch in range(args.epochs):
            trainee.epoch(rows, epoch, steps, report)
            losses.append(trainee.loss(dev))
            logger.info("epoch %d of %d: loss %.3f on the dev split", epoch + 1, args.epochs, losses[-1])
            report(Progress(min(steps, (epoch + 1) * steps // args.epochs), steps, losses[-1], 0.0, losses[-1]))
    trainee.save(args.output)
    letters.save(args.output / NGRAMS)
    return SafetyRun(len(learned), time.perf_counter() - began, tuple(losses))


def balanced(examples: Sequence[SafetyExample]) -> list[float]:
    """How much each message counts.

    Within each language each label has the weight that it has in all together. Most of what a corpus holds is harmless
    and in English, so that without this being written in Hindi would itself be a reason for alarm.
    """
    both = Counter((example.language, example.label) for example in examples)
    languages = Counter(example.language for example in examples)
    labels = Counter(example.label for example in examples)
    return [
        languages[one.language] * labels[one.label] / (len(examples) * both[one.language, one.label])
        for one in examples
    ]


@dataclass(frozen=True, slots=True)
class Row:
    """A message for the encoder: its windows as token ids, the labels that are right, and how much it counts."""

    windows: Sequence[list[int]]
    right: tuple[int, ...]
    weight: float


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
        config = LoraConfig(r=args.rank, lora_alpha=args.alpha, target_modules=linear)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", ".is_gradient_checkpointing. is deprecated", FutureWarning)  # PEFT's use
            self._encoder = get_peft_model(encoder, config).eval()  # without dropout: see `_thinned`
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

    def rows(self, examples: Sequence[SafetyExample], worded: Sequence[Worded], weights: Sequence[float]) -> list[Row]:
        """One for each message."""
        return [
            Row(windows(self._tokenizer, text.english, self._args.window, self._args.windows), example.allowed, weight)
            for example, text, weight in zip(examples, worded, weights, strict=True)
        ]

    def epoch(self, rows: Sequence[Row], epoch: int, steps: int, report: OnProgress) -> None:
        done = epoch * (steps // self._args.epochs)
        began, tokens = time.perf_counter(), 0
        for batch in self._batches(rows):
            self._set_rate(done / steps)
            chosen = [self._thinned(self._random.choice(row.windows)) for row in batch]  # another window each time
            loss = self._loss(batch, chosen, self._args.smoothing)
            self._optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            torch.nn.utils.clip_grad_norm_(self._trained, 1.0)
            self._optimizer.step()
            done += 1
            tokens += sum(map(len, chosen))
            report(Progress(done, steps, float(loss.detach()), tokens / (time.perf_counter() - began)))

    def _thinned(self, window: list[int]) -> list[int]:
        """The window without some of its tokens, others each time, but never without all.

        Dropout by another name: dropping units inside the encoder took half of the time of a step, for its random
        numbers, and a message that is understood without one of its words is what is wanted here.
        """
        kept = [token for token in window[1:-1] if self._random.random() >= self._args.dropout]
        return [window[0], *kept, window[-1]] if kept else window

    def _batches(self, rows: Sequence[Row]) -> list[list[Row]]:
        """Batches of like length, in random order."""
        size = self._args.batch
        order = sorted(range(len(rows)), key=lambda n: len(rows[n].windows[0]) + self._random.random() * 8)
        batches = [[rows[n] for n in order[start : start + size]] for start in range(0, len(order), size)]
        self._random.shuffle(batches)
        return batches

    def _set_rate(self, share: float) -> None:
        warm = self._args.warmup
        factor = share / warm if share < warm else 0.5 * (1.0 + math.cos(math.pi * (share - warm) / (1.0 - warm)))
        for group, rate in zip(self._optimizer.param_groups, self._rates, strict=True):
            group["lr"] = rate * factor

    def _loss(self, batch: Sequence[Row], chosen: Sequence[list[int]], smoothing: float) -> torch.Tensor:
        """Minus the log of the probability that any right label has, smoothed a little towards all labels."""
        padded = self._tokenizer.pad({"input_ids": chosen}, return_tensors="pt")
        right = torch.zeros(len(batch), len(LABELS), dtype=torch.bool)
        for place, row in enumerate(batch):
            right[place, list(row.right)] = True
        weights = torch.tensor([row.weight for row in batch])
        with torch.autocast("cpu", torch.bfloat16, enabled=multiplies_bfloat16()):
            states = pooled(self._encoder, padded)
        logged = torch.log_softmax(self._head(states.float()), dim=-1)
        missed = -torch.logsumexp(logged.masked_fill(~right, -math.inf), dim=-1)
        return (weights * ((1.0 - smoothing) * missed - smoothing * logged.mean(dim=-1))).mean()

    @torch.no_grad()
    def loss(self, rows: Sequence[Row]) -> float:
        size = 4 * self._args.batch
        ordered = sorted(rows, key=lambda row: len(row.windows[0]))
        parts = [ordered[start : start + size] for start in range(0, len(ordered), size)]
        return sum(float(self._loss(part, [row.windows[0] for row in part], 0.0)) * len(part) for part in parts) / len(
            rows
        )

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
        card = ModerationCard(args.encoder, LABELS, args.alpha / args.rank, args.window, args.windows, args.spelling)
        card.save(folder / CARD)
