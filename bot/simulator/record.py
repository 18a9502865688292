"""What happened: every call we received and every rule that was broken, the latest of each."""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import Protocol, TypeVar

from starlette.requests import Request

from bot.simulator.config import Json, Provider

MOST_CALLS = 20_000
MOST_VIOLATIONS = 5_000
HEADERS = ("content-type", "authorization")  # kept of each call


class _Numbered(Protocol):
    @property
    def seq(self) -> int: ...


N = TypeVar("N", bound=_Numbered)


@dataclass(slots=True)
class Call:
    """A call of the service's. `outcome`: "ok", "refused", or the fault that befell it; `status` None: no answer.

    `http`: how it came, the verb, path and HEADERS.
    """

    seq: int
    provider: Provider
    method: str
    parameters: Json
    student: str = ""
    at: float = field(default_factory=time.time)
    outcome: str = "open"
    status: int | None = None
    message_id: str = ""
    http: Json = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Violation:
    """A broken rule: its name in the documentation, what it demands, what was found, what the provider answered."""

    seq: int
    provider: Provider
    method: str
    rule: str
    words: str
    found: str
    answer: str
    at: float


class Record:
    """Both lists, numbered from 1. The oldest entries are forgotten; the counts are not."""

    def __init__(self, changed: Callable[[], None]) -> None:
        """`changed` is called whenever there is something new to show."""
        self._changed = changed
        self.calls: deque[Call] = deque(maxlen=MOST_CALLS)
        self.violations: deque[Violation] = deque(maxlen=MOST_VIOLATIONS)
        self.outcomes: Counter[tuple[Provider, str]] = Counter()
        self.called = 0
        self.violated = 0

    def call(self, provider: Provider, method: str, parameters: Json, request: Request | None = None) -> Call:
        """Note a call as it comes in; `close` it when it is answered."""
        self.called += 1
        call = Call(self.called, provider, method, parameters)
        if request is not None:
            headers = {name: request.headers[name] for name in HEADERS if name in request.headers}
            call.http = {"method": request.method, "path": request.url.path, "headers": headers}
        self.calls.append(call)
        return call

    def close(self, call: Call, outcome: str, status: int | None) -> None:
        call.outcome, call.status = outcome, status
        self.outcomes[call.provider, outcome] += 1
        self._changed()

    def violation(self, provider: Provider, method: str, rule: str, words: str, *, found: str, answer: str) -> None:
        self.violated += 1
        self.violations.append(
            Violation(self.violated, provider, method, rule, words, found, answer or "taken all the same", time.time())
        )
        self._changed()


def after(entries: deque[N], seq: int) -> Iterator[N]:
    """The entries numbered above `seq`, oldest first; costs no more than there are."""
    fresh = entries[-1].seq - seq if entries else 0
    return islice(entries, max(0, len(entries) - fresh), None)
