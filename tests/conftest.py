"""Fixtures every test may use. A test's state lives in its own temporary folder, never in var/."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from bot.migrations import upgrade
from bot.settings import Settings
from bot.store import Store, connect
from tests.servers import redis_server

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # as bot.cli does: before torch is loaded


@pytest.fixture(autouse=True)
def _own_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No test reads the developer's environment or .env, and none writes outside its folder."""
    for name in [name for name in os.environ if name.startswith("SAHPATHI_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("SAHPATHI_HOME", str(tmp_path / "home"))
    monkeypatch.setitem(Settings.model_config, "env_file", None)


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    """A store on a fresh SQLite file, made by the real migrations."""
    engine = connect(f"sqlite+aiosqlite:///{tmp_path / 'test.db'}")
    await upgrade(engine)
    opened = Store(engine)
    yield opened
    await opened.close()


@pytest.fixture(scope="session")
def redis_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A real Redis for the whole run; each test uses keys of its own or flushes."""
    with redis_server(tmp_path_factory.mktemp("redis")) as url:
        yield url
