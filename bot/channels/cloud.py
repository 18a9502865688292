"""WhatsApp through Meta's own Cloud API, for those without Twilio: signed JSON webhooks in, text and buttons out."""

from __future__ import annotations

import hashlib
import hmac
import json
import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from bot.channels.cloud_client import OUTSIDE_WINDOW, UNWANTED, CloudClient
from bot.channels.readable import readable
from bot.channels.splitting import split
from bot.channels.text import storable
from bot.channels.whatsapp import WORDS
from bot.choices import Understood, numbered, understood
from bot.errors import ForgedRequest, UnknownShape
from bot.ports import Choice, DeliveryState, HttpRequest, Inbound, Kind, Outgoing, StatusUpdate

NAME = "cloud"
WEBHOOK_PATH = "/webhooks/cloud"
SIGNATURE_HEADER = "x-hub-signature-256"
TEXT_LIMIT = 1024  # of a text with buttons; without, 4,096 would do, but which part gets the buttons is not known yet
MOST_BUTTONS, BUTTON_TITLE = 3, 20
MOST_ROWS, ROW_TITLE = 10, 24
OPEN_LIST = "☰"  # on the button that unfolds a list
INVITATION = "invitation"  # comes back with the states of one, where an outbox's id would

logger = logging.getLogger(__name__)

STATES = {
    "sent": DeliveryState.SENT,
    "delivered": DeliveryState.DELIVERED,
    "read": DeliveryState.READ,
    "played": DeliveryState.READ,
    "failed": DeliveryState.FAILED,
}
MEDIA = {
    "image": "photo", "audio": "voice", "video": "video", "document": "document", "sticker": "sticker",
    "location": "location", "contacts": "contact",
}  # fmt: skip

T = TypeVar("T")


class CloudChannel:
    """Satisfies `ports.Channel` and `ports.Webhook`; `statuses` reads what became of our messages."""

    name = NAME
    asks_consent = True
    has_buttons = False  # three, or a list of ten; beyond that a number picks, and may do so always

    def __init__(
        self,
        phone_number_id: str,
        access_token: str,
        *,
        app_secret: str,
        verify_token: str,
        api_base: str = "https://graph.facebook.com",
        template: str | None = None,
        template_language: str = "en",
        timeout: float = 15.0,
    ) -> None:
        """`app_secret` signs what Meta sends; `verify_token` is asked for once, when the webhook is set up.

        `template` is the name of what `invite` sends. `timeout` is in seconds.
        """
        self._client = CloudClient(phone_number_id, access_token, api_base=api_base, timeout=timeout)
        self._app_secret = app_secret.encode()
        self._verify_token = verify_token.encode()
        self._template = template
        self._template_language = template_language

    async def close(self) -> None:
        await self._client.close()

    # ---- receiving ---------------------------------------------------------------------------------------------

    def challenge(self, query: Mapping[str, str]) -> str:
        """What to answer to Meta's question whether the address is ours. Raises ForgedRequest, UnknownShape."""
        if query.get("hub.mode") != "subscribe" or "hub.challenge" not in query:
            raise UnknownShape("challenge")
        if not hmac.compare_digest(query.get("hub.verify_token", "").encode(), self._verify_token):
            raise ForgedRequest("cloud: wrong verify token")
        return query["hub.challenge"]

    def receive(self, request: HttpRequest) -> list[Inbound]:
        """See `ports.Webhook`. One webhook may carry several messages, or none but statuses."""
        messages = [message for value in self._values(request) for message in _listed(value, "messages")]
        return [inbound for inbound in _each(messages, _inbound) if inbound is not None]

    def statuses(self, request: HttpRequest) -> list[StatusUpdate]:
        """The reports in a webhook. Raises ForgedRequest or UnknownShape."""
        statuses = [status for value in self._values(request) for status in _listed(value, "statuses")]
        return [report for report in _each(statuses, _report) if report is not None]

    def _values(self, request: HttpRequest) -> list[dict[str, Any]]:
        signature = "sha256=" + hmac.new(self._app_secret, request.body, hashlib.sha256).hexdigest()
        if not hmac.compare_digest(request.headers.get(SIGNATURE_HEADER, "").encode(), signature.encode()):
            raise ForgedRequest("cloud: wrong or missing signature")
        try:
            return _each(_changes(json.loads(request.body)), _value)
        except (ValueError, RecursionError):
            raise UnknownShape("malformed") from None

    # ---- sending -----------------------------------------------------------------------------------------------

    def split(self, text: str) -> list[str]:
        """See `ports.Channel`."""
        return split(readable(text), TEXT_LIMIT)

    async def send(self, part: Outgoing) -> str:
        """See `ports.Channel`. The outbox's id comes back with each status.

        Raises OutsideWindow 24 hours after the student's last message.
        """
        return await self._client.send(_envelope(part.address, str(part.id)) | _content(part))

    async def invite(self, address: str) -> bool:
        """See `ports.Channel`. By the template; False where none is configured."""
        if self._template is None:
            return False
        template = {"name": self._template, "language": {"code": self._template_language}}
        await self._client.send(_envelope(address, INVITATION) | {"type": "template", "template": template})
        return True

    async def reconcile(self, part: Outgoing) -> str | None:
        """Nobody can tell: the API does not list what was sent. A status that arrived first has settled the part."""
        return None

    async def mark(self, part: Outgoing, provider_id: str, command: str) -> bool:
        """A message that was sent stays as it is."""
        return False

    async def typing(self, address: str, asked: str) -> None:
        """See `ports.Channel`. Marks the question as read, too."""
        await self._client.typing(asked)

    async def preview(self, address: str, number: int, text: str) -> bool:
        """WhatsApp shows finished messages only."""
        return False


def _each(items: Sequence[object], read: Callable[[object], T]) -> list[T]:
    """What can be read. Raises UnknownShape where nothing can: one strange item must not cost the others."""
    found: list[T] = []
    unknown: UnknownShape | None = None
    for item in items:
        try:
            found.append(read(item))
        except UnknownShape as shape:
            unknown = shape
    if unknown is not None and not found:
        raise unknown
    return found


def _changes(payload: object) -> list[object]:
    match payload:
        case {"object": "whatsapp_business_account", "entry": list(entries)}:
            return [change for entry in entries if isinstance(entry, dict) for change in _listed(entry, "changes")]
        case _:
            raise UnknownShape("not_whatsapp")


def _listed(value: Mapping[str, Any], name: str) -> list[object]:
    """The array of that name, empty where there is none."""
    found = value.get(name)
    return found if isinstance(found, list) else []


def _value(change: object) -> dict[str, Any]:
    match change:
        case {"field": "messages", "value": dict(value)}:
            return value
        case {"field": str(field)}:
            raise UnknownShape(field[:40])
        case _:
            raise UnknownShape("change")


def _inbound(message: object) -> Inbound | None:
    match message:
        case {"id": str(message_id), "from": str(sender), "type": str(kind), **fields}:
            pass
        case {"id": str(message_id), "from_user_id": str(sender), "type": str(kind), **fields}:
            pass  # the student has a user name, which hides the number
        case _:
            raise UnknownShape("message")
    content = None if "group_id" in fields else _understood(kind, fields)  # a group talks among itself
    return Inbound(NAME, message_id, sender, *content) if content else None


def _understood(kind: str, fields: Mapping[object, Any]) -> Understood | None:
    """None for what nobody waits for an answer to."""
    match kind, fields:
        case "text", {"text": {"body": str(text)}}:
            return _said(text)
        case "interactive", {"interactive": {"button_reply": {"id": str(command)}}}:
            return _said(command)
        case "interactive", {"interactive": {"list_reply": {"id": str(command)}}}:
            return _said(command)
        case "button", {"button": {"payload": str(payload), "text": str(text)}}:
            return _said(payload if payload.startswith("/") else text)
        case "reaction", {"reaction": reaction}:
            rated = understood(str(reaction.get("emoji", ""))) if isinstance(reaction, dict) else None
            return rated if rated and rated[0] is Kind.FEEDBACK else None
        case "request_welcome", _:  # the chat was opened for the first time
            return Kind.COMMAND, "/start", None
        case ("system" | "edit" | "revoke", _) | ("unsupported", {"unsupported": {"type": "edit"}}):
            return None
        case _:
            return Kind.UNSUPPORTED, MEDIA.get(kind, "other"), None


def _said(text: str) -> Understood:
    words = storable(text).strip()
    return understood(WORDS.get(words.casefold(), words)) if words else (Kind.UNSUPPORTED, "other", None)


def _report(status: object) -> StatusUpdate | None:
    """None for a report on an invitation, which is no part of a reply."""
    match status:
        case {"id": str(message_id), "status": str(state), **fields} if state in STATES:
            ours = str(fields.get("biz_opaque_callback_data", ""))
            errors = fields.get("errors")
            code = str(errors[0].get("code", "")) if isinstance(errors, list) and errors else ""
            if ours == INVITATION:
                if STATES[state] is DeliveryState.FAILED:
                    logger.warning("cloud: the template was not delivered (error %s); Meta must have approved it", code)
                return None
            outbox_id = int(ours) if ours.isascii() and ours.isdigit() else None
            number = int(code) if code.isascii() and code.isdigit() else None
            return StatusUpdate(
                message_id, STATES[state], outbox_id, code,
                outside_window=number == OUTSIDE_WINDOW, unwanted=number in UNWANTED,
            )  # fmt: skip
        case _:
            raise UnknownShape("status")


def _envelope(address: str, data: str) -> dict[str, Any]:
    """`data` comes back with each status. An address is a number, or the id of a user whose number is hidden."""
    whom = "recipient" if "." in address else "to"
    return {"recipient_type": "individual", whom: address, "biz_opaque_callback_data": data}


def _content(part: Outgoing) -> dict[str, Any]:
    """The part as buttons, as a list, or as text with numbers, whichever holds its choices."""
    if not part.choices or len(part.choices) > MOST_ROWS:
        return {"type": "text", "text": {"body": numbered(part), "preview_url": False}}
    few = len(part.choices) <= MOST_BUTTONS and all(len(one.label) <= BUTTON_TITLE for one in part.choices)
    action = _buttons(part.choices) if few else _list(part.choices)
    kind = "button" if few else "list"
    return {"type": "interactive", "interactive": {"type": kind, "body": {"text": part.text}, "action": action}}


def _buttons(choices: tuple[Choice, ...]) -> dict[str, Any]:
    return {"buttons": [{"type": "reply", "reply": {"id": one.command, "title": one.label}} for one in choices]}


def _list(choices: tuple[Choice, ...]) -> dict[str, Any]:
    rows = [{"id": one.command, "title": one.label[:ROW_TITLE]} for one in choices]
    return {"button": OPEN_LIST, "sections": [{"rows": rows}]}
