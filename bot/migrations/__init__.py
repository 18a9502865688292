"""Alembic's migrations, and the one call that brings a database up to date."""

from __future__ import annotations

from pathlib import Path

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, text
from sqlalchemy.ext.asyncio import AsyncEngine

LOCK = 0x5A4B_7061  # any fixed number: two processes starting together migrate one after the other


def config() -> Config:
    """Alembic's configuration, without an ini file."""
    made = Config()
    made.set_main_option("script_location", str(Path(__file__).parent))
    return made


async def upgrade(engine: AsyncEngine) -> None:
    """Bring the database to the newest version."""
    async with engine.begin() as connection:
        await connection.run_sync(_upgrade)


def _upgrade(connection: Connection) -> None:
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": LOCK})
    else:
        # Takes SQLite's write lock now: a second process waits, then finds nothing left to do.
        connection.execute(text("CREATE TABLE IF NOT EXISTS migrating (held INTEGER)"))
        connection.execute(text("DELETE FROM migrating"))
    made = config()
    made.attributes["connection"] = connection
    command.upgrade(made, "head")
