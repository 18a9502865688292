"""TRL's SFTTrainer as a run that survives (`surviving.py`), with the loss computed where something is learned.

Without a GPU its own loss scores every token of the prompt as well.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from datasets import Dataset
from trl import SFTConfig, SFTTrainer

from training.pairs.template import IGNORED, Encoded
from training.tuning.batching import Plan, parts, plan
from training.tuning.surviving import Follower, Surviving, evaluated_at

if TYPE_CHECKING:
    from training.tuning.lora import Trainee
    from training.tuning.sft_arguments import SftArguments


class LoraTrainer(Surviving, SFTTrainer):  # type: ignore[misc]  # trl is untyped to mypy
    """Fine-tuning: one run over `encoded`. Checkpoints go to `folder`."""

    SMALLER = "set gradient_checkpointing to true, or length to fewer tokens, or take a smaller base model"

    def __init__(
        self, trainee: Trainee, args: SftArguments, encoded: Sequence[Encoded], folder: Path, follower: Follower
    ) -> None:
        self._trainee = trainee
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
        evaluated = evaluated_at(args.evaluate_every, steps, self.plan.ends)
        self.survive(trainee, follower, folder, self.plan.batches, evaluated, args.checkpoint_every, args.accumulation)

    @property
    def lengths(self) -> Sequence[int]:
        """In tokens, of the rows that batches are made of."""
        return self._lengths

    def compute_loss(
        self, model: Any, inputs: dict[str, Any], return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> torch.Tensor:
        """The share of this part in the mean loss over the step's `num_items_in_batch` learned tokens."""
        summed, _ = self._trainee.summed_loss(inputs)
        loss: torch.Tensor = summed / num_items_in_batch
        return loss

    def accumulate(self, model: Any, rows: Sequence[dict[str, Any]], number: int) -> tuple[torch.Tensor, int]:
        """The gradient of the mean loss over a batch."""
        lengths = [len(row["input_ids"]) for row in rows]
        collated = [
            self.data_collator([rows[index] for index in part]) for part in parts(range(len(rows)), lengths, number)
        ]
        learned = sum(int((part["labels"][:, 1:] != IGNORED).sum()) for part in collated)
        total = torch.zeros((), device=self._trainee.device)
        for part in collated:
            inputs = self._prepare_inputs(part)
            with self.compute_loss_context_manager():
                loss = self.compute_loss(model, inputs, num_items_in_batch=max(learned, 1))
            self.accelerator.backward(loss)
            total += loss.detach()
        return total, sum(lengths)


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
