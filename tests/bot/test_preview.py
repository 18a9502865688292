"""What a student sees before the answer: the typing sign, then the sentences, and nothing after the answer."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from bot.preview import Preview
from tests.memory import MemoryChannel

SOON = 0.02


def preview(channel: MemoryChannel, *, typing_every: float = 60.0) -> Preview:
    return Preview(channel, "42", 7, "q", every=SOON, typing_every=typing_every)


async def until(true: Callable[[], object]) -> None:
    async with asyncio.timeout(5):
        while not true():  # noqa: ASYNC110  the channel keeps lists, not events
            await asyncio.sleep(0.005)


async def test_the_sentences_are_shown_as_they_grow() -> None:
    channel = MemoryChannel(previews=9)
    async with preview(channel) as growing:
        await growing.publish("Plants make food.")
        await until(lambda: len(channel.previewed) == 1)
        await growing.publish(" They need light.")
        await until(lambda: len(channel.previewed) == 2)
    assert channel.previewed == [(7, "Plants make food."), (7, "Plants make food. They need light.")]


async def test_a_quick_answer_needs_no_preview() -> None:
    channel = MemoryChannel(previews=9)
    async with Preview(channel, "42", 7, "q", every=60.0) as growing:
        await growing.publish("Plants make food.")
    assert channel.previewed == []
    assert channel.typed == 1


async def test_the_typing_sign_is_kept_alight_until_there_is_something_to_read() -> None:
    channel = MemoryChannel(previews=9)
    async with preview(channel, typing_every=SOON) as growing:
        await until(lambda: channel.typed > 2)
        await growing.publish("Plants make food.")
        await until(lambda: channel.previewed)
        typed = channel.typed
        await asyncio.sleep(5 * SOON)
    assert channel.typed == typed


async def test_a_provider_that_wants_no_more_is_only_typed_at() -> None:
    channel = MemoryChannel(previews=1)
    async with preview(channel, typing_every=SOON) as growing:
        await growing.publish("One.")
        await until(lambda: channel.previewed)
        await growing.publish(" Two.")
        typed = channel.typed
        await until(lambda: channel.typed > typed + 1)
    assert channel.previewed == [(7, "One.")]


class SlowChannel(MemoryChannel):
    """Takes its time for a preview."""

    async def preview(self, address: str, number: int, text: str) -> bool:
        await asyncio.sleep(10 * SOON)
        return await super().preview(address, number, text)


async def test_no_preview_comes_after_the_answer() -> None:
    channel = SlowChannel(previews=9)
    async with preview(channel) as growing:
        await growing.publish("One.")
        await asyncio.sleep(2 * SOON)  # the call is under way
    assert channel.previewed == [(7, "One.")]


async def test_an_error_of_the_body_comes_through() -> None:
    channel = MemoryChannel(previews=9)
    with pytest.raises(RuntimeError, match="the tutor broke"):
        async with preview(channel):
            raise RuntimeError("the tutor broke")
