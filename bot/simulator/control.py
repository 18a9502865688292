"""The control API under /sim: be a student, see what the phones show and what was called, let things go wrong."""

from __future__ import annotations

import secrets
from collections import OrderedDict
from collections.abc import Mapping
from itertools import islice
from typing import Annotated

from fastapi import APIRouter, HTTPException, Query, Response
from pydantic import BaseModel, ConfigDict, Field

from bot.simulator import view
from bot.simulator.config import Json, Provider
from bot.simulator.faults import Fault
from bot.simulator.phones import Phone
from bot.simulator.record import MOST_CALLS, Call, after
from bot.simulator.said import Line, Said, Spoken, Unsayable, address
from bot.simulator.world import World

MOST_REPEATABLE = 5_000
SAFE_TYPES = frozenset({"image/jpeg", "image/png", "image/webp", "audio/ogg"})


class Plan(BaseModel):
    """What shall go wrong at one provider. `faults` take the place of the former ones; None leaves them.

    `refusals`: a student, and the provider's error code for whatever is sent there; an empty code lifts it.
    """

    model_config = ConfigDict(extra="forbid")

    provider: Provider
    faults: list[Fault] | None = None
    seed: int = 0
    refusals: dict[str, str] = {}


class Wanted(BaseModel):
    """Which calls are asked for: those numbered above `after`, the earliest first."""

    model_config = ConfigDict(extra="forbid")

    provider: Provider | None = None
    method: str | None = None
    student: str | None = None
    after: int = Field(0, ge=0)
    limit: int = Field(1000, ge=1, le=MOST_CALLS)

    def matches(self, call: Call) -> bool:
        return (
            self.provider in {None, call.provider}
            and self.method in {None, call.method}
            and self.student in {None, call.student}
        )


class Control:
    """The deeds behind the routes."""

    def __init__(self, world: World, lines: Mapping[Provider, Line]) -> None:
        self._world = world
        self._lines = lines
        self._spoken: OrderedDict[tuple[Provider, str], Spoken] = OrderedDict()

    def say(self, said: Said) -> Json:
        """Raises HTTPException for what cannot be said."""
        key = (said.provider, said.provider_id)
        if said.provider_id and key in self._spoken:
            spoken = self._spoken[key]
            spoken.again()
        else:
            spoken = self._say(said.model_copy(update={"student": address(said.provider, said.student)}))
        return {"provider_id": spoken.provider_id, "message": spoken.message}

    def _say(self, said: Said) -> Spoken:
        try:
            spoken = self._lines[said.provider].say(said)
        except Unsayable as error:
            raise HTTPException(422, str(error)) from None
        self._spoken[said.provider, spoken.provider_id] = spoken
        if len(self._spoken) > MOST_REPEATABLE:
            self._spoken.popitem(last=False)
        return spoken

    def plan(self, plan: Plan) -> Json:
        """Raises HTTPException for a student or a code that the provider does not have."""
        codes = self._lines[plan.provider].refusal_codes
        for student, code in plan.refusals.items():
            if code and code not in codes:
                raise HTTPException(422, f"{plan.provider} refuses with one of {', '.join(sorted(codes))}")
            key = (plan.provider, self._student(plan.provider, student))
            if code:
                self._world.faults.refusals[key] = code
            else:
                self._world.faults.refusals.pop(key, None)
        if plan.faults is not None:
            self._world.faults.arm(plan.provider, plan.faults, plan.seed)
        self._world.phones.changed()
        return view.faults(self._world)

    async def reset(self, *, registered: bool) -> None:
        await self._world.reset()
        for line in self._lines.values():
            line.reset(registered=registered)
        self._spoken.clear()

    async def verify(self) -> Json:
        """Ask the service the question by which Meta makes sure that a webhook is wanted."""
        challenge = str(secrets.randbelow(10**10))
        cloud = self._world.config.cloud
        query = {"hub.mode": "subscribe", "hub.challenge": challenge, "hub.verify_token": cloud.verify_token}
        answer = await self._world.courier.fetch(cloud.webhook_path, query)
        if answer is None:
            return {"verified": False, "status": None}
        return {"verified": answer == (200, challenge), "status": answer[0]}

    def phone(self, provider: Provider, student: str) -> Phone | None:
        return self._world.phones.find(provider, self._student(provider, student))

    def _student(self, provider: Provider, student: str) -> str:
        try:
            return address(provider, student)
        except ValueError as error:
            raise HTTPException(422, str(error)) from None


def routes(world: World, lines: Mapping[Provider, Line]) -> APIRouter:
    """All of /sim."""
    router = APIRouter(prefix="/sim", tags=["control"])
    control = Control(world, lines)
    _deeds(router, control)
    _phones(router, world, control)
    _records(router, world)
    return router


def _deeds(router: APIRouter, control: Control) -> None:
    @router.post("/messages")
    async def say(said: Said) -> Json:
        return control.say(said)

    @router.post("/faults")
    async def plan(plan: Plan) -> Json:
        return control.plan(plan)

    @router.post("/reset")
    async def reset(registered: bool = True) -> Json:
        await control.reset(registered=registered)
        return {"ok": True}

    @router.post("/cloud/verify")
    async def verify() -> Json:
        return await control.verify()


def _phones(router: APIRouter, world: World, control: Control) -> None:
    @router.get("/students")
    async def students() -> list[Json]:
        return [view.summary(phone) for phone in world.phones]

    @router.get("/students/{provider}/{student}")
    async def transcript(provider: Provider, student: str) -> Json:
        phone = control.phone(provider, student)
        if phone is None:
            raise HTTPException(404, "this student has not written yet")
        return view.transcript(phone)

    @router.get("/view")
    async def page(version: int = 0, provider: Provider | None = None, student: str = "") -> Json:
        if version == world.phones.version:
            return {"version": version}
        return view.page(world, control.phone(provider, student) if provider and student else None)

    @router.get("/files/{file_id}")
    async def file(file_id: str) -> Response:
        found = world.files.find(file_id)
        if found is None:
            raise HTTPException(404)
        media_type = found.content_type if found.content_type in SAFE_TYPES else "application/octet-stream"
        return Response(found.content, media_type=media_type, headers={"X-Content-Type-Options": "nosniff"})


def _records(router: APIRouter, world: World) -> None:
    @router.get("/calls")
    async def calls(wanted: Annotated[Wanted, Query()]) -> list[Json]:
        matching = filter(wanted.matches, after(world.record.calls, wanted.after))
        return [view.call(call) for call in islice(matching, wanted.limit)]

    @router.get("/violations")
    async def violations(after_seq: Annotated[int, Query(alias="after", ge=0)] = 0) -> list[Json]:
        return [view.violation(entry) for entry in after(world.record.violations, after_seq)]

    @router.get("/faults")
    async def faults() -> Json:
        return view.faults(world)

    @router.get("/stats")
    async def stats() -> Json:
        return view.stats(world.phones, world.record)

    @router.get("/stats/texts")
    async def texts() -> list[Json]:
        return view.texts(world.phones)

    @router.get("/environment")
    async def environment() -> dict[str, str]:
        return world.config.environment()
