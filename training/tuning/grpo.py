"""Group relative policy optimisation (Shao et al. 2024) on questions whose result SymPy can check.

The model answers each question several times; those answers that end with the right result become likelier, the others
of the group less likely. Nobody has to write or to judge an answer.

A run has a record and goes on after it was stopped, as fine-tuning does: see `sft.py`. Its losses are shares of wrong
answers.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Any

from inference.adapters import AdapterCard, Shelf
from inference.generation import Message
from inference.prompt import grounded
from training.errors import RecipeError, TrainingError
from training.pairs.conversations import Retrieve
from training.pairs.data import Example, dataset_sha256, of_split
from training.records.progress import OnProgress
from training.records.record import OnEvent
from training.tuning.policy_arguments import PolicyArguments

if TYPE_CHECKING:
    import torch

    from training.tuning.policy import Policy, Practice
    from training.tuning.surviving import Follower

NUMERICAL = "numerical"  # the kind of an example whose fact is a result


@dataclass(frozen=True, slots=True)
class GrpoArguments(PolicyArguments):
    """One run of GRPO. Raises RecipeError when the arguments contradict each other.

    steps:          optimiser steps; `batch` counts the questions of one, so that steps * batch are asked in all
    generations:    answers to each question, which are compared with each other
    longest:        tokens of an answer; one that is cut off there teaches nothing
    temperature:    of the sampling: without variety there is nothing to compare
    evaluate_every, measured: as in DPO, and fewer by default, since whole answers are written for them; there are no
                    epochs, so that 0 evaluates at the end alone
    """

    steps: int = 100
    generations: int = 8
    longest: int = 160
    temperature: float = 1.0
    evaluate_every: int = 25
    measured: int = 32

    def __post_init__(self) -> None:
        PolicyArguments.__post_init__(self)  # super() does not know the class that slots=True made anew
        if min(self.steps, self.longest, self.temperature) <= 0 or self.generations < 2:
            raise RecipeError("steps, longest and temperature must be positive, generations 2 or more")


@dataclass(frozen=True, slots=True)
class Problem:
    """A question with passages, and its result as an expression that training.tuning.rewards reads."""

    example: Example
    result: str
    passages: tuple[str, ...]

    @property
    def split(self) -> str:
        return self.example.split


def grpo(
    args: GrpoArguments,
    examples: Sequence[Example],
    retrieve: Retrieve,
    on_progress: OnProgress | None = None,
    shelf: Shelf | None = None,
    on_event: OnEvent | None = None,
) -> AdapterCard:
    """Train an adapter on the train split; it appears under `args.adapters` complete or not at all.

    Of the examples those are taken whose result can be checked (see `problems`). The dev split, where there is one,
    chooses the best weights, of equals the earlier ones, which strayed least. The card's scores, where problems are
    held out (test split, else dev): right_before and right, the share of them answered rightly, greedily.
    Raises TrainingError, AdapterRefused.
    """
    from training.tuning.policy import Policy, that_fit

    checkable = problems(examples, retrieve)
    _require(args, checkable)
    policy = Policy(args, args.start_folder(shelf or Shelf(args.adapters)))
    found = that_fit(checkable, lambda one: _prompt(args, policy, one))
    _require(args, found)
    return policy.carry_out(_practice(args, policy, found), on_progress, on_event)


def problems(examples: Iterable[Example], retrieve: Retrieve) -> list[Problem]:
    """The examples of the kind "numerical" that can be practised: one fact, which is a number with its unit or an
    expression; an answer that ends with it, so that the reward is one that can be earned; and passages.
    """
    made = []
    for example in examples:
        if example.kind == NUMERICAL and len(example.facts) == 1:
            result = _result(example.facts[0], example.answer)
            passages = example.passages or tuple(retrieve(example.question)) if result else ()
            if result and passages:
                made.append(Problem(example, result, passages))
    return made


def make_trainer(
    args: GrpoArguments, policy: Policy, learned: Sequence[Problem], folder: Path, follower: Follower
) -> Any:
    """TRL's GRPOTrainer around the policy, rewarded by SymPy, as a run that survives."""
    import torch
    from datasets import Dataset
    from trl import GRPOConfig, GRPOTrainer

    from training.tuning.rewards import reward
    from training.tuning.surviving import Surviving, evaluated_at

    class Trainer(Surviving, GRPOTrainer):  # type: ignore[misc]  # trl is untyped to mypy
        SMALLER = "set generations or longest to fewer, or take a smaller base model"

        _at_once = args.batch * args.generations  # answers that are written or read at a time
        _written: dict[str, Any] | None = None  # a step's answers with their rewards, until they are learned

        def accumulate(self, model: Any, rows: Sequence[Any], number: int) -> tuple[torch.Tensor, int]:
            """The gradient of the loss over a step's answers, a row of the batch each."""
            self._at_once = -(-len(rows) // number)
            inputs = self._written = self._written or self._prepare_inputs(rows)
            total = torch.zeros((), device=policy.device)
            for first in range(0, len(rows), self._at_once):
                with self.compute_loss_context_manager():
                    loss = self.compute_loss(model, _rows(inputs, first, first + self._at_once))
                self.accelerator.backward(loss)
                total += loss.detach()
            self._written = None
            return total, int(inputs["prompt_mask"].sum() + inputs["completion_mask"].sum())

        def told_loss(self, logs: dict[str, float]) -> float:
            return 1.0 - float(self._metrics["train"]["reward"][-1])

        def _generate_single_turn(self, prompt_ids: Sequence[list[int]], *rest: Any, **more: Any) -> Any:
            ids: list[list[int]] = []
            for first in range(0, len(prompt_ids), self._at_once):
                ids += super()._generate_single_turn(prompt_ids[first : first + self._at_once], *rest, **more)[0]
            return ids, None

        def _get_per_token_logps_and_entropies(self, *given: Any, batch_size: int | None = None, **more: Any) -> Any:
            return super()._get_per_token_logps_and_entropies(*given, batch_size=self._at_once, **more)

    trainer = Trainer(
        model=policy.model,
        reward_funcs=reward,
        args=GRPOConfig(
            output_dir=str(folder),
            per_device_train_batch_size=args.batch * args.generations,
            num_generations=args.generations,
            max_completion_length=args.longest,
            temperature=args.temperature,
            mask_truncated_completions=True,
            chat_template_kwargs={"enable_thinking": False},  # as at serving time
            **policy.settings(args.steps),
        ),
        train_dataset=Dataset.from_list(
            [{"prompt": _prompt(args, policy, one), "result": one.result} for one in learned]
        ),
        processing_class=policy.template.tokenizer,
    )
    evaluated = evaluated_at(args.evaluate_every, args.steps, [args.steps])
    trainer.survive(policy, follower, folder, batches(args, len(learned)), evaluated, args.checkpoint_every)
    return trainer


def batches(args: GrpoArguments, questions: int) -> list[list[int]]:
    """The question of each answer of each step: every question once before any twice, in an order of the seed alone."""
    order: list[int] = []
    rng = random.Random(args.seed)
    while len(order) < args.steps * args.batch:
        order += rng.sample(range(questions), questions)
    return [
        [question for question in order[first : first + args.batch] for _ in range(args.generations)]
        for first in range(0, args.steps * args.batch, args.batch)
    ]


def _require(args: GrpoArguments, found: Sequence[Problem]) -> None:
    """Raise TrainingError for too few questions of the train split."""
    learned = of_split(found, "train")
    if len(learned) < args.batch:
        raise TrainingError(
            f"{len(learned)} questions of the train split have a result that can be checked, and a step needs "
            f'{args.batch}: add examples of the kind "{NUMERICAL}" with their result as a fact, or make batch smaller'
        )


def _practice(args: GrpoArguments, policy: Policy, found: Sequence[Problem]) -> Practice:
    from training.tuning.policy import Practice

    learned, dev = of_split(found, "train"), of_split(found, "dev")
    held_out = of_split(found, "test") or dev
    dev, held_out = (part[: args.measured or None] for part in (dev, held_out))
    before = _share_right(args, policy, held_out)  # of the model as it begins, also where the run then goes on
    policy.loss_of = lambda asked: 1.0 - _share_right(args, policy, asked)

    def scores() -> dict[str, float]:
        return {"right_before": before, "right": _share_right(args, policy, held_out)} if held_out else {}

    return Practice(
        method="grpo",
        title="Practising",
        parts=[[_ids(args, policy, one) for one in part] for part in (learned, dev)],
        data=_data(learned, dev, held_out),
        make=lambda folder, follower: make_trainer(args, policy, learned, folder, follower),
        dev=dev,
        in_nats=False,
        asked=[
            [*_prompt(args, policy, one), Message(role="assistant", content=one.example.answer)]
            for one in dev[: args.samples]
        ],
        scores=scores,
    )


def _data(learned: Sequence[Problem], dev: Sequence[Problem], held_out: Sequence[Problem]) -> dict[str, Any]:
    return {
        "dataset_sha256": dataset_sha256(one.example for one in learned),
        "examples": len(learned),
        "dev": len(dev),
        "test": len(held_out),
        "subjects": dict(Counter(one.example.subject or "none" for one in learned)),
        "languages": dict(Counter(one.example.language for one in learned)),
    }


def _ids(args: GrpoArguments, policy: Policy, one: Problem) -> list[int]:
    """What a problem is told from others by: its prompt and its result."""
    return [*policy.template.prompt(_prompt(args, policy, one)), *one.result.encode()]


def _rows(inputs: dict[str, Any], first: int, last: int) -> dict[str, Any]:
    """Some rows of a batch of tensors; what is none, or one number for all, stays as it is."""
    return {name: value[first:last] if getattr(value, "ndim", 0) else value for name, value in inputs.items()}


def _prompt(args: GrpoArguments, policy: Policy, one: Problem) -> list[Message]:
    return policy.fit(grounded(one.example.question, one.passages), room=args.longest)


def _share_right(args: GrpoArguments, policy: Policy, asked: Sequence[Problem]) -> float:
    from training.tuning.rewards import right

    answers = (policy.answer(_prompt(args, policy, one), args.longest) for one in asked)
    return fmean([right(answer, one.result) for answer, one in zip(answers, asked, strict=True)] or [0.0])


def _result(fact: str, answer: str) -> str | None:
    """The expression that a fact is ("10p − 15"), or the number in it ("Rs 56,000"); None unless the answer has it."""
    from training.tuning.rewards import Unreadable, last_expression, parse, right

    try:
        letters = parse(fact).free_symbols
        # The m of "5m" is a unit; the p of "10p - 15" stands for a number.
        result = fact if not letters or any(sign in fact for sign in "+-−²³^") else last_expression(fact)
    except Unreadable:
        result = last_expression(fact)
    try:
        return result if result and right(answer, result) else None
    except Unreadable:
        return None
