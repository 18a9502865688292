"""The processes of the service: everything started in order, and stopped in reverse."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from enum import StrEnum
from functools import partial
from typing import TYPE_CHECKING

from sqlalchemy.exc import SQLAlchemyError

from bot.alarm.alerts import Alarm, ByChannel, Sender
from bot.alarm.contacts import MAIL, TELEGRAM
from bot.alarm.mail import Mailer
from bot.alarm.seen import Adults
from bot.books import Books
from bot.channels.page import PageChannel
from bot.compose.answering import opened_recall, opened_tutor
from bot.compose.places import secret, shelf, shelves
from bot.errors import SahpathiError, SettingsError, SetupError
from bot.jobs import Handler, JobRunner, Jobs
from bot.limiter import Limiter
from bot.live import MemoryLive, RedisLive
from bot.metrics import Metrics
from bot.migrations import upgrade
from bot.ports import Channel, Generator, Inbound, Live
from bot.queue import Queue, in_memory, on_redis
from bot.replies import Replies
from bot.safety.personal_data import mask
from bot.settings import PROJECT, Settings
from bot.store import Accepted, Store, connect
from bot.training_jobs import Training
from bot.tutor import Tutor
from bot.tutoring.menu import listed
from bot.worker import Patience, Worker

if TYPE_CHECKING:  # imported where they are made: a web process needs neither Chroma nor the providers' clients
    from bot.channels.cloud import CloudChannel
    from bot.channels.telegram import TelegramChannel
    from bot.channels.whatsapp import WhatsAppChannel
    from bot.recall.recall import Recall
    from rag.library import Library

logger = logging.getLogger(__name__)


class Role(StrEnum):
    """What a process does."""

    ALL = "all"  # everything, with the queue in memory
    WEB = "web"  # receives and shows; answers are written by workers over Redis
    WORKER = "worker"  # answers


@dataclass(slots=True)
class Services:
    """Everything a running process holds. `worker`, `tutor`, `library` and `engine` are None in a web process."""

    settings: Settings
    role: Role
    store: Store
    live: Live
    books: Books
    queue: Queue
    replies: Replies
    metrics: Metrics
    limiter: Limiter
    secret: str
    training: Training
    telegram: TelegramChannel | None = None
    whatsapp: WhatsAppChannel | None = None
    cloud: CloudChannel | None = None
    library: Library | None = None
    engine: Generator | None = None
    tutor: Tutor | None = None
    worker: Worker | None = None
    handlers: dict[str, Handler] = field(default_factory=dict)  # of the jobs that this process does for others

    async def accept(self, inbound: Inbound) -> Accepted:
        """Store a message durably, and ask for it to be answered once the caller has acknowledged it.

        Telephone numbers, addresses and the like are masked before anything is stored; the tutor needs none of them.
        """
        accepted = await self.store.accept(replace(inbound, text=mask(inbound.text)))
        self.metrics.received.labels(inbound.channel, str(accepted.duplicate).lower()).inc()
        await self.queue.kick(accepted.conversation_id)
        return accepted

    @property
    def messengers(self) -> list[Channel]:
        """The messaging channels that are switched on."""
        return [channel for channel in (self.telegram, self.whatsapp, self.cloud) if channel is not None]

    def count_unknown(self, channel: str, kind: str) -> None:
        """Count a webhook whose kind we do not know."""
        self.metrics.unknown.labels(channel, kind).inc()

    def derived_secret(self, purpose: str) -> str:
        """A secret of its own for each purpose, from the one secret of this installation."""
        return hmac.new(self.secret.encode(), purpose.encode(), hashlib.sha256).hexdigest()


@asynccontextmanager
async def running(
    settings: Settings, role: Role = Role.ALL, *, say: Callable[[str], None] = logger.info
) -> AsyncIterator[Services]:
    """Everything started, in order; everything stopped, in reverse. Raises SetupError with what to do."""
    async with AsyncExitStack() as stack:
        services = await _foundations(settings, role, stack)
        await _open_channels(services, stack)
        if role is not Role.WEB:
            alarm = _alarm(services)  # first: what it finds wrong is said before anything slow starts
            await _open_tutor(services, stack, say)
        services.queue = _queue(services)
        await services.queue.start()
        stack.push_async_callback(services.queue.close)
        if services.worker is not None:
            services.worker.kick = services.queue.kick
            if role is Role.ALL and settings.chroma_url is None:
                # The lock on the embedded index shows that we are alone: whoever held a lease here is dead.
                await services.store.release_all()
                jobs = Jobs(services.store)
                await jobs.take_up_again()
                _in_background(stack, JobRunner(jobs, services.handlers | services.training.jobs()).run())
            _in_background(stack, services.worker.sweep())
            _in_background(stack, alarm.run())
        if role is not Role.WORKER:
            _receive(services, stack)
        yield services


async def _foundations(settings: Settings, role: Role, stack: AsyncExitStack) -> Services:
    store = await stack.enter_async_context(opened_store(settings))
    redis_url = settings.redis_url.get_secret_value() if settings.redis_url is not None else None
    live: MemoryLive | RedisLive = MemoryLive()
    if redis_url is not None:
        live = RedisLive(redis_url)
        stack.push_async_callback(live.close)
    limiter = Limiter(settings.limits.ask, settings.limits.address, redis_url=redis_url)
    stack.push_async_callback(limiter.close)
    return Services(
        settings=settings,
        role=role,
        store=store,
        live=live,
        books=Books(partial(shelves, settings)),
        queue=Queue(in_memory(), None),
        replies=Replies.load(PROJECT / "data" / "locales", settings.helplines.model_dump()),
        metrics=Metrics(),
        limiter=limiter,
        secret=secret(settings),
        training=Training(
            Jobs(store), settings.home, shelf(settings), alone=role is Role.ALL and settings.chroma_url is None
        ),
    )


def _receive(services: Services, stack: AsyncExitStack) -> None:
    """What a channel does to be heard, beyond its webhook; each goes on trying while its provider is away.

    Telegram: register the webhook, or poll where there is no public address. Twilio: say what is wrong with the
    set-up, and look for what was missed.
    """
    stop = asyncio.Event()
    settings, telegram, whatsapp = services.settings, services.telegram, services.whatsapp
    if telegram is not None and settings.public_url is not None:
        _in_background(stack, telegram.started(stop))
    elif telegram is not None:
        _in_background(stack, telegram.poll(services.accept, stop, services.count_unknown))
    if whatsapp is not None:
        _in_background(stack, whatsapp.listen(services.accept, stop, every=settings.twilio.catch_up_seconds))
    stack.callback(stop.set)


def _queue(services: Services) -> Queue:
    drain = services.worker.drain if services.worker is not None else None
    if services.settings.redis_url is None:
        return Queue(in_memory(), drain)
    return Queue(on_redis(services.settings.redis_url.get_secret_value()), drain)


async def _open_channels(services: Services, stack: AsyncExitStack) -> None:
    settings = services.settings
    if settings.telegram.token is not None and settings.telegram.token.get_secret_value():
        from bot.channels.telegram import TelegramChannel

        secret = settings.telegram.secret
        services.telegram = TelegramChannel(
            settings.telegram.token.get_secret_value(),
            secret=secret.get_secret_value() if secret else services.derived_secret("telegram"),
            api_base=settings.telegram.api_base,
            public_url=settings.public("") if settings.public_url else None,
            commands={"": listed(services.replies, "en"), "hi": listed(services.replies, "hi")},
        )
        stack.push_async_callback(services.telegram.close)
    if settings.twilio.account_sid and settings.twilio.auth_token and settings.twilio.from_:
        from bot.channels.whatsapp import WhatsAppChannel

        services.whatsapp = WhatsAppChannel(
            settings.twilio.account_sid,
            settings.twilio.auth_token.get_secret_value(),
            settings.twilio.from_,
            public_url=settings.public(""),
            api_base=settings.twilio.api_base,
            template_sid=settings.twilio.template_sid,
            taken=services.store.has_part,
        )
        stack.push_async_callback(services.whatsapp.close)
    cloud = settings.cloud
    if cloud.phone_number_id and cloud.access_token and cloud.app_secret and cloud.verify_token:
        from bot.channels.cloud import CloudChannel

        services.cloud = CloudChannel(
            cloud.phone_number_id,
            cloud.access_token.get_secret_value(),
            app_secret=cloud.app_secret.get_secret_value(),
            verify_token=cloud.verify_token.get_secret_value(),
            api_base=cloud.api_base,
            template=cloud.template,
            template_language=cloud.template_language,
        )
        stack.push_async_callback(services.cloud.close)


async def _open_tutor(services: Services, stack: AsyncExitStack, say: Callable[[str], None]) -> None:
    settings = services.settings
    opened = await stack.enter_async_context(opened_tutor(settings, services.books, services.replies, say))
    services.library, services.engine, services.tutor = opened.library, opened.engine, opened.tutor
    recall = await opened_recall(services.store, services.replies, shelf(settings), opened.library)
    _in_background(stack, recall.verified.watch())
    services.tutor.recall = recall
    _count(services, recall)
    services.handlers = services.books.jobs(opened.library, opened.commands.shelve)
    channels: dict[str, Channel] = {name: PageChannel(name) for name in ("web", "console")}
    channels |= {channel.name: channel for channel in services.messengers}
    worker = settings.worker
    services.worker = Worker(
        services.store,
        services.tutor,
        channels,
        services.live,
        patience=Patience(worker.lease_seconds, worker.sweep_seconds, worker.attempts, worker.backoff_seconds),
        concurrency=worker.concurrency,
        pace=services.limiter,
        adults=Adults(settings.safety.adults, _incidents_page(settings)),
    )


def _count(services: Services, recall: Recall) -> None:
    """Let Prometheus see how busy the model process is, and what was answered without it."""
    from inference.process import EngineProcess

    metrics, engine = services.metrics, services.engine
    if isinstance(engine, EngineProcess):
        metrics.model.labels("writing").set_function(lambda: engine.under_way)
        metrics.model.labels("waiting").set_function(lambda: engine.waiting)
    metrics.recalled.labels("yes").set_function(lambda: recall.cache.hits)
    metrics.recalled.labels("no").set_function(lambda: recall.cache.misses)


def _alarm(services: Services) -> Alarm:
    """What tells adults of a child in distress. Raises SettingsError where one of them never could be."""
    settings, smtp = services.settings, services.settings.smtp
    if settings.out_of_reach:
        raise SettingsError(settings.out_of_reach)
    senders: dict[str, Sender] = {}
    if services.telegram is not None:
        senders[TELEGRAM] = ByChannel(services.telegram)
    if smtp.host and smtp.sender:
        password = smtp.password.get_secret_value() if smtp.password else ""
        senders[MAIL] = Mailer(
            smtp.host, smtp.port, sender=smtp.sender, user=smtp.user or "", password=password, starttls=smtp.starttls
        )
    safety, page = settings.safety, _incidents_page(settings)
    return Alarm(services.store, safety.adults, senders, escalate_after=safety.escalate_after_seconds, page=page)


def _incidents_page(settings: Settings) -> str:
    """Its public address, or "" where it cannot be reached from outside."""
    return settings.public("/dashboard/incidents") if settings.public_url else ""


@asynccontextmanager
async def opened_store(settings: Settings) -> AsyncIterator[Store]:
    """The database alone, brought up to date. Raises SetupError when it cannot be opened."""
    settings.home.mkdir(parents=True, exist_ok=True)
    engine = connect(settings.sql_url)
    try:
        try:
            await upgrade(engine)
        except (SQLAlchemyError, OSError) as error:
            raise SetupError(
                f"The database cannot be opened ({type(error).__name__}). Check SAHPATHI_DATABASE_URL and that the "
                f"server runs; without that setting the database is a file in {settings.home}."
            ) from error
        store = Store(engine)
        try:
            yield store
        finally:
            await store.close()
    finally:
        await engine.dispose()


def _in_background(stack: AsyncExitStack, work: Awaitable[None]) -> None:
    task = asyncio.ensure_future(work)
    task.add_done_callback(_report)

    async def stop() -> None:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    stack.push_async_callback(stop)


def _report(task: asyncio.Future[None]) -> None:
    """Say why a background task ended; the rest of the service goes on without it."""
    if task.cancelled() or (error := task.exception()) is None:
        return
    if isinstance(error, SahpathiError):
        logger.error("%s", error)
    else:
        logger.error("a background task failed", exc_info=error)
