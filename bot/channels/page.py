"""The browser page and the terminal: nothing is sent, since the one who asks reads the stored answer."""

from __future__ import annotations

from bot.ports import Outgoing


class PageChannel:
    """A channel whose student is already connected to us."""

    def __init__(self, name: str) -> None:
        self.name = name

    def split(self, text: str) -> list[str]:
        return []  # no parts: the answer itself is what the page shows

    async def send(self, part: Outgoing) -> str:
        raise AssertionError("a page has no outgoing parts")

    async def reconcile(self, part: Outgoing) -> str | None:
        return None

    async def typing(self, address: str) -> None:
        return None
