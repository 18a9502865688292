"""How fast answers are written, by adapter: the first token, the tokens after it, the whole answer, and the memory.

A machine is seldom idle and slows down as it warms up. So the adapters take turns at every question, each round begins
with another of them, and what is told are medians; two adapters are compared turn by turn. An engine may remember a
prompt that it has read, and a student's question is seldom one of these: no adapter is given the same prompt twice.
"""

from __future__ import annotations

import resource
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median, quantiles
from typing import TYPE_CHECKING, Any

from inference.generation import Decoding, Message
from training.records.runs import peak_memory

if TYPE_CHECKING:
    from inference.engine import Engine

MOST = 4  # adapters at once: so many merged copies an engine keeps, and to load one anew is no speed of an answer
LONGEST = 100  # tokens of an answer

OnTurn = Callable[[int, int], None]  # how many turns are done, of how many


@dataclass(frozen=True, slots=True)
class Turn:
    """One answer: seconds until its first token and until its end, its tokens and those of its prompt."""

    adapter: str
    first: float
    seconds: float
    tokens: int
    prompt: int

    @property
    def rate(self) -> float | None:
        """Tokens a second after the first one; None for an answer that has no more than that."""
        after = self.seconds - self.first
        return (self.tokens - 1) / after if self.tokens > 1 and after > 0 else None


@dataclass(frozen=True, slots=True)
class Speed:
    """Of one adapter, over all its turns. Times in milliseconds.

    first, first_90:   until the first token, prompt and all: the median, and what nine of ten stay below
    answer, answer_90: until the end of the answer
    rate:      tokens a second after the first, the median; None where no answer had more than one
    times:     how long its answers take a token, as a multiple of the first adapter's, turn by turn; the median
    tokens, prompt: the median lengths of answer and prompt
    loaded:    bytes that the process grew by when the adapter was first used, its merged copy of the weights
    """

    adapter: str
    turns: int
    first: float
    first_90: float
    answer: float
    answer_90: float
    rate: float | None
    times: float
    tokens: float
    prompt: float
    loaded: int

    def named(self) -> dict[str, Any]:
        return {key: round(value, 3) if isinstance(value, float) else value for key, value in asdict(self).items()}


@dataclass(frozen=True, slots=True)
class Timed:
    """All adapters side by side, the first being what the others are compared with.

    `resident`, `peak`: bytes that the process held after the last answer, and at most; those of an accelerator if used.
    """

    speeds: tuple[Speed, ...]
    resident: int
    peak: int

    def named(self) -> dict[str, Any]:
        return {"adapters": [one.named() for one in self.speeds], "resident": self.resident, "peak": self.peak}


def measure(
    engine: Engine,
    adapters: Sequence[str],
    prompts: Sequence[Sequence[Message]],
    *,
    rounds: int = 3,
    longest: int = LONGEST,
    progress: OnTurn | None = None,
) -> Timed:
    """Let every adapter (an id, "base" or "current") answer every prompt `rounds` times, greedily, taking turns.

    Each answers the first prompt once beforehand, which loads it and is not counted. Raises ValueError without prompts
    or adapters, for more adapters than an engine keeps, and for one named twice.
    """
    if not prompts or rounds < 1:
        raise ValueError("there is nothing to answer: one prompt and one round at least")
    if not 0 < len(adapters) <= MOST or len(set(adapters)) != len(adapters):
        raise ValueError(f"one to {MOST} adapters, each named once; got {', '.join(adapters) or 'none'}")
    decoding = Decoding(temperature=0.0, max_new_tokens=longest)
    loaded = {}
    for adapter in adapters:
        before = _resident(engine.device)
        turn(engine, adapter, _marked(prompts[0], 0), decoding)
        loaded[adapter] = max(0, _resident(engine.device) - before)
    turns: list[Turn] = []
    total = rounds * len(prompts) * len(adapters)
    for number in range(1, rounds + 1):
        for messages in prompts:
            for place in range(len(adapters)):
                adapter = adapters[(place + number) % len(adapters)]
                turns.append(turn(engine, adapter, _marked(messages, number), decoding))
                if progress is not None:
                    progress(len(turns), total)
    speeds = summary(adapters, turns, loaded)
    return Timed(tuple(speeds), _resident(engine.device), peak_memory(engine.device))


def turn(engine: Engine, adapter: str, messages: Sequence[Message], decoding: Decoding) -> Turn:
    """Have one answer written, and time it from outside the engine."""
    first: list[float] = []

    def heard(_: str) -> bool:
        if not first:
            first.append(time.perf_counter())
        return True

    prompt = engine.count_tokens(messages)
    began = time.perf_counter()
    made = engine.generate(messages, decoding=decoding, on_text=heard, adapter=adapter)
    ended = time.perf_counter()
    return Turn(adapter, (first[0] if first else ended) - began, ended - began, made.tokens, prompt)


def summary(adapters: Sequence[str], turns: Sequence[Turn], loaded: dict[str, int]) -> list[Speed]:
    """The medians of each adapter's turns, which follow the order of prompts and rounds."""
    held = {adapter: [one for one in turns if one.adapter == adapter] for adapter in adapters}
    return [_speed(adapter, held[adapter], held[adapters[0]], loaded.get(adapter, 0)) for adapter in adapters]


def _speed(adapter: str, turns: Sequence[Turn], others: Sequence[Turn], loaded: int) -> Speed:
    firsts, answers = [1000 * one.first for one in turns], [1000 * one.seconds for one in turns]
    rates = [one.rate for one in turns if one.rate is not None]
    return Speed(
        adapter=adapter,
        turns=len(turns),
        first=median(firsts),
        first_90=_ninth_tenth(firsts),
        answer=median(answers),
        answer_90=_ninth_tenth(answers),
        rate=median(rates) if rates else None,
        times=median(_a_token(one) / _a_token(other) for one, other in zip(turns, others, strict=True)),
        tokens=median(one.tokens for one in turns),
        prompt=median(one.prompt for one in turns),
        loaded=loaded,
    )


def _marked(messages: Sequence[Message], number: int) -> list[Message]:
    """The prompt of a round, which has its number before all but the system's line."""
    *before, last = messages
    return [*before, Message(role=last["role"], content=f"{number}. {last['content']}")]


def _a_token(one: Turn) -> float:
    return one.seconds / max(1, one.tokens)


def _ninth_tenth(values: Sequence[float]) -> float:
    return quantiles(values, n=10, method="inclusive")[-1] if len(values) > 1 else values[0]


def _resident(device: str) -> int:
    """Bytes that the process holds now, or that tensors hold on an accelerator."""
    if device.startswith("cuda"):
        import torch

        return int(torch.cuda.memory_allocated())
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    except OSError:
        return 0  # not Linux
    return pages * resource.getpagesize()
