"""What a student sees while an answer is written: that somebody is typing, then the sentences as they come."""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import Self

from bot.ports import Channel
from bot.waiting import called

TYPING_SECONDS = 4.0  # the sign goes out by itself after five on Telegram
PREVIEW_SECONDS = 1.2  # Telegram wants no more than about one call a second for a chat


class Preview:
    """Shows the answer to the message `asked` as it grows, for as long as the block lasts.

    Nothing here fails an answer. A call under way is waited for at the end: a preview that came after its answer would
    show half of it once more.
    """

    def __init__(
        self,
        channel: Channel,
        address: str,
        number: int,
        asked: str,
        *,
        every: float = PREVIEW_SECONDS,
        typing_every: float = TYPING_SECONDS,
    ) -> None:
        """`number` tells answers apart, `asked` is the provider's id of the question.

        `every`: seconds between two calls. `typing_every`: after which the sign is given again.
        """
        self._channel, self._address, self._number, self._asked = channel, address, number, asked
        self._every, self._typing_every = every, typing_every
        self._words: list[str] = []
        self._done = asyncio.Event()

    async def publish(self, piece: str) -> None:
        """Another piece of the answer."""
        self._words.append(piece)

    async def __aenter__(self) -> Self:
        self._showing = asyncio.create_task(self._show())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._done.set()
        await self._showing

    async def _show(self) -> None:
        """Type until there is something to read; then show it, as long as the channel can and the provider bears it."""
        await self._channel.typing(self._address, self._asked)
        able, shown, silent = True, 0, 0.0
        while not await called(self._done, within=self._every):
            silent += self._every
            if able and len(self._words) > shown:
                shown, silent = len(self._words), 0.0
                able = await self._channel.preview(self._address, self._number, "".join(self._words))
            elif silent >= self._typing_every and not (able and shown):
                silent = 0.0
                await self._channel.typing(self._address, self._asked)
