"""The values that go into and come out of every generator."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, TypedDict

from inference.errors import InferenceError


class Message(TypedDict):
    """One ChatML message."""

    role: str  # "system", "user" or "assistant"
    content: str


@dataclass(frozen=True, slots=True)
class Decoding:
    """How the next token is chosen. `temperature` 0 means greedy (then top_k and top_p play no part)."""

    temperature: float = 0.7
    top_k: int = 50
    top_p: float = 0.9
    repetition_penalty: float = 1.2
    no_repeat_ngram: int = 3
    max_new_tokens: int = 200
    seed: int | None = None

    def __post_init__(self) -> None:
        if not 0.0 <= self.temperature <= 2.0:
            raise ValueError(f"temperature must lie in 0..2, got {self.temperature}")
        if self.top_k < 0 or not 0.0 < self.top_p <= 1.0:
            raise ValueError(f"top_k must be 0 or more and top_p in (0, 1], got {self.top_k} and {self.top_p}")
        if self.repetition_penalty < 1.0 or self.no_repeat_ngram < 0 or self.max_new_tokens < 1:
            raise ValueError("repetition_penalty >= 1, no_repeat_ngram >= 0 and max_new_tokens >= 1 are required")


@dataclass(frozen=True, slots=True)
class Generation:
    """A finished generation. `confidence` is the geometric mean of the chosen tokens' probabilities, 0..1.

    `stopped_by` is "end" (end-of-turn token), "length" (max_new_tokens), "marker" (a stop string) or "caller".
    """

    text: str
    confidence: float
    tokens: int
    stopped_by: str
    seconds: float
    adapter: str | None


@dataclass(frozen=True, slots=True)
class Request:
    """One answer that is wanted. `number` is unique and grows; `adapter` is an id, "base" or "current".

    "current" is the adapter promoted for `subject`, or the canary where it takes this `conversation`.
    """

    number: int
    messages: Sequence[Message]
    decoding: Decoding
    adapter: str = "current"
    subject: str | None = None
    conversation: str | None = None


class Listener(Protocol):
    """Who is told about a request: called between two steps of the engine, in the thread that makes them.

    After `text`, any number of times, comes `done` or `failed`, once. A cancelled request is told nothing more.
    """

    def text(self, number: int, piece: str) -> None:
        """What is new in the text; never ""."""

    def done(self, number: int, generation: Generation) -> None:
        """It is finished."""

    def failed(self, number: int, error: InferenceError) -> None:
        """There will be no answer, or no more of it."""
