"""Whether an exported model still says what the model says: its logits at every token of real greedy answers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
from transformers import GenerationConfig

from inference.generation import Message
from inference.prompt import shortened
from training.errors import ExportError

ANSWER = 48  # tokens of each answer that are compared

# (ids of prompt and answer, length of the prompt) -> logits that chose each token of the answer: (answer, vocabulary)
Logits = Callable[[Sequence[int], int], torch.Tensor]


@dataclass(frozen=True, slots=True)
class Tolerance:
    """What rounding may do. `difference`: of the logits, root mean square, in standard deviations of the model's own.

    `equal`: share of the answers' tokens that must come out the same, each after the same tokens before it.
    """

    difference: float
    equal: float


@dataclass(frozen=True, slots=True)
class Figures:
    """What a check found, over `tokens` tokens of the greedy answers to `prompts` prompts."""

    prompts: int
    tokens: int
    max_logit_difference: float
    relative_difference: float  # root mean square, in standard deviations of the model's own logits
    equal_tokens: float  # share

    def named(self) -> dict[str, float]:
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Answered:
    """A prompt with the model's greedy answer, and the logits that chose it: float32 (answer, vocabulary)."""

    ids: tuple[int, ...]
    asked: int
    logits: torch.Tensor


@torch.no_grad()
def answers(
    model: Any, tokenizer: Any, prompts: Sequence[Sequence[Message]], step: Callable[[int], None] = lambda _: None
) -> list[Answered]:
    """The greedy answers of `model`, prompts cut to its context as at serving time. Raises ExportError if none fits."""
    context = int(model.config.max_position_embeddings)
    limit = min(ANSWER, context // 4)
    by_model = from_model(model)
    found = []
    for done, messages in enumerate(prompts, start=1):
        ids = _fitted(tokenizer, messages, context - limit)
        if ids is not None:
            written = model.generate(
                input_ids=torch.tensor([ids]),
                attention_mask=torch.ones(1, len(ids), dtype=torch.long),
                generation_config=GenerationConfig(
                    max_new_tokens=limit,
                    do_sample=False,
                    eos_token_id=tokenizer.eos_token_id,
                    pad_token_id=tokenizer.eos_token_id,
                ),
            )[0].tolist()
            found.append(Answered(tuple(written), len(ids), by_model(written, len(ids))))
        step(done)
    if not found:
        raise ExportError(f"none of the prompts fits the model's context of {context} tokens, so nothing was checked")
    return found


def from_model(model: Any) -> Logits:
    """The logits of a transformers model."""

    @torch.no_grad()
    def logits(ids: Sequence[int], asked: int) -> torch.Tensor:
        found: torch.Tensor = model(input_ids=torch.tensor([list(ids)]), use_cache=False).logits[0]
        return found[asked - 1 : len(ids) - 1].float()

    return logits


def compare(expected: Sequence[Answered], logits: Logits, tolerance: Tolerance, written: str) -> Figures:
    """Compare with what the model said. Raises ExportError when `written` (how to call it) does not keep to it."""
    largest, squares, spread, equal, tokens = 0.0, 0.0, 0.0, 0, 0
    for answer in expected:
        found = logits(answer.ids, answer.asked)
        if found.shape != answer.logits.shape or not torch.isfinite(found).all():
            raise ExportError(f"{written} gives logits of shape {tuple(found.shape)}, or not finite; it is not kept")
        apart = found - answer.logits
        largest = max(largest, float(apart.abs().max()))
        squares += float(apart.square().mean(-1).sum())
        spread += float(answer.logits.var(-1).sum())
        equal += int((found.argmax(-1) == answer.logits.argmax(-1)).sum())
        tokens += len(apart)
    figures = Figures(len(expected), tokens, largest, (squares / spread) ** 0.5, equal / tokens)
    if figures.relative_difference > tolerance.difference or figures.equal_tokens < tolerance.equal:
        raise ExportError(
            f"{written} does not answer as the model does, and is not kept: {figures.equal_tokens:.1%} of the greedy "
            f"tokens are equal (wanted {tolerance.equal:.1%}), the logits are {figures.relative_difference:.2g} "
            f"standard deviations apart (at most {tolerance.difference:g})"
        )
    return figures


def _fitted(tokenizer: Any, messages: Sequence[Message], room: int) -> list[int] | None:
    rest: list[Message] | None = list(messages)
    while rest is not None:
        encoded = tokenizer.apply_chat_template(
            rest, add_generation_prompt=True, tokenize=True, return_dict=True, tokenizer_kwargs={"verbose": False}
        )
        if len(encoded["input_ids"]) <= room:
            return [int(token) for token in encoded["input_ids"]]
        rest = shortened(rest)
    return None
