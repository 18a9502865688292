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

from bot.errors import DeliveryError, PermanentError, TransientError

T = TypeVar("T")

LATEST = 20

# https://www.twilio.com/docs/api/errors
# Too much at once, or more than the account may send today.
BUSY = frozenset({14107, 20429, 63018, 63038})
# Our own set-up is wrong: bad credentials, a suspended account, a sender that is not ours. Children's answers wait for
# the operator to put it right; they are not thrown away.
MISCONFIGURED = frozenset({20003, 20005, 20404, 21212, 21606, 63007})
_MISCONFIGURED_STATUS = frozenset({401, 403, 404})
_BUSY_STATUS = frozenset({408, 425, 429})
# Every other status in the 400s is about this student or this text and will not change: 21211 and 21614 (no such
# number), 21610 (unsubscribed), 63003 and 63024 (not on WhatsApp), 63016 (outside the 24 hours for free replies).


@dataclass(frozen=True, slots=True)
class Sent:
    """A message that Twilio has on record."""

    sid: str
    body: str
    created: datetime


class _Credentials(CredentialProvider, AuthStrategy):  # type: ignore[misc]  # the library is untyped
    """HTTP basic authentication by a header of our own: the library's way uses what aiohttp is about to remove."""

    def __init__(self, account_sid: str, auth_token: str) -> None:
        super().__init__(AuthType.BASIC)
        self._header = "Basic " + base64.b64encode(f"{account_sid}:{auth_token}".encode()).decode("ascii")

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
        create = self._messages().create_async(from_=sender, to=address, body=text, status_callback=callback)
        return str((await self._ask(create)).sid)

    async def latest(self, sender: str, address: str) -> list[Sent]:
        """The last messages to `address`, newest first.

        A failure is reported as in doubt: whatever was to be found out is still not known. Not filtered by the day of
        sending, which a message just queued does not have yet.
        """
        try:
            found = await self._ask(self._messages().list_async(from_=sender, to=address, limit=LATEST))
        except TransientError as error:
            raise TransientError(str(error), code=error.code, in_doubt=True) from None
        epoch = datetime.fromtimestamp(0, UTC)
        return [Sent(str(item.sid), item.body or "", item.date_created or epoch) for item in found]

    def _messages(self) -> Any:
        if self._client is None:  # not in the constructor: the HTTP client wants a running event loop
            quiet = logging.getLogger("twilio.async_http_client")
            quiet.setLevel(max(quiet.level, logging.WARNING))  # it logs students' numbers at INFO
            http = AsyncTwilioHttpClient(logger=quiet)
            self._client = Client(self._account_sid, http_client=http, credential_provider=self._credentials)
            self._client.api.base_url = self._api_base
        return self._client.messages

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
    return PermanentError(told, code=label)


def _status_of(error: TwilioException) -> int:
    """Listing raises the plain exception and puts the response into its arguments."""
    return next((int(item.status_code) for item in error.args if hasattr(item, "status_code")), 500)
