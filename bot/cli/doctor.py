"""`sahpathi doctor`: what is configured, what is missing, and what to do about it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from bot.cli.common import Json, load_settings, show
from bot.errors import SetupError

if TYPE_CHECKING:
    from bot.settings import Settings

OK, OFF, WRONG = "ok", "off", "wrong"


def doctor(json: Json = False) -> None:
    """Check the installation. Exits with 1 when something is wrong."""
    settings = load_settings()
    rows = [*_files(settings), *_channels(settings), _adults(settings), asyncio.run(_database(settings))]
    columns = {"part": "Part", "state": "State", "note": "Note"}
    show(rows, columns, as_json=json, empty="")
    if any(row["state"] == WRONG for row in rows):
        raise typer.Exit(1)


def _row(part: str, state: str, note: str) -> dict[str, str]:
    return {"part": part, "state": state, "note": note}


def _files(settings: Settings) -> Iterator[dict[str, str]]:
    base = Path(settings.model.base)
    if not settings.model.enabled:
        yield _row("model", OFF, "SAHPATHI_MODEL__ENABLED is false: every answer is quoted")
    elif base.is_dir() and (base / "config.json").is_file():
        yield _row("model", OK, str(base))
    elif base.is_absolute() or base.exists():
        yield _row("model", WRONG, f"no model in {base}: `sahpathi train all` makes one")
    else:
        yield _row("model", OK, f"{settings.model.base}, by name from the hub")
    yield from _books(settings)


def _books(settings: Settings) -> Iterator[dict[str, str]]:
    from bot.compose import shelves
    from rag.formats import ocr

    counts = {str(shelf): len(list(shelf.rglob("*.md"))) for shelf in shelves(settings)}
    note = "; ".join(f"{count} Markdown files in {shelf}" for shelf, count in counts.items())
    how = "add books with `sahpathi textbooks add`, or set SAHPATHI_TEXTBOOKS"
    yield _row("textbooks", OK if any(counts.values()) else WRONG, note if any(counts.values()) else f"{note}: {how}")
    read = ocr.languages()
    missing = [name for name in ocr.WANTED if name not in read]
    note = f"Tesseract reads scanned pages ({', '.join(read)})" if read else "scanned pages are left out"
    yield _row("ocr", OFF if missing else OK, f"{note}; {ocr.HOW_TO_INSTALL}" if missing else note)


def _channels(settings: Settings) -> Iterator[dict[str, str]]:
    public = settings.public_url is not None
    if settings.telegram.token is None:
        yield _row("telegram", OFF, "set SAHPATHI_TELEGRAM__TOKEN to switch it on")
    else:
        yield _row("telegram", OK, "webhook" if public else "polling, since SAHPATHI_PUBLIC_URL is not set")
    if settings.twilio.account_sid is None:
        yield _row("whatsapp", OFF, "set SAHPATHI_TWILIO__ACCOUNT_SID, __AUTH_TOKEN and __FROM to switch it on")
    elif public:
        yield _row("whatsapp", OK, f"Twilio must call {settings.public('/webhooks/whatsapp')}")
    else:
        yield _row("whatsapp", WRONG, "set SAHPATHI_PUBLIC_URL: Twilio signs the address it calls")


def _adults(settings: Settings) -> dict[str, str]:
    from bot.alarm.alerts import NOBODY

    adults = settings.safety.adults
    if not adults:
        return _row("adults", OFF, NOBODY)
    if settings.out_of_reach:
        return _row("adults", WRONG, settings.out_of_reach)
    return _row("adults", OK, f"{len(adults)} to be told, one after another, when a child is in distress")


async def _database(settings: Settings) -> dict[str, str]:
    from bot.compose import opened_store

    try:
        async with opened_store(settings) as store:
            counts = await store.counts()
    except SetupError as error:
        return _row("database", WRONG, str(error))
    waiting, open_ = counts.get("inbox.waiting", 0), counts.get("incidents.open", 0)
    return _row("database", OK, f"{waiting} messages waiting, {open_} open incidents")
