"""WhatsApp through Twilio: signed webhooks in, the REST API out, status callbacks for what became of it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qs, urlsplit

from starlette.datastructures import ImmutableMultiDict
from twilio.request_validator import RequestValidator

from bot.channels.readable import readable
from bot.channels.splitting import split
from bot.channels.text import storable
from bot.channels.twilio_client import API_BASE, OUTSIDE_WINDOW, UNWANTED, TwilioClient
from bot.channels.twilio_media import Media, TwilioMedia
from bot.channels.twilio_missed import Accept, catch_up
from bot.channels.twilio_setup import address_trouble, forgery_hint, known_account, ready
from bot.choices import Understood, numbered, understood
from bot.errors import ForgedRequest, OutsideWindow, UnknownShape
from bot.ports import DeliveryState, HttpRequest, Inbound, Kind, Outgoing, StatusUpdate

NAME = "whatsapp"
WEBHOOK_PATH = "/webhooks/whatsapp"
STATUS_PATH = "/webhooks/whatsapp/status"
INVITATION_PATH = f"{STATUS_PATH}?invitation=1"
SIGNATURE_HEADER = "x-twilio-signature"
TEXT_LIMIT = 1600
ROOM_FOR_CHOICES = 400
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
# What WhatsApp's users have learnt to write to businesses.
WORDS = {"stop": "/stop", "unsubscribe": "/stop", "start": "/start", "unstop": "/start"}
ON_ITS_WAY = frozenset({"accepted", "scheduled", "queued", "sending"})


async def _nobody(provider_id: str) -> bool:
    return False


class WhatsAppChannel:
    """Satisfies `ports.Channel` and `ports.Webhook`; `status` reads the callbacks."""

    name = NAME
    asks_consent = True
    has_buttons = False  # they would need a template approved beforehand for each set of choices

    def __init__(
        self,
        account_sid: str,
        auth_token: str,
        sender: str,
        *,
        public_url: str,
        api_base: str = API_BASE,
        template_sid: str | None = None,
        timeout: float = 15.0,
        backoff: float = 1.0,
        taken: Callable[[str], Awaitable[bool]] = _nobody,
    ) -> None:
        """`sender` is our own number, "whatsapp:+1...". `timeout` and `backoff` are in seconds.

        `public_url` is the address Twilio knows us by, and signs. `template_sid` is what `invite` sends. `taken` says
        whether a message's SID is already on record for a part of ours: without it `reconcile` could take an earlier
        reply of the same wording for this one.
        """
        self._client = TwilioClient(account_sid, auth_token, api_base=api_base, timeout=timeout)
        self._media = TwilioMedia(account_sid, auth_token, api_base=api_base)
        self._validator = RequestValidator(auth_token)
        self._sender = sender
        self._public_url = public_url.rstrip("/")
        self._api_base = api_base
        self._template_sid = template_sid
        self._backoff = backoff
        self._taken = taken
        self._hinted: set[bool] = set()  # of the requests that were signed wrongly, of those not signed at all

    # ---- life --------------------------------------------------------------------------------------------------

    async def started(self, stop: asyncio.Event) -> None:
        """Say whether Twilio can reach us and takes our credentials, asking until it can be reached or `stop` is set.

        Raises SettingsError.
        """
        trouble = address_trouble(self._public_url, self._api_base)
        if trouble:
            logger.error("whatsapp: %s", trouble)
        account = await known_account(self._client, stop, self._backoff)
        if account is not None:
            logger.info("%s", ready(account, self._sender, "" if trouble else self._public_url + WEBHOOK_PATH))

    async def close(self) -> None:
        await self._client.close()
        await self._media.close()

    # ---- receiving ---------------------------------------------------------------------------------------------

    def receive(self, request: HttpRequest) -> list[Inbound]:
        """See `ports.Webhook`."""
        self._verify(request)
        return [_inbound(dict(request.form))]

    async def listen(self, accept: Accept, stop: asyncio.Event, *, every: float) -> None:
        """`started`, and then `catch_up`. Raises SettingsError."""
        await self.started(stop)
        await self.catch_up(accept, stop, every=every)

    async def catch_up(self, accept: Accept, stop: asyncio.Event, *, every: float) -> None:
        """Take up what was written while Twilio could not reach us, now and again (seconds), until `stop` is set."""
        await catch_up(self._client, self._sender, _inbound, accept, stop, every=every)

    def status(self, request: HttpRequest) -> StatusUpdate | None:
        """A report on one of our parts; None while it says only that the part is on its way, or is on an invitation.

        Raises ForgedRequest or UnknownShape.
        """
        self._verify(request)
        form = dict(request.form)
        sid, status, code = (form.get(name, "") for name in ("MessageSid", "MessageStatus", "ErrorCode"))
        if sid and status in ON_ITS_WAY:
            return None
        if not sid or status not in STATES:
            raise UnknownShape("status")
        query = parse_qs(urlsplit(request.path_query).query)
        state = STATES[status]
        if "invitation" in query:
            if state is DeliveryState.FAILED:
                logger.warning("whatsapp: the template was not delivered (error %s); Meta must have approved it", code)
            return None
        part = query.get("part", [""])[0]
        outbox_id = int(part) if part.isascii() and part.isdigit() else None
        number = int(code) if code.isascii() and code.isdigit() else 0
        return StatusUpdate(
            sid, state, outbox_id, code, outside_window=number == OUTSIDE_WINDOW, unwanted=number in UNWANTED
        )

    def _verify(self, request: HttpRequest) -> None:
        """Raises ForgedRequest. What is signed is our public address, not the host that a proxy or a caller shows."""
        url = self._public_url + request.path_query
        fields = ImmutableMultiDict(list(request.form))
        shown = request.headers.get(SIGNATURE_HEADER, "")
        if self._validator.validate(url, fields, shown):
            return
        if bool(shown) not in self._hinted:
            self._hinted.add(bool(shown))
            hint = forgery_hint(self._validator, self._public_url, request, shown)
            logger.warning("whatsapp: a request's signature is wrong: %s", hint)
        raise ForgedRequest("whatsapp: wrong or missing signature")

    async def fetch(self, url: str) -> Media:
        """The photo or voice note at a message's MediaUrl. Raises TransientError or PermanentError."""
        return await self._media.fetch(url)

    # ---- sending -----------------------------------------------------------------------------------------------

    def split(self, text: str) -> list[str]:
        """See `ports.Channel`. Leaves room for what `numbered` adds."""
        return split(readable(text), TEXT_LIMIT - ROOM_FOR_CHOICES)

    async def send(self, part: Outgoing) -> str:
        """See `ports.Channel`. Raises OutsideWindow 24 hours after the student's last message."""
        callback = f"{self._public_url}{STATUS_PATH}?part={part.id}"
        return await self._client.send(self._sender, part.address, numbered(part), callback)

    async def invite(self, address: str) -> bool:
        """See `ports.Channel`. By the template; False where none is configured."""
        if self._template_sid is None:
            return False
        callback = self._public_url + INVITATION_PATH
        await self._client.send_template(self._sender, address, self._template_sid, callback)
        return True

    async def reconcile(self, part: Outgoing) -> str | None:
        """Look for the part among the latest messages to the student: same words, not on record for another part.

        Raises TransientError or PermanentError; OutsideWindow when the message that is found failed for that.
        """
        since = datetime.now(UTC) - RECONCILE_WINDOW
        for message in await self._client.latest(self._sender, part.address):
            if message.body == numbered(part) and message.created >= since and not await self._taken(message.sid):
                if message.error == OUTSIDE_WINDOW:
                    raise OutsideWindow(f"Twilio reports error {OUTSIDE_WINDOW}", code=str(OUTSIDE_WINDOW))
                logger.info("part %d: found at the provider", part.id)
                return message.sid
        return None

    async def mark(self, part: Outgoing, provider_id: str, command: str) -> bool:
        """A message that was sent stays as it is."""
        return False

    async def typing(self, address: str, asked: str) -> None:
        """Twilio offers no typing sign for a message sent later."""

    async def preview(self, address: str, number: int, text: str) -> bool:
        """WhatsApp shows finished messages only."""
        return False


def _inbound(form: Mapping[str, str]) -> Inbound:
    """A message by its fields. Raises UnknownShape."""
    sid, address = form.get("MessageSid", ""), form.get("From", "")
    if not sid or "Body" not in form:
        raise UnknownShape("no_message")
    if not address.startswith("whatsapp:"):
        raise UnknownShape("not_whatsapp")
    kind, text, answer_id = _content(form)
    return Inbound(NAME, sid, address, kind, text, answer_id)


def _content(form: Mapping[str, str]) -> Understood:
    if form.get("NumMedia", "0") not in {"", "0"}:
        return Kind.UNSUPPORTED, _media_name(form.get("MediaContentType0", "")), None
    if form.get("Latitude"):
        return Kind.UNSUPPORTED, "location", None
    payload = form.get("ButtonPayload", "")
    text = storable(payload if payload.startswith("/") else form.get("ButtonText") or form["Body"]).strip()
    return understood(WORDS.get(text.casefold(), text)) if text else (Kind.UNSUPPORTED, "other", None)


def _media_name(content_type: str) -> str:
    """Our name for a media type such as image/jpeg. WhatsApp's stickers are WebP, which its photos never are."""
    kind, _, subtype = content_type.lower().partition(";")[0].strip().partition("/")
    if subtype == "webp":
        return "sticker"
    if "vcard" in subtype:
        return "contact"
    names = {"image": "photo", "audio": "voice", "video": "video", "application": "document", "text": "document"}
    return names.get(kind, "other")
