"""A school to visit: the real pages, store and worker behind a real server; only the tutor's words are prepared."""

from __future__ import annotations

import asyncio
import os
import re
from collections import defaultdict
from collections.abc import AsyncGenerator, AsyncIterator, Generator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import uvicorn
from fastapi import FastAPI

from bot.channels.page import PageChannel
from bot.dashboard import routes as dashboard
from bot.jobs import Jobs
from bot.live import MemoryLive
from bot.ports import Answer, Chapter, Inbound, Live, Route, Source, Turn
from bot.store import Accepted, Store
from bot.training_jobs import Training
from bot.web import chat
from bot.worker import Patience, Publish, Worker
from inference.adapters import Shelf

CHAPTERS = (
    Chapter("Science, Class 7", "Photosynthesis, How Plants Make Food", 7, "science"),
    Chapter("Mathematics, Class 6", "Fractions", 6, "mathematics"),
)
PHOTOSYNTHESIS = Source(
    "Science, Class 7",
    "Photosynthesis, How Plants Make Food",
    2,
    "Photosynthesis is the process by which green plants make food from carbon dioxide and water, using sunlight.",
)
WRITTEN = Answer(
    "Photosynthesis is how green plants make their own food. They use sunlight, water and carbon dioxide.",
    Route.GENERATED,
    "en",
    confidence=0.82,
    sources=(PHOTOSYNTHESIS,),
    adapter="science-1a2b3c4d5e6f",
)
SECRET = "a secret of this test"


def no_training(store: Store) -> Training:
    """Of a school that trains elsewhere, and has nothing on its shelves."""
    home = Path(os.environ["SAHPATHI_HOME"])
    return Training(Jobs(store), home, Shelf(home / "adapters"), alone=False)


class HeardLive(MemoryLive):
    """Holds pieces back until somebody listens, so that a test sees all of them; counts who listens."""

    def __init__(self) -> None:
        super().__init__()
        self.open = 0
        self._heard: defaultdict[str, asyncio.Event] = defaultdict(asyncio.Event)

    async def publish(self, message_id: str, piece: str) -> None:
        await self._heard[message_id].wait()
        await super().publish(message_id, piece)

    async def subscribe(self, message_id: str) -> AsyncGenerator[str, None]:
        self._heard[message_id].set()
        self.open += 1
        try:
            async for piece in super().subscribe(message_id):
                yield piece
        finally:
            self.open -= 1


@dataclass
class PreparedTutor:
    """Publishes the sentences of a prepared answer, waits for `gate`, and answers. Breaks on "unanswerable"."""

    answers: dict[str, Answer] = field(default_factory=dict)
    otherwise: Answer = WRITTEN
    gate: asyncio.Event = field(default_factory=asyncio.Event)
    heard: list[Turn] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.gate.set()

    async def answer(self, turn: Turn, publish: Publish) -> Answer:
        self.heard.append(turn)
        if "unanswerable" in turn.text:
            raise RuntimeError("the tutor broke")
        answer = self.answers.get(turn.text, self.otherwise)
        for sentence in re.findall(r"[^.]+[.]?", answer.text):
            await publish(sentence)
        await self.gate.wait()
        return answer

    def say(self, key: str, turn: Turn) -> str:
        return f"<{key}>"


@dataclass
class School:
    """One running service, as a browser sees it."""

    store: Store
    tutor: PreparedTutor = field(default_factory=PreparedTutor)
    live: Live = field(default_factory=HeardLive)
    chapters: Sequence[Chapter] = CHAPTERS
    admitting: bool = True
    patience: float = 60.0
    training: Training | None = None
    tasks: set[asyncio.Task[None]] = field(default_factory=set)

    def __post_init__(self) -> None:
        quick = Patience(lease=5.0, attempts=2, backoff=0.01)
        channels = {"web": PageChannel("web")}
        self.worker = Worker(self.store, self.tutor, channels, self.live, patience=quick, concurrency=4)

    def app(self) -> FastAPI:
        """The pages, mounted as the service mounts them."""
        app = FastAPI()
        app.include_router(
            chat.routes(
                store=self.store,
                accept=self.accept,
                live=self.live,
                admit=self.admit,
                say=lambda key, language: f"<{key} {language}>",
                max_characters=200,
                chapters=self.listed,
                patience=self.patience,
            )
        )
        training = self.training or no_training(self.store)
        app.include_router(dashboard.routes(store=self.store, secret=SECRET, public_https=False, training=training))
        return app

    async def accept(self, inbound: Inbound) -> Accepted:
        accepted = await self.store.accept(inbound)
        task = asyncio.create_task(self._served(accepted.conversation_id))
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)
        return accepted

    async def _served(self, conversation_id: int) -> None:
        """Stands in for queue and sweeper: until nothing of the conversation waits any more."""
        while await self.store.neglected():
            await self.worker.drain(conversation_id)
            await asyncio.sleep(0.02)

    async def admit(self, conversation: str, address: str) -> bool:
        return self.admitting

    async def listed(self) -> Sequence[Chapter]:
        return self.chapters

    async def close(self) -> None:
        self.tutor.gate.set()
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)


class _Server(uvicorn.Server):
    @contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        """Signals belong to the test runner."""
        yield


@asynccontextmanager
async def serving(app: FastAPI) -> AsyncIterator[str]:
    """The app on a free port of this machine; yields its address."""
    server = _Server(uvicorn.Config(app, port=0, lifespan="off", ws="none", log_level="error"))
    task = asyncio.create_task(server.serve())
    async with asyncio.timeout(10):
        while not server.started:  # noqa: ASYNC110  uvicorn has a flag, not an event
            await asyncio.sleep(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        server.force_exit = True
        await task
