"""Twilio's REST API through its own asynchronous client, in our terms."""

from __future__ import annotations

import asyncio
import base64
import logging
from collections.abc import Awaitable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, TypeVar

import aiohttp
from twilio.auth_strategy.auth_strategy import AuthStrategy
from twilio.auth_strategy.auth_type import AuthType
from twilio.base.exceptions import TwilioException, TwilioRestException, TwilioServiceException
from twilio.credential.credential_provider import CredentialProvider
from twilio.http.async_http_client import AsyncTwilioHttpClient
from twilio.rest import Client

from bot.errors import DeliveryError, OutsideWindow, PermanentError, SettingsError, TransientError, Unreachable

T = TypeVar("T")

API_BASE = "https://api.twilio.com"
LATEST = 20
MOST_RECEIVED, LARGEST_PAGE = 5_000, 1_000  # looked through at once, and given in one answer

# https://www.twilio.com/docs/api/errors
# Too much at once, or more than the account may send today.
BUSY = frozenset({14107, 20429, 63018, 63038})
# Our own set-up is wrong: bad credentials, a suspended account, a sender that is not ours. Children's answers wait for
# the operator to put it right; they are not thrown away.
MISCONFIGURED = frozenset({20003, 20005, 20404, 21212, 21606, 63007})
_MISCONFIGURED_STATUS = frozenset({401, 403, 404})
_BUSY_STATUS = frozenset({408, 425, 429})
# The student sent STOP to Twilio itself, or is not on WhatsApp (any more).
UNWANTED = frozenset({21610, 63003, 63024})
OUTSIDE_WINDOW = 63016  # more than 24 hours after the student's last message: a template or nothing
# Every other status in the 400s is about this text or number and will not change: 21211 and 21614 (no such number).

UNKNOWN_ACCOUNT = frozenset({"20003", "20404", "401"})
INACTIVE_ACCOUNT = frozenset({"10001", "20005"})


@dataclass(frozen=True, slots=True)
class Sent:
    """A message that Twilio has on record. `error` is why it failed, 0 while it has not."""

    sid: str
    body: str
    created: datetime
    error: int = 0


@dataclass(frozen=True, slots=True)
class Account:
    """The account that the credentials belong to. `status` is active, suspended or closed."""

    status: str
    trial: bool


def basic(account_sid: str, auth_token: str) -> str:
    """The header Authorization for Twilio's API."""
    return "Basic " + base64.b64encode(f"{account_sid}:{auth_token}".encode()).decode("ascii")


class _Credentials(CredentialProvider, AuthStrategy):  # type: ignore[misc]  # the library is untyped
    """HTTP basic authentication by a header of our own: the library's way uses what aiohttp is about to remove."""

    def __init__(self, account_sid: str, auth_token: str) -> None:
        super().__init__(AuthType.BASIC)
        self._header = basic(account_sid, auth_token)

    def to_auth_strategy(self) -> AuthStrategy:
        return self

    def get_auth_string(self) -> str:
        return self._header

    def requires_authentication(self) -> bool:
        return True


class TwilioClient:
    """Each method raises TransientError or PermanentError. Their texts hold no number and no words of a message."""

    def __init__(self, account_sid: str, auth_token: str, *, api_base: str, timeout: float) -> None:
        self._account_sid = account_sid
        self._credentials = _Credentials(account_sid, auth_token)
        self._api_base = api_base.rstrip("/")
        self._timeout = timeout
        self._client: Any = None

    async def close(self) -> None:
        """The next call opens a new connection."""
        if self._client is not None:
            client, self._client = self._client, None
            await client.http_client.close()

    async def send(self, sender: str, address: str, text: str, callback: str) -> str:
        """Returns the message's SID."""
        return await self._create(from_=sender, to=address, body=text, status_callback=callback)

    async def send_template(self, sender: str, address: str, content_sid: str, callback: str) -> str:
        """Send a template approved beforehand, as it stands. Returns the message's SID."""
        return await self._create(from_=sender, to=address, content_sid=content_sid, status_callback=callback)

    async def _create(self, **message: str) -> str:
        return str((await self._ask(self._rest().messages.create_async(**message))).sid)

    async def latest(self, sender: str, address: str) -> list[Sent]:
        """The last messages to `address`, newest first.

        A failure is reported as in doubt: whatever was to be found out is still not known. Not filtered by the day of
        sending, which a message just queued does not have yet.
        """
        try:
            found = await self._ask(self._rest().messages.list_async(from_=sender, to=address, limit=LATEST))
        except TransientError as error:
            raise TransientError(str(error), code=error.code, in_doubt=True) from None
        epoch = datetime.fromtimestamp(0, UTC)
        return [
            Sent(str(item.sid), item.body or "", item.date_created or epoch, int(item.error_code or 0))
            for item in found
        ]

    async def received(self, sender: str, since: datetime) -> list[dict[str, str]]:
        """The messages that students sent to `sender` since then, oldest first, in the fields of a webhook.

        A list has neither a pressed button's payload nor the types of media.
        """
        listing = self._rest().messages.list_async(
            to=sender, date_sent_after=since, limit=MOST_RECEIVED, page_size=LARGEST_PAGE
        )
        found = [item for item in await self._ask(listing) if item.direction == "inbound"]
        return [
            {"MessageSid": str(item.sid), "From": item.from_ or "", "Body": item.body or "", "NumMedia": item.num_media}
            for item in reversed(found)
        ]

    async def account(self) -> Account:
        """Whose account this is. Raises SettingsError too: where Twilio does not let the credentials in."""
        try:
            found = await self._ask(self._rest().api.accounts(self._account_sid).fetch_async())
        except DeliveryError as error:
            if error.code in UNKNOWN_ACCOUNT:
                raise SettingsError(
                    f"Twilio does not know SAHPATHI_TWILIO__ACCOUNT_SID with SAHPATHI_TWILIO__AUTH_TOKEN (error "
                    f"{error.code}): copy both again from the first page of its console"
                ) from None
            if error.code in INACTIVE_ACCOUNT:
                return Account("suspended", trial=False)
            raise
        return Account(str(found.status), trial=str(found.type) == "Trial")

    def _rest(self) -> Any:
        if self._client is None:  # not in the constructor: the HTTP client wants a running event loop
            quiet = logging.getLogger("twilio.async_http_client")
            quiet.setLevel(max(quiet.level, logging.WARNING))  # it logs students' numbers at INFO
            http = AsyncTwilioHttpClient(logger=quiet)
            self._client = Client(self._account_sid, http_client=http, credential_provider=self._credentials)
            self._client.api.base_url = self._api_base
        return self._client

    async def _ask(self, call: Awaitable[T]) -> T:
        try:
            # The library passes its own timeout on to nobody, so here is ours.
            async with asyncio.timeout(self._timeout):
                return await call
        except (TwilioRestException, TwilioServiceException) as error:
            raise _refusal(int(error.status), int(error.code or 0)) from None
        except TwilioException as error:
            raise _refusal(_status_of(error), 0) from None
        except aiohttp.ClientConnectorError as error:
            raise TransientError(f"Twilio cannot be reached ({type(error).__name__})") from None
        except (aiohttp.ClientError, OSError, ValueError) as error:  # no answer, half an answer, or not JSON
            raise TransientError(f"Twilio gave no answer ({type(error).__name__})", in_doubt=True) from None


def _refusal(status: int, code: int) -> DeliveryError:
    label = str(code or status)
    told = f"Twilio refused with status {status}, error {label}"
    if not 400 <= status < 500:  # Twilio is ill, or a school's network put a page of its own in between
        return TransientError(told, code=label, in_doubt=True)
    if code in BUSY or code in MISCONFIGURED or status in _BUSY_STATUS or status in _MISCONFIGURED_STATUS:
        return TransientError(told, code=label)
    if code == OUTSIDE_WINDOW:
        return OutsideWindow(told, code=label)
    return (Unreachable if code in UNWANTED else PermanentError)(told, code=label)


def _status_of(error: TwilioException) -> int:
    """Listing raises the plain exception and puts the response into its arguments."""
    return next((int(item.status_code) for item in error.args if hasattr(item, "status_code")), 500)
