"""One run that trains an adapter, followed: recorded, measured, stopped in time, taken up again, ended in one line."""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Protocol

from inference.generation import Message
from training.errors import TrainingError
from training.records.progress import OnProgress, Progress
from training.records.record import Evaluation, Event, Finished, Note, Record, Resumed, Sample, Started, Step, now
from training.records.runs import peak_memory
from training.tuning.judge import Judge

if TYPE_CHECKING:
    import torch

    from training.tuning.lora_checkpoint import Checkpoint


class Learner(Protocol):
    """What is trained: a model with an adapter."""

    @property
    def device(self) -> str:
        """cpu or cuda."""

    def loss_of(self, dev: Sequence[Any]) -> float:
        """What the run is judged by; the lower, the better."""

    def answer(self, asked: Sequence[Message]) -> str:
        """What it writes to these messages."""

    def weights(self) -> dict[str, torch.Tensor]:
        """A copy of what is trained, in the processor's memory."""

    def restore(self, weights: Mapping[str, torch.Tensor]) -> None:
        """Put back what `weights` gave."""


class SftRun:
    """Follows a training.tuning.surviving.Surviving: `record` gets every event, `report` every step.

    dev:       what judges the run, as the learner takes it; none: there are no evaluations
    asked:     held-out conversations whose questions are answered at each evaluation
    before:    the events of earlier attempts
    in_nats:   whether the dev loss is one, so that it has a perplexity
    """

    def __init__(
        self,
        trainee: Learner,
        record: Record,
        judge: Judge,
        dev: Sequence[Any],
        asked: Sequence[Sequence[Message]],
        before: Sequence[Event],
        *,
        in_nats: bool = True,
    ) -> None:
        self._trainee, self._record, self.judge = trainee, record, judge
        self._dev, self._asked, self._before, self._in_nats = dev, asked, before, in_nats
        self._report: OnProgress = lambda _: None
        self._began = time.perf_counter()
        self._earlier = 0.0  # seconds of earlier attempts
        self._steps, self._evaluated = 0, frozenset[int]()
        self._first, self.last = 0, 0  # steps done before this attempt, and by now
        self._best: Mapping[str, torch.Tensor] | None = None
        self._read, self._reading = 0, 0.0  # tokens, and the seconds they took
        self._pending: Progress | None = None
        self.base_loss = next((e.dev_loss for e in before if isinstance(e, Evaluation) and e.step == 0), None)

    def begin(self, started: Callable[[], Started]) -> bool:
        """Write the first line of the record, or that the run goes on; whether it is new."""
        if self._before:
            self._write(Resumed(now(), _checkpointed(self._record)))
        else:
            self._write(started())
        return not self._before

    @contextlib.contextmanager
    def ending(self) -> Iterator[None]:
        """Whatever ends the run but a kill, an end in its record and a TrainingError of one line."""
        from training.tuning import lora_checkpoint

        try:
            yield
        except KeyboardInterrupt:
            why = f"stopped by Ctrl-C after step {self.last}; {self._goes_on()}"
            self._give_up("interrupted", why)
            raise TrainingError(why) from None
        except OSError as error:
            where = error.filename or self._record.folder
            why = f"{where}: {error.strerror or error}; make room there; {self._goes_on()}"
            self._give_up("failed", why)
            raise TrainingError(why) from error
        except TrainingError as error:
            self._give_up("failed", str(error))
            raise
        lora_checkpoint.clear(self._record.folder)

    def end(self, scores: Mapping[str, float], best_step: int, adapter: str) -> str:
        """The last line of a run that has made its adapter; why it ended."""
        early = self.last < self._steps
        why = f"no better dev loss in {self.judge.patience} evaluations" if early else "every step is done"
        self._finish("early" if early else "complete", why, scores=scores, best_step=best_step, adapter=adapter)
        return why

    def start(self, steps: int, evaluated: frozenset[int], report: OnProgress) -> None:
        """Before the first step: the model as it is, where that has not been measured."""
        self._steps, self._evaluated, self._report = steps, evaluated, report
        if self._dev and self.base_loss is None:
            self.base_loss = self._trainee.loss_of(self._dev)
            perplexity = self._perplexity(self.base_loss)
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
        perplexity = self._perplexity(dev_loss)
        self._write(Evaluation(step, dev_loss, perplexity, train_loss, best, overfitting, self._samples()))
        if overfitting:
            self.note(f"overfitting: the dev loss rose to {dev_loss:.3f} while the training loss fell")
        self._tell(dev_loss)
        figures = {"loss": dev_loss} if perplexity is None else {"loss": dev_loss, "perplexity": perplexity}
        return figures, self.judge.stops

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

    def _perplexity(self, loss: float) -> float | None:
        return math.exp(min(loss, 100.0)) if self._in_nats else None

    def _goes_on(self) -> str:
        return f"the same command goes on from step {_checkpointed(self._record)}"

    def _give_up(self, stopped: str, why: str) -> None:
        with contextlib.suppress(OSError):  # of a full disk: the error itself matters more than its place in the record
            self._finish(stopped, why, scores={})

    def _finish(self, stopped: str, why: str, **more: Any) -> None:
        self._write(Finished(now(), self.seconds, peak_memory(self._trainee.device), stopped=stopped, why=why, **more))

    def _write(self, event: Event) -> None:
        self._record.write(event)


def _checkpointed(record: Record) -> int:
    """The step that the run would go on from."""
    from training.tuning import lora_checkpoint

    last = lora_checkpoint.last(record.folder)
    return lora_checkpoint.step(last) if last else 0


def _question(asked: Sequence[Message]) -> str:
    return asked[-1]["content"].rpartition("Question: ")[2]
