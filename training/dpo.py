"""Direct preference optimisation (Rafailov et al. 2023): an adapter that finds the preferred answer likelier.

For a question with the answers w (chosen) and l (rejected), the model p and its reference r, what it was at the start:

    loss = -log sigmoid(beta * ((log p(w) - log r(w)) - (log p(l) - log r(l))))            "sigmoid"
    loss = (the same difference, each answer's share a token - 1 / (2 beta))^2             "ipo" (Azar et al. 2023)
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Any

from inference.adapters import AdapterCard, Shelf
from inference.generation import Message
from inference.prompt import grounded
from training.conversations import Retrieve
from training.data import of_split
from training.errors import RecipeError, TrainingError
from training.placing import place
from training.policy_arguments import PolicyArguments
from training.preferences import Preference, preferences_sha256, with_passages
from training.progress import OnProgress, reporting

if TYPE_CHECKING:
    from training.policy import Policy

logger = logging.getLogger(__name__)

LOSSES = frozenset({"sigmoid", "ipo"})


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
) -> AdapterCard:
    """Train an adapter on the train split; it appears under `args.adapters` complete or not at all.

    Passages come with a preference or are retrieved; without any it is left out and counted in the log, since the tutor
    would not ask the model. `args.start` is looked for on `shelf`, by default the root that receives the adapter.

    Its card's scores, where preferences are held out (test split, else dev): preference_accuracy, the share of them
    whose chosen answer is likelier than the rejected; preference_margin, the mean of log p(chosen) - log p(rejected) in
    nats; both also "_before"; and preference_gained, the share whose margin grew. Raises TrainingError, AdapterRefused.
    """
    from training.policy import Policy

    usable = with_passages(preferences, retrieve)
    learned = of_split(usable, "train")
    if not learned:
        raise TrainingError("there is nothing to learn from: no preference of the train split has passages")
    held_out = of_split(usable, "test") or of_split(usable, "dev")
    policy = Policy(args, args.start_folder(shelf or Shelf(args.adapters)))
    before = margins(policy, held_out)
    began = time.perf_counter()
    steps = math.ceil(len(learned) / args.batch) * args.epochs
    with reporting("Learning preferences", steps, on_progress) as report:
        policy.train(lambda scratch: make_trainer(args, policy, learned, scratch), steps, report)
    logger.info("learned from %d preferences in %.0f s", len(learned), time.perf_counter() - began)
    return place(
        args.adapters,
        args.base,
        policy.save,
        subject=args.subject,
        language=args.language,
        dataset_sha256=preferences_sha256(learned),
        recipe=args.recorded("dpo"),
        scores=_scores(before, margins(policy, held_out)),
        examples=len(learned),
    )


def make_trainer(args: DpoArguments, policy: Policy, learned: Sequence[Preference], scratch: Path) -> Any:
    """TRL's DPOTrainer around the policy. Its reference is a frozen copy of the adapter as it is now."""
    from datasets import Dataset
    from trl import DPOConfig, DPOTrainer

    class Trainer(DPOTrainer):  # type: ignore[misc]  # trl is untyped to mypy
        def _prepare_dataset(self, dataset: Any, *_: Any) -> Any:
            return dataset  # token ids, made by the one template that serving and fine-tuning use

    steps = math.ceil(len(learned) / args.batch) * args.epochs
    return Trainer(
        model=policy.model,
        args=DPOConfig(
            output_dir=str(scratch),
            num_train_epochs=args.epochs,
            per_device_train_batch_size=args.batch,
            max_length=policy.context,
            loss_type=[args.loss_type],
            **policy.settings(steps),
        ),
        train_dataset=Dataset.from_list([_row(policy, one) for one in learned]),
        processing_class=policy.template.tokenizer,
    )


def margins(policy: Policy, preferences: Sequence[Preference]) -> list[float]:
    """log p(chosen) - log p(rejected) of each preference, in nats."""
    return [
        policy.log_probability(prompt, one.chosen) - policy.log_probability(prompt, one.rejected)
        for one in preferences
        for prompt in [_prompt(policy, one)]
    ]


def _prompt(policy: Policy, one: Preference) -> list[Message]:
    return policy.fit(grounded(one.question, one.passages), one.chosen, one.rejected)


def _row(policy: Policy, one: Preference) -> dict[str, list[int]]:
    prompt = _prompt(policy, one)
    return {
        "prompt_ids": policy.template.prompt(prompt),
        "chosen_ids": policy.answer_ids(prompt, one.chosen),
        "rejected_ids": policy.answer_ids(prompt, one.rejected),
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
