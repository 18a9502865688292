"""`sahpathi chat`."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from bot.cli.common import errors, load_settings, log_to_stderr, out

if TYPE_CHECKING:
    from bot.settings import Settings


def chat() -> None:
    """Talk to the tutor in the terminal. Not while `sahpathi serve` runs on the same home folder: use its page then."""
    settings = load_settings()
    log_to_stderr("WARNING")
    asyncio.run(_chat(settings))


async def _chat(settings: Settings) -> None:
    from bot.cli.console import Console
    from bot.compose import running

    async with running(settings, say=errors.print) as services:
        out.print("[bold]Sahpathi[/bold] answers from your textbooks, and can make mistakes. /help lists commands.\n")
        await Console(services).loop()
