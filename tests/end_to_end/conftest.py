"""The real service as real processes."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from filelock import FileLock

from tests.prefork import forked
from tests.service import Service, indexed_home

# What the tests ask about, and a chapter that says the same in another language. Every test has all of it indexed, some
# of them again and again.
CHAPTERS = (
    "class-7/science/01-photosynthesis.md",
    "class-7/science/02-acids-bases-salts.md",
    "class-7/science/51-prakash-sanshleshan-hi.md",
    "class-8/science/01-cell.md",
    "class-8/science/02-force-and-pressure.md",
    "class-8/science/03-sound.md",
)


@pytest.fixture(scope="session")
def indexed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home folder with some of the shipped textbooks indexed, to be copied by each test with the books.

    Made once for all the processes that share this test run.
    """
    own = tmp_path_factory.getbasetemp()
    folder = (own.parent if "PYTEST_XDIST_WORKER" in os.environ else own) / "indexed"
    with FileLock(f"{folder}.lock"):
        if not (folder / "done").exists():
            indexed_home(folder, CHAPTERS, forked)
            (folder / "done").touch()
    return folder / "home"


@pytest.fixture(autouse=True)
def _started_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Services are forked."""
    monkeypatch.setattr(Service, "starter", staticmethod(forked))


@pytest.fixture
def home(indexed: Path, tmp_path: Path) -> Path:
    """A fresh copy of the indexed home."""
    shutil.copytree(indexed, tmp_path / "service")
    shutil.copytree(indexed.parent / "books", tmp_path / "books")
    return tmp_path / "service"


@pytest.fixture
def processes() -> Iterator[ExitStack]:
    """Whatever a test starts is stopped at its end."""
    with ExitStack() as stack:
        yield stack
