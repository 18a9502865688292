"""WhatsApp's Cloud API, by Meta itself, over HTTP. There is no library of Meta's for Python to build on."""

from __future__ import annotations

import logging
from typing import Any

import httpx

from bot.errors import DeliveryError, OutsideWindow, PermanentError, TransientError, Unreachable

logger = logging.getLogger(__name__)

VERSION = "v23.0"
COURTESY_SECONDS = 3.0  # how long anything that is only polite may take

# https://developers.facebook.com/documentation/business-messaging/whatsapp/support/error-codes
BUSY = frozenset({4, 80007, 130429, 131048, 131056, 133016})
# Ours to put right: the token, a permission, the account. Answers wait for the operator.
MISCONFIGURED = frozenset({0, 3, 10, 190, 368, 131005, 131031, 131042, 133010, *range(200, 300)})
UNWANTED = frozenset({131026})  # not on WhatsApp, or has not accepted its terms
OUTSIDE_WINDOW = 131047  # more than 24 hours after the student's last message: a template or nothing
PASSING = frozenset({1, 2, 131000, 131016, 131057, 2494100})
_NEVER_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)


class CloudClient:
    """`send` raises TransientError or PermanentError. Their texts hold no number and no words of a message."""

    def __init__(self, phone_number_id: str, access_token: str, *, api_base: str, timeout: float) -> None:
        self._path = f"/{VERSION}/{phone_number_id}/messages"
        self._timeout = timeout
        self._http = httpx.AsyncClient(
            base_url=api_base.rstrip("/"), headers={"Authorization": f"Bearer {access_token}"}
        )

    async def close(self) -> None:
        await self._http.aclose()

    async def send(self, message: dict[str, Any]) -> str:
        """Returns the message's id, "wamid. ..."."""
        response = await self._post(message, self._timeout)
        try:
            return str(response.json()["messages"][0]["id"])
        except (ValueError, LookupError, TypeError):
            raise TransientError("Meta gave half an answer", in_doubt=True) from None

    async def typing(self, message_id: str) -> None:
        """Mark a student's message as read and show, for 25 seconds at most, that an answer is being written.

        Best effort: never raises.
        """
        seen = {"status": "read", "message_id": message_id, "typing_indicator": {"type": "text"}}
        try:
            await self._post(seen, COURTESY_SECONDS)
        except DeliveryError as error:
            logger.debug("cloud: no typing sign (%s)", error.code or type(error).__name__)

    async def _post(self, body: dict[str, Any], seconds: float) -> httpx.Response:
        try:
            response = await self._http.post(
                self._path, json={"messaging_product": "whatsapp", **body}, timeout=seconds
            )
        except httpx.HTTPError as error:
            doubt = not isinstance(error, _NEVER_SENT)
            raise TransientError(f"Meta gave no answer ({type(error).__name__})", in_doubt=doubt) from None
        if not response.is_success:
            raise _refusal(response)
        return response


def _refusal(response: httpx.Response) -> DeliveryError:
    code = _code(response)
    label = str(response.status_code if code is None else code)
    told = f"Meta refused with status {response.status_code}, error {label}"
    if code is None or response.status_code >= 500 or code in PASSING:
        # Meta is ill, or a school's network put a page of its own in between.
        return TransientError(told, code=label, in_doubt=response.status_code >= 500)
    if code in BUSY or code in MISCONFIGURED:
        return TransientError(told, code=label)
    if code == OUTSIDE_WINDOW:
        return OutsideWindow(told, code=label)
    return (Unreachable if code in UNWANTED else PermanentError)(told, code=label)


def _code(response: httpx.Response) -> int | None:
    try:
        return int(response.json()["error"]["code"])
    except (ValueError, LookupError, TypeError):
        return None
