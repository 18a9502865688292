"""The pretraining stream: batches of token windows, each a function of the seed and the step alone."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch.utils.data import Dataset

from inference.prompt import END, grounded
from training.base.grounded import Grounded, Maker

_SHORTEST, _LONGEST = 12, 120  # words in the passages of a document
_AROUND = 100  # tokens of system line, question and answer

IGNORED = -100  # the label of a token that is not learned


@dataclass(frozen=True, slots=True)
class Batch:
    """Token windows. All tensors have the shape (windows, window length).

    `labels` holds the token itself where it is learned and IGNORED elsewhere (the model shifts them by one).
    `positions` start again at 0 with each document, which also keeps the attention of packed documents apart.
    """

    ids: torch.Tensor
    labels: torch.Tensor
    positions: torch.Tensor

    @property
    def learned(self) -> int:
        """How many tokens are predicted and learned: the first of a window has nothing before it."""
        return int((self.labels[:, 1:] != IGNORED).sum())

    def parts(self, tokens: int) -> list[Batch]:
        """The batch in pieces of `tokens` tokens at most, a window at least; 0: in one piece."""
        windows, length = self.ids.shape
        count = -(-windows // max(1, tokens // length)) if tokens else 1
        split = (tensor.tensor_split(count) for tensor in (self.ids, self.labels, self.positions))
        return [Batch(*tensors) for tensors in zip(*split, strict=True)]


@dataclass(slots=True)
class _Window:
    ids: list[int]
    labels: list[int]
    positions: list[int]

    def add(self, ids: Sequence[int], labels: Sequence[int]) -> None:
        self.ids += ids
        self.labels += labels
        self.positions += range(len(ids))


class Stream(Dataset[Batch]):
    """Cuts plain text into windows and packs grounded documents into others.

    `plain` is all the plain text as token ids (`packed.py`), documents separated by END_OF_TEXT. `windows` gives
    the number and the length of the windows of a step. Indexing by the step gives its batch, as a torch DataLoader
    wants it.
    """

    def __init__(
        self,
        tokenizer: Any,
        plain: Sequence[int],
        maker: Maker,
        windows: Callable[[int], tuple[int, int]],
        *,
        grounded_share: float,
        seed: int,
    ) -> None:
        self._tokenizer = tokenizer
        self._plain = plain
        self._maker = maker
        self.windows = windows
        self._grounded_share = grounded_share
        self._seed = seed

    def __getitem__(self, step: int) -> Batch:
        return self.batch(step, *self.windows(step))

    def batch(self, step: int, windows: int, length: int) -> Batch:
        """The batch of one step: `windows` windows of `length` tokens."""
        rng = random.Random(f"{self._seed}/{step}")
        rows = [self._row(rng, length) for _ in range(windows)]
        return Batch(
            ids=torch.tensor([row.ids for row in rows]),
            labels=torch.tensor([row.labels for row in rows]),
            positions=torch.tensor([row.positions for row in rows]),
        )

    def _row(self, rng: random.Random, length: int) -> _Window:
        window = _Window([], [], [])
        if rng.random() < self._grounded_share:
            self._pack(window, rng, length)
        rest = length - len(window.ids)
        if rest:  # plain text fills what is left, so that no token is wasted
            at = rng.randrange(max(1, len(self._plain) - rest))
            ids = list(self._plain[at : at + rest])
            window.add(ids, ids)
            padding = rest - len(ids)
            window.add([self._tokenizer.pad_token_id] * padding, [IGNORED] * padding)
        return window

    def _pack(self, window: _Window, rng: random.Random, length: int) -> None:
        """Add grounded documents, long ones and short ones, until there is no room for another."""
        room = length
        while room > _AROUND + 4 * _SHORTEST:
            fitting = (room - _AROUND) // 2  # in words, of about 1.5 tokens
            longest = max(_SHORTEST + 1, min(_LONGEST, length // 3, fitting))
            ids, labels = render(self._tokenizer, self._maker.make(rng, rng.randint(_SHORTEST, longest)))
            if len(ids) > room:
                return
            window.add(ids, labels)
            room -= len(ids)


def render(tokenizer: Any, document: Grounded) -> tuple[list[int], list[int]]:
    """Token ids and labels of a document, exactly as it is asked at serving time. Only the answer is learned."""
    prompt = tokenizer.apply_chat_template(
        grounded(document.question, document.passages), add_generation_prompt=True, tokenize=False
    )
    asked = tokenizer(prompt, add_special_tokens=False, verbose=False)["input_ids"]
    answer = tokenizer(document.answer + END, add_special_tokens=False)["input_ids"]
    return asked + answer, [IGNORED] * len(asked) + answer
