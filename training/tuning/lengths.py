"""How long an example is for a base model, and whether it can be trained on at all."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path

from inference.generation import Message
from training.errors import TrainingError
from training.pairs.conversations import build
from training.pairs.data import Example

# About what fits a context of 1,024 tokens, that of the shipped base model, where no model is there to count by.
LONGEST_IN_WORDS = 400


@dataclass(frozen=True, slots=True)
class Words:
    """Counts words: for want of a base model."""

    unit = "words"
    context = LONGEST_IN_WORDS

    def text(self, text: str) -> int:
        return len(text.split())

    def whole(self, example: Example) -> int:
        """Of the conversation as it is trained on."""
        return sum(self.text(message["content"]) for message in conversation(example))


class Tokens:
    """Counts the tokens of one base model, as training does. Loads no weights. Raises TrainingError."""

    unit = "tokens"

    def __init__(self, base: Path) -> None:
        from training.pairs.template import Template

        self._template = Template(base)
        try:
            config = json.loads((base / "config.json").read_text(encoding="utf-8"))
            self.context = int(config["max_position_embeddings"])
        except (OSError, ValueError, KeyError) as error:
            raise TrainingError(f"{base}: its config.json does not tell how long its context is ({error})") from error

    def text(self, text: str) -> int:
        return len(self._template.tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"])

    def whole(self, example: Example) -> int:
        """Of the conversation as it is trained on."""
        return len(self._template.encode(conversation(example)).ids)


def conversation(example: Example) -> list[Message]:
    """The messages that an example is trained on, with the passages that it carries itself."""
    return build([example], lambda _: ("",))[0]  # where passages are retrieved later, no more is known of them


def too_long(example: Example, counter: Words | Tokens) -> str:
    """Why an example cannot be trained on: training drops passages from the end, and the earliest turns; no more."""
    shortest = replace(example, passages=example.passages[:1], earlier=())
    length = counter.whole(shortest)
    if length <= counter.context:
        return ""
    return (
        f"is too long: {length} {counter.unit} with one passage and without earlier turns, of at most "
        f"{counter.context}; shorten its answer or its passage"
    )
