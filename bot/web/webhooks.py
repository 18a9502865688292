"""Where the providers call us. Verify, parse, commit, answer; no model is ever asked here.

A shape we do not know is answered 200 and counted, or its provider would deliver it again for ever.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Protocol, TypeVar
from urllib.parse import parse_qsl

from fastapi import APIRouter, BackgroundTasks, HTTPException, Request, Response

from bot.errors import ForgedRequest, TransientError, UnknownShape
from bot.ports import HttpRequest, Inbound, Kind, StatusUpdate, Webhook

logger = logging.getLogger(__name__)

TELEGRAM = "/webhooks/telegram"
WHATSAPP = "/webhooks/whatsapp"
WHATSAPP_STATUS = "/webhooks/whatsapp/status"
CLOUD = "/webhooks/cloud"
LARGEST_BODY = 1024 * 1024  # bytes
MOST_FIELDS = 1000
PRESSED = frozenset({Kind.FEEDBACK, Kind.COMMAND})  # what a button may have sent
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


class CloudWebhook(Webhook, Protocol):
    """A webhook that brings messages and reports, and is asked once whether it is ours."""

    def challenge(self, query: Mapping[str, str]) -> str:
        """What to answer. Raises ForgedRequest or UnknownShape."""
        ...

    def statuses(self, request: HttpRequest) -> list[StatusUpdate]:
        """Verify and parse. Raises ForgedRequest or UnknownShape."""
        ...


@dataclass(frozen=True, slots=True)
class Intake:
    """What is done with what arrives. `accept` returns after the commit; `unknown` counts what we cannot read.

    What `accept` raises becomes a 500, so that the provider delivers the message again.
    """

    accept: Accept
    status: Callable[[StatusUpdate], Awaitable[bool]]
    unknown: CountUnknown


def routes(
    intake: Intake,
    *,
    telegram: TelegramWebhook | None,
    whatsapp: WhatsAppWebhook | None,
    cloud: CloudWebhook | None,
) -> APIRouter:
    """The addresses of every provider; those that are not configured answer 404."""
    router = APIRouter(tags=["webhooks"])
    _add_telegram(router, intake, telegram)
    _add_whatsapp(router, intake, whatsapp)
    _add_cloud(router, intake, cloud)
    return router


def _add_telegram(router: APIRouter, intake: Intake, telegram: TelegramWebhook | None) -> None:
    @router.post(TELEGRAM)
    async def telegram_update(request: Request, afterwards: BackgroundTasks) -> Response:
        channel = _configured(telegram, "Telegram")
        seen = await _read(request, TELEGRAM)
        messages = _verified("telegram", lambda: channel.receive(seen), intake.unknown) or []
        for message in messages:
            await intake.accept(message)
        if any(message.kind in PRESSED for message in messages):
            afterwards.add_task(channel.acknowledge, seen)
        return Response()


def _add_whatsapp(router: APIRouter, intake: Intake, whatsapp: WhatsAppWebhook | None) -> None:
    @router.post(WHATSAPP)
    async def whatsapp_message(request: Request) -> Response:
        channel = _configured(whatsapp, "WhatsApp")
        seen = await _read(request, WHATSAPP)
        for message in _verified("whatsapp", lambda: channel.receive(seen), intake.unknown) or []:
            await intake.accept(message)
        return Response(EMPTY_TWIML, media_type="application/xml")

    @router.post(WHATSAPP_STATUS)
    async def whatsapp_status(request: Request) -> Response:
        channel = _configured(whatsapp, "WhatsApp")
        seen = await _read(request, WHATSAPP_STATUS)
        report = _verified("whatsapp", lambda: channel.status(seen), intake.unknown)
        if report is not None and not await intake.status(report):
            logger.info("whatsapp: a report on a part that is not ours")
        return Response(status_code=204)


def _add_cloud(router: APIRouter, intake: Intake, cloud: CloudWebhook | None) -> None:
    @router.get(CLOUD)
    async def cloud_challenge(request: Request) -> Response:
        channel = _configured(cloud, "WhatsApp's Cloud API")
        answer = _verified("cloud", lambda: channel.challenge(request.query_params), intake.unknown)
        if answer is None:
            raise HTTPException(400, "this is not the question that Meta asks")
        return Response(answer, media_type="text/plain")

    @router.post(CLOUD)
    async def cloud_update(request: Request) -> Response:
        channel = _configured(cloud, "WhatsApp's Cloud API")
        seen = await _read(request, CLOUD)
        messages = _verified("cloud", lambda: channel.receive(seen), intake.unknown)
        for message in messages or []:
            await intake.accept(message)
        count = intake.unknown if messages is not None else _counted  # what neither can read is counted once
        for report in _verified("cloud", lambda: channel.statuses(seen), count) or []:
            if not await intake.status(report):
                logger.info("cloud: a report on a part that is not ours")
        return Response()


def _counted(channel: str, kind: str) -> None:
    """Nothing more to count."""


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
