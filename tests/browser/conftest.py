"""A school on the page of a real browser; a test file brings the school."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from playwright.async_api import Browser

from tests.browsing import browser
from tests.served import School, serving


@pytest.fixture
async def address(school: School) -> AsyncIterator[str]:
    """Where the school's pages are."""
    async with serving(school.app()) as served:
        yield served


@pytest.fixture
async def chromium() -> AsyncIterator[Browser]:
    async with browser() as launched:
        yield launched
