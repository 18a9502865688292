"""Fixtures every test may use. A test's state lives in its own temporary folder, never in var/."""

from __future__ import annotations

import asyncio
import os
import shutil
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest
from hypothesis import settings
from psycopg.sql import SQL, Composed, Identifier
from sqlalchemy.engine import make_url

from bot.migrations import upgrade
from bot.settings import Settings
from bot.store import Store, connect
from tests.servers import PostgresServer, RedisServer

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # as bot.cli does: before torch is loaded

settings.register_profile("thorough", max_examples=200, stateful_step_count=50, deadline=None, print_blob=True)


def pytest_configure(config: pytest.Config) -> None:
    """Files are handed out in our order: pytest-xdist would begin with those of the most tests, not the longest."""
    config.option.loadscopereorder = False


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What starts whole services goes first: a file of minutes at the end would leave the other core idle."""
    items.sort(key=lambda item: "end_to_end" not in item.path.parts)  # stable: the rest stays in its order


@pytest.fixture(autouse=True)
def _own_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No test reads the developer's environment or .env, and none writes outside its folder."""
    for name in [name for name in os.environ if name.startswith("SAHPATHI_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("SAHPATHI_HOME", str(tmp_path / "home"))
    monkeypatch.setitem(Settings.model_config, "env_file", None)


@pytest.fixture
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The address of a fresh database made by the real migrations: SQLite, or what a test is parametrized with.

    `@pytest.mark.parametrize("database", ["sqlite", "postgresql"], indirect=True)` runs a test over both.
    """
    if getattr(request, "param", "sqlite") == "postgresql":
        with fresh_database(request.getfixturevalue("migrated_postgres")) as url:
            yield url
    else:
        file = shutil.copyfile(request.getfixturevalue("migrated_file"), tmp_path / "test.db")
        yield f"sqlite+aiosqlite:///{file}"


@pytest.fixture
async def store(database: str) -> AsyncIterator[Store]:
    """A store on a fresh database."""
    opened = Store(connect(database))
    yield opened
    await opened.close()


@pytest.fixture(scope="session")
def migrated_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An SQLite file as the migrations leave it, to be copied."""
    file = tmp_path_factory.mktemp("migrated") / "template.db"
    asyncio.run(_migrate(f"sqlite+aiosqlite:///{file}"))
    return file


@pytest.fixture(scope="session")
def migrated_postgres(postgres: PostgresServer) -> PostgresServer:
    """The server, with a database "migrated" as the migrations leave it, to be copied."""
    _order(postgres, SQL("CREATE DATABASE migrated"))
    asyncio.run(_migrate(_address(postgres, "migrated")))
    return postgres


@contextmanager
def fresh_database(server: PostgresServer) -> Iterator[str]:
    """A copy of the database "migrated" for as long as the body runs: its address."""
    name = f"test_{uuid.uuid4().hex}"
    _order(server, SQL("CREATE DATABASE {} TEMPLATE migrated").format(Identifier(name)))
    yield _address(server, name)
    _order(server, SQL("DROP DATABASE {} WITH (FORCE)").format(Identifier(name)))


def _order(server: PostgresServer, command: SQL | Composed) -> None:
    with psycopg.connect(server.url, autocommit=True) as connection:
        connection.execute(command)


def _address(server: PostgresServer, database: str) -> str:
    url = make_url(server.url).set(drivername="postgresql+psycopg", database=database)
    return url.render_as_string(hide_password=False)


async def _migrate(url: str) -> None:
    engine = connect(url)
    await upgrade(engine)
    await engine.dispose()


@pytest.fixture(scope="session")
def redis_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A real Redis for the whole run; each test uses keys of its own or flushes."""
    with RedisServer(tmp_path_factory.mktemp("redis")) as redis:
        yield redis.url


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PostgresServer]:
    """A real PostgreSQL for the whole run; each test makes a database of its own."""
    server = PostgresServer(tmp_path_factory.mktemp("postgres"))
    server.command += ["-c", "fsync=off"]  # nobody pulls the plug; a database is three hundred files to be synced
    with server:
        yield server
