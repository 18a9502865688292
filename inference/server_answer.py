"""One answer of `sahpathi inference` on its way out: as events or whole, and stopped when nobody reads it."""

from __future__ import annotations

import asyncio
import json
import secrets
import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

from starlette.responses import JSONResponse, Response
from starlette.types import Receive, Scope, Send

from inference.errors import (
    AdapterRefused,
    EngineBusy,
    EngineDied,
    EngineTimeout,
    InferenceError,
    PromptTooLong,
)
from inference.generation import Generation
from inference.remote_wire import OWNER
from inference.server_request import ApiError

Pieces = AsyncGenerator[str | Generation, None]


@dataclass(frozen=True, slots=True)
class Form:
    """How the answer is wanted. `stops` are the client's own; at one of them the answer ends before it."""

    model: str
    stream: bool
    usage: bool
    stops: tuple[str, ...] = ()


class AnswerResponse(Response):
    """Runs a generation while it is sent. Its status is only known once the first piece has come, or an error."""

    def __init__(self, pieces: Pieces, form: Form) -> None:
        super().__init__()
        self._pieces = pieces
        self._form = form
        self._id = f"chatcmpl-{secrets.token_hex(12)}"
        self._created = int(time.time())

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Until all is sent or the client has gone; the generation ends with either."""
        work = asyncio.create_task(self._answer(scope, receive, send))
        gone = asyncio.create_task(_gone(receive))
        try:
            await asyncio.wait({work, gone}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            ended = work.done()
            for task in (work, gone):
                task.cancel()
            await asyncio.gather(work, gone, return_exceptions=True)
        if ended:
            work.result()

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        begun = False
        async with aclosing(self._pieces) as source, aclosing(_until(source, self._form.stops)) as pieces:
            try:
                if not self._form.stream:
                    await JSONResponse(await self._whole(pieces))(scope, receive, send)
                    return
                async for event in self._events(pieces):
                    if not begun:
                        await send({"type": "http.response.start", "status": 200, "headers": _EVENT_STREAM})
                        begun = True
                    await send({"type": "http.response.body", "body": event, "more_body": True})
            except InferenceError as error:
                told = as_api_error(error)
                if not begun:
                    await JSONResponse(told.body, told.status, told.headers)(scope, receive, send)
                    return
                await send({"type": "http.response.body", "body": _event(told.body), "more_body": True})
            await send({"type": "http.response.body", "body": b""})

    async def _events(self, pieces: Pieces) -> AsyncGenerator[bytes, None]:
        role: dict[str, str] = {"role": "assistant"}  # told once, with the first piece
        count = 0
        last: Generation | None = None
        async for piece in pieces:
            if isinstance(piece, Generation):
                last = piece
            else:
                count += 1
                yield _event(self._chunk([_choice({**role, "content": piece})]))
                role = {}
        ended = self._chunk([_choice(role, _finish(last))])
        yield _event(ended | ({OWNER: _own(last)} if last else {}))
        if self._form.usage:
            yield _event(self._chunk([], usage=_usage(last, count)))
        yield b"data: [DONE]\n\n"

    async def _whole(self, pieces: Pieces) -> dict[str, Any]:
        told = [piece async for piece in pieces]
        last = told.pop() if told and isinstance(told[-1], Generation) else None
        generation = last if isinstance(last, Generation) else None
        message = {"role": "assistant", "content": "".join(map(str, told)), "refusal": None}
        choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": _finish(generation)}
        completion = self._object("chat.completion", [choice], usage=_usage(generation, len(told)))
        return completion | ({OWNER: _own(generation)} if generation else {})

    def _chunk(self, choices: Sequence[dict[str, Any]], **more: Any) -> dict[str, Any]:
        return self._object("chat.completion.chunk", choices, **more)

    def _object(self, kind: str, choices: Sequence[dict[str, Any]], **more: Any) -> dict[str, Any]:
        about = {"id": self._id, "object": kind, "created": self._created, "model": self._form.model}
        return {**about, "choices": list(choices), **more}


def as_api_error(error: InferenceError) -> ApiError:
    """What a client is told when nothing, or nothing more, is generated."""
    message = str(error)
    if isinstance(error, EngineBusy):
        return ApiError(503, message, "busy", retry_after=2)
    if isinstance(error, EngineDied):
        return ApiError(503, message, "model_process_ended", retry_after=1)
    if isinstance(error, EngineTimeout):
        return ApiError(504, message, "timeout")
    if isinstance(error, PromptTooLong):
        return ApiError(400, message, "context_length_exceeded", param="messages")
    if isinstance(error, AdapterRefused):
        return ApiError(404, message, "model_not_found", param="model")
    return ApiError(500, message, "model_missing")


async def _until(pieces: Pieces, stops: Sequence[str]) -> Pieces:
    """The pieces up to the first stop string, which may be spread over several; then no Generation comes."""
    held = ""
    async for piece in pieces:
        if isinstance(piece, Generation):
            if held:
                yield held
            yield piece
            return
        held += piece
        found = [at for stop in stops if (at := held.find(stop)) >= 0]
        end = min(found) if found else len(held) - _doubtful(held, stops)
        if shown := held[:end]:
            yield shown
        if found:
            return
        held = held[end:]


def _doubtful(text: str, stops: Sequence[str]) -> int:
    """The length of the longest end of the text that may become a stop string."""
    longest = min(len(text), max(map(len, stops), default=1) - 1)
    return next((n for n in range(longest, 0, -1) if any(stop.startswith(text[-n:]) for stop in stops)), 0)


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


_EVENT_STREAM = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-store"),
    (b"x-accel-buffering", b"no"),  # nginx would hold the pieces back
]


def _event(told: dict[str, Any]) -> bytes:
    return b"data: " + json.dumps(told, separators=(",", ":")).encode() + b"\n\n"


def _choice(delta: dict[str, str], finish: str | None = None) -> dict[str, Any]:
    return {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}


def _finish(generation: Generation | None) -> str:
    return "length" if generation and generation.stopped_by == "length" else "stop"


def _usage(generation: Generation | None, pieces: int) -> dict[str, int]:
    """`prompt_tokens` is 0, since the engine tells only its own. Cut at a stop string of the client, pieces count."""
    tokens = generation.tokens if generation else pieces
    return {"prompt_tokens": 0, "completion_tokens": tokens, "total_tokens": tokens}


def _own(generation: Generation) -> dict[str, Any]:
    """What OpenAI's form has no place for."""
    return {
        "adapter": generation.adapter,
        "confidence": generation.confidence,
        "stopped_by": generation.stopped_by,
        "seconds": round(generation.seconds, 3),
    }
