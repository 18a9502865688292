"""The real reader of questions."""

from __future__ import annotations

import pytest

from bot.settings import PROJECT
from rag.same import Reader, Threshold

THRESHOLD = Threshold(0.8)


@pytest.fixture(scope="session")
def reader() -> Reader:
    return Reader.load(PROJECT / "data" / "glossary", PROJECT / "data" / "same")
