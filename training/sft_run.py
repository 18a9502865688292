"""One fine-tuning run, followed: recorded, measured at its evaluations, stopped in time, taken up again."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from inference.generation import Message
from training.judge import Judge
from training.progress import OnProgress, Progress
from training.record import Evaluation, Event, Note, Record, Sample, Step, now

if TYPE_CHECKING:
    import torch

    from training.lora import Trainee
    from training.lora_checkpoint import Checkpoint
    from training.template import Encoded


class SftRun:
    """Follows a LoraTrainer: `record` gets every event, `report` every step.

    dev:       the conversations that judge the run, as token ids; none: there are no evaluations
    asked:     held-out conversations whose questions are answered at each evaluation
    before:    the events of earlier attempts
    """

    def __init__(
        self,
        trainee: Trainee,
        record: Record,
        judge: Judge,
        dev: Sequence[Encoded],
        asked: Sequence[Sequence[Message]],
        before: Sequence[Event],
    ) -> None:
        self._trainee, self._record, self.judge = trainee, record, judge
        self._dev, self._asked = dev, asked
        self._report: OnProgress = lambda _: None
        self._began = time.perf_counter()
        self._earlier = 0.0  # seconds of earlier attempts
        self._steps, self._evaluated = 0, frozenset[int]()
        self._first, self.last = 0, 0  # steps done before this attempt, and by now
        self._best: Mapping[str, torch.Tensor] | None = None
        self._read, self._reading = 0, 0.0  # tokens, and the seconds they took
        self._pending: Progress | None = None
        self.base_loss = next((e.dev_loss for e in before if isinstance(e, Evaluation) and e.step == 0), None)

    def start(self, steps: int, evaluated: frozenset[int], report: OnProgress) -> None:
        """Before the first step: the base model as it is, where that has not been measured."""
        self._steps, self._evaluated, self._report = steps, evaluated, report
        if self._dev and self.base_loss is None:
            self.base_loss = self._trainee.loss_of(self._dev)
            perplexity = _perplexity(self.base_loss)
            self._write(Evaluation(0, self.base_loss, perplexity, None, False, False, self._samples()))

    @property
    def seconds(self) -> float:
        """Of all attempts together."""
        return self._earlier + time.perf_counter() - self._began

    def step(self, step: int, loss: float, learning_rate: float, tokens: int, seconds: float) -> None:
        self._read += tokens
        self._reading += seconds
        self.last = step
        self.judge.learned(loss)
        left = (time.perf_counter() - self._began) / (step - self._first) * (self._steps - step)
        speed = self._read / max(self._reading, 1e-9)
        self._write(Step(step, self._steps, loss, speed, left, learning_rate))
        self._pending = Progress(step, self._steps, loss, speed)
        if step not in self._evaluated or not self._dev:
            self._tell()

    def evaluate(self, step: int) -> tuple[dict[str, float], bool]:
        if not self._dev:
            return {}, False
        dev_loss = self._trainee.loss_of(self._dev)
        train_loss = self.judge.train_loss
        best, overfitting = self.judge.judge(step, dev_loss)
        if best:
            self._best = self._trainee.weights()
        event = Evaluation(step, dev_loss, _perplexity(dev_loss), train_loss, best, overfitting, self._samples())
        self._write(event)
        if overfitting:
            self.note(f"overfitting: the dev loss rose to {dev_loss:.3f} while the training loss fell")
        self._tell(dev_loss)
        return {"loss": dev_loss, "perplexity": event.perplexity}, self.judge.stops

    def checkpoint(self) -> tuple[dict[str, torch.Tensor] | None, dict[str, Any], float]:
        return (None if self._best is None else dict(self._best)), asdict(self.judge), self.seconds

    def restore(self, saved: Checkpoint) -> bool:
        self._best = saved.best
        self.judge = Judge(**saved.judge)
        self._earlier, self._first, self.last = saved.seconds, saved.step, saved.step
        return self.judge.stops

    def note(self, message: str) -> None:
        self._write(Note(now(), self.last, message))

    def choose_best(self) -> int:
        """Put the best weights in place, where there was an evaluation; the step they are of."""
        if self._best is None:
            return self.last
        self._trainee.restore(self._best)
        return self.judge.best_step

    def _tell(self, held_out: float | None = None) -> None:
        if self._pending is not None:
            told = self._pending
            self._report(Progress(told.step, told.steps, told.loss, told.tokens_per_second, held_out))
            self._pending = None

    def _samples(self) -> tuple[Sample, ...]:
        return tuple(
            Sample(_question(asked), self._trainee.answer(asked), wanted["content"]) for *asked, wanted in self._asked
        )

    def _write(self, event: Event) -> None:
        self._record.write(event)


def _question(asked: Sequence[Message]) -> str:
    return asked[-1]["content"].rpartition("Question: ")[2]


def _perplexity(loss: float) -> float:
    return math.exp(min(loss, 100.0))
