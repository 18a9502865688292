"""Pretrains a small Llama-architecture model: plain text and grounded documents in one stream, one plain loop.

Every batch is a function of the seed and the step alone, so a run that was killed and resumed ends with the same
weights as one that was not.
"""

from __future__ import annotations

import logging
import shutil
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from inference.adapters import model_sha256
from training.base.checkpoint import Checkpoint, fingerprint
from training.base.corpus import chapters, passages
from training.base.grounded import Maker
from training.base.loop import Run, resume, train, validate
from training.base.model import build_model, save_model
from training.base.objective import Objective
from training.base.packed import OnPacked, Packed, pack
from training.base.ranks import Alone, joined
from training.base.reading import Reading, reading
from training.base.speed import compile_layers, compiling_pays, faster_precision
from training.base.stream import Stream
from training.errors import RecipeError, TrainingError
from training.pairs.data import read
from training.records.progress import OnProgress, reporting

logger = logging.getLogger(__name__)

# Where a run is and how it is carried out, which but for rounding changes nothing of what comes of it: it may be
# another when the run goes on.
_HOW = frozenset(
    {"output", "work", "packed", "micro_tokens", "compile", "device", "threads", "workers"}
    | {"checkpoint_every", "evaluate_every"}
)


@dataclass(frozen=True, slots=True)
class PretrainArguments:
    """One pretraining run. Raises RecipeError when the arguments contradict each other.

    textbooks, corpus:  folder of textbook chapters; folder whose prose/*.jsonl[.xz] is read as well, or None: documents
                        are made from parts of it, and from its qa/, too (training.base.reading)
    questions:          folder of question-answer pairs, or None: train pairs become documents too; what dev and test
                        ask is met in disguise only
    output:             folder that holds the tokenizer (training.base.tokenizer) and receives the model
    work:               folder for the checkpoint; removed when the run is complete
    packed:             folder for the plain text as tokens (training.base.packed); None: a folder in `work`
    hidden, layers, heads, kv_heads, feed_forward: the size of the model
    context:            longest prompt and answer, in tokens
    rope_theta:         base of the rotary frequencies
    copying:            start from weights that can copy (training.base.initial); false: from noise
    steps, batch_tokens: optimiser steps, and tokens in each, over all processes
    micro_tokens:       tokens that a process reads at once; the gradients of the parts add up. 0: all of its share
    short, short_steps: the first `short_steps` steps read windows of `short` tokens, the others of `context` tokens
    grounded:           share of the windows that hold grounded documents (`grounded.py`); the rest is plain text
    disguised:          share of the grounded documents whose content words are swapped
    learning_rate, warmup, final, weight_decay, clip: AdamW; warm-up in steps, then a cosine down to `final` of the peak
    precision:          float32; bfloat16 (autocast); auto: whichever is faster here: timed on a processor
    compile:            always, never, or auto: on a GPU, and on a processor where it was timed to be faster
    device:             cpu, cuda or auto
    checkpoint_every, evaluate_every: in steps
    validation:         share of the plain text that is held out for the validation loss
    threads:            processor threads; 0 leaves torch's own choice
    workers:            processes that make batches ahead; 0 makes them in between
    """

    textbooks: Path
    output: Path
    work: Path
    packed: Path | None = None
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
    micro_tokens: int = 0
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
    compile: str = "never"
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
        if self.micro_tokens and self.micro_tokens < self.context:
            raise RecipeError("micro_tokens must be 0, or as many as context or more: a window is read whole")
        if not 0 < self.warmup < self.steps or not 0 <= self.short_steps <= self.steps:
            raise RecipeError("0 < warmup < steps and 0 <= short_steps <= steps are required")
        if not (0 <= self.grounded <= 1 and 0 <= self.disguised <= 1 and 0 < self.validation < 0.5):
            raise RecipeError("grounded and disguised must lie in 0..1, validation between 0 and 0.5")
        if self.precision not in {"auto", "float32", "bfloat16"} or self.device not in {"auto", "cpu", "cuda"}:
            raise RecipeError("precision must be auto, float32 or bfloat16; device must be auto, cpu or cuda")
        if self.compile not in {"auto", "always", "never"}:
            raise RecipeError("compile must be auto, always or never")

    def windows(self, step: int) -> tuple[int, int]:
        """How many windows the batch of a step has, and their length in tokens."""
        length = self.short if step < self.short_steps else self.context
        return self.batch_tokens // length, length

    @property
    def packs(self) -> Path:
        """Where the packed text is."""
        return self.packed or self.work / "packed"


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

    def summary(self) -> str:
        """One line for whoever started the run."""
        return (
            f"{self.parameters / 1e6:.1f} million parameters, {self.tokens:,} tokens in {self.seconds:.0f} s; "
            f"loss {self.plain_loss:.2f} on held-out text, {self.grounded_loss:.2f} on grounded answers."
        )


def pretrain(args: PretrainArguments, on_progress: OnProgress | None = None) -> PretrainReport:
    """Train, or go on where a killed run stopped; save the model beside its tokenizer. Raises TrainingError.

    Without `on_progress` a progress bar is drawn. Started by torchrun or `accelerate launch`, the processes share the
    work; the first of them writes and shows, and all return the report.
    """
    began = time.perf_counter()
    tokenizer = _tokenizer(args)
    packed = packed_text(args)  # before the processes wait for each other: it may take long
    device = args.device if args.device != "auto" else "cuda" if torch.cuda.is_available() else "cpu"
    with joined(device) as ranks:
        if args.threads:
            torch.set_num_threads(args.threads)
        run = _prepare(args, tokenizer, packed, ranks)
        with reporting("Pretraining", args.steps, on_progress if ranks.main else lambda _: None) as report:
            train(run, report)
        plain, grounded, copied = validate(run)
        weights = ranks.weights(run.objective)
        sha256, parameters = _save(args, tokenizer, weights) if ranks.main else ("", 0)
        made = PretrainReport(
            sha256=sha256,
            parameters=parameters,
            tokens=args.steps * args.batch_tokens,
            seconds=run.seconds + time.perf_counter() - began,
            precision=run.precision,
            plain_loss=plain,
            grounded_loss=grounded,
            copied=copied,
        )
        agreed: PretrainReport = ranks.agreed(made)
        return agreed


def _save(args: PretrainArguments, tokenizer: Any, weights: Mapping[str, Any]) -> tuple[str, int]:
    """Write the model; its hash and its number of parameters."""
    model = build_model(args, tokenizer)
    model.load_state_dict(weights)
    save_model(model, tokenizer, args.output)
    shutil.rmtree(args.work, ignore_errors=True)
    return model_sha256(args.output), model.num_parameters()


def packed_text(args: PretrainArguments, on_packed: OnPacked | None = None, processes: int = 0) -> Packed:
    """The plain text of a run, packed by the tokenizer in `args.output` where that is not done yet."""
    return pack(
        args.output,
        args.packs,
        args.textbooks,
        args.corpus,
        validation=args.validation,
        processes=processes,
        on_packed=on_packed,
    )


def _tokenizer(args: PretrainArguments) -> Any:
    from transformers import AutoTokenizer

    if not (args.output / "tokenizer.json").is_file():
        raise TrainingError(f"{args.output}: no tokenizer there; make it first with `sahpathi train tokenizer`")
    return AutoTokenizer.from_pretrained(args.output, local_files_only=True)


def _prepare(args: PretrainArguments, tokenizer: Any, packed: Packed, ranks: Alone) -> Run:
    _check_shares(args, ranks)
    books = chapters(args.textbooks)
    examples = read(args.questions) if args.questions else []
    read_from = reading(args.corpus) if args.corpus else Reading()
    maker = Maker(books, passages(args.textbooks), examples, read_from, disguised=args.disguised)
    stream = Stream(tokenizer, packed.learned, maker, args.windows, grounded_share=args.grounded, seed=args.seed)
    secret = Maker(books, disguised=1.0)  # swapped words: these documents cannot have been seen
    held_out = (
        Stream(tokenizer, packed.kept_back, secret, args.windows, grounded_share=0.0, seed=-1).batch(0, 4, args.short),
        Stream(tokenizer, (), secret, args.windows, grounded_share=1.0, seed=-1).batch(0, 16, args.short),
    )
    decisive = {name: value for name, value in asdict(args).items() if name not in _HOW}
    mark = fingerprint(decisive, packed.sha256 + read_from.sha256)
    found = Checkpoint.load(args.work, mark) if ranks.main else None
    if ranks.device.type == "cuda":
        torch.set_float32_matmul_precision("high")  # TF32, wherever the arithmetic is float32
    objective = Objective(build_model(args, tokenizer), ranks.device)
    made = _measured(args, objective, stream) if ranks.main and found is None else None
    precision, compiled = ranks.agreed((found.precision, found.compiled) if found else made)
    objective.precision = precision
    if compiled:
        compile_layers(objective)
    config = objective.model.config
    optimizer = torch.optim.AdamW(
        objective.parameters(), lr=args.learning_rate, betas=(0.9, 0.95), weight_decay=args.weight_decay, fused=True
    )
    run = Run(
        args, ranks, *ranks.spread(objective, optimizer, args.clip), config, stream, held_out, precision, compiled, mark
    )
    resume(run, found)
    if ranks.main:
        how = f"{precision}{', compiled' if compiled else ''}, {ranks.count} x {ranks.device.type}"
        logger.info("%s, %d tokens of plain text, from step %d", how, len(packed.learned), run.step)
    return run


def _check_shares(args: PretrainArguments, ranks: Alone) -> None:
    for windows, length in {args.windows(0), args.windows(args.steps - 1)}:
        if windows % ranks.count:
            raise TrainingError(
                f"batch_tokens {args.batch_tokens} are {windows} windows of {length}, which {ranks.count} processes "
                "cannot share evenly; change batch_tokens or the number of processes"
            )


def _measured(args: PretrainArguments, objective: Objective, stream: Stream) -> tuple[str, bool]:
    """Precision and whether to compile, as the arguments say or as it is faster here."""
    batch = stream[0].parts(args.micro_tokens)[0]
    objective.precision = args.precision if args.precision != "auto" else faster_precision(objective, batch)
    compiled = args.compile == "always" or (
        args.compile == "auto" and compiling_pays(objective, batch, args.steps * args.batch_tokens // batch.ids.numel())
    )
    return objective.precision, compiled
