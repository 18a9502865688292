"""The loop of a pretraining run: steps, validation, checkpoints. What it works with is made by `pretrain`."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from training.base.checkpoint import Checkpoint
from training.base.ranks import Alone
from training.base.speed import operations, peak
from training.base.stream import Batch, Stream
from training.records.progress import OnProgress, Progress

if TYPE_CHECKING:
    from training.base.pretrain import PretrainArguments


@dataclass(slots=True)
class Run:
    """What one run works with. `objective` and `optimizer` are spread over the processes (`ranks`)."""

    args: PretrainArguments
    ranks: Alone
    objective: Any
    optimizer: Any
    config: Any  # the LlamaConfig
    stream: Stream
    held_out: tuple[Batch, Batch]  # plain text, grounded documents
    precision: str
    compiled: bool
    fingerprint: str
    step: int = 0  # done
    seconds: float = 0.0  # spent by earlier attempts


def resume(run: Run, found: Checkpoint | None) -> None:
    """Go on from what the first process found, if it found something."""
    begun = run.ranks.agreed((found.step, found.seconds) if found else None)
    if begun is not None:
        run.step, run.seconds = begun
        state = (found.model, found.optimizer) if found else ({}, {})
        run.ranks.restore(run.objective, run.optimizer, run.args.work, state)


def train(run: Run, report: OnProgress) -> None:
    """All steps that are left. Raises TrainingError when a checkpoint cannot be written."""
    args, ranks = run.args, run.ranks
    began, first, work = time.perf_counter(), run.step, 0.0
    fastest = peak(ranks.device)
    run.objective.train()
    for batch, learned in ranks.batches(run.stream, run.step, args.steps, args.workers):
        loss = _step(run, batch, learned)
        run.step += 1
        spent = time.perf_counter() - began
        held_out = validate(run)[1] if run.step % args.evaluate_every == 0 else None
        work += operations(run.config, args.batch_tokens, batch.ids.shape[1], learned)
        share = work / spent / (fastest * ranks.count) if fastest else None
        report(Progress(run.step, args.steps, loss, (run.step - first) * args.batch_tokens / spent, held_out, share))
        if run.step % args.checkpoint_every == 0 and run.step < args.steps:
            _save(run, run.seconds + spent)


def _save(run: Run, seconds: float) -> None:
    state = run.ranks.state(run.objective, run.optimizer, run.args.work, run.step)
    if run.ranks.main:
        Checkpoint(run.fingerprint, run.step, seconds, run.precision, run.compiled, *state).save(run.args.work)


def _step(run: Run, batch: Batch, learned: int) -> float:
    """Learn from this process's windows of a batch of which `learned` tokens are learned. The loss over all of it."""
    args, ranks = run.args, run.ranks
    for group in run.optimizer.param_groups:
        group["lr"] = args.learning_rate * _schedule(run.step, args)
    whole = torch.zeros((), device=ranks.device)
    *others, last = batch.parts(args.micro_tokens)
    for part in others:
        with ranks.unsynchronised(run.objective):
            whole += _backward(run, part, learned)
    whole += _backward(run, last, learned)
    ranks.clip(run.objective, args.clip)
    run.optimizer.step()
    run.optimizer.zero_grad(set_to_none=True)
    return ranks.total(whole)


def _backward(run: Run, part: Batch, learned: int) -> torch.Tensor:
    """Add the gradients of a part. Its share of the loss, which is the mean over the learned tokens of all parts."""
    mean, _ = run.objective(part.ids, part.labels, part.positions)
    loss: torch.Tensor = mean * (part.learned / learned)
    run.ranks.backward(loss)
    return loss.detach()


def _schedule(step: int, args: PretrainArguments) -> float:
    """The learning rate at `step` as a share of its peak: linear warm-up, then half a cosine."""
    if step < args.warmup:
        return (step + 1) / args.warmup
    done = (step - args.warmup) / max(1, args.steps - args.warmup)
    return args.final + (1 - args.final) * 0.5 * (1 + math.cos(math.pi * done))


@torch.no_grad()
def validate(run: Run) -> tuple[float, float, float]:
    """Loss on held-out plain text, loss on disguised documents, and the share of their tokens predicted right."""
    run.objective.eval()
    (plain, _), (grounded, right) = (run.objective(held.ids, held.labels, held.positions) for held in run.held_out)
    run.objective.train()
    return float(plain), float(grounded), float(right.float().mean())
