"""Our engine: many answers at once in this process, of one base model and its adapters, text as it is written."""

from __future__ import annotations

import itertools
import logging
import time
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch

from inference.adapters import AdapterCard, Shelf
from inference.decoding import Batch, Writing
from inference.errors import InferenceError
from inference.executor import affordable_rows, executor_for
from inference.generation import Decoding, Generation, Listener, Message, Request
from inference.tokens import Tokeniser
from inference.weights import Models, facts_of, local_folder

logger = logging.getLogger(__name__)

_LONGEST = 8192  # tokens: models that could read a whole book get no more memory than a tutor needs


class Engine:
    """A base model with its adapters. Not safe for threads: whoever owns it calls it from one thread.

    `base` is a folder or a model's name on the hub; `dtype` is "auto", "float32" or "bfloat16"; `copies` is how many
    models, each with its adapter merged in, are kept in memory; `slots` is how many answers are written together at
    most, fewer where their keys and values would take too much memory. Raises ModelMissing.
    """

    def __init__(
        self,
        base: Path | str,
        shelf: Shelf,
        *,
        threads: int,
        dtype: str = "auto",
        copies: int = 4,
        slots: int = 16,
        device: str | None = None,
    ) -> None:
        if dtype not in {"auto", "float32", "bfloat16"}:
            raise ValueError(f"dtype must be auto, float32 or bfloat16 (float16 is slow on processors), got {dtype!r}")
        torch.set_num_threads(threads)
        folder = local_folder(base)
        self.device = device or ("cuda" if torch.cuda.is_available() else "cpu")
        self.shelf = shelf
        self._models = Models(
            folder, shelf, dtype=dtype, device=self.device, limit=copies, make=lambda model: self._batch(model, slots)
        )
        facts = self._models.facts
        self.dtype, self.base_sha256 = self._models.dtype, self._models.base_sha256
        self.context, self.parameters = min(facts.context, _LONGEST), facts.parameters
        self.slots = self._models.kept[None].slots  # how many answers are written together
        self._tokeniser = Tokeniser(folder, facts.ends)
        self._waiting: deque[Writing] = deque()
        self._telling: list[Writing] = []
        self._own_numbers = itertools.count(-1, -1)  # which no caller uses
        self._has_read = False  # whether the last step read a prompt
        logger.info("%d parameters in %s on %s, context %d", self.parameters, self.dtype, self.device, self.context)

    def count_tokens(self, messages: Sequence[Message]) -> int:
        """The length of the prompt that these messages make."""
        return len(self._tokeniser.encode(messages))

    @property
    def under_way(self) -> int:
        """Requests that were added and are neither finished, failed nor cancelled."""
        return len(self._waiting) + sum(map(len, self._batches))

    def add(self, request: Request, listener: Listener) -> None:
        """Take in a request. It waits here while all slots are taken, or while all models in memory are in use.

        The adapter is chosen now; "current" is the one promoted for the subject, or the canary where it takes the
        conversation. Messages that do not fit lose passages, then earlier turns (prompt.shortened). The listener is
        told of PromptTooLong and AdapterRefused.
        """
        started = time.perf_counter()
        wanted = request.decoding.max_new_tokens
        try:
            card = self._card(request)
            # All that is asked for is left free for the answer, or half of the context where it is more than that.
            ids = self._tokeniser.fit(request.messages, self.context - min(wanted, self.context // 2))
        except InferenceError as error:
            listener.failed(request.number, error)
            return
        self._waiting.append(
            Writing(
                request,
                listener,
                ids,
                min(wanted, self.context - len(ids)),
                card=card,
                stops=self._tokeniser.stops,
                decode=self._tokeniser.decode,
                started=started,
            )
        )

    def step(self) -> None:
        """Read a part of one prompt, or go on with every answer under way; in turns where there is both to do.

        Listeners are told after that. When one of them raises, its request is cancelled, the others are told, and
        then the error is raised: the next step can be made as if nothing had happened.
        """
        self._seat()
        batches = self._batches
        reading = next((batch for batch in batches if batch.reads), None)
        writing = [batch for batch in batches if batch.writes]
        self._has_read = reading is not None and not (writing and self._has_read)
        if reading and self._has_read:
            self._tell(reading.read())
        else:
            self._tell([answer for batch in writing for answer in batch.write()])

    def cancel(self, number: int) -> None:
        """Stop a request. Its listener is told nothing more, and its slot is free. Unknown numbers mean nothing."""
        self._remove(number)

    def generate(
        self,
        messages: Sequence[Message],
        *,
        decoding: Decoding,
        on_text: Callable[[str], bool],
        adapter: str = "current",
        subject: str | None = None,
        conversation: str | None = None,
    ) -> Generation:
        """Write one answer. `on_text` is called at every step with what is new (maybe "") and returns whether to go on.

        Requests that were added go on as well. Raises PromptTooLong when the messages are too long, AdapterRefused when
        the adapter may not be served.
        """
        request = Request(next(self._own_numbers), messages, decoding, adapter, subject, conversation)
        answer = _Answer()
        self.add(request, answer)
        try:
            while not answer.over:
                self.step()
                if not (on_text(answer.news()) or answer.over):
                    return self._stopped(request.number)
        finally:
            self.cancel(request.number)
        return answer.result()

    @property
    def _batches(self) -> list[Batch]:
        return list(self._models.kept.values())

    def _seat(self) -> None:
        """Give the request that came first a slot, if there is one. Nobody overtakes, so nobody waits for ever."""
        while self._waiting:
            batches = self._batches
            if sum(map(len, batches)) >= self.slots or any(batch.reads for batch in batches):
                return
            card = self._waiting[0].card
            in_use = {adapter for adapter, batch in self._models.kept.items() if len(batch)}
            if not self._models.room(card.id if card else None, in_use):
                return
            writing = self._waiting.popleft()
            try:
                self._models.get(card, in_use).begin(writing)
            except InferenceError as error:
                writing.error = error
                self._tell([writing])

    def _tell(self, answers: list[Writing]) -> None:
        self._telling = answers
        errors = []
        for writing in answers:
            number, listener = writing.request.number, writing.listener
            try:
                fresh = writing.news()
                if fresh and not writing.cancelled:
                    listener.text(number, fresh)
                if writing.error and not writing.cancelled:
                    listener.failed(number, writing.error)
                elif writing.over and not writing.cancelled:
                    listener.done(number, writing.generation())
            except Exception as error:  # noqa: BLE001  the others are told first
                self.cancel(number)
                errors.append(error)
        self._telling = []
        if errors:
            raise errors[0]

    def _remove(self, number: int) -> Writing | None:
        for told in self._telling:
            told.cancelled |= told.request.number == number
        for writing in self._waiting:
            if writing.request.number == number:
                self._waiting.remove(writing)
                return writing
        return next((found for batch in self._batches if (found := batch.drop(number))), None)

    def _stopped(self, number: int) -> Generation:
        writing = self._remove(number)
        if writing is None:
            raise KeyError(number)
        return writing.generation("caller")

    def _card(self, request: Request) -> AdapterCard | None:
        if request.adapter == "base":
            return None
        if request.adapter == "current":
            return self.shelf.current(request.subject, base_sha256=self.base_sha256, conversation=request.conversation)
        return self.shelf.find(request.adapter)

    def _batch(self, model: Any, slots: int) -> Batch:
        context = min(facts_of(model).context, _LONGEST)
        return Batch(executor_for(model, affordable_rows(model, slots, context), context))


class _Answer:
    """Listens to one request and keeps what it hears."""

    def __init__(self) -> None:
        self._pieces: list[str] = []
        self._generation: Generation | None = None
        self._error: InferenceError | None = None

    @property
    def over(self) -> bool:
        return bool(self._generation or self._error)

    def news(self) -> str:
        """The text that has come since this was last asked."""
        fresh = "".join(self._pieces)
        self._pieces.clear()
        return fresh

    def result(self) -> Generation:
        """Raises the error that there was."""
        if self._generation is None:
            raise self._error or InferenceError("the request was cancelled")
        return self._generation

    def text(self, number: int, piece: str) -> None:
        self._pieces.append(piece)

    def done(self, number: int, generation: Generation) -> None:
        self._generation = generation

    def failed(self, number: int, error: InferenceError) -> None:
        self._error = error
