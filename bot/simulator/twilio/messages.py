"""Message resources: kept, listed, and written as Twilio documents them."""

from __future__ import annotations

import uuid
from collections import OrderedDict, defaultdict, deque
from collections.abc import Iterator, Reversible
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import format_datetime
from itertools import islice
from urllib.parse import urlencode

from bot.simulator.config import Json

MOST_MESSAGES = 50_000
MOST_TO_ONE = 500
API_VERSION = "2010-04-01"
DEFAULT_PAGE = 50


def _now() -> datetime:
    return datetime.now(UTC)


@dataclass(slots=True)
class Message:
    """One message, sent or received. `callback` is not part of the resource."""

    account: str
    sid: str
    sender: str
    to: str
    body: str
    inbound: bool = False
    status: str = "queued"
    callback: str = ""
    media: int = 0
    service: str | None = None
    error_code: int | None = None
    error_message: str | None = None
    created: datetime = field(default_factory=_now)
    updated: datetime = field(default_factory=_now)
    sent: datetime | None = None

    def become(self, status: str) -> None:
        self.status, self.updated = status, _now()
        if status == "sent":
            self.sent = self.updated

    def resource(self) -> Json:
        uri = f"/{API_VERSION}/Accounts/{self.account}/Messages/{self.sid}"
        return {
            "account_sid": self.account,
            "api_version": API_VERSION,
            "body": self.body,
            "date_created": format_datetime(self.created),
            "date_sent": format_datetime(self.sent) if self.sent else None,
            "date_updated": format_datetime(self.updated),
            "direction": "inbound" if self.inbound else "outbound-api",
            "error_code": self.error_code,
            "error_message": self.error_message,
            "from": self.sender,
            "messaging_service_sid": self.service,
            "num_media": str(self.media),
            "num_segments": "1",
            "price": None,
            "price_unit": None,
            "sid": self.sid,
            "status": self.status,
            "subresource_uris": {"media": f"{uri}/Media.json"},
            "to": self.to,
            "uri": f"{uri}.json",
        }


class Messages:
    """The latest messages, by SID and by the number they went to."""

    def __init__(self) -> None:
        self._all: OrderedDict[str, Message] = OrderedDict()
        self._to: defaultdict[str, deque[Message]] = defaultdict(lambda: deque(maxlen=MOST_TO_ONE))

    def add(self, message: Message) -> None:
        self._all[message.sid] = message
        self._to[message.to].append(message)
        if len(self._all) > MOST_MESSAGES:
            _, oldest = self._all.popitem(last=False)
            kept = self._to[oldest.to]
            if kept and kept[0] is oldest:
                kept.popleft()
            if not kept:
                del self._to[oldest.to]

    def find(self, sid: str) -> Message | None:
        return self._all.get(sid)

    def clear(self) -> None:
        self._all.clear()
        self._to.clear()

    def page(self, account: str, params: Json) -> Json:
        """One page of the list, as its parameters want it."""
        size, page = int(params.get("PageSize", DEFAULT_PAGE)), int(params.get("Page", 0))
        wanted = list(islice(self._latest(params), page * size, (page + 1) * size + 1))
        path = f"/{API_VERSION}/Accounts/{account}/Messages.json"

        def uri(number: int) -> str:
            return f"{path}?{urlencode(params | {'PageSize': size, 'Page': number})}"

        return {
            "messages": [message.resource() for message in wanted[:size]],
            "page": page,
            "page_size": size,
            "start": page * size,
            "end": page * size + min(len(wanted), size) - 1,
            "uri": uri(page),
            "first_page_uri": uri(0),
            "previous_page_uri": uri(page - 1) if page else None,
            "next_page_uri": uri(page + 1) if len(wanted) > size else None,
        }

    def _latest(self, params: Json) -> Iterator[Message]:
        """Newest first, filtered as the list's parameters say."""
        wanted: Reversible[Message] = self._to.get(params["To"], ()) if "To" in params else self._all.values()
        for message in reversed(wanted):
            if params.get("From", message.sender) == message.sender and _sent_then(message, params):
                yield message


def _sent_then(message: Message, params: Json) -> bool:
    day = (message.sent or message.created).date().isoformat()
    on, until, since = (str(params.get(name, day))[:10] for name in ("DateSent", "DateSent<", "DateSent>"))
    return on == day and since <= day <= until


def new_sid(prefix: str) -> str:
    return prefix + uuid.uuid4().hex
