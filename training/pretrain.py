"""Pretrains a small Llama-architecture model: plain text and grounded documents in one stream, one plain loop.

Every batch is a function of the seed and the step alone, so a run that was killed and resumed ends with the same
weights as one that was not.
"""

from __future__ import annotations

import logging
import math
import shutil
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch.utils.data import DataLoader

from inference.adapters import model_sha256
from training.checkpoint import Checkpoint, fingerprint
from training.corpus import chapters, passages, prose
from training.data import read
from training.errors import RecipeError, TrainingError
from training.grounded import Maker
from training.model import build_model, save_model
from training.progress import OnProgress, Progress, reporting
from training.stream import IGNORED, Batch, Stream, plain_tokens, split_tokens

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class PretrainArguments:
    """One pretraining run. Raises RecipeError when the arguments contradict each other.

    textbooks, corpus:  folder of textbook chapters; folder whose prose/*.jsonl[.xz] is read as well, or None
    questions:          folder of question-answer pairs, or None: train pairs become documents too; what dev and test
                        ask is met in disguise only
    output:             folder that holds the tokenizer (training.tokenizer) and receives the model
    work:               folder for the checkpoint; removed when the run is complete
    hidden, layers, heads, kv_heads, feed_forward: the size of the model
    context:            longest prompt and answer, in tokens
    rope_theta:         base of the rotary frequencies
    copying:            start from weights that can copy (training.initial); false: from noise
    steps, batch_tokens: optimiser steps, and tokens in each
    short, short_steps: the first `short_steps` steps read windows of `short` tokens, the others of `context` tokens
    grounded:           share of the windows that hold grounded documents (training.grounded); the rest is plain text
    disguised:          share of the grounded documents whose content words are swapped
    learning_rate, warmup, final, weight_decay, clip: AdamW; warm-up in steps, then a cosine down to `final` of the peak
    precision:          float32; bfloat16 (autocast); auto: whichever is timed to be faster here
    device:             cpu, cuda or auto
    checkpoint_every, evaluate_every: in steps
    validation:         share of the plain text that is held out for the validation loss
    threads:            processor threads; 0 leaves torch's own choice
    workers:            processes that make batches ahead; 0 makes them in between
    """

    textbooks: Path
    output: Path
    work: Path
    corpus: Path | None = None
    questions: Path | None = None
    hidden: int = 256
    layers: int = 4
    heads: int = 4
    kv_heads: int = 2
    feed_forward: int = 704
    context: int = 1024
    rope_theta: float = 1e7
    copying: bool = True
    steps: int = 1500
    batch_tokens: int = 2304
    short: int = 384
    short_steps: int = 1100
    grounded: float = 0.9
    disguised: float = 0.8
    learning_rate: float = 1.2e-3
    warmup: int = 30
    final: float = 0.05
    weight_decay: float = 0.1
    clip: float = 1.0
    precision: str = "auto"
    device: str = "auto"
    seed: int = 7
    checkpoint_every: int = 100
    evaluate_every: int = 100
    validation: float = 0.02
    threads: int = 0
    workers: int = 0

    def __post_init__(self) -> None:
        positive = (self.hidden, self.layers, self.heads, self.kv_heads, self.feed_forward, self.learning_rate)
        if min(*positive, self.checkpoint_every, self.evaluate_every) <= 0 or min(self.threads, self.workers) < 0:
            raise RecipeError("sizes, intervals and the learning rate must be positive; threads and workers 0 or more")
        if self.hidden % self.heads or self.heads % self.kv_heads or (self.hidden // self.heads) % 2:
            raise RecipeError(
                f"hidden {self.hidden} must be an even multiple of heads {self.heads}, and heads a multiple of "
                f"kv_heads {self.kv_heads}"
            )
        if self.copying and self.layers < 2:
            raise RecipeError("copying takes two layers: set layers to 2 or more, or copying to false")
        if not 16 <= self.short <= self.context <= self.batch_tokens:
            raise RecipeError("16 <= short <= context <= batch_tokens is required")
        if not 0 < self.warmup < self.steps or not 0 <= self.short_steps <= self.steps:
            raise RecipeError("0 < warmup < steps and 0 <= short_steps <= steps are required")
        if not (0 <= self.grounded <= 1 and 0 <= self.disguised <= 1 and 0 < self.validation < 0.5):
            raise RecipeError("grounded and disguised must lie in 0..1, validation between 0 and 0.5")
        if self.precision not in {"auto", "float32", "bfloat16"} or self.device not in {"auto", "cpu", "cuda"}:
            raise RecipeError("precision must be auto, float32 or bfloat16; device must be auto, cpu or cuda")

    def windows(self, step: int) -> tuple[int, int]:
        """How many windows the batch of a step has, and their length in tokens."""
        length = self.short if step < self.short_steps else self.context
        return self.batch_tokens // length, length


@dataclass(frozen=True, slots=True)
class PretrainReport:
    """How a run ended. Losses in nats a token; `copied` is the share of held-out answer tokens predicted right."""

    sha256: str
    parameters: int
    tokens: int
    seconds: float
    precision: str
    plain_loss: float
    grounded_loss: float
    copied: float


@dataclass(slots=True)
class _Run:
    """What one run works with."""

    args: PretrainArguments
    model: Any
    optimizer: torch.optim.Optimizer
    stream: Stream
    held_out: tuple[Batch, Batch]  # plain text, grounded documents
    precision: str
    device: str
    fingerprint: str
    step: int = 0  # done
    seconds: float = 0.0  # spent by earlier attempts


def pretrain(args: PretrainArguments, on_progress: OnProgress | None = None) -> PretrainReport:
    """Train, or go on where a killed run stopped; save the model beside its tokenizer. Raises TrainingError.

    Without `on_progress` a progress bar is drawn.
    """
    if args.threads:
        torch.set_num_threads(args.threads)
    began = time.perf_counter()
    tokenizer = _tokenizer(args)
    run = _prepare(args, tokenizer)
    with reporting("Pretraining", args.steps, on_progress) as report:
        _train(run, report)
    plain, grounded, copied = _validate(run)
    save_model(run.model, tokenizer, args.output)
    shutil.rmtree(args.work, ignore_errors=True)
    return PretrainReport(
        sha256=model_sha256(args.output),
        parameters=run.model.num_parameters(),
        tokens=args.steps * args.batch_tokens,
        seconds=run.seconds + time.perf_counter() - began,
        precision=run.precision,
        plain_loss=plain,
        grounded_loss=grounded,
        copied=copied,
    )


def _tokenizer(args: PretrainArguments) -> Any:
    from transformers import AutoTokenizer

    if not (args.output / "tokenizer.json").is_file():
        raise TrainingError(f"{args.output}: no tokenizer there; make it first with `sahpathi train tokenizer`")
    return AutoTokenizer.from_pretrained(args.output, local_files_only=True)


def _prepare(args: PretrainArguments, tokenizer: Any) -> _Run:
    books = chapters(args.textbooks)
    texts = [book.text for book in books] + (list(prose(args.corpus)) if args.corpus else [])
    learned, kept_back = split_tokens(plain_tokens(tokenizer, texts), args.validation)
    examples = read(args.questions) if args.questions else []
    maker = Maker(books, passages(args.textbooks), examples, disguised=args.disguised)
    stream = Stream(tokenizer, learned, maker, args.windows, grounded_share=args.grounded, seed=args.seed)
    device = args.device if args.device != "auto" else "cuda" if torch.cuda.is_available() else "cpu"
    model = build_model(args, tokenizer).to(device)
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=args.learning_rate, betas=(0.9, 0.95), weight_decay=args.weight_decay, fused=True
    )
    secret = Maker(books, disguised=1.0)  # swapped words: these documents cannot have been seen
    held_out = (
        Stream(tokenizer, kept_back, secret, args.windows, grounded_share=0.0, seed=-1).batch(0, 4, args.short),
        Stream(tokenizer, (), secret, args.windows, grounded_share=1.0, seed=-1).batch(0, 16, args.short),
    )
    run = _Run(args, model, optimizer, stream, held_out, args.precision, device, fingerprint(asdict(args), learned))
    _resume(run)
    if run.precision == "auto":
        run.precision = _faster_precision(run)
    model.train()
    logger.info("%d parameters, %s on %s, from step %d", model.num_parameters(), run.precision, device, run.step)
    return run


def _resume(run: _Run) -> None:
    found = Checkpoint.load(run.args.work, run.fingerprint)
    if found is not None:
        run.model.load_state_dict(found.model)
        run.optimizer.load_state_dict(dict(found.optimizer))
        run.step, run.seconds, run.precision = found.step, found.seconds, found.precision


def _train(run: _Run, report: OnProgress) -> None:
    args = run.args
    batches = DataLoader(
        run.stream, batch_size=None, sampler=range(run.step, args.steps), num_workers=args.workers, pin_memory=False
    )
    began = time.perf_counter()
    first = run.step
    for batch in batches:
        loss = _step(run, batch)
        run.step += 1
        spent = time.perf_counter() - began
        held_out = None
        if run.step % args.evaluate_every == 0:
            held_out = _validate(run)[1]
        report(Progress(run.step, args.steps, loss, (run.step - first) * args.batch_tokens / spent, held_out))
        if run.step % args.checkpoint_every == 0 and run.step < args.steps:
            state = (run.model.state_dict(), run.optimizer.state_dict())
            Checkpoint(run.fingerprint, run.step, run.seconds + spent, run.precision, *state).save(args.work)


def _step(run: _Run, batch: Batch) -> float:
    args = run.args
    for group in run.optimizer.param_groups:
        group["lr"] = args.learning_rate * _schedule(run.step, args)
    loss, _ = _loss(run, batch)
    loss.backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
    torch.nn.utils.clip_grad_norm_(run.model.parameters(), args.clip)
    run.optimizer.step()
    run.optimizer.zero_grad(set_to_none=True)
    return float(loss.detach())


def _schedule(step: int, args: PretrainArguments) -> float:
    """The learning rate at `step` as a share of its peak: linear warm-up, then half a cosine."""
    if step < args.warmup:
        return (step + 1) / args.warmup
    done = (step - args.warmup) / max(1, args.steps - args.warmup)
    return args.final + (1 - args.final) * 0.5 * (1 + math.cos(math.pi * done))


def _loss(run: _Run, batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
    """Mean loss over the learned tokens, and whether each was predicted right.

    The vocabulary's matrix, the largest, is multiplied only where a token is learned: a fifth of a grounded document.
    """
    ids, labels, positions = (tensor.to(run.device) for tensor in (batch.ids, batch.labels, batch.positions))
    with _autocast(run):
        hidden = run.model.model(input_ids=ids, position_ids=positions, use_cache=False).last_hidden_state
        learned = labels[:, 1:] != IGNORED
        logits = run.model.lm_head(hidden[:, :-1][learned]).float()
    wanted = labels[:, 1:][learned]
    return torch.nn.functional.cross_entropy(logits, wanted), logits.argmax(dim=-1) == wanted


def _autocast(run: _Run) -> torch.autocast:
    return torch.autocast(run.device, dtype=torch.bfloat16, enabled=run.precision == "bfloat16")


@torch.no_grad()
def _validate(run: _Run) -> tuple[float, float, float]:
    """Loss on held-out plain text, loss on disguised documents, and the share of their tokens predicted right."""
    run.model.eval()
    plain, _ = _loss(run, run.held_out[0])
    grounded, right = _loss(run, run.held_out[1])
    run.model.train()
    return float(plain), float(grounded), float(right.float().mean())


def _faster_precision(run: _Run) -> str:
    """Time a step's forward and backward pass in both; the weights stay as they are."""
    batch = run.stream[0]
    seconds = {}
    for run.precision in ("float32", "bfloat16"):
        times = []
        for _ in range(3):
            began = time.perf_counter()
            _loss(run, batch)[0].backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
            times.append(time.perf_counter() - began)
        seconds[run.precision] = min(times)
    run.optimizer.zero_grad(set_to_none=True)
    return min(seconds, key=lambda name: seconds[name])
