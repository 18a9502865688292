"""Waits for the answer to a stored message, and tells it as server-sent events.

The store is the truth and `Live` only a hurry: pieces may be lost, the answer may not. So the store is asked before the
first piece, whenever nothing came for a second, and when the pieces end.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, suppress
from enum import StrEnum
from typing import Any

from fastapi.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from bot.ports import Live
from bot.store import BURIED, WAITING, Store
from bot.tables import StoredAnswer
from bot.web.asking import Say

logger = logging.getLogger(__name__)

POLL_SECONDS = 1.0
HEARTBEAT_SECONDS = 10.0
PATIENCE_SECONDS = 120.0


class Ended(StrEnum):
    """Why there is no answer. The value is both the error's code and the key of the reply."""

    SORRY = "sorry_error"  # given up by the worker
    STILL_WORKING = "still_working"  # not within our patience; it will be stored later


Event = str | StoredAnswer | Ended


async def follow(store: Store, live: Live, message_id: int, patience: float) -> AsyncGenerator[Event, None]:
    """Pieces as they come ("" when none came for a second), then exactly one StoredAnswer or Ended."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + patience
    pieces = live.subscribe(str(message_id))
    coming: asyncio.Task[str | None] | None = asyncio.create_task(_next(pieces))
    quiet = True  # nothing is coming: time to ask the store
    try:
        while True:
            if quiet and (outcome := await _outcome(store, message_id)) is not None:
                yield outcome
                return
            if loop.time() >= deadline:
                yield Ended.STILL_WORKING
                return
            if coming is None:
                await asyncio.sleep(POLL_SECONDS)
                continue
            await asyncio.wait({coming}, timeout=POLL_SECONDS)
            piece = (coming.result() if coming.done() else "") or ""
            if coming.done():
                coming = asyncio.create_task(_next(pieces)) if coming.result() is not None else None
            quiet = not piece
            yield piece
    finally:
        if coming is not None:
            coming.cancel()
            with suppress(asyncio.CancelledError):
                await coming
        await pieces.aclose()


async def _next(pieces: AsyncIterator[str]) -> str | None:
    try:
        return await anext(pieces, None)
    except Exception:  # whatever carries the pieces broke; the answer comes from the store
        logger.exception("live pieces are lost")
        return None


async def _outcome(store: Store, message_id: int) -> StoredAnswer | Ended | None:
    answer = await store.answer_to(message_id)
    if answer is not None:
        return answer
    state = await store.message_state(message_id)
    if state == WAITING:
        return None
    if state == BURIED:
        return Ended.SORRY
    return await store.answer_to(message_id) or Ended.SORRY  # stored between the two looks, or deleted since


def as_json(answer: StoredAnswer, conversation: str) -> dict[str, Any]:
    """An answer as the API gives it."""
    return {
        "id": answer.id,
        "answer": "\n\n".join(part for part in (answer.text, answer.caution) if part),
        "route": answer.route,
        "confidence": answer.confidence,
        "sources": answer.sources,
        "adapter": answer.adapter,
        "language": answer.language,
        "caution": answer.caution,
        "conversation": conversation,
    }


def event(name: str, data: Any) -> str:
    """One server-sent event. JSON keeps line breaks of the text out of the protocol."""
    return f"event: {name}\ndata: {json.dumps(data, ensure_ascii=False)}\n\n"


async def told(
    events: AsyncGenerator[Event, None], *, message_id: int, conversation: str, language: str, say: Say
) -> AsyncGenerator[str, None]:
    """`accepted`, then `piece`s, then `answer` or `error`; a comment keeps silent connections open."""
    clock = asyncio.get_running_loop().time
    yield event("accepted", {"message": message_id, "conversation": conversation})
    spoken = clock()
    async with aclosing(events) as incoming:
        async for item in incoming:
            if isinstance(item, StoredAnswer):
                yield event("answer", as_json(item, conversation))
            elif isinstance(item, Ended):
                yield event("error", {"code": item.value, "message": say(item.value, language)})
            elif item:
                yield event("piece", {"text": item})
            elif clock() - spoken >= HEARTBEAT_SECONDS:
                yield ": still here\n\n"
            else:
                continue
            spoken = clock()


class EventStream(StreamingResponse):
    """Server-sent events that stop, and let go of what they hold, as soon as the client is gone."""

    def __init__(self, events: AsyncGenerator[str, None]) -> None:
        headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
        self._events = events
        super().__init__(events, media_type="text/event-stream", headers=headers)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async with aclosing(self._events):
            await super().__call__(scope, receive, send)
