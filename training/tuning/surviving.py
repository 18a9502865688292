"""What makes a trainer of transformers survive: memory that runs out, kills at any moment, losses that explode.

What is changed, and why its own does not do:
- the whole run's batches are planned ahead, since its own order is another after a resume;
- a step's batch is read in parts, fewer examples at once after memory ran out, where its own retry begins anew and
  makes the batch smaller;
- a checkpoint is one rename; its own is a folder that a kill leaves half written;
- a loss or a gradient that is no number ends the run before it is learned from.
"""

from __future__ import annotations

import gc
import json
import math
import time
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Protocol

import torch
from torch.utils.data import DataLoader
from transformers import PrinterCallback, TrainerCallback
from transformers.trainer_callback import TrainerState

from training.errors import TrainingError
from training.tuning import lora_checkpoint
from training.tuning.lora_checkpoint import Checkpoint


class Follower(Protocol):
    """What a run does at its steps."""

    def step(self, step: int, loss: float, learning_rate: float, tokens: int, seconds: float) -> None:
        """A step is done: its loss, the tokens it read and the seconds that took."""

    def evaluate(self, step: int) -> tuple[dict[str, float], bool]:
        """Measure; what a chart is to show, and whether the run ends here."""

    def checkpoint(self) -> tuple[dict[str, torch.Tensor] | None, dict[str, Any], float]:
        """The best weights so far, the judge's state, and the seconds spent so far."""

    def restore(self, saved: Checkpoint) -> bool:
        """Take up what `checkpoint` gave; whether the run had ended there already."""

    def note(self, message: str) -> None:
        """Something the operator should know."""


class Weighted(Protocol):
    """A model whose trained weights can be copied out and put back."""

    def weights(self) -> dict[str, torch.Tensor]:
        """A copy of what is trained, in the processor's memory."""

    def restore(self, weights: Mapping[str, torch.Tensor]) -> None:
        """Put back what `weights` gave."""


class Surviving:
    """Stands before a trainer of transformers, whose __init__ is followed by `survive`.

    What a trainer must bring: `accumulate`, and a training set whose rows it reads.
    """

    SMALLER = "take a smaller base model"  # what helps where one example at once is too much

    # Of the trainer behind it.
    args: Any
    state: Any
    control: Any
    optimizer: Any
    lr_scheduler: Any
    train_dataset: Any
    callback_handler: Any
    train: Any
    add_callback: Any
    remove_callback: Any

    def survive(
        self,
        learner: Weighted,
        follower: Follower,
        folder: Path,
        batches: Sequence[Sequence[int]],
        evaluated: frozenset[int],
        checkpoint_every: int,
        accumulation: int = 1,
    ) -> None:
        """`batches` has the rows of the training set that each step reads; checkpoints go to `folder`."""
        self._learner, self._follower, self._folder = learner, follower, folder
        self.batches, self.evaluated = batches, evaluated
        self._accumulation = accumulation
        self._spent = (0, 0.0)  # tokens and seconds of the last step
        self.remove_callback(PrinterCallback)
        self.add_callback(_Schedule(evaluated, checkpoint_every, len(batches)))

    @property
    def steps(self) -> int:
        return len(self.batches)

    def run(self) -> None:
        """Train from the last checkpoint, or from the start. Raises TrainingError, OSError, KeyboardInterrupt."""
        last = lora_checkpoint.last(self._folder)
        if last is not None and self._take_up(last):
            return
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # PEFT's and TRL's own use of transformers
            self.train(resume_from_checkpoint=str(last) if last else None)

    def accumulate(self, model: Any, rows: Sequence[dict[str, Any]], number: int) -> tuple[torch.Tensor, int]:
        """Add up the gradient of a batch, read in `number` parts; it is the same whatever their number.

        The loss, detached, and the tokens that were read.
        """
        raise NotImplementedError

    def told_loss(self, logs: dict[str, float]) -> float:
        """The loss of a step as the record has it."""
        return float(logs["loss"])

    def get_train_dataloader(self) -> Any:
        """A step an item. In the trainer's eyes the run is one epoch, so that it can be resumed at any step."""
        return DataLoader(
            self.train_dataset,
            batch_sampler=self.batches,  # type: ignore[arg-type]  # any iterable of batches will do
            collate_fn=lambda rows: {"rows": rows},
            generator=torch.Generator(),  # or starting it would draw from the one that dropout draws from
        )

    def training_step(self, model: Any, inputs: dict[str, Any], num_items_in_batch: Any = None) -> torch.Tensor:
        """Learn from a step's batch, in as many parts as memory demands."""
        began = time.perf_counter()
        rows = inputs["rows"]
        model.train()
        while True:
            try:
                loss, tokens = self.accumulate(model, rows, self._accumulation)
                break
            except (MemoryError, RuntimeError) as error:
                if not _out_of_memory(error):
                    raise
                short = str(error).partition("\n")[0]
            self._read_less(model, len(rows), short)
        if not torch.isfinite(loss):
            raise TrainingError(self._exploded("loss"))
        self._spent = (tokens, time.perf_counter() - began)
        return loss

    def floating_point_ops(self, inputs: Any) -> int:
        return 0  # it would look for tensors where we have rows

    def evaluate(self, *_: Any, **__: Any) -> dict[str, float]:
        """Hand over to the follower, and to the charts."""
        figures, stops = self._follower.evaluate(self.state.global_step)
        metrics = {f"eval_{name}": value for name, value in figures.items()}
        if self.args.report_to:
            self.log(dict(metrics))
        control = self.callback_handler.on_evaluate(self.args, self.state, self.control, metrics)
        if stops:
            control.should_training_stop = control.should_save = True
        self.control = control
        return metrics

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Tell the follower of a step. Transformers tells the charts."""
        if "loss" in logs:
            self._follower.step(
                self.state.global_step, self.told_loss(logs), float(logs["learning_rate"]), *self._spent
            )
        super().log(logs, start_time)  # type: ignore[misc]  # the trainer's
        self.state.log_history.clear()  # the record has it; every checkpoint would write it out again

    def _read_less(self, model: Any, rows: int, error: str) -> None:
        """Halve what is read at once. Raises TrainingError when it is one example already."""
        if self._accumulation >= rows:
            raise TrainingError(
                f"memory ran out at step {self.state.global_step + 1} with a single example ({error}); {self.SMALLER}"
            )
        self._accumulation *= 2
        model.zero_grad(set_to_none=True)
        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        at_once = -(-rows // self._accumulation)
        self._follower.note(f"memory ran out: {at_once} examples are now read at once; a step still learns {rows}")

    def _clip_grad_norm(self, model: Any) -> Any:
        norm = super()._clip_grad_norm(model)  # type: ignore[misc]  # the trainer's
        if not math.isfinite(float(norm)):
            raise TrainingError(self._exploded("gradient"))
        return norm

    def _exploded(self, what: str) -> str:
        return (
            f"the {what} is not a number at step {self.state.global_step + 1}: nothing is learned from it and no "
            "adapter is made; set a lower learning_rate or a longer warmup"
        )

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        best, judge, seconds = self._follower.checkpoint()
        Checkpoint(
            step=self.state.global_step,
            weights=self._learner.weights(),
            best=best,
            judge=judge,
            optimizer=self.optimizer.state_dict(),
            scheduler=self.lr_scheduler.state_dict(),
            random=_random_state(),
            accumulation=self._accumulation,
            seconds=seconds,
        ).save(self._folder, _as_json(self.state))

    def _take_up(self, checkpoint: Path) -> bool:
        """Go back to where a checkpoint was made; whether the run had ended there."""
        self._saved = lora_checkpoint.load(checkpoint)
        self._learner.restore(self._saved.weights)
        self._accumulation = self._saved.accumulation
        return self._follower.restore(self._saved) or self._saved.step == self.steps

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: Any = None) -> None:
        """`_take_up` has done it."""

    def _load_optimizer_and_scheduler(self, checkpoint: str | None) -> None:
        if checkpoint is not None:
            self.optimizer.load_state_dict(dict(self._saved.optimizer))
            self.lr_scheduler.load_state_dict(dict(self._saved.scheduler))

    def _load_rng_state(self, checkpoint: str | None) -> None:
        if checkpoint is not None:
            torch.set_rng_state(self._saved.random["cpu"])
            if "cuda" in self._saved.random and torch.cuda.is_available():
                torch.cuda.set_rng_state(self._saved.random["cuda"])


def evaluated_at(every: int, steps: int, ends: Sequence[int]) -> frozenset[int]:
    """The steps that are followed by an evaluation: every so many and the last one; 0: those that end an epoch."""
    return frozenset([*range(every, steps, every), steps] if every else ends)


class _Schedule(TrainerCallback):  # type: ignore[misc]  # transformers is untyped to mypy
    """Asks for an evaluation and a checkpoint at the right steps."""

    def __init__(self, evaluated: frozenset[int], checkpoint_every: int, steps: int) -> None:
        self._evaluated, self._checkpoint_every, self._steps = evaluated, checkpoint_every, steps

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        step = int(state.global_step)
        control.should_evaluate = step in self._evaluated
        control.should_save = step in self._evaluated or step % self._checkpoint_every == 0 or step == self._steps


def _random_state() -> dict[str, torch.Tensor]:
    cuda = {"cuda": torch.cuda.get_rng_state()} if torch.cuda.is_available() else {}
    return {"cpu": torch.get_rng_state(), **cuda}


def _as_json(state: TrainerState) -> str:
    return json.dumps(asdict(state), sort_keys=True)


def _out_of_memory(error: BaseException) -> bool:
    """Torch has a class of its own for a GPU's memory; for the processor's it is a RuntimeError with these words."""
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or "can't allocate memory" in str(error)
