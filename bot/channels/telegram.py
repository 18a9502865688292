"""Telegram: a webhook where there is a public address, else long polling.

python-telegram-bot's Updater is not used. It advances the polling offset, which tells Telegram to forget the updates,
before anybody has stored them; here the offset moves only past updates that are committed.
"""

from __future__ import annotations

import asyncio
import hmac
import json
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from telegram.constants import MessageLimit

from bot.channels.readable import readable
from bot.channels.splitting import code_units, split
from bot.channels.telegram_client import CONFLICT, TelegramClient
from bot.channels.telegram_updates import NAME, WANTED, Me, callback_id, parse
from bot.errors import DeliveryError, ForgedRequest, TransientError, UnknownShape
from bot.ports import HttpRequest, Inbound, Outgoing
from bot.waiting import backoff, called

logger = logging.getLogger(__name__)

WEBHOOK_PATH = "/webhooks/telegram"
SECRET_HEADER = "x-telegram-bot-api-secret-token"  # noqa: S105  a header's name
LONGEST_BACKOFF = 60.0
MARK = " ✓"

Accept = Callable[[Inbound], Awaitable[object]]
CountUnknown = Callable[[str, str], None]


class TelegramChannel:
    """Satisfies `ports.Channel` and `ports.Webhook`. Sending works at once; receiving needs `start` or `poll`."""

    name = NAME
    asks_consent = True
    has_buttons = True

    def __init__(
        self,
        token: str,
        *,
        secret: str,
        api_base: str = "https://api.telegram.org",
        public_url: str | None = None,
        timeout: float = 15.0,
        backoff: float = 1.0,
        commands: Mapping[str, Sequence[tuple[str, str]]] | None = None,
    ) -> None:
        """`secret` is what Telegram shows us with each update. `timeout` and `backoff` are in seconds.

        `commands`: what a phone lists, by its language; "" for every other. Each has a name and what it is for.
        Raises SettingsError for what cannot be a token.
        """
        self._client = TelegramClient(token, api_base=api_base, timeout=timeout)
        self._secret = secret
        self._webhook = public_url.rstrip("/") + WEBHOOK_PATH if public_url else None
        self._backoff = backoff
        self._commands = commands or {}
        self._me: Me | None = None
        self._started = False
        self._conflict_told = False

    # ---- life --------------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Learn the bot's name, list its commands, register the webhook or, to poll, remove it.

        Raises SettingsError when Telegram refuses the token or the address, a DeliveryError when it cannot be reached.
        """
        self._me = await self._client.me()
        for language, commands in self._commands.items():
            await self._client.set_commands(commands, language)
        if self._webhook:
            await self._client.set_webhook(self._webhook, self._secret, WANTED)
        else:
            await self._client.delete_webhook()
        self._started = True

    async def started(self, stop: asyncio.Event) -> None:
        """`start`, tried again until Telegram can be reached or `stop` is set. Raises SettingsError."""
        failures = 0
        while not (self._started or stop.is_set()):
            try:
                await self.start()
            except DeliveryError as error:
                failures += 1
                if failures == 1:
                    logger.warning("telegram: cannot be reached yet, trying again (%s)", error)
                await self._pause(stop, failures, error)

    async def close(self) -> None:
        """Close the connections. A registered webhook stays: Telegram keeps what arrives while we are away."""
        await self._client.close()

    # ---- receiving ---------------------------------------------------------------------------------------------

    def receive(self, request: HttpRequest) -> list[Inbound]:
        """See `ports.Webhook`. Raises TransientError too: for a group's message that comes before `start` succeeded."""
        shown = request.headers.get(SECRET_HEADER, "")
        if not hmac.compare_digest(shown.encode(), self._secret.encode()):
            raise ForgedRequest("telegram: wrong or missing secret token")
        return parse(_json(request.body), self._me)

    async def acknowledge(self, request: HttpRequest) -> None:
        """Stop the waiting circle on a pressed button, once the press is stored. Best effort."""
        await self._answer_callback(_json(request.body))

    async def poll(
        self, accept: Accept, stop: asyncio.Event, unknown: CountUnknown = lambda channel, kind: None
    ) -> None:
        """Fetch updates until `stop` is set, starting first where need be.

        `accept` returns once a message is committed; what it fails on is fetched again. After a restart the last batch
        may come once more: deduplicate.
        """
        await self.started(stop)
        offset = failures = 0
        while not stop.is_set():
            try:
                updates = await self._unless(stop, self._client.updates(offset, WANTED))
                for update in updates or ():
                    await self._take(update, accept, unknown)
                    offset = update["update_id"] + 1
                # Nothing left means all is confirmed. Forget the offset then: after a quiet week Telegram may number
                # anew, from lower down.
                offset = offset if updates else 0
                failures = 0
            except DeliveryError as error:
                failures += 1
                self._complain(error, first=failures == 1)
                await self._pause(stop, failures, error)
            except Exception:
                failures += 1
                logger.exception("telegram: an update could not be stored; it will be fetched again")
                await self._pause(stop, failures)

    async def _take(self, update: dict[str, Any], accept: Accept, unknown: CountUnknown) -> None:
        try:
            messages = parse(update, self._me)
        except UnknownShape as shape:
            unknown(NAME, shape.kind)
            return
        for message in messages:
            await accept(message)
        await self._answer_callback(update)

    async def _answer_callback(self, update: object) -> None:
        query_id = callback_id(update)
        if query_id is not None:
            await self._client.answer_callback(query_id)

    async def _unless(self, stop: asyncio.Event, fetch: Awaitable[list[dict[str, Any]]]) -> list[dict[str, Any]] | None:
        """What `fetch` gives, or None as soon as `stop` is set. An abandoned fetch confirms and loses nothing."""
        fetching, stopping = asyncio.ensure_future(fetch), asyncio.ensure_future(stop.wait())
        try:
            await asyncio.wait({fetching, stopping}, return_when=asyncio.FIRST_COMPLETED)
            return fetching.result() if fetching.done() else None
        finally:
            fetching.cancel()
            stopping.cancel()
            await asyncio.gather(fetching, stopping, return_exceptions=True)

    def _complain(self, error: DeliveryError, *, first: bool) -> None:
        if error.code == CONFLICT:
            if not self._conflict_told:
                logger.error(
                    "telegram: another program receives this bot's messages. Stop it, or give this server a bot of its "
                    "own; until then some questions will not arrive here"
                )
            self._conflict_told = True
        elif first:
            logger.warning("telegram: polling fails, trying again (%s)", error)

    async def _pause(self, stop: asyncio.Event, failures: int, error: DeliveryError | None = None) -> None:
        """Wait longer after each failure, at least as long as Telegram asked for; return early on `stop`."""
        wait = backoff(self._backoff, failures - 1, LONGEST_BACKOFF)
        asked = error.retry_after if isinstance(error, TransientError) else None
        await called(stop, within=max(wait, asked or 0.0))

    # ---- sending -----------------------------------------------------------------------------------------------

    def split(self, text: str) -> list[str]:
        """See `ports.Channel`."""
        return split(readable(text), MessageLimit.MAX_TEXT_LENGTH, code_units)

    async def send(self, part: Outgoing) -> str:
        """See `ports.Channel`."""
        return await self._client.send(part.address, part.text, part.choices, part.menu)

    async def invite(self, address: str) -> bool:
        """Nothing comes too late on Telegram."""
        return False

    async def reconcile(self, part: Outgoing) -> str | None:
        """Nobody can tell: the Bot API does not list what a bot has sent."""
        return None

    async def mark(self, part: Outgoing, provider_id: str, command: str) -> bool:
        """See `ports.Channel`."""
        labels = [
            (choice, choice.label + MARK if choice.command == command else choice.label) for choice in part.choices
        ]
        await self._client.relabel(
            part.address, provider_id, [replace(choice, label=label) for choice, label in labels]
        )
        return True

    async def typing(self, address: str, asked: str) -> None:
        """See `ports.Channel`."""
        await self._client.typing(address)

    async def preview(self, address: str, number: int, text: str) -> bool:
        """See `ports.Channel`. Not in groups, where Telegram has no drafts."""
        return not address.startswith("-") and await self._client.draft(address, number, self.split(text)[0])


def _json(body: bytes) -> object:
    """Raises UnknownShape."""
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        raise UnknownShape("malformed") from None
