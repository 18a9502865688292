"""A base model's tokenizer and chat template as fine-tuning needs them: token ids, and which of them are learned.

A base that has a template keeps it, since that is what it is served with. One that has none gets PLAIN_TEMPLATE, and
the adapter keeps it in a file of its own, `chat_template.jinja`: without it nobody could ask the adapter rightly.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jinja2 import TemplateError
from transformers import AutoTokenizer

from inference.generation import Message
from inference.prompt import PLAIN_TEMPLATE, without_system
from training.errors import TrainingError

IGNORED = -100  # the label of a token that is not learned


@dataclass(frozen=True, slots=True)
class Encoded:
    """One conversation: token ids, and labels of the same length, IGNORED where nothing is learned."""

    ids: list[int]
    labels: list[int]

    @property
    def learned(self) -> int:
        """How many tokens are learned: the first is never predicted."""
        return sum(label != IGNORED for label in self.labels[1:])

    def cut(self, length: int) -> Encoded:
        return Encoded(self.ids[:length], self.labels[:length])


class Template:
    """The tokenizer of `base` with the chat template that it is, or will be, asked with. Raises TrainingError."""

    def __init__(self, base: Path, *, answer_only: bool = True) -> None:
        try:
            self.tokenizer: Any = AutoTokenizer.from_pretrained(base, local_files_only=True)
        except (OSError, ValueError) as error:
            raise TrainingError(f"{base}: no base model there ({error}); make it with `sahpathi train`") from error
        if self.tokenizer.eos_token is None:
            raise TrainingError(f"{base}: its tokenizer has no end-of-text token, so no answer could be ended")
        if self.tokenizer.pad_token is None:
            self.tokenizer.pad_token = self.tokenizer.eos_token
        self.stored: str | None = None  # what the adapter must keep
        if self.tokenizer.chat_template is None:
            self.tokenizer.chat_template = self.stored = PLAIN_TEMPLATE
        self._answer_only = answer_only
        self._marked = "{% generation" in self.tokenizer.chat_template.replace("{%-", "{%")
        self._system_role = self._takes_system_role()

    def encode(self, conversation: Sequence[Message]) -> Encoded:
        """A conversation that ends with the answer, and its answer (or everything) to be learned."""
        turns = self._turns(conversation)
        if self._answer_only and self._marked:
            made = self._apply(turns, return_assistant_tokens_mask=True)
            pairs = zip(made["input_ids"], made["assistant_masks"], strict=True)
            return Encoded(list(made["input_ids"]), [token if mask else IGNORED for token, mask in pairs])
        ids = list(self._apply(turns)["input_ids"])
        start = _common(self.prompt(conversation[:-1]), ids) if self._answer_only else 0
        return Encoded(ids, [IGNORED] * start + ids[start:])

    def prompt(self, asked: Sequence[Message]) -> list[int]:
        """The token ids that an answer is to follow."""
        return list(self._apply(self._turns(asked), add_generation_prompt=True)["input_ids"])

    def decode(self, ids: Sequence[int]) -> str:
        return str(self.tokenizer.decode(ids, skip_special_tokens=True)).strip()

    def _apply(self, turns: Sequence[Message], **how: Any) -> Any:
        # enable_thinking: as at serving time, where models of the Qwen family would otherwise think aloud
        return self.tokenizer.apply_chat_template(
            list(turns),
            tokenize=True,
            return_dict=True,
            enable_thinking=False,
            tokenizer_kwargs={"verbose": False},
            **how,
        )

    def _takes_system_role(self) -> bool:
        try:
            self._apply([Message(role="system", content="a"), Message(role="user", content="b")])
        except TemplateError:
            return False
        return True

    def _turns(self, conversation: Sequence[Message]) -> list[Message]:
        return list(conversation) if self._system_role else without_system(conversation)


def _common(prompt: Sequence[int], whole: Sequence[int]) -> int:
    """How many tokens two lists begin with alike: where an answer begins, even if the last tokens were merged."""
    for place, (one, other) in enumerate(zip(prompt, whole, strict=False)):
        if one != other:
            return place
    return min(len(prompt), len(whole))
