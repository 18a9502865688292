"""Direct preference optimisation (Rafailov et al. 2023): an adapter that finds the preferred answer likelier.

For a question with the answers w (chosen) and l (rejected), the model p and its reference r, what it was at the start:

    loss = -log sigmoid(beta * ((log p(w) - log r(w)) - (log p(l) - log r(l))))            "sigmoid"
    loss = (the same difference, each answer's share a token - 1 / (2 beta))^2             "ipo" (Azar et al. 2023)

A run has a record and goes on after it was stopped, as fine-tuning does: see training.tuning.sft.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Any

from inference.adapters import AdapterCard, Shelf
from inference.generation import Message
from inference.prompt import grounded
from training.errors import RecipeError, TrainingError
from training.pairs.conversations import Retrieve
from training.pairs.data import of_split
from training.records.progress import OnProgress
from training.records.record import OnEvent
from training.tuning.policy_arguments import PolicyArguments
from training.tuning.preferences import Preference, preferences_sha256, with_passages

if TYPE_CHECKING:
    from training.tuning.policy import Policy, Practice
    from training.tuning.surviving import Follower

LOSSES = frozenset({"sigmoid", "ipo"})

Row = dict[str, list[int]]


@dataclass(frozen=True, slots=True)
class DpoArguments(PolicyArguments):
    """One run of DPO. Raises RecipeError when the arguments contradict each other.

    epochs:     how often each preference is seen; `batch` counts preferences
    loss_type:  sigmoid; ipo, which does not push ever further where all preferences agree
    """

    epochs: int = 2
    loss_type: str = "sigmoid"

    def __post_init__(self) -> None:
        PolicyArguments.__post_init__(self)  # super() does not know the class that slots=True made anew
        if self.epochs <= 0 or self.beta <= 0:
            raise RecipeError("epochs and beta must be positive")
        if self.loss_type not in LOSSES:
            raise RecipeError(f"loss_type must be one of {', '.join(sorted(LOSSES))}, not {self.loss_type!r}")


def dpo(
    args: DpoArguments,
    preferences: Sequence[Preference],
    retrieve: Retrieve,
    on_progress: OnProgress | None = None,
    shelf: Shelf | None = None,
    on_event: OnEvent | None = None,
) -> AdapterCard:
    """Train an adapter on the train split; it appears under `args.adapters` complete or not at all.

    Passages come with a preference or are retrieved; without any, or where the model cannot read even one, it is left
    out and counted in the log, since the tutor would not ask the model. `args.start` is looked for on `shelf`, by
    default the root that receives the adapter. The dev split, where there is one, chooses the best weights and may end
    the run, see `patience`.

    Its card's scores, where preferences are held out (test split, else dev): preference_accuracy, the share of them
    whose chosen answer is likelier than the rejected; preference_margin, the mean of log p(chosen) - log p(rejected) in
    nats; both also "_before"; and preference_gained, the share whose margin grew. Raises TrainingError, AdapterRefused.
    """
    from training.tuning.policy import Policy, that_fit

    given = with_passages(preferences, retrieve)
    if not of_split(given, "train"):
        raise TrainingError("there is nothing to learn from: no preference of the train split has passages")
    policy = Policy(args, args.start_folder(shelf or Shelf(args.adapters)))
    usable = that_fit(given, lambda one: _prompt(policy, one))
    if not of_split(usable, "train"):
        raise TrainingError(
            f"there is nothing to learn from: no preference of the train split fits into {policy.context} tokens"
        )
    return policy.carry_out(_practice(args, policy, usable), on_progress, on_event)


def make_trainer(args: DpoArguments, policy: Policy, rows: Sequence[Row], folder: Path, follower: Follower) -> Any:
    """TRL's DPOTrainer around the policy, as a run that survives. Its reference is a frozen copy of the adapter."""
    import torch
    from datasets import Dataset
    from trl import DPOConfig, DPOTrainer

    from training.tuning.batching import parts, plan
    from training.tuning.surviving import Surviving, evaluated_at

    lengths = [_longest(row) for row in rows]
    planned = plan(lengths, args.batch, args.epochs, args.seed)

    class Trainer(Surviving, DPOTrainer):  # type: ignore[misc]  # trl is untyped to mypy
        def _prepare_dataset(self, dataset: Any, *_: Any) -> Any:
            return dataset  # token ids, made by the one template that serving and fine-tuning use

        def accumulate(self, model: Any, rows: Sequence[Row], number: int) -> tuple[torch.Tensor, int]:
            """The gradient of the mean loss over a batch of preferences."""
            total = torch.zeros((), device=policy.device)
            for part in parts(range(len(rows)), [_longest(row) for row in rows], number):
                inputs = self._prepare_inputs(self.data_collator([rows[index] for index in part]))
                with self.compute_loss_context_manager():
                    loss = self.compute_loss(model, inputs) * (len(part) / len(rows))
                self.accelerator.backward(loss)
                total += loss.detach()
            return total, sum(map(_tokens, rows))

    trainer = Trainer(
        model=policy.model,
        args=DPOConfig(
            output_dir=str(folder),
            per_device_train_batch_size=args.batch,
            max_length=policy.context,
            loss_type=[args.loss_type],
            **policy.settings(len(planned.batches)),
        ),
        train_dataset=Dataset.from_list(list(rows)),
        processing_class=policy.template.tokenizer,
    )
    evaluated = evaluated_at(args.evaluate_every, len(planned.batches), planned.ends)
    trainer.survive(policy, follower, folder, planned.batches, evaluated, args.checkpoint_every)
    return trainer


def margins(policy: Policy, preferences: Sequence[Preference]) -> list[float]:
    """log p(chosen) - log p(rejected) of each preference, in nats."""
    return [chosen - rejected for chosen, rejected in _log_probabilities(policy, preferences)]


def row(policy: Policy, one: Preference) -> Row:
    """A preference as token ids."""
    prompt = _prompt(policy, one)
    return {
        "prompt_ids": policy.template.prompt(prompt),
        "chosen_ids": policy.answer_ids(prompt, one.chosen),
        "rejected_ids": policy.answer_ids(prompt, one.rejected),
    }


def _practice(args: DpoArguments, policy: Policy, usable: Sequence[Preference]) -> Practice:
    from training.tuning.policy import Practice

    learned, dev = of_split(usable, "train"), of_split(usable, "dev")
    held_out = of_split(usable, "test") or dev
    dev, held_out = (part[: args.measured or None] for part in (dev, held_out))
    rows = [row(policy, one) for one in learned]
    # Of the model as it begins, also where the run then goes on after a checkpoint.
    reference, before = _log_probabilities(policy, dev), margins(policy, held_out)
    policy.loss_of = lambda asked: fmean(_losses(args, policy, asked, reference))
    sample = [[*_prompt(policy, one), Message(role="assistant", content=one.chosen)] for one in dev[: args.samples]]
    return Practice(
        method="dpo",
        title="Learning preferences",
        parts=[[ids for one in part for ids in one.values()] for part in (rows, [row(policy, one) for one in dev])],
        data=_data(learned, rows, dev, held_out),
        make=lambda folder, follower: make_trainer(args, policy, rows, folder, follower),
        dev=dev,
        in_nats=True,
        asked=sample,
        scores=lambda: _scores(before, margins(policy, held_out)),
    )


def _log_probabilities(policy: Policy, preferences: Sequence[Preference]) -> list[tuple[float, float]]:
    """Of each preference's chosen and rejected answer, in nats."""
    return [
        (policy.log_probability(prompt, one.chosen), policy.log_probability(prompt, one.rejected))
        for one in preferences
        for prompt in [_prompt(policy, one)]
    ]


def _losses(
    args: DpoArguments, policy: Policy, asked: Sequence[Preference], reference: Sequence[tuple[float, float]]
) -> list[float]:
    """The loss of each preference, as the head of this module has it."""
    found = []
    for one, now, then in zip(asked, _log_probabilities(policy, asked), reference, strict=True):
        chosen, rejected = (new - old for new, old in zip(now, then, strict=True))
        if args.loss_type == "ipo":
            ids = row(policy, one)
            share = chosen / len(ids["chosen_ids"]) - rejected / len(ids["rejected_ids"])
            found.append((share - 1 / (2 * args.beta)) ** 2)
        else:
            gained = args.beta * (chosen - rejected)
            found.append(math.log1p(math.exp(-abs(gained))) + max(-gained, 0.0))  # where exp cannot overflow
    return found


def _prompt(policy: Policy, one: Preference) -> list[Message]:
    return policy.fit(grounded(one.question, one.passages), one.chosen, one.rejected)


def _tokens(row: Row) -> int:
    return 2 * len(row["prompt_ids"]) + len(row["chosen_ids"]) + len(row["rejected_ids"])


def _longest(row: Row) -> int:
    return len(row["prompt_ids"]) + max(len(row["chosen_ids"]), len(row["rejected_ids"]))


def _data(
    learned: Sequence[Preference], rows: Sequence[Row], dev: Sequence[Preference], held_out: Sequence[Preference]
) -> dict[str, Any]:
    return {
        "dataset_sha256": preferences_sha256(learned),
        "examples": len(learned),
        "tokens": sum(map(_tokens, rows)),
        "learned_tokens": sum(len(one["chosen_ids"]) + len(one["rejected_ids"]) for one in rows),
        "longest": max(map(_longest, rows)),
        "dev": len(dev),
        "test": len(held_out),
        "subjects": dict(Counter(one.subject for one in learned)),
        "languages": dict(Counter(one.language for one in learned)),
        "sources": dict(Counter(one.source for one in learned)),
    }


def _scores(before: Sequence[float], after: Sequence[float]) -> dict[str, float]:
    if not after:
        return {}
    return {
        "preference_accuracy_before": fmean(margin > 0 for margin in before),
        "preference_accuracy": fmean(margin > 0 for margin in after),
        "preference_margin_before": fmean(before),
        "preference_margin": fmean(after),
        "preference_gained": fmean(new > old for old, new in zip(before, after, strict=True)),
    }
