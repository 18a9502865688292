"""Where the providers call us. Verify, parse, commit, answer; no model is ever asked here.

A shape we do not know is answered 200 and counted, or its provider would deliver it again for ever.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from typing import Protocol, TypeVar
from urllib.parse import parse_qsl

from fastapi import APIRouter, BackgroundTasks, HTTPException, Request, Response

from bot.errors import ForgedRequest, TransientError, UnknownShape
from bot.ports import HttpRequest, Inbound, Kind, StatusUpdate, Webhook

logger = logging.getLogger(__name__)

TELEGRAM = "/webhooks/telegram"
WHATSAPP = "/webhooks/whatsapp"
WHATSAPP_STATUS = "/webhooks/whatsapp/status"
LARGEST_BODY = 1024 * 1024  # bytes
MOST_FIELDS = 1000
EMPTY_TWIML = '<?xml version="1.0" encoding="UTF-8"?><Response/>'  # "nothing to say at once": the reply is sent later

Accept = Callable[[Inbound], Awaitable[object]]
CountUnknown = Callable[[str, str], None]
C = TypeVar("C")
R = TypeVar("R")


class TelegramWebhook(Webhook, Protocol):
    """A webhook with button presses to be acknowledged once they are stored."""

    async def acknowledge(self, request: HttpRequest) -> None: ...


class WhatsAppWebhook(Webhook, Protocol):
    """A webhook with a second address for reports on what we sent."""

    def status(self, request: HttpRequest) -> StatusUpdate | None:
        """Verify and parse. Raises ForgedRequest or UnknownShape; None is a report that changes nothing."""
        ...


def routes(
    *,
    accept: Accept,
    status: Callable[[StatusUpdate], Awaitable[bool]],
    telegram: TelegramWebhook | None,
    whatsapp: WhatsAppWebhook | None,
    unknown: CountUnknown,
) -> APIRouter:
    """The three routes. `accept` returns after the commit; `unknown(channel, kind)` counts what we cannot read.

    What `accept` raises becomes a 500, so that the provider delivers the message again.
    """
    router = APIRouter(tags=["webhooks"])

    @router.post(TELEGRAM)
    async def telegram_update(request: Request, afterwards: BackgroundTasks) -> Response:
        channel = _configured(telegram, "Telegram")
        seen = await _read(request, TELEGRAM)
        messages = _verified("telegram", lambda: channel.receive(seen), unknown) or []
        for message in messages:
            await accept(message)
        if any(message.kind is Kind.FEEDBACK for message in messages):
            afterwards.add_task(channel.acknowledge, seen)
        return Response()

    @router.post(WHATSAPP)
    async def whatsapp_message(request: Request) -> Response:
        channel = _configured(whatsapp, "WhatsApp")
        seen = await _read(request, WHATSAPP)
        for message in _verified("whatsapp", lambda: channel.receive(seen), unknown) or []:
            await accept(message)
        return Response(EMPTY_TWIML, media_type="application/xml")

    @router.post(WHATSAPP_STATUS)
    async def whatsapp_status(request: Request) -> Response:
        channel = _configured(whatsapp, "WhatsApp")
        seen = await _read(request, WHATSAPP_STATUS)
        report = _verified("whatsapp", lambda: channel.status(seen), unknown)
        if report is not None and not await status(report):
            logger.info("whatsapp: a report on a part that is not ours")
        return Response(status_code=204)

    return router


def _configured(channel: C | None, name: str) -> C:
    if channel is None:
        raise HTTPException(404, f"{name} is not configured on this server")
    return channel


def _verified(channel: str, parse: Callable[[], R], unknown: CountUnknown) -> R | None:
    """What `parse` returns, None for a shape we do not know; a forged request ends here."""
    try:
        return parse()
    except ForgedRequest as error:
        logger.warning("%s", error)
        raise HTTPException(403, "signature or secret is wrong or missing") from None
    except UnknownShape as shape:
        unknown(channel, shape.kind)
        return None
    except TransientError as error:
        raise HTTPException(503, str(error), headers={"Retry-After": "5"}) from None


async def _read(request: Request, path: str) -> HttpRequest:
    """The request as channels take it. `path` is our own, whatever prefix a proxy or a mount has put before it."""
    body = await _body(request)
    query = request.scope["query_string"].decode("latin-1")
    return HttpRequest(
        path_query=f"{path}?{query}" if query else path,
        headers=dict(request.headers),
        body=body,
        form=_fields(body) if _is_form(request) else (),
    )


async def _body(request: Request) -> bytes:
    """Read no more than is allowed, whatever length was announced."""
    pieces, size = [], 0
    async for piece in request.stream():
        size += len(piece)
        if size > LARGEST_BODY:
            raise HTTPException(413, f"a webhook may be at most {LARGEST_BODY} bytes long")
        pieces.append(piece)
    return b"".join(pieces)


def _is_form(request: Request) -> bool:
    return request.headers.get("content-type", "").partition(";")[0].strip() == "application/x-www-form-urlencoded"


def _fields(body: bytes) -> tuple[tuple[str, str], ...]:
    """All fields in order, empty and repeated ones too: the signature covers them."""
    try:
        text = body.decode("ascii")
        return tuple(parse_qsl(text, keep_blank_values=True, max_num_fields=MOST_FIELDS))
    except ValueError:
        raise HTTPException(400, "the form cannot be read") from None
