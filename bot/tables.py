"""The database, as SQLAlchemy 2 mapped classes. Alembic migrations in `bot/migrations` are made from these.

inbox          what students sent, the truth of the whole service: a message acknowledged to a provider is a row here
conversations  one student on one channel: profile, and the lease of the worker that serves it
answers        one per answered message: text, route, sources, adapter, decoding, timings, ratings, verdict, review
outbox         the parts of each reply and where each stands with the provider
incidents      what staff must look at: a child in distress, a buried message, a filter that failed
users          teachers and operators who may sign in
jobs           long work handed to the running service: index the books, train from the dashboard, and how far it is
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import JSON, BigInteger, DateTime, ForeignKey, Index, Integer, MetaData, String, Text, UniqueConstraint
from sqlalchemy.engine import Dialect
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from sqlalchemy.types import TypeDecorator

NAMING = {
    "ix": "ix_%(column_0_label)s",
    "uq": "uq_%(table_name)s_%(column_0_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
    "pk": "pk_%(table_name)s",
}


class Moment(TypeDecorator[datetime]):
    """An aware UTC datetime on every database; SQLite would otherwise hand back naive ones."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        return value.astimezone(UTC) if value is not None else None

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        return value.replace(tzinfo=UTC) if value is not None and value.tzinfo is None else value


def now() -> datetime:
    """The present, in UTC."""
    return datetime.now(UTC)


Key = BigInteger().with_variant(Integer, "sqlite")  # SQLite only auto-increments INTEGER


class Table(DeclarativeBase):
    """Base of all tables."""

    metadata = MetaData(naming_convention=NAMING)
    type_annotation_map = {datetime: Moment, dict[str, Any]: JSON, list[Any]: JSON}  # noqa: RUF012  SQLAlchemy's own form


class Conversation(Table):
    """One student on one channel."""

    __tablename__ = "conversations"
    __table_args__ = (UniqueConstraint("channel", "address"),)

    id: Mapped[int] = mapped_column(Key, primary_key=True)
    channel: Mapped[str] = mapped_column(String(20))
    address: Mapped[str] = mapped_column(String(200))
    class_level: Mapped[int | None]
    subject: Mapped[str | None] = mapped_column(String(40))
    language: Mapped[str | None] = mapped_column(String(10))
    consented_at: Mapped[datetime | None]
    consent_asked_at: Mapped[datetime | None]
    invited_at: Mapped[datetime | None]  # asked by a template to write again; None once the student was heard
    blocked_at: Mapped[datetime | None]  # the provider says that the student wants nothing from us
    forget_after: Mapped[int | None] = mapped_column(Key)  # the message that asked for it: erase when its reply left
    lease_token: Mapped[str | None] = mapped_column(String(32))
    lease_until: Mapped[datetime | None]
    created_at: Mapped[datetime] = mapped_column(default=now)


class InboxMessage(Table):
    """One message from a student. `state`: waiting -> answered | buried, or waiting -> held -> waiting (consent)."""

    __tablename__ = "inbox"
    __table_args__ = (
        UniqueConstraint("channel", "provider_id"),
        Index("ix_inbox_work", "state", "next_attempt_at"),
        Index("ix_inbox_conversation_state", "conversation_id", "state", "id"),
    )

    id: Mapped[int] = mapped_column(Key, primary_key=True)
    conversation_id: Mapped[int] = mapped_column(ForeignKey("conversations.id"))
    channel: Mapped[str] = mapped_column(String(20))
    provider_id: Mapped[str] = mapped_column(String(120))
    kind: Mapped[str] = mapped_column(String(20))
    text: Mapped[str] = mapped_column(Text)
    answer_ref: Mapped[str | None] = mapped_column(String(32))  # for feedback: the answer meant
    hints: Mapped[dict[str, Any]] = mapped_column(default=dict)  # class, subject, language given with this one question
    state: Mapped[str] = mapped_column(String(10), default="waiting")
    attempts: Mapped[int] = mapped_column(default=0)
    next_attempt_at: Mapped[datetime] = mapped_column(default=now)
    error: Mapped[str | None] = mapped_column(String(200))  # the exception's class and code, never its text
    received_at: Mapped[datetime] = mapped_column(default=now)


class StoredAnswer(Table):
    """The answer to a message. `review`: approved | corrected | rejected; of a refusal approved | false_alarm."""

    __tablename__ = "answers"
    __table_args__ = (
        UniqueConstraint("message_id"),
        Index("ix_answers_created_at", "created_at"),
        Index("ix_answers_review_reviewed_at", "review", "reviewed_at"),
    )

    id: Mapped[str] = mapped_column(String(32), primary_key=True)
    message_id: Mapped[int] = mapped_column(ForeignKey("inbox.id"))
    conversation_id: Mapped[int] = mapped_column(ForeignKey("conversations.id"), index=True)
    question: Mapped[str] = mapped_column(Text)
    text: Mapped[str] = mapped_column(Text)
    caution: Mapped[str] = mapped_column(Text, default="")
    source_line: Mapped[str] = mapped_column(Text, default="")
    route: Mapped[str] = mapped_column(String(20), index=True)
    confidence: Mapped[float | None]
    language: Mapped[str] = mapped_column(String(10))
    class_level: Mapped[int | None]
    subject: Mapped[str | None] = mapped_column(String(40))
    adapter: Mapped[str | None] = mapped_column(String(80))
    sources: Mapped[list[Any]] = mapped_column(default=list)
    passages: Mapped[list[Any]] = mapped_column(default=list)
    decoding: Mapped[dict[str, Any]] = mapped_column(default=dict)
    timings: Mapped[dict[str, Any]] = mapped_column(default=dict)
    verdict: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))  # {action, category, layer, score}
    rating: Mapped[int] = mapped_column(default=0)  # +1 thumb up, -1 thumb down, 0 none
    review: Mapped[str | None] = mapped_column(String(12))
    correction: Mapped[str | None] = mapped_column(Text)
    reviewed_by: Mapped[str | None] = mapped_column(String(80))
    reviewed_at: Mapped[datetime | None]
    created_at: Mapped[datetime] = mapped_column(default=now)


class OutboxPart(Table):
    """One part of a reply. `state` is a bot.ports.DeliveryState; stored as "sending" before the network call."""

    __tablename__ = "outbox"
    __table_args__ = (
        Index("ix_outbox_conversation_state", "conversation_id", "state", "id"),
        Index("ix_outbox_state", "state"),
        Index("ix_outbox_provider_id", "provider_id"),
    )

    id: Mapped[int] = mapped_column(Key, primary_key=True)
    conversation_id: Mapped[int] = mapped_column(ForeignKey("conversations.id"))
    message_id: Mapped[int] = mapped_column(ForeignKey("inbox.id"))
    answer_id: Mapped[str | None] = mapped_column(ForeignKey("answers.id"))
    text: Mapped[str] = mapped_column(Text)
    choices: Mapped[list[Any]] = mapped_column(default=list)  # [label, command] pairs
    menu: Mapped[list[Any]] = mapped_column(default=list)
    state: Mapped[str] = mapped_column(String(12), default="sending")
    started: Mapped[bool] = mapped_column(default=False)  # the network call may have begun: after a crash, in doubt
    in_doubt: Mapped[bool] = mapped_column(
        default=False
    )  # was once found started and unfinished; doubles are only here
    attempts: Mapped[int] = mapped_column(default=0)
    next_attempt_at: Mapped[datetime] = mapped_column(default=now)  # of a part that was tried: when that began
    provider_id: Mapped[str | None] = mapped_column(String(120))
    error: Mapped[str | None] = mapped_column(String(200))
    created_at: Mapped[datetime] = mapped_column(default=now)


class Incident(Table):
    """Something a person must look at. `state`: open -> closed.

    Of a child in distress one adult after another is told, each at `next_alert_at`, until somebody has seen it.
    """

    __tablename__ = "incidents"

    id: Mapped[int] = mapped_column(Key, primary_key=True)
    conversation_id: Mapped[int | None] = mapped_column(ForeignKey("conversations.id"))
    message_id: Mapped[int | None] = mapped_column(ForeignKey("inbox.id"))
    category: Mapped[str] = mapped_column(String(40))
    state: Mapped[str] = mapped_column(String(10), default="open", index=True)
    created_at: Mapped[datetime] = mapped_column(default=now)
    seen_at: Mapped[datetime | None]  # an adult said "I look after it"
    seen_by: Mapped[str | None] = mapped_column(String(80))
    told: Mapped[list[Any]] = mapped_column(default=list)  # [contact, moment] of each alert that left
    next_alert_at: Mapped[datetime | None] = mapped_column(index=True)  # None: nobody is to be told, or no more
    closed_at: Mapped[datetime | None]
    closed_by: Mapped[str | None] = mapped_column(String(80))
    note: Mapped[str | None] = mapped_column(Text)  # of whoever closed it
    outcome: Mapped[str | None] = mapped_column(String(12))  # of a child in distress: real | false_alarm


class User(Table):
    """A teacher or operator. `password` is an argon2 hash."""

    __tablename__ = "users"
    __table_args__ = (UniqueConstraint("name"),)

    id: Mapped[int] = mapped_column(Key, primary_key=True)
    name: Mapped[str] = mapped_column(String(80))
    password: Mapped[str] = mapped_column(String(200))
    role: Mapped[str] = mapped_column(String(20), default="teacher")
    created_at: Mapped[datetime] = mapped_column(default=now)


class Job(Table):
    """Long work for the running service. `state`: waiting -> running -> done | failed; or waiting -> withdrawn."""

    __tablename__ = "jobs"
    __table_args__ = (Index("ix_jobs_state", "state", "id"),)

    id: Mapped[int] = mapped_column(Key, primary_key=True)
    kind: Mapped[str] = mapped_column(String(40))
    arguments: Mapped[dict[str, Any]] = mapped_column(default=dict)
    state: Mapped[str] = mapped_column(String(10), default="waiting")
    done: Mapped[int] = mapped_column(default=0)
    total: Mapped[int] = mapped_column(default=0)
    result: Mapped[dict[str, Any]] = mapped_column(default=dict)
    error: Mapped[str | None] = mapped_column(Text)
    created_at: Mapped[datetime] = mapped_column(default=now)
    finished_at: Mapped[datetime | None]
