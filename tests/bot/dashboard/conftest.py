"""The dashboard of a school with one teacher, and that teacher's browser."""

from __future__ import annotations

from collections.abc import AsyncIterator

import httpx
import pytest
from fastapi import FastAPI

from bot.store import Store
from tests.bot.dashboard.visiting import HASH, NAME, service, sign_in, visitor


@pytest.fixture
async def app(store: Store) -> FastAPI:
    """The dashboard of a school with one teacher."""
    await store.add_user(NAME, HASH, "teacher")
    return service(store)


@pytest.fixture
async def client(app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    """A browser, not signed in."""
    async with visitor(app) as made:
        yield made


@pytest.fixture
async def teacher(client: httpx.AsyncClient) -> httpx.AsyncClient:
    """The same browser, signed in."""
    assert "Answers" in (await sign_in(client)).text
    return client
