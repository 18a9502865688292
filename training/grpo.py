"""Group relative policy optimisation (Shao et al. 2024) on questions whose result SymPy can check.

The model answers each question several times; those answers that end with the right result become likelier, the others
of the group less likely. Nobody has to write or to judge an answer.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Any

from inference.adapters import AdapterCard, Shelf
from inference.generation import Message
from inference.prompt import grounded
from training.conversations import Retrieve
from training.data import Example, dataset_sha256, of_split
from training.errors import RecipeError, TrainingError
from training.placing import place
from training.policy_arguments import PolicyArguments
from training.progress import OnProgress, reporting

if TYPE_CHECKING:
    from training.policy import Policy

logger = logging.getLogger(__name__)

NUMERICAL = "numerical"  # the kind of an example whose fact is a result


@dataclass(frozen=True, slots=True)
class GrpoArguments(PolicyArguments):
    """One run of GRPO. Raises RecipeError when the arguments contradict each other.

    steps:          optimiser steps; `batch` counts the questions of one, so that steps * batch are asked in all
    generations:    answers to each question, which are compared with each other
    longest:        tokens of an answer; one that is cut off there teaches nothing
    temperature:    of the sampling: without variety there is nothing to compare
    """

    steps: int = 100
    generations: int = 8
    longest: int = 160
    temperature: float = 1.0

    def __post_init__(self) -> None:
        PolicyArguments.__post_init__(self)  # super() does not know the class that slots=True made anew
        if min(self.steps, self.longest, self.temperature) <= 0 or self.generations < 2:
            raise RecipeError("steps, longest and temperature must be positive, generations 2 or more")


@dataclass(frozen=True, slots=True)
class Problem:
    """A question with passages, and its result as an expression that training.rewards reads."""

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
) -> AdapterCard:
    """Train an adapter on the train split; it appears under `args.adapters` complete or not at all.

    Of the examples those are taken whose result can be checked (see `problems`). The loss that progress tells is the
    share of wrong answers. The card's scores, where problems are held out (test split, else dev): right_before and
    right, the share of them answered rightly, greedily. Raises TrainingError, AdapterRefused.
    """
    from training.policy import Policy

    found = problems(examples, retrieve)
    learned = of_split(found, "train")
    if len(learned) < args.batch:
        raise TrainingError(
            f"{len(learned)} questions of the train split have a result that can be checked, and a step needs "
            f'{args.batch}: add examples of the kind "{NUMERICAL}" with their result as a fact, or make batch smaller'
        )
    held_out = of_split(found, "test") or of_split(found, "dev")
    policy = Policy(args, args.start_folder(shelf or Shelf(args.adapters)))
    before = _share_right(args, policy, held_out)
    began = time.perf_counter()
    with reporting("Practising", args.steps, on_progress) as report:
        policy.train(lambda scratch: make_trainer(args, policy, learned, scratch), args.steps, report)
    logger.info("practised on %d questions in %.0f s", len(learned), time.perf_counter() - began)
    scores = {"right_before": before, "right": _share_right(args, policy, held_out)} if held_out else {}
    return place(
        args.adapters,
        args.base,
        policy.save,
        subject=args.subject,
        language=args.language,
        dataset_sha256=dataset_sha256(one.example for one in learned),
        recipe=args.recorded("grpo"),
        scores=scores,
        examples=len(learned),
    )


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


def make_trainer(args: GrpoArguments, policy: Policy, learned: Sequence[Problem], scratch: Path) -> Any:
    """TRL's GRPOTrainer around the policy, rewarded by SymPy."""
    from datasets import Dataset
    from trl import GRPOConfig, GRPOTrainer

    from training.rewards import reward

    return GRPOTrainer(
        model=policy.model,
        reward_funcs=reward,
        args=GRPOConfig(
            output_dir=str(scratch),
            max_steps=args.steps,
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


def _prompt(args: GrpoArguments, policy: Policy, one: Problem) -> list[Message]:
    return policy.fit(grounded(one.example.question, one.passages), room=args.longest)


def _share_right(args: GrpoArguments, policy: Policy, asked: Sequence[Problem]) -> float:
    from training.rewards import right

    answers = (policy.answer(_prompt(args, policy, one), args.longest) for one in asked)
    return fmean([right(answer, one.result) for answer, one in zip(answers, asked, strict=True)] or [0.0])


def _result(fact: str, answer: str) -> str | None:
    """The expression that a fact is ("10p − 15"), or the number in it ("Rs 56,000"); None unless the answer has it."""
    from training.rewards import Unreadable, last_expression, parse, right

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
