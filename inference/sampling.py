"""What is hooked into one call of transformers' `generate`: penalties, probabilities, and the text as it comes.

Nothing here ever raises inside `generate`; an error is kept and raised once `generate` has returned.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import torch
from transformers import (
    GenerationConfig,
    LogitsProcessor,
    LogitsProcessorList,
    NoRepeatNGramLogitsProcessor,
    RepetitionPenaltyLogitsProcessor,
    StoppingCriteria,
)

from inference.generation import Decoding
from inference.text import Detokeniser, StopFilter


class RawDistribution(LogitsProcessor):  # type: ignore[misc]  # transformers is untyped to mypy
    """Keeps the model's own distribution of the coming token, before temperature, penalties and truncation.

    Must be the first processor. `generate` puts its own temperature, top-k and top-p after those it is given.
    """

    def __init__(self) -> None:
        self.log_probabilities = torch.empty(0)  # float32 [vocabulary]

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        self.log_probabilities = torch.log_softmax(scores[0].float(), dim=-1)
        return scores


class AnswerOnly(LogitsProcessor):  # type: ignore[misc]  # transformers is untyped to mypy
    """Applies another processor as if the answer stood alone.

    Left to themselves, transformers' repetition penalty and n-gram ban count the prompt's tokens too. The prompt holds
    the passages of the book, so the model would be kept from using the very words it should answer with.
    """

    def __init__(self, inner: LogitsProcessor, prompt_tokens: int) -> None:
        self._inner = inner
        self._prompt_tokens = prompt_tokens

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        answer = input_ids[:, self._prompt_tokens :]
        if answer.shape[1] == 0:
            return scores
        changed: torch.Tensor = self._inner(answer, scores)
        return changed


class Watcher(StoppingCriteria):  # type: ignore[misc]  # transformers is untyped to mypy
    """Follows a generation token by token: shows its text, adds up its confidence, and says when to stop.

    `stops` maps token ids to what stopping there is called. `on_text` gets each piece and returns whether to go on.
    """

    def __init__(
        self,
        raw: RawDistribution,
        stops: Mapping[int, str],
        detokeniser: Detokeniser,
        markers: StopFilter,
        on_text: Callable[[str], bool],
    ) -> None:
        self._raw = raw
        self._stops = stops
        self._detokeniser = detokeniser
        self._markers = markers
        self._on_text = on_text
        self._pieces: list[str] = []
        self._log_probability = 0.0
        self._error: Exception | None = None
        self.tokens = 0
        self.stopped_by = ""

    def __call__(self, input_ids: torch.Tensor, scores: Any, **_: Any) -> torch.Tensor:
        if not self.stopped_by:
            try:
                self._take(int(input_ids[0, -1]))
            except Exception as error:  # noqa: BLE001  raising inside generate may leave the model half hooked
                self._error = error
                self.stopped_by = "caller"
        return torch.full((input_ids.shape[0],), bool(self.stopped_by), dtype=torch.bool, device=input_ids.device)

    def finish(self) -> str:
        """Show what was held back, settle `stopped_by`, and return the whole text. Raises what a hook raised."""
        if self._error is not None:
            raise self._error
        if self.stopped_by in {"", "end"}:
            self._show(self._markers.push(self._detokeniser.finish()))
            self._show(self._markers.finish())
            self.stopped_by = self.stopped_by or ("marker" if self._markers.stopped else "length")
        return "".join(self._pieces)

    @property
    def confidence(self) -> float:
        """The geometric mean of the probabilities of the chosen tokens, the end-of-turn token among them."""
        return math.exp(self._log_probability / self.tokens) if self.tokens else 0.0

    def _take(self, token: int) -> None:
        self.tokens += 1
        self._log_probability += float(self._raw.log_probabilities[token])
        if token in self._stops:
            self.stopped_by = self._stops[token]
            return
        keep_going = self._show(self._markers.push(self._detokeniser.push(token)))
        if self._markers.stopped:
            self.stopped_by = "marker"
        elif not keep_going:
            self.stopped_by = "caller"

    def _show(self, text: str) -> bool:
        """Ask the caller at every token, also when there is nothing to show yet, so that stopping is never late."""
        if text:
            self._pieces.append(text)
        return self._on_text(text)


def processors(decoding: Decoding, raw: RawDistribution, prompt_tokens: int) -> LogitsProcessorList:
    """The logits processors of one generation, in the order in which they apply."""
    chain = LogitsProcessorList([raw])
    if decoding.repetition_penalty != 1.0:
        penalty = RepetitionPenaltyLogitsProcessor(float(decoding.repetition_penalty))
        chain.append(AnswerOnly(penalty, prompt_tokens))
    if decoding.no_repeat_ngram:
        chain.append(AnswerOnly(NoRepeatNGramLogitsProcessor(decoding.no_repeat_ngram), prompt_tokens))
    return chain


def generation_config(decoding: Decoding, max_new_tokens: int, padding: int) -> GenerationConfig:
    """How `generate` chooses among what the processors leave. Penalties are ours (see AnswerOnly), so off here."""
    how: dict[str, Any] = {"do_sample": False}
    if decoding.temperature > 0:
        how = {
            "do_sample": True,
            "temperature": decoding.temperature,
            "top_k": decoding.top_k,
            "top_p": decoding.top_p,
        }
    return GenerationConfig(max_new_tokens=max_new_tokens, pad_token_id=padding, use_cache=True, **how)
