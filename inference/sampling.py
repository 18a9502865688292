"""How the next token of an answer is chosen: penalties, truncation, and chance with a seed of its own.

The rules are those of transformers' `generate`, in its order (repetition penalty, n-gram ban, temperature, top-k,
top-p), with one difference: penalty and ban count the answer alone. The prompt holds the passages of the book, and a
model that may not repeat its prompt is kept from using the very words it should answer with.
"""

from __future__ import annotations

import secrets

import torch

from inference.generation import Decoding


class Chooser:
    """Chooses the tokens of one answer. Each choice is a function of the logits, the answer so far and the seed."""

    def __init__(self, decoding: Decoding) -> None:
        self._decoding = decoding
        self._seen: set[int] = set()
        self._answer: list[int] = []
        self._followers: dict[tuple[int, ...], set[int]] = {}  # by n - 1 tokens, what would repeat an n-gram
        self._chance = torch.Generator()
        self._chance.manual_seed(secrets.randbits(63) if decoding.seed is None else decoding.seed)

    def choose(self, logits: torch.Tensor, likeliest: int) -> int:
        """The next token, given float32 logits (vocabulary) on the CPU, whose largest is at `likeliest`."""
        banned = self._banned()
        if self._decoding.temperature == 0:
            # Penalties only ever lower the scores of tokens that were seen: one that was not stays the first.
            if likeliest not in banned and (self._decoding.repetition_penalty == 1 or likeliest not in self._seen):
                return likeliest
            return int(self._penalised(logits, banned).argmax())
        return self._sample(self._penalised(logits, banned) / self._decoding.temperature)

    def take(self, token: int) -> None:
        """Note the token that was chosen."""
        size = self._decoding.no_repeat_ngram
        self._seen.add(token)
        self._answer.append(token)
        if size and len(self._answer) >= size:
            *before, last = self._answer[-size:]
            self._followers.setdefault(tuple(before), set()).add(last)

    def _banned(self) -> set[int]:
        size = self._decoding.no_repeat_ngram
        if size == 0 or len(self._answer) < size:
            return set()
        return self._followers.get(tuple(self._answer[len(self._answer) - size + 1 :]), set())

    def _penalised(self, logits: torch.Tensor, banned: set[int]) -> torch.Tensor:
        penalty = self._decoding.repetition_penalty
        scores = logits.clone()
        if penalty != 1 and self._seen:
            seen = torch.tensor(list(self._seen))
            found = scores[seen]
            scores[seen] = torch.where(found < 0, found * penalty, found / penalty)
        if banned:
            scores[list(banned)] = float("-inf")
        return scores

    def _sample(self, scores: torch.Tensor) -> int:
        kept = torch.arange(scores.numel())
        top_k, top_p = self._decoding.top_k, self._decoding.top_p
        if 0 < top_k < scores.numel():
            kept = (scores >= torch.topk(scores, top_k).values[-1]).nonzero().squeeze(1)  # ties all stay
        chances = torch.softmax(scores[kept], dim=0)
        if top_p < 1:
            rising, order = chances.sort()
            unlikely = rising.cumsum(0) <= 1 - top_p
            unlikely[-1] = False
            chances[order[unlikely]] = 0
        return int(kept[torch.multinomial(chances, 1, generator=self._chance)])
