"""The decode loop: answers that join and leave at every step, all of one merged model."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence

import torch

from inference import prompt
from inference.adapters import AdapterCard
from inference.cache import Rows
from inference.errors import InferenceError
from inference.executor import Executor, Span
from inference.generation import Generation, Listener, Request
from inference.sampling import Chooser
from inference.speculation import PromptLookup
from inference.text import Decode, Detokeniser, StopFilter

PREFILL = 256  # tokens of a prompt that are read in one step: what those who are being answered wait for at most


class Writing:
    """One answer under way: its tokens, its text, and who is told."""

    def __init__(
        self,
        request: Request,
        listener: Listener,
        ids: Sequence[int],
        limit: int,
        *,
        card: AdapterCard | None,
        stops: Mapping[int, str],
        decode: Decode,
        started: float,
    ) -> None:
        self.request, self.listener = request, listener
        self.tokens = list(ids)  # of the prompt, then of the answer
        self.card = card
        self.lookup = PromptLookup(ids)
        self.read = 0  # tokens of the prompt that the row holds
        self.chooser = Chooser(request.decoding)
        self.written = 0
        self.stopped_by = ""
        self.error: InferenceError | None = None
        self.cancelled = False
        self._limit = limit
        self._stops = stops
        self._detokeniser = Detokeniser(decode)
        self._markers = StopFilter(prompt.STOP_MARKERS)
        self._pieces: list[str] = []
        self._told = 0  # pieces
        self._log_probability = 0.0
        self._started = started

    @property
    def over(self) -> bool:
        return bool(self.stopped_by) or self.error is not None

    @property
    def left(self) -> int:
        """How many tokens may still be written."""
        return self._limit - self.written

    def take(self, token: int, log_probability: float) -> None:
        """Go on by one token, of which the model itself thinks this likely."""
        self.tokens.append(token)
        self.written += 1
        self._log_probability += log_probability
        self.chooser.take(token)
        self.lookup.push(token)
        if token in self._stops:
            self.stopped_by = self._stops[token]
        else:
            self._pieces.append(self._markers.push(self._detokeniser.push(token)))
            if self._markers.stopped:
                self.stopped_by = "marker"
            elif self.left == 0:
                self.stopped_by = "length"
        if self.stopped_by in {"end", "length"}:
            self._pieces += [self._markers.push(self._detokeniser.finish()), self._markers.finish()]
            if self.stopped_by == "length" and self._markers.stopped:
                self.stopped_by = "marker"

    def news(self) -> str:
        """The text that has come since this was last asked."""
        fresh = "".join(self._pieces[self._told :])
        self._told = len(self._pieces)
        return fresh

    def generation(self, stopped_by: str | None = None) -> Generation:
        """What has been written. `confidence` counts the end-of-turn token too."""
        return Generation(
            text="".join(self._pieces),
            confidence=math.exp(self._log_probability / self.written) if self.written else 0.0,
            tokens=self.written,
            stopped_by=stopped_by or self.stopped_by,
            seconds=time.perf_counter() - self._started,
            adapter=self.card.id if self.card else None,
        )


class Batch:
    """The answers of one model. Those being written have the rows 0, 1, 2 ...; one whose prompt is read has the next.

    A step changes the state first, for all of them, and returns those that have news; telling is left to the caller.
    """

    def __init__(self, executor: Executor, *, drafts: bool = True) -> None:
        self._executor = executor
        self.slots = executor.rows
        self._rows = Rows(executor)
        self._writing: list[Writing] = []
        self._reading: Writing | None = None
        self.drafts = drafts and executor.rewinds
        self.drafted = self.accepted = 0  # tokens, since the start

    def __len__(self) -> int:
        """How many answers are under way here."""
        return len(self._writing) + self.reads

    @property
    def writes(self) -> bool:
        """Whether there is an answer to go on with."""
        return bool(self._writing)

    @property
    def reads(self) -> bool:
        """Whether there is a prompt to go on with. Only one is read at a time: together they would not be quicker."""
        return self._reading is not None

    def begin(self, writing: Writing) -> None:
        """Take in an answer. Nothing may be being read."""
        writing.read = self._rows.open(len(self._writing), writing.tokens)
        self._reading = writing

    def read(self) -> list[Writing]:
        """Read the next part of the prompt; after the last, write the first token."""
        writing, row = self._reading, len(self._writing)
        if writing is None:
            return []
        part = writing.tokens[writing.read : writing.read + PREFILL]
        logits = self._executor.forward([Span(row, writing.read, part)], every=False)
        writing.read += len(part)
        self._rows.hold(row, writing.tokens[: writing.read])
        if writing.read < len(writing.tokens):
            return []
        self._reading = None
        self._writing.append(writing)
        return self._choose([writing], [[]], logits)

    def write(self) -> list[Writing]:
        """Go on with every answer by one token or more."""
        room = self._executor.together // len(self._writing) - 1 if self.drafts else 0
        drafts = [writing.lookup.draft(min(room, writing.left - 1)) for writing in self._writing]
        spans = [
            Span(row, len(writing.tokens) - 1, [writing.tokens[-1], *draft])
            for row, (writing, draft) in enumerate(zip(self._writing, drafts, strict=True))
        ]
        return self._choose(list(self._writing), drafts, self._executor.forward(spans, every=True))

    def drop(self, number: int) -> Writing | None:
        """Stop an answer, if it is here, and free its row."""
        reading = self._reading
        if reading and reading.request.number == number:
            self._reading = None  # the row is free, and holds what was noted
            return reading
        for row, writing in enumerate(self._writing):
            if writing.request.number == number:
                self._leave(row)
                return writing
        return None

    def _choose(
        self, answers: Sequence[Writing], drafts: Sequence[Sequence[int]], logits: torch.Tensor
    ) -> list[Writing]:
        """Take from each answer's logits what follows, as far as its draft is what would have been written."""
        logits = logits.cpu()
        sums, likeliest = logits.logsumexp(dim=1).tolist(), logits.argmax(dim=1).tolist()
        at = 0
        for writing, draft in zip(answers, drafts, strict=True):
            accepted = 0
            for n in range(len(draft) + 1):
                if not math.isfinite(sums[at + n]):
                    writing.error = InferenceError("the model's output is not a number; promote another adapter")
                    break
                token = writing.chooser.choose(logits[at + n], likeliest[at + n])
                writing.take(token, float(logits[at + n, token]) - sums[at + n])
                if writing.over or n == len(draft) or draft[n] != token:
                    break
                accepted += 1
            at += len(draft) + 1
            if draft:
                self.drafted, self.accepted = self.drafted + len(draft), self.accepted + accepted
                writing.lookup.judge(len(draft), accepted)
        for row in reversed(range(len(self._writing))):
            if self._writing[row].over:
                self._leave(row)
        return list(answers)

    def _leave(self, row: int) -> None:
        """Free a row. The last row takes its place, and the one being read the last row's: no gaps are left."""
        last = len(self._writing) - 1
        for at in (row, last):
            self._rows.hold(at, self._writing[at].tokens[:-1])  # the last token was chosen, but not yet read
        if self._writing[row].error:
            self._rows.clear(row)
        self._rows.swap(row, last)
        self._writing[row] = self._writing[last]
        self._writing.pop()
        if self._reading:
            self._rows.swap(last, last + 1)
