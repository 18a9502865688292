"""Takes up what Twilio could not bring us. It calls a webhook twice at most; what was written while this server was off
is then known only to Twilio's own list of messages."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta

from bot.channels.twilio_client import TwilioClient
from bot.errors import DeliveryError
from bot.ports import Inbound
from bot.waiting import called

FIRST_LOOK = timedelta(days=1)  # older questions could not be answered: WhatsApp takes free replies for 24 hours
OVERLAP = timedelta(minutes=5)  # a message may get onto the list a little late

logger = logging.getLogger(__name__)

Accept = Callable[[Inbound], Awaitable[object]]
Read = Callable[[dict[str, str]], Inbound]


async def catch_up(
    client: TwilioClient, sender: str, read: Read, accept: Accept, stop: asyncio.Event, *, every: float
) -> None:
    """Look through what was sent to `sender`, at once and `every` so many seconds, until `stop` is set.

    `read` makes an Inbound of a message's fields as a webhook has them. Most of what it gives to `accept` is known
    already: deduplicate.
    """
    since, troubled = datetime.now(UTC) - FIRST_LOOK, False
    while not stop.is_set():
        began = datetime.now(UTC)
        try:
            for fields in await client.received(sender, since):
                await accept(read(fields))
            since, troubled = began - OVERLAP, False
        except DeliveryError as error:
            if not troubled:
                logger.warning("whatsapp: what was missed cannot be looked up, trying again (%s)", error)
            troubled = True
        except Exception:
            logger.exception("whatsapp: a missed message could not be stored; it will be looked up again")
        await called(stop, within=every)
