"""A real browser on a small phone, for the tests of every page."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from playwright.async_api import Browser, BrowserContext, Page, ViewportSize, async_playwright, expect

from tests.servers import CHROMIUM_FLAGS, chromium

PHONE = ViewportSize(width=360, height=740)

expect.set_options(timeout=20_000)  # a busy machine is not a broken page


@asynccontextmanager
async def browser() -> AsyncIterator[Browser]:
    """Chromium, as the system installs it."""
    async with async_playwright() as playwright:
        launched = await playwright.chromium.launch(executable_path=chromium(), args=[*CHROMIUM_FLAGS])
        yield launched
        await launched.close()


async def on_a_phone(launched: Browser, address: str) -> BrowserContext:
    """A fresh profile at an address."""
    return await launched.new_context(viewport=PHONE, base_url=address, reduced_motion="reduce")


def complaints(page: Page) -> list[str]:
    """What the browser's console complains of from now on: script errors, blocked content, failed loads."""
    heard: list[str] = []
    page.on("console", lambda message: heard.append(message.text) if message.type in ("error", "warning") else None)
    page.on("pageerror", lambda error: heard.append(str(error)))
    return heard
