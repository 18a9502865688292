"""Our engine behind OpenAI's chat completions, for a machine of its own: `sahpathi inference`.

POST /v1/chat/completions   answers, streamed or whole
GET  /v1/models             "current" (the promoted adapter), the base model, and every adapter made for it
GET  /healthz               200 when the model is loaded; 503, and it is loaded again, when it is not
"""

from __future__ import annotations

import asyncio
import hmac
import logging
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime
from typing import Any

from fastapi import Depends, FastAPI, Request
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, Response

from inference.adapters import Shelf
from inference.errors import AdapterRefused, InferenceError
from inference.generation import Decoding
from inference.process import EngineProcess
from inference.remote_models import BASE, CURRENT
from inference.remote_wire import OWNER
from inference.server_answer import AnswerResponse, Form
from inference.server_request import ApiError, parsed

logger = logging.getLogger(__name__)

LONGEST_BODY = 1 << 20  # bytes


def create_app(
    engine: EngineProcess, shelf: Shelf, *, base: str, key: str = "", decoding: Decoding | None = None
) -> FastAPI:
    """The application. `base` is the base model's name, `decoding` what a request leaves open.

    With a `key`, every request under /v1 must bring it as a bearer token. Starting and closing the engine is the
    caller's business.
    """
    app = FastAPI(title="Sahpathi inference", docs_url=None, redoc_url=None, openapi_url=None)
    app.add_exception_handler(ApiError, _told)
    app.add_exception_handler(HTTPException, _told_plainly)
    usual = decoding or Decoding()
    models = _Models(engine, shelf, base)
    app.state.models = models  # for who greets
    waking: set[asyncio.Task[None]] = set()
    guarded = [Depends(_guard(key))]

    @app.post("/v1/chat/completions", dependencies=guarded)
    async def chat(request: Request) -> Response:
        asked = parsed(await _read(request))
        pieces = engine.stream(
            asked.turns(),
            decoding=asked.decoding(usual),
            subject=asked.subject,
            adapter=await models.adapter(asked.model),
            conversation=asked.conversation,
        )
        return AnswerResponse(pieces, Form(asked.model, bool(asked.stream), asked.usage_wanted, asked.stops))

    @app.get("/v1/models", dependencies=guarded)
    async def list_models() -> dict[str, Any]:
        return {"object": "list", "data": await models.list()}

    @app.get("/healthz")
    async def health() -> JSONResponse:
        if engine.info is not None:
            return JSONResponse({"status": "ok"})
        if not waking:  # otherwise nobody would: a balancer sends nothing to a server that is not well
            task = asyncio.create_task(_wake(engine))
            waking.add(task)
            task.add_done_callback(waking.discard)
        return JSONResponse({"status": "the model is being loaded"}, 503, {"Retry-After": "5"})

    return app


class _Models:
    """What can be asked for under "model"."""

    def __init__(self, engine: EngineProcess, shelf: Shelf, base: str) -> None:
        self._engine = engine
        self._shelf = shelf
        self._base = base

    async def list(self) -> list[dict[str, Any]]:
        """Those there are, the one for every purpose first. Adapters for other base models are left out."""
        info = self._engine.info
        cards = await asyncio.to_thread(self._shelf.list)
        ours = [card for card in cards if info is None or card.base_sha256 == info.base_sha256]
        adapters = [
            {"id": card.id, "created": _seconds(card.created), "subject": card.subject, "parent": self._base}
            for card in ours
        ]
        named = [{"id": CURRENT, "created": 0}, {"id": self._base, "created": 0}, *adapters]
        return [{"object": "model", "owned_by": OWNER, **model} for model in named]

    async def adapter(self, model: str) -> str:
        """What the engine calls it. Raises ApiError where there is no such model."""
        if model in {CURRENT, BASE}:
            return model
        if model == self._base:
            return BASE
        try:
            return (await asyncio.to_thread(self._shelf.find, model)).id
        except AdapterRefused:
            known = f"there is no model of that name; GET /v1/models lists those there are, {CURRENT!r} among them"
            raise ApiError(404, known, "model_not_found", param="model") from None


def _guard(key: str) -> Callable[[Request], None]:
    wanted = f"Bearer {key}".encode()

    def check(request: Request) -> None:
        given = request.headers.get("authorization", "").encode()
        if key and not hmac.compare_digest(given, wanted):
            raise ApiError(401, "the API key is missing or wrong", "invalid_api_key")

    return check


async def _read(request: Request) -> bytes:
    body = bytearray()
    async for block in request.stream():
        body += block
        if len(body) > LONGEST_BODY:
            raise ApiError(413, f"the body exceeds {LONGEST_BODY} bytes", "request_too_large")
    return bytes(body)


async def _wake(engine: EngineProcess) -> None:
    try:
        await engine.start()
    except InferenceError as error:
        logger.error("the model cannot be loaded: %s", error)  # noqa: TRY400  the message says what to do


def _told(_: Request, error: Exception) -> Response:
    if not isinstance(error, ApiError):
        raise error
    return JSONResponse(error.body, error.status, error.headers)


def _told_plainly(request: Request, error: Exception) -> Response:
    """FastAPI's own errors, such as for an address that there is not, in the same form."""
    if not isinstance(error, HTTPException):
        raise error
    code = {404: "not_found", 405: "method_not_allowed"}.get(error.status_code, "http_error")
    return _told(request, ApiError(error.status_code, str(error.detail), code))


def _seconds(created: str) -> int:
    """Since 1970, as OpenAI's API has it, of an adapter's date in ISO 8601."""
    with suppress(ValueError):
        return int(datetime.fromisoformat(created).timestamp())
    return 0
