"""What an operator needs to hear when WhatsApp through Twilio starts, and when a request fails its signature."""

from __future__ import annotations

import asyncio
import ipaddress
import logging
from collections.abc import Iterator
from urllib.parse import urlsplit

from starlette.datastructures import ImmutableMultiDict
from twilio.request_validator import RequestValidator

from bot.channels.twilio_client import Account, TwilioClient
from bot.errors import DeliveryError, SettingsError
from bot.ports import HttpRequest
from bot.waiting import backoff, called

SANDBOX = "whatsapp:+14155238886"  # one number for everybody: https://www.twilio.com/docs/whatsapp/sandbox
LOOPBACKS = ("127.0.0.1", "localhost")
OURS = "/webhooks"  # all addresses of ours that a provider calls begin with it
LONGEST_PAUSE = 60.0  # seconds

logger = logging.getLogger(__name__)


def is_local(url: str) -> bool:
    """Whether an address is this machine's own."""
    host = urlsplit(url).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host in LOOPBACKS


def address_trouble(public_url: str, api_base: str) -> str:
    """Why Twilio could not call us at `public_url`, and what to do; "" where nothing is to be seen.

    An API on this machine is a stand-in, which calls any address.
    """
    parts = urlsplit(public_url)
    if OURS in parts.path:
        return f"SAHPATHI_PUBLIC_URL must end before {OURS}, which is added to it: it is {public_url} now"
    if parts.query or parts.fragment:
        return f"SAHPATHI_PUBLIC_URL must be an address without ? and #: it is {public_url} now"
    if is_local(api_base):
        return ""
    if is_local(public_url):
        return f"Twilio cannot call {public_url}, this machine's name for itself: give SAHPATHI_PUBLIC_URL a public one"
    if parts.scheme != "https":
        return f"SAHPATHI_PUBLIC_URL must be https, or questions travel readable by all: it is {public_url} now"
    return ""


async def known_account(client: TwilioClient, stop: asyncio.Event, pause: float) -> Account | None:
    """The account, asked for until Twilio can be reached; None when `stop` is set before. Raises SettingsError.

    `pause` is the first wait in seconds; it doubles.
    """
    failures = 0
    while not stop.is_set():
        try:
            return await client.account()
        except DeliveryError as error:
            if not failures:
                logger.warning("whatsapp: Twilio cannot be reached yet, trying again (%s)", error)
        await called(stop, within=backoff(pause, failures, LONGEST_PAUSE))
        failures += 1
    return None


def ready(account: Account, sender: str, webhook: str) -> str:
    """That Twilio knows us, and what its console must hold. `webhook`: the address for messages, "" if it is not known.

    Raises SettingsError for an account that carries no messages.
    """
    if account.status != "active":
        raise SettingsError(
            f"whatsapp: the account at Twilio is {account.status}, and its console says why; until that is settled "
            "nothing is received or sent"
        )
    kind = "trial account" if account.trial else "account"
    sandbox = sender == SANDBOX
    joined = "; the number is Twilio's sandbox, which each phone must join" if sandbox else ""
    place = "on its tab Sandbox settings" if sandbox else "for this WhatsApp sender"
    told = f". Its console must hold {place}, for incoming messages: {webhook}, by POST" if webhook else ""
    return f"whatsapp: Twilio knows the {kind}{joined}{told}"


def forgery_hint(validator: RequestValidator, public_url: str, request: HttpRequest, shown: str) -> str:
    """The likeliest reasons for a signature that does not fit, should the request have come from Twilio.

    Names the address that Twilio did sign, where it can be found out: nobody else could have signed it. `shown` is the
    signature.
    """
    path = urlsplit(request.path_query).path
    if not shown:
        return "it has none. If it was Twilio's, a proxy before this server removes the header X-Twilio-Signature"
    fields = ImmutableMultiDict(list(request.form))
    for base in _bases(public_url, request):
        if validator.validate(base + request.path_query, fields, shown):
            return (
                f"Twilio calls {base}{path}, while SAHPATHI_PUBLIC_URL is {public_url}: correct the setting, or the "
                "address in Twilio's console"
            )
    return (
        f"it does not fit {public_url}{path}, which is what we check against. If it was Twilio's: its console holds "
        "another address (http for https, www., a port), a proxy changes the path, or SAHPATHI_TWILIO__AUTH_TOKEN is "
        "not this account's primary token"
    )


def _bases(public_url: str, request: HttpRequest) -> Iterator[str]:
    """Other addresses that a console may hold: the other scheme, the host that was called, without our path prefix."""
    public = urlsplit(public_url)
    called = [request.headers.get(name, "").partition(",")[0].strip() for name in ("x-forwarded-host", "host")]
    for host in dict.fromkeys(host for host in (public.netloc, *called) if host):
        for scheme in ("https", "http"):
            for prefix in dict.fromkeys((public.path, "")):
                yield f"{scheme}://{host}{prefix}"
