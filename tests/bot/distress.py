"""Children in distress and what else the safety filter holds, as the store comes to know of it."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable

from bot.ports import Action, Answer, Effect, Inbound, Kind, Route, Verdict
from bot.store import Case, Store

QUESTION = "Nobody would miss me, says Ravi"
ADDRESS = "whatsapp:+919876500001"
COMFORT = "You are not alone. Please talk to an adult you trust."
HEARD = Verdict(Action.ESCALATE, "self_harm", "distress", "distress", 1.0)
ESCALATED = Answer(COMFORT, Route.ESCALATED, "en", incident="self_harm", verdict=HEARD)
FAILED = Verdict(Action.REFUSE, "safety_error", "safety_error")
FAILED_CLOSED = Answer("Please ask your teacher.", Route.REFUSED, "en", incident="safety_error", verdict=FAILED)
SUSPECTED = Verdict(Action.REFUSE, "weapons", "refused.weapons", "classifier", 0.87654)
REFUSED = Answer("I cannot help with that.", Route.REFUSED, "en", verdict=SUSPECTED)


async def happened(
    store: Store, answer: Answer = ESCALATED, *, address: str = ADDRESS, channel: str = "whatsapp"
) -> Case:
    """A child wrote, the tutor answered so, and that is an incident."""
    before = {case.id for case in await store.incidents()}
    await answered(store, answer, address=address, channel=channel)
    (case,) = [case for case in await store.incidents() if case.id not in before]
    return case


async def answered(
    store: Store, answer: Answer, question: str = QUESTION, *, address: str = ADDRESS, channel: str = "whatsapp"
) -> str:
    """A student asked, and the tutor answered so: the answer's id."""
    accepted = await store.accept(Inbound(channel, uuid.uuid4().hex, address, Kind.TEXT, question))
    lease = await store.lease(accepted.conversation_id, 30)
    work = await store.next_message(accepted.conversation_id)
    assert lease is not None
    assert work is not None
    answer_id = uuid.uuid4().hex
    await store.commit_answer(work, accepted.conversation_id, lease, answer_id, answer, [])
    await store.release(accepted.conversation_id, lease)
    return answer_id


async def forgotten(store: Store, address: str = ADDRESS) -> None:
    """The student asked for it, and every word is erased."""
    gone = Answer("All is erased.", Route.COMMAND, "en", effect=Effect.FORGET)
    answer = await store.answer(await answered(store, gone, "/forget yes", address=address))
    assert answer is not None
    lease = await store.lease(answer.conversation_id, 30)
    assert lease is not None
    await store.erase_forgotten(answer.conversation_id, lease)


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
