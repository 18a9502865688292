"""TRL's SFTTrainer as a run that survives: batches planned ahead, memory that runs out, kills, losses that explode.

What is changed, and why TRL's own does not do:
- the whole run's batches are planned from the seed, since its length-grouped order is another after a resume;
- a step's batch is read in parts, fewer examples at once after memory ran out, where its own retry begins anew and
  makes the batch smaller;
- the loss is computed where something is learned; without a GPU its own scores every token of the prompt as well;
- a checkpoint is one rename; its own is a folder that a kill leaves half written;
- a loss or a gradient that is no number ends the run before it is learned from.
"""

from __future__ import annotations

import gc
import json
import math
import time
import warnings
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import torch
from datasets import Dataset
from torch.utils.data import DataLoader
from transformers import PrinterCallback, TrainerCallback
from transformers.trainer_callback import TrainerState
from trl import SFTConfig, SFTTrainer

from training import lora_checkpoint
from training.batching import Plan, parts, plan
from training.errors import TrainingError
from training.lora_checkpoint import Checkpoint
from training.template import IGNORED, Encoded

if TYPE_CHECKING:
    from training.lora import Trainee
    from training.sft_arguments import SftArguments


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


class LoraTrainer(SFTTrainer):  # type: ignore[misc]  # trl is untyped to mypy
    """One run over `encoded`. Checkpoints go to `folder`."""

    def __init__(
        self, trainee: Trainee, args: SftArguments, encoded: Sequence[Encoded], folder: Path, follower: Follower
    ) -> None:
        self._trainee, self._arguments, self._follower = trainee, args, follower
        self._folder = folder
        self._accumulation = args.accumulation
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # TRL's own use of transformers
            super().__init__(
                model=trainee.model,
                args=_config(trainee, args, folder),
                train_dataset=Dataset.from_list([{"input_ids": one.ids, "labels": one.labels} for one in encoded]),
                processing_class=trainee.tokenizer,
            )
        self._lengths = [len(ids) for ids in self.train_dataset["input_ids"]]
        # Packed rows hold several examples each: so many rows a step that it still learns `batch` examples or so.
        batch = max(1, round(args.batch * len(self._lengths) / len(encoded)))
        self.plan: Plan = plan(self._lengths, batch, args.epochs, args.seed, grouped=args.batching == "grouped")
        steps = len(self.plan.batches)
        self.args.warmup_steps = args.warmup_steps(steps)
        every = args.evaluate_every
        self.evaluated = frozenset([*range(every, steps, every), steps] if every else self.plan.ends)
        self.remove_callback(PrinterCallback)
        self.add_callback(_Schedule(self.evaluated, args.checkpoint_every, steps))
        self._step_tokens, self._step_seconds = 0, 0.0

    @property
    def steps(self) -> int:
        return len(self.plan.batches)

    @property
    def lengths(self) -> Sequence[int]:
        """In tokens, of the rows that batches are made of."""
        return self._lengths

    def run(self) -> None:
        """Train from the last checkpoint, or from the start. Raises TrainingError, OSError, KeyboardInterrupt."""
        last = lora_checkpoint.last(self._folder)
        if last is not None and self._take_up(last):
            return
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)
            self.train(resume_from_checkpoint=str(last) if last else None)

    def get_train_dataloader(self) -> Any:
        """A step an item. In the trainer's eyes the run is one epoch, so that it can be resumed at any step."""
        return DataLoader(
            self.train_dataset,
            batch_sampler=self.plan.batches,
            collate_fn=lambda rows: {"rows": rows},
            generator=torch.Generator(),  # or starting it would draw from the one that dropout draws from
        )

    def training_step(self, model: Any, inputs: dict[str, Any], num_items_in_batch: Any = None) -> torch.Tensor:
        """Learn from a step's batch, in as many parts as memory demands."""
        began = time.perf_counter()
        rows = inputs["rows"]
        while True:
            try:
                loss = self._accumulate(model, rows)
                break
            except (MemoryError, RuntimeError) as error:
                if not _out_of_memory(error):
                    raise
                short = str(error).partition("\n")[0]
            self._read_less(model, len(rows), short)
        if not torch.isfinite(loss):
            raise TrainingError(self._exploded("loss"))
        self._step_seconds = time.perf_counter() - began
        self._step_tokens = sum(len(row["input_ids"]) for row in rows)
        return loss

    def compute_loss(
        self, model: Any, inputs: dict[str, Any], return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> torch.Tensor:
        """The share of this part in the mean loss over the step's `num_items_in_batch` learned tokens."""
        summed, _ = self._trainee.summed_loss(inputs)
        loss: torch.Tensor = summed / num_items_in_batch
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
        self.control: Any = control
        return metrics

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Tell the follower of a step. Transformers tells the charts."""
        if "loss" in logs:
            spent = (self._step_tokens, self._step_seconds)
            self._follower.step(self.state.global_step, float(logs["loss"]), float(logs["learning_rate"]), *spent)
        super().log(logs, start_time)
        self.state.log_history.clear()  # the record has it; every checkpoint would write it out again

    def _accumulate(self, model: Any, rows: Sequence[dict[str, Any]]) -> torch.Tensor:
        """The gradient of the mean loss over a batch, read in parts: the same whatever their number."""
        model.train()
        lengths = [len(row["input_ids"]) for row in rows]
        collated = [
            self.data_collator([rows[index] for index in part])
            for part in parts(range(len(rows)), lengths, self._accumulation)
        ]
        learned = sum(int((part["labels"][:, 1:] != IGNORED).sum()) for part in collated)
        total = torch.zeros((), device=self._trainee.device)
        for part in collated:
            inputs = self._prepare_inputs(part)
            with self.compute_loss_context_manager():
                loss = self.compute_loss(model, inputs, num_items_in_batch=max(learned, 1))
            self.accelerator.backward(loss)
            total += loss.detach()
        return total

    def _read_less(self, model: Any, rows: int, error: str) -> None:
        """Halve what is read at once. Raises TrainingError when it is one example already."""
        if self._accumulation >= rows:
            raise TrainingError(
                f"memory ran out at step {self.state.global_step + 1} with a single example ({error}); "
                "set gradient_checkpointing to true, or length to fewer tokens, or take a smaller base model"
            )
        self._accumulation *= 2
        model.zero_grad(set_to_none=True)
        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        at_once = -(-self._arguments.batch // self._accumulation)
        self._follower.note(
            f"memory ran out: {max(at_once, 1)} examples are now read at once; a step still learns {rows}"
        )

    def _clip_grad_norm(self, model: Any) -> Any:
        norm = super()._clip_grad_norm(model)
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
            weights=self._trainee.weights(),
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
        self._trainee.restore(self._saved.weights)
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


class _Schedule(TrainerCallback):  # type: ignore[misc]  # transformers is untyped to mypy
    """Asks for an evaluation and a checkpoint at the right steps."""

    def __init__(self, evaluated: frozenset[int], checkpoint_every: int, steps: int) -> None:
        self._evaluated, self._checkpoint_every, self._steps = evaluated, checkpoint_every, steps

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        step = int(state.global_step)
        control.should_evaluate = step in self._evaluated
        control.should_save = step in self._evaluated or step % self._checkpoint_every == 0 or step == self._steps


def _config(trainee: Trainee, args: SftArguments, folder: Path) -> SFTConfig:
    packed = args.batching == "packed"
    return SFTConfig(
        output_dir=str(folder),
        num_train_epochs=1,  # of the plan, which has all of ours
        per_device_train_batch_size=args.batch,
        learning_rate=args.learning_rate,
        lr_scheduler_type="cosine",
        weight_decay=args.weight_decay,
        max_grad_norm=1.0,
        seed=args.seed,
        data_seed=args.seed,
        max_length=trainee.length,
        packing=packed,
        dataset_kwargs={"skip_prepare_dataset": not packed},  # it is tokenized and cut already
        pad_to_multiple_of=trainee.length if args.batching == "padded" else None,
        gradient_checkpointing=args.gradient_checkpointing,
        bf16=trainee.precision == "bfloat16",
        use_cpu=trainee.device == "cpu",
        dataloader_pin_memory=False,
        remove_unused_columns=False,
        save_strategy="no",  # _Schedule says when, and _save_checkpoint how
        logging_steps=1,
        logging_nan_inf_filter=False,
        report_to=[args.report_to] if args.report_to else [],
        disable_tqdm=True,
    )


def _random_state() -> dict[str, torch.Tensor]:
    cuda = {"cuda": torch.cuda.get_rng_state()} if torch.cuda.is_available() else {}
    return {"cpu": torch.get_rng_state(), **cuda}


def _as_json(state: TrainerState) -> str:
    return json.dumps(asdict(state), sort_keys=True)


def _out_of_memory(error: BaseException) -> bool:
    """Torch has a class of its own for a GPU's memory; for the processor's it is a RuntimeError with these words."""
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or "can't allocate memory" in str(error)
