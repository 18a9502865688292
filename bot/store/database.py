"""The database itself: how it is opened, who may write, and the lease under which a conversation is served."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

from sqlalchemy import (
    ColumnElement,
    CursorResult,
    Engine,
    Executable,
    create_engine,
    event,
    exists,
    or_,
    select,
    update,
)
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_sessionmaker, create_async_engine

from bot.errors import LeaseLost
from bot.tables import Conversation, now

ERASED_PREFIX = "forgotten-"  # in place of the address of a student who is forgotten


def connect(url: str) -> AsyncEngine:
    """An engine for `url`. SQLite: WAL, synchronous FULL, so that an acknowledged message survives a power cut."""
    engine = create_async_engine(url, hide_parameters=True, pool_pre_ping=not url.startswith("sqlite"))
    if engine.dialect.name == "sqlite":
        event.listen(engine.sync_engine, "connect", _durable)
    return engine


def _synchronous(engine: AsyncEngine) -> Engine | None:
    """For SQLite: the same file through the plain driver, to commit a batch of arrivals without changing threads."""
    if engine.dialect.name != "sqlite":
        return None
    intake = create_engine(engine.url.set(drivername="sqlite"), hide_parameters=True)
    event.listen(intake, "connect", _durable)
    return intake


def _durable(connection: Any, _record: Any) -> None:
    cursor = connection.cursor()
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", "busy_timeout=10000"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


class Database:
    """Transactions. On SQLite, which has one writer, an asyncio lock stands in front of it."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine
        self._sessions = async_sessionmaker(engine, expire_on_commit=False)
        self._writer = asyncio.Lock()
        self._later = asyncio.Lock()  # all but arrivals queue here, so that an arrival waits for two of them at most
        self._intake = _synchronous(engine)

    async def close(self) -> None:
        if self._intake is not None:
            self._intake.dispose()
        await self._engine.dispose()

    @asynccontextmanager
    async def writing(self) -> AsyncIterator[AsyncSession]:
        """One transaction that may write, committed at the end; on SQLite one at a time."""
        if self._engine.dialect.name != "sqlite":
            async with self._sessions.begin() as session:
                yield session
            return
        async with self._later, self._writer, self._sessions.begin() as session:
            yield session

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[AsyncSession]:
        """A session that only reads."""
        async with self._sessions() as session:
            yield session

    async def ping(self) -> None:
        """Raise if the database does not answer."""
        async with self.reading() as session:
            await session.execute(select(1))

    async def _changed(self, statement: Executable) -> bool:
        async with self.writing() as session:
            result = await session.execute(statement)
            return isinstance(result, CursorResult) and result.rowcount > 0


def is_erased(conversation_id: Any) -> ColumnElement[bool]:
    """Whether a conversation, by a column or a number, is that of a student who is forgotten."""
    return exists().where(Conversation.id == conversation_id, Conversation.address.startswith(ERASED_PREFIX))


class Leases(Database):
    """A conversation is served by whoever holds its lease, one conditional UPDATE."""

    async def lease(self, conversation_id: int, seconds: float) -> str | None:
        """Take the conversation if it is free or its holder has been silent too long. Returns the lease's token."""
        token = uuid.uuid4().hex
        free = or_(Conversation.lease_until.is_(None), Conversation.lease_until < now())
        taken = await self._changed(
            update(Conversation)
            .where(Conversation.id == conversation_id, free)
            .values(lease_token=token, lease_until=now() + timedelta(seconds=seconds))
        )
        return token if taken else None

    async def renew(self, conversation_id: int, token: str, seconds: float) -> None:
        """Keep a lease alive. Raises LeaseLost."""
        held = update(Conversation).where(Conversation.id == conversation_id, Conversation.lease_token == token)
        if not await self._changed(held.values(lease_until=now() + timedelta(seconds=seconds))):
            raise LeaseLost(f"conversation {conversation_id}")

    async def release(self, conversation_id: int, token: str) -> None:
        """Give a lease back; does nothing if it was already lost."""
        await self._changed(
            update(Conversation)
            .where(Conversation.id == conversation_id, Conversation.lease_token == token)
            .values(lease_token=None, lease_until=None)
        )

    async def release_all(self) -> None:
        """Free every lease. Only for a service that knows it is alone: whoever held them is dead."""
        await self._changed(update(Conversation).values(lease_token=None, lease_until=None))

    async def _hold(self, session: AsyncSession, conversation_id: int, token: str) -> None:
        """Lock the conversation's row for this transaction, if the lease is still ours. Raises LeaseLost."""
        touched = await session.execute(
            update(Conversation)
            .where(Conversation.id == conversation_id, Conversation.lease_token == token)
            .values(lease_token=token)
        )
        if not (isinstance(touched, CursorResult) and touched.rowcount):
            raise LeaseLost(f"conversation {conversation_id}")
