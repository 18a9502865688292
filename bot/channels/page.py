"""The browser page and the terminal: nothing is sent, since the one who asks reads the stored answer."""

from __future__ import annotations

from bot.ports import Outgoing


class PageChannel:
    """A channel whose student is already connected to us."""

    asks_consent = False
    has_buttons = True  # its own, beside the answer

    def __init__(self, name: str) -> None:
        self.name = name

    def split(self, text: str) -> list[str]:
        return []  # no parts: the answer itself is what the page shows

    async def send(self, part: Outgoing) -> str:
        raise AssertionError("a page has no outgoing parts")

    async def invite(self, address: str) -> bool:
        return False

    async def reconcile(self, part: Outgoing) -> str | None:
        return None

    async def mark(self, part: Outgoing, provider_id: str, command: str) -> bool:
        return False

    async def typing(self, address: str, asked: str) -> None:
        return None

    async def preview(self, address: str, number: int, text: str) -> bool:
        """The page hears the pieces themselves, as they come."""
        return False
