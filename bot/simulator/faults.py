"""Faults on demand, each with a probability; the same seed gives the same faults for the same calls."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from pydantic import BaseModel, ConfigDict, Field

from bot.simulator.config import Json, Provider


class Trouble(StrEnum):
    """What can go wrong. All but the last two befall calls of the service's, those two its webhooks."""

    RATE_LIMIT = "rate_limit"  # 429, nothing done
    SERVER_ERROR = "server_error"  # 500, nothing done
    HANG = "hang"  # nothing done, no answer
    SLOW = "slow"  # done, answered late
    DROP = "drop"  # done, and the connection cut instead of an answer
    ANSWER = "answer"  # nothing done, and `status` and `body` for an answer
    DUPLICATE = "duplicate"  # the webhook is called twice
    REORDER = "reorder"  # the webhook is called after the next one; with `duplicate`, for the second time


WEBHOOK_TROUBLES = frozenset({Trouble.DUPLICATE, Trouble.REORDER})
SECONDS = {Trouble.RATE_LIMIT: 2.0, Trouble.HANG: 60.0, Trouble.SLOW: 3.0, Trouble.REORDER: 0.5}


class Fault(BaseModel):
    """`seconds`: the delay, or what a 429 asks for. `times`: how often at most.

    `only`: these methods and no others, named as in the record of calls: sendMessage, create, messages ...
    `status` and `body`: what the kind `answer` answers, such as an error that is not played here, or a proxy's page.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: Trouble
    probability: float = Field(1.0, ge=0.0, le=1.0)
    seconds: float | None = Field(None, ge=0.0, le=3600.0)
    times: int | None = Field(None, ge=1)
    only: frozenset[str] = frozenset()
    status: int = Field(500, ge=200, le=599)
    body: Json = {}

    @property
    def delay(self) -> float:
        return self.seconds if self.seconds is not None else SECONDS.get(self.kind, 0.0)


@dataclass
class _Armed:
    fault: Fault
    left: int | None


class Faults:
    """The faults of each provider, and the students it will not deliver to."""

    def __init__(self) -> None:
        self.refusals: dict[tuple[Provider, str], str] = {}  # the provider's error code for a student
        self._armed: defaultdict[Provider, list[_Armed]] = defaultdict(list)
        self._dice = {provider: random.Random(0) for provider in Provider}

    def arm(self, provider: Provider, faults: Sequence[Fault], seed: int = 0) -> None:
        """These faults from now on, in place of the provider's former ones."""
        self._armed[provider] = [_Armed(fault, fault.times) for fault in faults]
        self._dice[provider] = random.Random(seed)

    def armed(self, provider: Provider) -> list[Fault]:
        return [armed.fault for armed in self._armed[provider] if armed.left != 0]

    def on_call(self, provider: Provider, method: str) -> Fault | None:
        """What befalls this call."""
        for armed in self._armed[provider]:
            fault = armed.fault
            if fault.kind in WEBHOOK_TROUBLES or (fault.only and method not in fault.only):
                continue
            if self._strikes(provider, armed):
                return fault
        return None

    def on_webhook(self, provider: Provider, kind: Trouble) -> Fault | None:
        """Whether this trouble befalls the webhook that is about to be called."""
        matching = (armed for armed in self._armed[provider] if armed.fault.kind is kind)
        return next((armed.fault for armed in matching if self._strikes(provider, armed)), None)

    def _strikes(self, provider: Provider, armed: _Armed) -> bool:
        if armed.left == 0 or self._dice[provider].random() >= armed.fault.probability:
            return False
        if armed.left is not None:
            armed.left -= 1
        return True
