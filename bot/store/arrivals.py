"""What arrives: stored durably, once, a batch in one transaction."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from typing import Any

from sqlalchemy import select, tuple_
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import InterfaceError, OperationalError
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlalchemy.orm import Session

from bot.ports import Inbound
from bot.store.database import Database
from bot.tables import Conversation, InboxMessage


@dataclass(frozen=True, slots=True)
class Accepted:
    """Where an inbound message went. `duplicate` is true when we already had it."""

    message_id: int
    conversation_id: int
    duplicate: bool


Waiting = tuple[Inbound, asyncio.Future[Accepted]]


class Arrivals(Database):
    """`accept` and what it needs."""

    def __init__(self, engine: AsyncEngine) -> None:
        super().__init__(engine)
        self._arrivals: list[Waiting] = []
        self._committer: asyncio.Task[None] | None = None

    async def accept(self, inbound: Inbound) -> Accepted:
        """Store a message durably, once per (channel, provider_id). Returns after the commit.

        One task commits everything that has arrived by then in one transaction, again and again while there is more:
        messages keep the order in which they came, and each waits for no commit but the one it is part of.
        """
        done: asyncio.Future[Accepted] = asyncio.get_running_loop().create_future()
        self._arrivals.append((inbound, done))
        if self._committer is None or self._committer.done():
            self._committer = asyncio.create_task(self._commit_arrivals())
        return await done

    async def _commit_arrivals(self) -> None:
        while self._arrivals:
            async with self._writer if self._intake is not None else nullcontext():
                batch, self._arrivals = self._arrivals, []
                try:
                    await self._commit(batch)
                except (OperationalError, InterfaceError) as error:  # the database is away
                    _fail(batch, error)
                except Exception:  # noqa: BLE001  one that cannot be stored must not cost the others their place
                    for one in batch:
                        try:
                            await self._commit([one])
                        except Exception as error:  # noqa: BLE001  for whoever waits, or nobody would ever hear
                            _fail([one], error)

    async def _commit(self, batch: Sequence[Waiting]) -> None:
        messages = [message for message, _ in batch]
        if self._intake is not None:
            results = await asyncio.get_running_loop().run_in_executor(None, self._commit_all, messages)
        else:
            async with self.writing() as session:
                results = await session.run_sync(self._insert_all, messages)
        for (_, done), result in zip(batch, results, strict=True):
            if not done.done():  # whoever waited for it may be gone
                done.set_result(result)

    def _commit_all(self, messages: Sequence[Inbound]) -> list[Accepted]:
        """SQLite: the whole batch on a connection of its own in one thread. Each await of aiosqlite changes threads."""
        with Session(self._intake) as session:
            return self._insert_all(session, messages)

    def _insert_all(self, session: Session, messages: Sequence[Inbound]) -> list[Accepted]:
        """Four statements for a batch of any size; each costs half a millisecond, and a row in it a tenth of that."""
        conversations = self._conversations(session, messages)
        rows = [_row(one, conversations[_sender(one)]) for one in messages if _sender(one) in conversations]
        new = self._stored_now(session, rows)
        known = self._stored_before(session, [message for message in messages if _key(message) not in new])
        session.commit()
        results = []
        for message in messages:
            found = new.pop(_key(message), None)  # the first of two in one batch is the new one
            if found is not None:
                known[_key(message)] = found, conversations[_sender(message)]
            results.append(Accepted(*known[_key(message)], duplicate=found is None))
        return results

    def _stored_now(self, session: Session, rows: Sequence[dict[str, Any]]) -> dict[tuple[str, str], int]:
        if not rows:
            return {}
        insert = self._insert_once(InboxMessage, ["channel", "provider_id"])
        returned = insert.returning(InboxMessage.id, InboxMessage.channel, InboxMessage.provider_id)
        return {(channel, key): new_id for new_id, channel, key in session.execute(returned, list(rows))}

    def _stored_before(self, session: Session, messages: Sequence[Inbound]) -> dict[tuple[str, str], tuple[int, int]]:
        if not messages:
            return {}
        columns = InboxMessage.channel, InboxMessage.provider_id
        find = select(*columns, InboxMessage.id, InboxMessage.conversation_id).where(
            tuple_(*columns).in_([_key(message) for message in messages])
        )
        return {(channel, key): (message_id, where) for channel, key, message_id, where in session.execute(find)}

    def _conversations(self, session: Session, messages: Sequence[Inbound]) -> dict[tuple[str, str], int]:
        """By sender. The repeat of a message needs none: it must not bring back the address of one who is forgotten."""
        columns = Conversation.channel, Conversation.address

        # Locked until the commit: no message may go into a conversation that `erase_forgotten` renames meanwhile, and
        # messages get their numbers in the order of their commits, or another process's worker could see the second
        # before the first.
        def find(wanted: set[tuple[str, str]]) -> dict[tuple[str, str], int]:
            query = (
                select(*columns, Conversation.id)
                .where(tuple_(*columns).in_(sorted(wanted)))
                .order_by(Conversation.id)
                .with_for_update(key_share=True)
            )
            return {(channel, address): found for channel, address, found in session.execute(query)}

        known = find({_sender(message) for message in messages})
        strangers = [message for message in messages if _sender(message) not in known]
        repeated = self._stored_before(session, strangers)
        if missing := {_sender(message) for message in strangers if _key(message) not in repeated}:
            rows = [{"channel": channel, "address": address} for channel, address in sorted(missing)]
            session.execute(self._insert_once(Conversation, ["channel", "address"]), rows)
            known |= find(missing)
        return known

    def _insert_once(self, table: Any, unique: list[str]) -> Any:
        dialect = sqlite if self._engine.dialect.name == "sqlite" else postgresql
        return dialect.insert(table).on_conflict_do_nothing(index_elements=unique)


def _fail(batch: Sequence[Waiting], error: Exception) -> None:
    for _, done in batch:
        if not done.done():
            done.set_exception(error)


def _row(inbound: Inbound, conversation_id: int) -> dict[str, Any]:
    hints = {key: value for key, value in asdict(inbound.profile).items() if value is not None}
    return {
        "conversation_id": conversation_id, "channel": inbound.channel, "provider_id": inbound.provider_id,
        "kind": inbound.kind.value, "text": inbound.text, "answer_ref": inbound.answer_id, "hints": hints,
    }  # fmt: skip


def _key(message: Inbound) -> tuple[str, str]:
    return message.channel, message.provider_id


def _sender(message: Inbound) -> tuple[str, str]:
    return message.channel, message.address
