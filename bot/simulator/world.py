"""What the three providers share, and how each of them takes a call."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from starlette.responses import JSONResponse, Response

from bot.simulator.config import Config, Json, Provider
from bot.simulator.courier import Courier
from bot.simulator.faults import Fault, Faults, Trouble
from bot.simulator.hanging import Silence, pause
from bot.simulator.media import Files
from bot.simulator.phones import Bubble, Phone, Phones
from bot.simulator.record import Call, Record
from bot.simulator.rules import Broken, Refused, Rule

R = TypeVar("R")
R_contra = TypeVar("R_contra", contravariant=True)


@dataclass(frozen=True, slots=True)
class Answer:
    """A provider's answer. `message_id` is the message that the call made, if it made one."""

    status: int
    body: Any
    message_id: str = ""


class Dialect(Protocol[R_contra]):
    """How a provider says no, given the refusal that its rules name."""

    @property
    def provider(self) -> Provider: ...

    def refuse(self, refusal: R_contra | None) -> Answer: ...

    def rate_limited(self, seconds: float) -> Answer: ...

    def ill(self) -> Answer: ...


class World:
    """The students' phones, the record of what was called, the faults, and the way to the service's webhooks."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self._version = 0
        self._begin()

    def _begin(self) -> None:
        self.closing = asyncio.Event()
        self.phones = Phones()
        self.phones.version = self._version + 1  # a page that looks must see that all is new
        self.record = Record(self.phones.changed)
        self.faults = Faults()
        self.files = Files()
        self.courier = Courier(self.config, self.faults)

    async def reset(self) -> None:
        """Forget all that happened."""
        self._version = self.phones.version
        await self.close()
        self._begin()

    async def close(self) -> None:
        """End what is waiting: long polls, hanging calls, webhooks under way."""
        self.closing.set()
        await self.courier.close()

    def overlooked(self, provider: Provider, method: str, rules: Iterable[Rule[R]], found: str = "") -> None:
        """Note broken rules that the provider does not mind."""
        for rule in rules:
            self.record.violation(provider, method, rule.name, rule.words, found=found, answer="")

    def accept(self, phone: Phone, bubble: Bubble, call: Call) -> None:
        """Show a message of the bot's on the phone."""
        call.student, call.message_id = phone.student, bubble.id
        self.phones.accept(phone, bubble)


async def answered(world: World, dialect: Dialect[R], call: Call, work: Callable[[], Awaitable[Answer]]) -> Response:
    """The response to a call whose `work` may raise Broken or Refused; a fault may befall it first."""
    fault = world.faults.on_call(dialect.provider, call.method)
    if fault is not None:
        instead = await _instead(world, dialect, call, fault)
        if instead is not None:
            return instead
    answer, outcome = await _worked(world, dialect, call, work)
    if fault is not None and fault.kind is Trouble.DROP:
        world.record.close(call, Trouble.DROP, None)
        return Silence(0, world.closing)
    return _closed(world, call, outcome, answer)


async def _instead(world: World, dialect: Dialect[R], call: Call, fault: Fault) -> Response | None:
    """What a fault answers in place of the provider; None where the provider does its work, though perhaps late."""
    match fault.kind:
        case Trouble.RATE_LIMIT:
            return _closed(world, call, fault.kind, dialect.rate_limited(fault.delay))
        case Trouble.SERVER_ERROR:
            return _closed(world, call, fault.kind, dialect.ill())
        case Trouble.ANSWER:
            return _closed(world, call, fault.kind, Answer(fault.status, fault.body))
        case Trouble.HANG:
            world.record.close(call, fault.kind, None)
            return Silence(fault.delay, world.closing)
        case Trouble.SLOW:
            await pause(fault.delay, world.closing)
    return None


async def _worked(
    world: World, dialect: Dialect[R], call: Call, work: Callable[[], Awaitable[Answer]]
) -> tuple[Answer, str]:
    try:
        return await work(), "ok"
    except Refused as refused:
        return dialect.refuse(refused.refusal), "refused"
    except Broken as broken:
        rule = broken.rule
        answer = dialect.refuse(rule.refusal)
        world.record.violation(
            dialect.provider, call.method, rule.name, rule.words, found=broken.found, answer=_shown(answer)
        )
        return answer, "refused"


def _closed(world: World, call: Call, outcome: str, answer: Answer) -> Response:
    world.record.close(call, outcome, answer.status)
    return JSONResponse(answer.body, answer.status)


def _shown(answer: Answer) -> str:
    """The sentence in a refusal that a person would read."""
    body: Json = answer.body
    said = body.get("description") or body.get("message") or body.get("error", {}).get("message", "")
    return f"{answer.status} {said}"
