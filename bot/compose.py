"""The composition root: Settings in, running services out. The one place that names concrete classes."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import logging
import os
import secrets
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from dataclasses import dataclass, field, replace
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy.exc import SQLAlchemyError

from bot.alarm.alerts import Alarm, ByChannel, Sender
from bot.alarm.contacts import MAIL, TELEGRAM
from bot.alarm.mail import Mailer
from bot.alarm.seen import Adults
from bot.books import Books
from bot.calculating.calculator import Calculator
from bot.channels.page import PageChannel
from bot.errors import GenerationError, IndexBusy, IndexMismatch, SahpathiError, SettingsError, SetupError
from bot.folding import words
from bot.jobs import Handler, JobRunner, Jobs
from bot.limiter import Limiter
from bot.live import MemoryLive, RedisLive
from bot.metrics import Metrics
from bot.migrations import upgrade
from bot.ports import Channel, Decoding, Generation, Inbound, Live, Message
from bot.queue import Queue, in_memory, on_redis
from bot.replies import Replies
from bot.safety.classifier import Classifier, Judge, Thresholds
from bot.safety.filter import SafetyFilter
from bot.safety.guard import Guard
from bot.safety.personal_data import mask
from bot.safety.rules import Rules
from bot.settings import PROJECT, Settings
from bot.store import Accepted, Store, connect
from bot.training_jobs import Training
from bot.tutor import Tutor
from bot.tutoring.commands import Commands
from bot.tutoring.everyday import Everyday
from bot.tutoring.menu import listed
from bot.worker import Patience, Worker
from inference.adapters import Shelf
from inference.classifiers import THRESHOLDS, ClassifierShelf
from inference.errors import InferenceError
from inference.prompt import SYSTEM, grounded

if TYPE_CHECKING:  # imported where they are made: a web process needs neither Chroma nor the providers' clients
    from bot.channels.cloud import CloudChannel
    from bot.channels.telegram import TelegramChannel
    from bot.channels.whatsapp import WhatsAppChannel
    from inference.moderation import Moderator, Worded
    from inference.process import EngineProcess
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
    engine: EngineProcess | None = None
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


class TranslatedGenerator:
    """The engine behind the Generator port, with its errors as ours."""

    def __init__(self, engine: EngineProcess) -> None:
        self._engine = engine

    async def stream(
        self,
        messages: Sequence[Message],
        *,
        decoding: Decoding,
        subject: str | None = None,
        adapter: str = "current",
        conversation: str | None = None,
    ) -> AsyncGenerator[str | Generation, None]:
        stream = self._engine.stream(
            messages, decoding=decoding, subject=subject, adapter=adapter, conversation=conversation
        )
        try:
            async with aclosing(stream) as pieces:
                async for piece in pieces:
                    yield piece
        except InferenceError as error:
            raise GenerationError(str(error)) from error


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
        secret=_secret(settings),
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


@dataclass(frozen=True, slots=True)
class Opened:
    """A tutor that can answer, and what it answers with. `engine` is None where generation is switched off."""

    tutor: Tutor
    library: Library
    engine: EngineProcess | None
    commands: Commands


@asynccontextmanager
async def opened_tutor(
    settings: Settings, books: Books, replies: Replies, say: Callable[[str], None]
) -> AsyncIterator[Opened]:
    """The tutor alone, without database or channels. Raises SetupError when a part of it is missing."""
    async with AsyncExitStack() as stack:
        say("Opening the textbooks and the model ...")
        try:
            async with asyncio.TaskGroup() as group:  # both take seconds, and on different cores
                starting = group.create_task(_start_engine(settings, stack))
                library = await stack.enter_async_context(opened_library(settings))
        except* SetupError as errors:
            raise errors.exceptions[0] from None
        engine = starting.result()
        commands = Commands(replies, await books.chapters())
        tutor = Tutor(
            safety=await stack.enter_async_context(opened_safety(settings)),
            retriever=library,
            grounder=library,
            generator=TranslatedGenerator(engine) if engine is not None else None,
            replies=replies,
            everyday=Everyday().match,
            calculate=Calculator().answer,
            commands=commands,
            prompt=grounded,
            decoding=Decoding(**settings.decoding.model_dump()),
            passages=settings.retrieval.passages,
            longest_question=settings.limits.question_characters,
        )
        yield Opened(tutor, library, engine, commands)


@asynccontextmanager
async def opened_library(
    settings: Settings, *, rebuild: bool = False, progress: Callable[[int, int], None] | None = None
) -> AsyncIterator[Library]:
    """The textbooks, indexed when they changed. Raises SetupError: index in use, or made by another model."""
    from rag.answerable import Answerable
    from rag.errors import EmbeddingMismatch, IndexInUse, RagError
    from rag.glossary import Glossary
    from rag.library import Library

    place = str(settings.chroma_url) if settings.chroma_url else settings.home / "index"
    try:
        library = await Library.open(
            place,
            embedding_model=settings.retrieval.embedding_model,
            threads=settings.model.threads,
            glossary=await asyncio.to_thread(Glossary.load, PROJECT / "data" / "glossary"),
            answerable=await asyncio.to_thread(Answerable.load, PROJECT / "data" / "retrieval" / "answerable.json"),
            board=settings.retrieval.board,
            reranker=settings.retrieval.reranker,
            admits=await asyncio.to_thread(_passage_check),
            any_model=rebuild,
        )
    except EmbeddingMismatch as error:
        raise IndexMismatch(str(error)) from error
    except IndexInUse as error:
        raise IndexBusy(str(error)) from error
    except RagError as error:
        raise SetupError(str(error)) from error
    try:
        report = await library.index(shelves(settings), progress, force=rebuild)
        for problem in report.summary()["errors"]:
            logger.warning("left out: %s", problem)
        logger.info("%d chapters, %d passages%s", report.chapters, report.passages, ", indexed" * report.rebuilt)
        yield library
    finally:
        await library.close()


def _passage_check() -> Callable[[str], bool]:
    """What tells a passage that gives orders to the tutor from one that teaches: a model might obey it."""
    rules = Rules.load(PROJECT / "data" / "safety" / "rules.json")
    return lambda text: rules.may_be_printed((words(text),))  # one view: a model reads no base64 either


@asynccontextmanager
async def opened_safety(settings: Settings) -> AsyncIterator[SafetyFilter]:
    """The safety filter with every layer. Raises SetupError when a part of it is missing: nothing runs without it."""
    safety = settings.safety
    key = safety.guard_key.get_secret_value() if safety.guard_key else ""
    guard = (
        Guard(str(safety.guard_url), safety.guard_model, deadline=safety.guard_seconds, key=key)
        if safety.guard_url is not None
        else None
    )
    with ThreadPoolExecutor(1, "safety") as executor:
        try:
            serving = _Serving(settings)
            await asyncio.get_running_loop().run_in_executor(executor, serving)  # now, not at the first message
            opened = SafetyFilter.load(
                PROJECT / "data" / "safety",
                Classifier(serving, executor),
                *([guard] if guard is not None else []),
                confidential=(SYSTEM,),
                helplines=tuple(settings.helplines.model_dump().values()),
            )
        except (InferenceError, OSError, ValueError) as error:
            raise SetupError(f"The safety filter cannot be opened: {error}") from error
        try:
            yield opened
        finally:
            if guard is not None:
                await guard.close()


class _Serving:
    """The classifier that is promoted. It is looked for before each message, so that a promotion needs no restart."""

    def __init__(self, settings: Settings) -> None:
        self._fixed = settings.safety.classifier
        self._threads = settings.model.threads
        self._shelf = classifiers(settings)
        self._id = ""
        self._judge: Judge | None = None

    def __call__(self) -> Judge:
        """Raises InferenceError, OSError or ValueError when there is none that can be loaded."""
        wanted = str(self._fixed or self._shelf.current)
        if self._judge is None or wanted != self._id:
            self._judge = self._load(self._fixed or self._shelf.folder(wanted))
            self._id = wanted
            logger.info("safety: classifier %s", wanted)
        return self._judge

    def _load(self, folder: Path) -> Judge:
        from inference.moderation import Moderator
        from rag.embed import packaged

        moderator = Moderator.load(folder, packaged(), threads=self._threads)
        scorer = _ReadingModerator(moderator, message_reader(moderator.knows))
        return Judge(scorer, Thresholds.load(folder / THRESHOLDS))


@dataclass(frozen=True, slots=True)
class _ReadingModerator:
    """Satisfies `classifier.Scorer`: puts messages into the model's form first."""

    moderator: Moderator
    read: Callable[[str], Worded]

    @property
    def labels(self) -> Sequence[str]:
        return self.moderator.labels

    def scores(self, texts: Sequence[str]) -> Iterable[Iterable[float]]:
        return self.moderator.scores([self.read(text) for text in texts])


def message_reader(is_word: Callable[[str], bool]) -> Callable[[str], Worded]:
    """What puts a message before the safety classifier, in English and as spelled; training reads the same way."""
    from inference.moderation import Worded
    from rag.gloss import Gloss

    gloss = Gloss.load(PROJECT / "data" / "glossary", is_word)

    def read(text: str) -> Worded:
        return Worded(gloss.english(text), gloss.spelled(text))

    return read


async def _start_engine(settings: Settings, stack: AsyncExitStack) -> EngineProcess | None:
    """The model process, or None where generation is switched off. Raises SetupError when there is no model."""
    if not settings.model.enabled:
        return None
    from inference.process import EngineProcess

    roots = shelf(settings).roots
    model = settings.model
    engine = EngineProcess(model.base, roots, threads=model.threads, dtype=model.dtype, timeout=model.timeout)
    stack.push_async_callback(engine.close)
    try:
        await engine.start()
        await engine.warm_up()
    except InferenceError as error:
        raise SetupError(str(error)) from error
    return engine


def shelves(settings: Settings) -> list[Path]:
    """Where books are: the shipped ones, or the folder named instead, and what was added here."""
    added = added_books(settings)
    return [settings.textbooks, *([added] if added.is_dir() else [])]


def added_books(settings: Settings) -> Path:
    """The folder of what `sahpathi textbooks add` was given."""
    return settings.home / "textbooks"


def shelf(settings: Settings) -> Shelf:
    """Adapters: the ones trained here first, then the shipped ones."""
    return Shelf(settings.home / "adapters", settings.adapters)


def classifiers(settings: Settings) -> ClassifierShelf:
    """Safety classifiers: those trained here, and the shipped one."""
    return ClassifierShelf(settings.home / "classifiers", PROJECT / "data" / "safety" / "classifier")


def _secret(settings: Settings) -> str:
    """The installation's secret: given, or made once and kept readable by its owner only."""
    if settings.secret is not None and settings.secret.get_secret_value():
        return settings.secret.get_secret_value()
    path = settings.home / "secret"
    if not path.exists():
        made = secrets.token_urlsafe(32)
        temporary = path.with_suffix(f".{os.getpid()}")
        temporary.write_text(made, encoding="utf-8")
        temporary.chmod(0o600)
        try:
            os.link(temporary, path)  # of two processes starting together, the first one's secret stays
        except FileExistsError:
            pass
        finally:
            temporary.unlink()
    return path.read_text(encoding="utf-8").strip()


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
