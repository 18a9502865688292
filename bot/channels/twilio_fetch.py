"""GET requests that reach public addresses only, whatever a name resolves to and however often it changes its mind."""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import socket
import ssl
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager

import httpx

from bot.errors import PermanentError, TransientError

CONNECT_SECONDS = 5.0  # for each address of a name


def is_public(address: str) -> bool:
    """Whether an IP address is somewhere on the internet, rather than in this building or in this machine."""
    found = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(found, ipaddress.IPv6Address):
        found = found.ipv4_mapped or found.sixtofour or found
    return found.is_global and not found.is_multicast


class PublicFetcher:
    """A name is resolved once; the addresses that were looked at are the ones connected to."""

    def __init__(
        self,
        *,
        timeout: float,
        permitted: Callable[[str], bool] = is_public,
        verify: ssl.SSLContext | bool = True,
    ) -> None:
        """`timeout` is in seconds, for each read. `permitted` judges an IP address, `verify` is as httpx takes it."""
        for library in ("httpx", "httpcore"):  # they log addresses that open a photo to whoever knows them
            theirs = logging.getLogger(library)
            theirs.setLevel(max(theirs.level, logging.WARNING))
        self._timeout = httpx.Timeout(timeout, connect=min(timeout, CONNECT_SECONDS))
        self._permitted = permitted
        self._verify = verify
        self._http: httpx.AsyncClient | None = None

    async def close(self) -> None:
        """The next request opens a new client."""
        if self._http is not None:
            http, self._http = self._http, None
            await http.aclose()

    @asynccontextmanager
    async def get(
        self, url: httpx.URL, headers: Mapping[str, str], *, trusted: bool = False
    ) -> AsyncIterator[httpx.Response]:
        """The response, its body not read yet. `trusted`: an address that the operator configured, public or not.

        Raises PermanentError for a name at an address that is not permitted, TransientError for one that is not found,
        and httpx.HTTPError.
        """
        places = [url.host] if trusted else await self._places(url)
        response = await self._sent(url, headers, places)
        try:
            yield response
        finally:
            await response.aclose()

    async def _places(self, url: httpx.URL) -> list[str]:
        """The addresses of the host; IPv4 first, which a school's network may be the only one to carry."""
        host = url.raw_host.decode("ascii")
        try:
            found = await asyncio.get_running_loop().getaddrinfo(host, url.port or 443, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError) as error:
            raise TransientError(f"{host} is not found ({type(error).__name__})") from None
        ordered = sorted(found, key=lambda entry: entry[0] != socket.AF_INET)
        places = list(dict.fromkeys(str(entry[4][0]) for entry in ordered))
        if not all(map(self._permitted, places)):
            raise PermanentError(f"{host} is at a private address")
        return places

    async def _sent(self, url: httpx.URL, headers: Mapping[str, str], places: list[str]) -> httpx.Response:
        for number, place in enumerate(places, start=1):
            request = self._opened().build_request(
                "GET",
                url.copy_with(host=place),
                headers={**headers, "Host": url.netloc.decode("ascii")},
                extensions={"sni_hostname": url.raw_host.decode("ascii")},  # the certificate must be for the name
            )
            try:
                return await self._opened().send(request, stream=True)
            except (httpx.ConnectError, httpx.ConnectTimeout):
                if number == len(places):
                    raise
        raise TransientError(f"{url.host} has no address")

    def _opened(self) -> httpx.AsyncClient:
        if self._http is None:  # not in the constructor: reading the certificates takes its time
            self._http = httpx.AsyncClient(
                verify=self._verify,
                timeout=self._timeout,
                trust_env=False,  # a proxy would resolve the name anew
                follow_redirects=False,
                limits=httpx.Limits(max_keepalive_connections=0),  # one certificate's connection is no other name's
                headers={"Accept": "*/*", "Accept-Encoding": "identity"},
            )
        return self._http
