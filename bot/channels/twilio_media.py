"""One photo or voice note of an incoming message, fetched from Twilio without trusting what its address says.

The account's credentials go to Twilio's API and nowhere else. A redirect is followed to Twilio's media servers only, at
a public address, so that no message can make this server open another page.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from dataclasses import dataclass, field

import httpx

from bot.channels.twilio_client import API_BASE, basic
from bot.channels.twilio_fetch import PublicFetcher
from bot.channels.twilio_setup import LOOPBACKS, is_local
from bot.errors import DeliveryError, PermanentError, TransientError

# Where a media address leads, as (host, path): a host with a leading dot stands for every name below it. Twilio's help,
# https://help.twilio.com/articles/223183748, names mms.twiliocdn.com, and the bucket for accounts that ask for no
# credentials.
CDN = ((".twiliocdn.com", "/"), ("s3-external-1.amazonaws.com", "/media.twiliocdn.com/"))
MOST_REDIRECTS = 3
LARGEST = 16 * 1024 * 1024  # bytes: what WhatsApp itself carries
SECONDS = 20.0
# 404: a photo may be there only seconds after the message that brings it. 401 and 403: the operator's token, or a link
# that has expired and is given out anew.
PASSING = frozenset({401, 403, 404, 408, 425, 429})
# How a file of each kind that is read begins.
SIGNS = {
    "image/jpeg": re.compile(rb"\xff\xd8\xff"),
    "image/png": re.compile(rb"\x89PNG\r\n\x1a\n"),
    "image/webp": re.compile(rb"RIFF....WEBP", re.DOTALL),
    "audio/ogg": re.compile(rb"OggS"),
}

Origin = tuple[str, bytes, int | None]


@dataclass(frozen=True, slots=True)
class Media:
    """What a student sent. `content_type` is one of `SIGNS`, and the content begins as such a file does."""

    content_type: str
    content: bytes = field(repr=False)


class TwilioMedia:
    """`fetch` raises TransientError or PermanentError. Their texts hold no address that would open a photo."""

    def __init__(
        self,
        account_sid: str,
        auth_token: str,
        *,
        api_base: str = API_BASE,
        cdn: Sequence[tuple[str, str]] = CDN,
        seconds: float = SECONDS,
    ) -> None:
        """`seconds` is for one file in all, redirects included. `cdn` is as `CDN`."""
        self._credentials = {"Authorization": basic(account_sid, auth_token)}
        self._api = frozenset(_origin(httpx.URL(base)) for base in (API_BASE, api_base))
        self._configured = _configured(api_base)
        self._path = re.compile(
            f"/2010-04-01/Accounts/{re.escape(account_sid)}/Messages/[A-Z]{{2}}\\w+/Media/ME\\w+", re.ASCII
        )
        self._cdn = tuple(cdn)
        self._seconds = seconds
        self._http = PublicFetcher(timeout=seconds)

    async def close(self) -> None:
        await self._http.close()

    async def fetch(self, url: str) -> Media:
        """The file at `url`, a MediaUrl of a message to this account."""
        try:
            async with asyncio.timeout(self._seconds):
                return await self._followed(self._media(url))
        except TimeoutError:
            raise TransientError(f"a file took longer than {self._seconds:g} seconds") from None
        except httpx.HTTPError as error:
            raise TransientError(f"a file did not come through ({type(error).__name__})") from None

    async def _followed(self, url: httpx.URL) -> Media:
        headers = self._credentials
        for _ in range(MOST_REDIRECTS + 1):
            async with self._http.get(url, headers, trusted=_origin(url) in self._configured) as response:
                if not response.has_redirect_location:
                    return await _read(response)
                url, headers = self._elsewhere(url, response.headers["location"]), {}
        raise PermanentError("a file is redirected too often")

    def _media(self, url: str) -> httpx.URL:
        """The address, where it is one of our own account's at Twilio's API. Raises PermanentError."""
        parsed = _parsed(url)
        if parsed.userinfo or _origin(parsed) not in self._api or not self._path.fullmatch(parsed.path):
            raise PermanentError("a file's address is not one of this account's at Twilio")
        return parsed

    def _elsewhere(self, url: httpx.URL, location: str) -> httpx.URL:
        """Where a redirect leads, if that is a media server of Twilio's. Raises PermanentError."""
        target = _parsed(location, url)
        if target.userinfo or not (on_cdn(target, self._cdn) or _origin(target) in self._configured):
            raise PermanentError("a file is redirected to a server that is not one of Twilio's")
        return target


def on_cdn(url: httpx.URL, cdn: Sequence[tuple[str, str]] = CDN) -> bool:
    """Whether an address is one of Twilio's media servers, by https at its usual port. `cdn` is as `CDN`."""
    if url.scheme != "https" or url.port is not None:
        return False
    host = url.raw_host.decode("ascii")
    return any(
        (host.endswith(known) if known.startswith(".") else host == known) and url.path.startswith(path)
        for known, path in cdn
    )


def _parsed(url: str, base: httpx.URL | None = None) -> httpx.URL:
    """Raises PermanentError. The one reading of an address: what is checked is what is called."""
    try:
        return base.join(url) if base is not None else httpx.URL(url)
    except (httpx.InvalidURL, ValueError):
        raise PermanentError("a file's address cannot be read") from None


def _origin(url: httpx.URL) -> Origin:
    return url.scheme, url.raw_host, url.port


def _configured(api_base: str) -> frozenset[Origin]:
    """The API that the operator named in place of Twilio's; with its other name, where it is on this machine.

    By that the simulator stands for Twilio's media server.
    """
    url = httpx.URL(api_base)
    if _origin(url) == _origin(httpx.URL(API_BASE)):
        return frozenset()
    names = (url.host, *LOOPBACKS) if is_local(api_base) else (url.host,)
    return frozenset(_origin(url.copy_with(host=name)) for name in names)


async def _read(response: httpx.Response) -> Media:
    """Raises DeliveryError. The announced length is believed only when it is too much."""
    content_type = _acceptable(response)
    content = bytearray()
    async for piece in response.aiter_raw():
        content += piece
        if len(content) > LARGEST:
            raise PermanentError("a file is larger than WhatsApp carries")
    if not SIGNS[content_type].match(content):
        raise PermanentError(f"a file is not what it says it is, {content_type}")
    return Media(content_type, bytes(content))


def _acceptable(response: httpx.Response) -> str:
    """The content type of a response worth reading. Raises DeliveryError."""
    if response.status_code != 200:
        raise _refused(response.status_code)
    content_type = str(response.headers.get("content-type", "")).partition(";")[0].strip().lower()
    if content_type not in SIGNS:
        raise PermanentError("a file is of a kind that is not read")
    if response.headers.get("content-encoding", "identity") != "identity":
        raise PermanentError("a file comes compressed, which was not asked for")
    length = response.headers.get("content-length", "")
    if length.isdecimal() and int(length) > LARGEST:
        raise PermanentError("a file is larger than WhatsApp carries")
    return content_type


def _refused(status: int) -> DeliveryError:
    kind = TransientError if status >= 500 or status in PASSING else PermanentError
    return kind(f"a file is refused with status {status}", code=str(status))
