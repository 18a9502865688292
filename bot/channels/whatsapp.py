"""WhatsApp through Twilio: signed webhooks in, the REST API out, status callbacks for what became of it."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qs, urlsplit

from starlette.datastructures import ImmutableMultiDict
from twilio.request_validator import RequestValidator

from bot.channels.splitting import split
from bot.channels.text import storable, thumb
from bot.channels.twilio_client import TwilioClient
from bot.errors import ForgedRequest, UnknownShape
from bot.ports import DeliveryState, HttpRequest, Inbound, Kind, Outgoing, StatusUpdate

NAME = "whatsapp"
WEBHOOK_PATH = "/webhooks/whatsapp"
STATUS_PATH = "/webhooks/whatsapp/status"
SIGNATURE_HEADER = "x-twilio-signature"
TEXT_LIMIT = 1600
RECONCILE_WINDOW = timedelta(days=1)

logger = logging.getLogger(__name__)

STATES = {
    "sent": DeliveryState.SENT,
    "delivered": DeliveryState.DELIVERED,
    "read": DeliveryState.READ,
    "failed": DeliveryState.FAILED,
    "undelivered": DeliveryState.FAILED,
    "canceled": DeliveryState.FAILED,
}
ON_ITS_WAY = frozenset({"accepted", "scheduled", "queued", "sending"})


async def _nobody(provider_id: str) -> bool:
    return False


class WhatsAppChannel:
    """Satisfies `ports.Channel` and `ports.Webhook`; `status` reads the callbacks."""

    name = NAME

    def __init__(
        self,
        account_sid: str,
        auth_token: str,
        sender: str,
        *,
        public_url: str,
        api_base: str = "https://api.twilio.com",
        timeout: float = 15.0,
        taken: Callable[[str], Awaitable[bool]] = _nobody,
    ) -> None:
        """`sender` is our own number, "whatsapp:+1...". `timeout` is in seconds.

        `public_url` is the address Twilio knows us by, and signs. `taken` says whether a message's SID is already on
        record for a part of ours: without it `reconcile` could take an earlier reply of the same wording for this one.
        """
        self._client = TwilioClient(account_sid, auth_token, api_base=api_base, timeout=timeout)
        self._validator = RequestValidator(auth_token)
        self._sender = sender
        self._public_url = public_url.rstrip("/")
        self._taken = taken

    async def close(self) -> None:
        await self._client.close()

    # ---- receiving ---------------------------------------------------------------------------------------------

    def receive(self, request: HttpRequest) -> list[Inbound]:
        """See `ports.Webhook`."""
        self._verify(request)
        form = dict(request.form)
        sid, address = form.get("MessageSid", ""), form.get("From", "")
        if not sid or "Body" not in form:
            raise UnknownShape("no_message")
        if not address.startswith("whatsapp:"):
            raise UnknownShape("not_whatsapp")
        kind, text = _content(form)
        return [Inbound(NAME, sid, address, kind, text)]

    def status(self, request: HttpRequest) -> StatusUpdate | None:
        """A report on one of our parts; None while it says only that the part is on its way.

        Raises ForgedRequest or UnknownShape.
        """
        self._verify(request)
        form = dict(request.form)
        sid, status = form.get("MessageSid", ""), form.get("MessageStatus", "")
        if sid and status in ON_ITS_WAY:
            return None
        if not sid or status not in STATES:
            raise UnknownShape("status")
        part = parse_qs(urlsplit(request.path_query).query).get("part", [""])[0]
        outbox_id = int(part) if part.isascii() and part.isdigit() else None
        return StatusUpdate(sid, STATES[status], outbox_id, form.get("ErrorCode", ""))

    def _verify(self, request: HttpRequest) -> None:
        """Raises ForgedRequest. What is signed is our public address, not the host that a proxy or a caller shows."""
        url = self._public_url + request.path_query
        fields = ImmutableMultiDict(list(request.form))
        if not self._validator.validate(url, fields, request.headers.get(SIGNATURE_HEADER, "")):
            raise ForgedRequest("whatsapp: wrong or missing signature")

    # ---- sending -----------------------------------------------------------------------------------------------

    def split(self, text: str) -> list[str]:
        """See `ports.Channel`."""
        return split(text, TEXT_LIMIT)

    async def send(self, part: Outgoing) -> str:
        """See `ports.Channel`."""
        callback = f"{self._public_url}{STATUS_PATH}?part={part.id}"
        return await self._client.send(self._sender, part.address, part.text, callback)

    async def reconcile(self, part: Outgoing) -> str | None:
        """Look for the part among the latest messages to the student: same words, not on record for another part.

        Raises TransientError or PermanentError.
        """
        since = datetime.now(UTC) - RECONCILE_WINDOW
        for message in await self._client.latest(self._sender, part.address):
            if message.body == part.text and message.created >= since and not await self._taken(message.sid):
                logger.info("part %d: found at the provider", part.id)
                return message.sid
        return None

    async def typing(self, address: str) -> None:
        """Twilio offers no typing sign for a message sent later."""


def _content(form: Mapping[str, str]) -> tuple[Kind, str]:
    if form.get("NumMedia", "0") not in {"", "0"}:
        return Kind.UNSUPPORTED, _media_name(form.get("MediaContentType0", ""))
    if form.get("Latitude"):
        return Kind.UNSUPPORTED, "location"
    payload = form.get("ButtonPayload", "")
    text = storable(payload if payload.startswith("/") else form.get("ButtonText") or form["Body"]).strip()
    if not text:
        return Kind.UNSUPPORTED, "other"
    if text.startswith("/"):
        return Kind.COMMAND, text
    rating = thumb(text)
    return (Kind.FEEDBACK, rating) if rating else (Kind.TEXT, text)


def _media_name(content_type: str) -> str:
    """Our name for a media type such as image/jpeg. WhatsApp's stickers are WebP, which its photos never are."""
    kind, _, subtype = content_type.lower().partition(";")[0].strip().partition("/")
    if subtype == "webp":
        return "sticker"
    if "vcard" in subtype:
        return "contact"
    names = {"image": "photo", "audio": "voice", "video": "video", "application": "document", "text": "document"}
    return names.get(kind, "other")
