"""Updates on their way to the bot: kept for getUpdates, or posted to its webhook, in order within each chat."""

from __future__ import annotations

import asyncio
import json
import secrets
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import islice
from urllib.parse import urlsplit

from bot.simulator.config import Json, Provider, path_query
from bot.simulator.courier import Parcel, Policy
from bot.simulator.rules import Broken, Refused
from bot.simulator.telegram import rules
from bot.simulator.world import World

MOST_PENDING = 100_000
DEFAULT_CONNECTIONS = 40
LONGEST_POLL = 50  # seconds


@dataclass(frozen=True, slots=True)
class Waiting:
    """An update nobody has confirmed yet. `taken` and `lost` tell the student's phone what became of it."""

    update: Json
    chat: str
    taken: Callable[[], None]
    lost: Callable[[], None]


class Inbox:
    """What waits, and how the bot wants it."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._numbers = 100_000_000 + secrets.randbelow(1_000_000_000)  # a restart must not repeat a number
        self._serial = 0
        self._poll = 0
        self._hook = 0
        self._arrived = asyncio.Event()
        self._pending: OrderedDict[int, Waiting] = OrderedDict()
        self.webhook: Json = {}
        self._allowed: Sequence[str] = ()
        self._last_error: Json = {}

    def reset(self) -> None:
        """Forget the updates, not what the bot asked for."""
        self._pending.clear()
        self._last_error = {}
        self._supplant()

    def unregister(self) -> None:
        """As if the bot had never asked for anything."""
        self.set_webhook({"allowed_updates": ()})

    # ---- updates come ----------------------------------------------------------------------------------------------

    def number(self) -> int:
        """The next update's."""
        self._numbers += 1
        return self._numbers

    def add(self, waiting: Waiting) -> None:
        """Take an update, unless it is of a kind that the bot does not want."""
        kind = next(key for key in waiting.update if key != "update_id")
        if self._allowed and kind not in self._allowed:
            return
        self._serial += 1
        self._pending[self._serial] = waiting
        if len(self._pending) > MOST_PENDING:
            self._pending.popitem(last=False)[1].lost()
        if self.webhook:
            self._post(self._serial, waiting)
        self._arrived.set()

    def allow(self, kinds: Sequence[str] | None) -> None:
        """The kinds of updates wanted from now on; None leaves that as it is, none of them means all."""
        if kinds is not None:
            self._allowed = tuple(kinds)

    # ---- updates go: to the webhook --------------------------------------------------------------------------------

    def set_webhook(self, params: Json) -> None:
        """Post what waits and what comes. Raises Broken for an address that is none."""
        self.allow(params.get("allowed_updates"))
        if params.get("drop_pending_updates"):
            self._pending.clear()
        self._hook += 1
        if not params.get("url"):
            self.webhook = {}
            return
        self._check(params["url"])
        self.webhook = params
        for serial, waiting in self._pending.items():
            self._post(serial, waiting)
        self._supplant()

    def webhook_info(self) -> Json:
        info: Json = {"url": "", "has_custom_certificate": False, "pending_update_count": len(self._pending)}
        if not self.webhook:
            return info
        shown = {"url": self.webhook["url"], "has_custom_certificate": "certificate" in self.webhook}
        connections = {"max_connections": self.webhook.get("max_connections", DEFAULT_CONNECTIONS)}
        allowed = {"allowed_updates": list(self._allowed)} if self._allowed else {}
        return info | shown | connections | allowed | self._last_error

    def _check(self, url: str) -> None:
        if not self._world.config.known(url):
            raise Broken(rules.WEBHOOK_FOUND, url)
        if not self._world.config.public_url:
            return
        parts = urlsplit(url)
        if parts.scheme != "https":
            raise Broken(rules.WEBHOOK_SECURE, url)
        if parts.port not in {None, 443, 80, 88, 8443}:
            raise Broken(rules.WEBHOOK_PORT, url)

    def _post(self, serial: int, waiting: Waiting) -> None:
        hook = self._hook
        headers = {"Content-Type": "application/json"}
        if self.webhook.get("secret_token"):
            headers["X-Telegram-Bot-Api-Secret-Token"] = self.webhook["secret_token"]
        self._world.courier.send(
            Parcel(
                Provider.TELEGRAM,
                f"{hook}:{waiting.chat}",
                path_query(self.webhook["url"]),
                json.dumps(waiting.update).encode(),
                headers,
                Policy(self._world.config.pace.attempts, in_order=True, refused_too=True),
                delivered=lambda: self._done(serial, lost=False),
                failed=self._failed,
                given_up=lambda: self._done(serial, lost=True),
                wanted=lambda: hook == self._hook and serial in self._pending,
            )
        )

    def _failed(self, trouble: str) -> None:
        self._last_error = {
            "last_error_date": int(time.time()),
            "last_error_message": f"Wrong response from the webhook: {trouble}",
        }

    def _done(self, serial: int, *, lost: bool) -> None:
        waiting = self._pending.pop(serial, None)
        if waiting is not None:
            waiting.lost() if lost else waiting.taken()

    # ---- updates go: to getUpdates ---------------------------------------------------------------------------------

    async def get(self, offset: int, limit: int, seconds: float) -> list[Json]:
        """The earliest updates from `offset` on, which confirms all before; waits for one when there is none.

        A negative offset counts from the end. Raises Broken while there is a webhook, Refused when somebody else asks.
        """
        if self.webhook:
            raise Broken(rules.WEBHOOK_ACTIVE)
        self._poll += 1
        mine = self._poll
        self._arrived.set()  # wakes whoever asked before, who is now refused
        self._confirm(offset)
        await self._arrival(mine, min(max(seconds, 0), LONGEST_POLL))
        updates = (waiting.update for waiting in self._pending.values())
        return list(islice((update for update in updates if update["update_id"] >= offset), min(max(limit, 1), 100)))

    def _confirm(self, offset: int) -> None:
        if offset < 0:
            for serial in list(self._pending)[:offset]:
                self._done(serial, lost=False)
        while self._pending:
            serial, waiting = next(iter(self._pending.items()))
            if waiting.update["update_id"] >= offset:
                return
            self._done(serial, lost=False)

    async def _arrival(self, mine: int, seconds: float) -> None:
        closing = asyncio.ensure_future(self._world.closing.wait())
        until = asyncio.get_running_loop().time() + seconds
        try:
            while not self._pending and not closing.done():
                left = until - asyncio.get_running_loop().time()
                if left <= 0:
                    return
                self._arrived.clear()
                arrived = asyncio.ensure_future(self._arrived.wait())
                await asyncio.wait({arrived, closing}, timeout=left, return_when=asyncio.FIRST_COMPLETED)
                arrived.cancel()
                if self._poll != mine:
                    raise Refused(rules.SUPPLANTED)
        finally:
            closing.cancel()

    def _supplant(self) -> None:
        """End a poll that is open."""
        self._poll += 1
        self._arrived.set()
