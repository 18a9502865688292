"""Looks at the store's database from outside, on a connection of its own: it sees what is committed, nothing else."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import Row, Select, create_engine, select, update
from sqlalchemy.engine import make_url

from bot.ports import DeliveryState
from bot.store.database import ERASED_PREFIX
from bot.store.messages import ASK_AGAIN_AFTER
from bot.tables import Conversation, InboxMessage, Incident, OutboxPart, StoredAnswer, Table, now
from tests.bot import store_model as model

EVERYTHING: dict[type[Table], Select[Any]] = {
    table: select(table.__table__).order_by(table.__table__.c.id)
    for table in (Conversation, InboxMessage, OutboxPart, StoredAnswer, Incident)
}


class Observer:
    """Reads the rows as the model keeps them, and makes time pass for them."""

    def __init__(self, url: str) -> None:
        """`url` is the store's; SQLite is opened by the plain driver, psycopg knows both ways."""
        self._engine = create_engine(make_url(url).set(drivername=make_url(url).drivername.removesuffix("+aiosqlite")))

    def close(self) -> None:
        self._engine.dispose()

    def wipe(self) -> None:
        """Delete every row of every table."""
        with self._engine.begin() as connection:
            for table in reversed(Table.metadata.sorted_tables):
                connection.execute(table.delete())

    def an_hour_passes(self) -> None:
        """What lies in the future comes, and what was asked a little while ago is long ago."""
        moment, asked = now(), Conversation.consent_asked_at
        with self._engine.begin() as connection:
            for column in (InboxMessage.next_attempt_at, OutboxPart.next_attempt_at, Conversation.lease_until):
                comes = update(column.class_).where(column > moment)
                connection.execute(comes.values({column.key: moment}))
            long_ago = update(Conversation).where(asked.is_not(None))
            connection.execute(long_ago.values(consent_asked_at=moment - ASK_AGAIN_AFTER))

    def rows(self) -> dict[type[Table], list[Row[Any]]]:
        """Every row of the tables that hold something of a student, by number."""
        with self._engine.connect() as connection:
            return {table: list(connection.execute(query)) for table, query in EVERYTHING.items()}


def state(rows: dict[type[Table], list[Row[Any]]]) -> model.State:
    """The rows as the model keeps them."""
    blocked = {row.id: row.blocked_at for row in rows[Conversation]}
    return model.State(
        {row.id: _conversation(row) for row in rows[Conversation]},
        {row.id: _message(row, blocked[row.conversation_id]) for row in rows[InboxMessage]},
        {row.id: _part(row) for row in rows[OutboxPart]},
        {row.message_id: model.Logged(row.conversation_id, row.question, row.text) for row in rows[StoredAnswer]},
        sorted((row.message_id, row.category, row.state) for row in rows[Incident]),
    )


def _conversation(row: Any) -> model.Conversation:
    return model.Conversation(
        model.FORGOTTEN if row.address.startswith(ERASED_PREFIX) else row.address,
        row.lease_token,
        leased=row.lease_until is not None and row.lease_until > now(),
        consented=row.consented_at is not None,
        asked=row.consent_asked_at is not None and row.consent_asked_at > now() - ASK_AGAIN_AFTER,
        invited=row.invited_at is not None,
        forget_after=row.forget_after,
        class_level=row.class_level,
    )


def _message(row: Any, blocked_at: datetime | None) -> model.Message:
    return model.Message(
        row.conversation_id, row.provider_id, row.text, row.state,
        row.attempts, row.next_attempt_at <= now(), row.error,
        unwanted=blocked_at is not None and blocked_at >= row.received_at,
    )  # fmt: skip


def _part(row: Any) -> model.Part:
    return model.Part(
        row.conversation_id, row.message_id, row.text, DeliveryState(row.state), row.started, row.in_doubt,
        row.attempts, row.next_attempt_at <= now(), row.provider_id, row.error,
    )  # fmt: skip
