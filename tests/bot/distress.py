"""Children in distress, as the store comes to know of them."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable

from bot.ports import Answer, Inbound, Kind, Route
from bot.store import Case, Store

QUESTION = "Nobody would miss me, says Ravi"
ADDRESS = "whatsapp:+919876500001"
COMFORT = "You are not alone. Please talk to an adult you trust."
ESCALATED = Answer(COMFORT, Route.ESCALATED, "en", incident="self_harm")
FAILED_CLOSED = Answer("Please ask your teacher.", Route.REFUSED, "en", incident="safety_error")


async def happened(
    store: Store, answer: Answer = ESCALATED, *, address: str = ADDRESS, channel: str = "whatsapp"
) -> Case:
    """A child wrote, the tutor answered so, and that is an incident."""
    accepted = await store.accept(Inbound(channel, uuid.uuid4().hex, address, Kind.TEXT, QUESTION))
    lease = await store.lease(accepted.conversation_id, 30)
    work = await store.next_message(accepted.conversation_id)
    assert lease is not None
    assert work is not None
    before = {case.id for case in await store.incidents()}
    await store.commit_answer(work, accepted.conversation_id, lease, uuid.uuid4().hex, answer, [])
    await store.release(accepted.conversation_id, lease)
    (case,) = [case for case in await store.incidents() if case.id not in before]
    return case


async def kept(store: Store, incident_id: int) -> Case:
    """An incident as it stands now."""
    case = await store.incident(incident_id)
    assert case is not None
    return case


async def until(happened: Callable[[], bool], seconds: float = 10.0) -> None:
    """Wait until it did."""
    async with asyncio.timeout(seconds):
        while not happened():  # noqa: ASYNC110  what is waited for has no event
            await asyncio.sleep(0.01)
