"""The service in the ways of running it that the webhooks are measured in, each on the same home and port.

Whatever a measurement leaves unanswered is settled before the next one, which so begins with an empty queue.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
from sqlalchemy import Connection, create_engine, func, inspect, select, update

from bot.ports import DeliveryState
from bot.store import ANSWERED, WAITING
from bot.tables import Conversation, InboxMessage, OutboxPart
from tests.bench.load import STUDENTS, student
from tests.bench.processes import model, model_of, quiet, settings, simulator
from tests.servers import ChromaServer, PostgresServer, RedisServer, free_port, wait_for
from tests.service import SAHPATHI, Service, environment, indexed_home

CHANNELS = ("telegram", "twilio")
POSTGRES = "SAHPATHI_BENCH_POSTGRES"


@dataclass(frozen=True)
class Running:
    """The service, the processes to be watched while it is measured, and its database."""

    service: Service
    watched: Mapping[str, int]
    sql_url: str


def has_redis() -> bool:
    """Whether a Redis can be started here."""
    return shutil.which("redis-server") is not None


def has_postgres() -> bool:
    """Whether there is a PostgreSQL to be used, given or installed."""
    installed = any(Path("/usr/lib/postgresql").glob("*/bin/postgres")) or shutil.which("postgres") is not None
    return bool(os.environ.get(POSTGRES)) or installed


class School:
    """One home with its books indexed, and the providers on the other side. What it starts ends with `stack`."""

    def __init__(self, folder: Path, shelves: Sequence[str], stack: ExitStack) -> None:
        self._folder, self._stack = folder, stack
        self._home = indexed_home(folder, shelves)
        self._port = free_port()
        self._providers = stack.enter_context(simulator(f"http://127.0.0.1:{self._port}"))
        self.providers = f"http://127.0.0.1:{self._providers.port}"
        self._settings = settings(self.providers, self._port)
        self._postgres = ""
        self._acquainted: set[str] = set()

    @contextmanager
    def one_process(self, database: str = "") -> Iterator[Running]:
        """`sahpathi serve` by itself, over SQLite or the database given."""
        more = {"SAHPATHI_DATABASE_URL": database} if database else {}
        with self._served(database, **more) as running:
            self._acquaint(running.sql_url, running.watched)
            yield running

    @contextmanager
    def web_alone(self) -> Iterator[Running]:
        """The web process over SQLite, with Redis to take the kicks; what arrives is answered by nobody yet."""
        with RedisServer(self._folder) as queue, self._served(SAHPATHI_REDIS_URL=queue.url) as running:
            yield running

    @contextmanager
    def apart(self) -> Iterator[Running]:
        """The web process and a worker, over PostgreSQL, Redis and a Chroma server."""
        vectors = self._folder / "chroma"
        indexed = vectors.exists()
        with RedisServer(self._folder) as queue, ChromaServer(vectors) as chroma:
            shared = {
                "SAHPATHI_DATABASE_URL": self.postgres(), "SAHPATHI_REDIS_URL": queue.url,
                "SAHPATHI_CHROMA_URL": chroma.url,
            }  # fmt: skip
            if not indexed:
                self._index(chroma.url)
            worker = Service(self._home, "worker", **{**self._settings, **shared})
            with self._served(self.postgres(), **shared) as running, _until_killed(worker):
                watched = {**running.watched, "worker": worker.pid, **model_of(worker.pid)}
                self._acquaint(running.sql_url, watched)
                yield Running(running.service, watched, running.sql_url)

    def postgres(self) -> str:
        """The address of an empty PostgreSQL: the one given, or one started here. Exits when it is not empty."""
        if not self._postgres:
            given = os.environ.get(POSTGRES, "")
            if given:
                with _connected(given) as connection:
                    if inspect(connection).get_table_names():
                        raise SystemExit(f"{POSTGRES} must name an empty database: students are made up in it")
            self._postgres = given or self._stack.enter_context(PostgresServer(self._folder)).url
        return self._postgres

    @contextmanager
    def _served(self, database: str = "", **more: str) -> Iterator[Running]:
        service = Service(self._home, "serve", **{**self._settings, **more})
        sql_url = database or f"sqlite:///{self._home / 'sahpathi.db'}"
        with _until_killed(service):
            watched = {"service": service.pid, **model_of(service.pid), "providers": self._providers.pid}
            yield Running(service, watched, sql_url)
        with _connected(sql_url) as connection:
            _settle(connection)

    def _acquaint(self, sql_url: str, watched: Mapping[str, int]) -> None:
        """Every student writes and agrees once, through the providers: from then on all are answered."""
        if sql_url in self._acquainted:
            return
        with httpx.Client(base_url=self.providers, trust_env=False, timeout=60) as client:
            before = client.get("/sim/stats").json()["accepted"]
            for number in range(STUDENTS):
                for channel in CHANNELS:
                    said = {"provider": channel, "student": student(channel, number), "text": "/agree"}
                    client.post("/sim/messages", json=said).raise_for_status()
            wanted = before + STUDENTS * len(CHANNELS)
            wait_for(lambda: client.get("/sim/stats").json()["accepted"] >= wanted, seconds=180)
            wait_for(lambda: quiet(watched.values()), seconds=180)  # until the last report on a part has come
        self._acquainted.add(sql_url)

    def _index(self, chroma: str) -> None:
        """Index the books at a Chroma server: a worker would do it too, but not within the time it has for starting."""
        command = [str(SAHPATHI), "textbooks", "reindex"]
        env = environment(self._home, SAHPATHI_CHROMA_URL=chroma)
        subprocess.run(command, env=env, cwd=self._folder, check=True, capture_output=True)


@contextmanager
def generating() -> Iterator[dict[str, int]]:
    """The model writes beside the body, without a pause. Yields its process, to be watched."""
    with model() as server:
        yield model_of(server.pid)


def inbox(sql_url: str) -> Counter[str]:
    """How many messages are stored, by state."""
    with _connected(sql_url) as connection:
        rows = connection.execute(select(InboxMessage.state, func.count()).group_by(InboxMessage.state))
        return Counter(dict(rows.all()))


@contextmanager
def _until_killed(service: Service) -> Iterator[None]:
    service.start()
    try:
        yield
    finally:
        service.kill()  # thousands may be waiting by then, and nobody is going to read the answers


@contextmanager
def _connected(sql_url: str) -> Iterator[Connection]:
    """One transaction, by a plain driver."""
    plain = sql_url.replace("postgresql://", "postgresql+psycopg://", 1)
    engine = create_engine(plain, hide_parameters=True)
    with engine.begin() as connection:
        yield connection
    engine.dispose()


def _settle(connection: Connection) -> None:
    """Leave nothing to be answered, sent or held."""
    waits, sending = InboxMessage.state == WAITING, OutboxPart.state == DeliveryState.SENDING
    connection.execute(update(InboxMessage).where(waits).values(state=ANSWERED))
    connection.execute(update(OutboxPart).where(sending).values(state=DeliveryState.SENT))
    connection.execute(update(Conversation).values(lease_token=None, lease_until=None))
