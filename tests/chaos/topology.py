"""The two ways of running Sahpathi, as real processes with the real servers under them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import redis

from bot.settings import Settings
from tests.servers import ChromaServer, PostgresServer, RedisServer, free_port
from tests.service import Service, indexed_home, take_books

PATIENT = {
    "SAHPATHI_WORKER__SWEEP_SECONDS": "0.5",
    "SAHPATHI_LIMITS__ASK": "1000/minute",
    "SAHPATHI_TWILIO__CATCH_UP_SECONDS": "2",
}
SHORT_LEASE = {"SAHPATHI_WORKER__LEASE_SECONDS": "3"}  # or every kill of a worker costs a student half a minute

Disaster = Callable[[], object]


@dataclass
class School:
    """A running service. `processes` may be killed, `disasters` befall the servers under them."""

    name: str
    url: str
    processes: Sequence[Service]
    sql_url: str
    disasters: Mapping[str, Disaster] = field(default_factory=dict)

    def stop(self) -> None:
        for process in self.processes:
            process.stop()


@contextmanager
def embedded(folder: Path, port: int, providers: Mapping[str, str], *, model: bool) -> Iterator[School]:
    """One process and its files; with `model`, a second one that generates, which must end with the first."""
    home = folder / "home"
    if not home.exists():  # a caller may have brought one that is indexed already
        indexed_home(folder)
    switch = {"SAHPATHI_MODEL__ENABLED": str(model).lower(), "SAHPATHI_PORT": str(port)}
    service = Service(home, "serve", **PATIENT, **switch, **providers)
    school = School("embedded", service.url, [service], Settings(home=home).sql_url.replace("+aiosqlite", ""))
    try:
        service.start()
        yield school
    finally:
        school.stop()


@contextmanager
def scaled(folder: Path, port: int, providers: Mapping[str, str], *, model: bool) -> Iterator[School]:
    """Web and two workers over PostgreSQL, Redis and a Chroma server."""
    home = folder / "home"
    if not (folder / "books").exists():
        take_books(folder)
    with ExitStack() as stack:
        postgres = stack.enter_context(PostgresServer(folder))
        queue = stack.enter_context(RedisServer(folder))
        chroma = stack.enter_context(ChromaServer(folder / "chroma"))
        settings = {
            "SAHPATHI_DATABASE_URL": postgres.url, "SAHPATHI_REDIS_URL": queue.url, "SAHPATHI_CHROMA_URL": chroma.url,
            "SAHPATHI_MODEL__ENABLED": str(model).lower(),
        }  # fmt: skip
        shared = PATIENT | SHORT_LEASE | settings | dict(providers)
        web = Service(home, "serve", name="web", SAHPATHI_PORT=str(port), **shared)
        workers = [Service(home, "worker", name=f"worker-{number}", **shared) for number in (1, 2)]
        sql_url = postgres.url.replace("postgresql://", "postgresql+psycopg://")
        disasters = {
            "Redis flushed": lambda: redis.Redis.from_url(queue.url).flushall(),
            "Redis restarted": lambda: restarted(queue),
            "PostgreSQL restarted": lambda: restarted(postgres),
        }
        school = School("scaled", web.url, [web, *workers], sql_url, disasters)
        stack.callback(school.stop)
        for process in school.processes:
            process.start()  # one after the other: the first worker builds the index
        yield school


def restarted(server: PostgresServer | RedisServer) -> None:
    """Stopped, and started again on the same port."""
    server.stop()
    server.start()


TOPOLOGIES = {"embedded": embedded, "scaled": scaled}

__all__ = ["TOPOLOGIES", "School", "free_port"]
