"""A short storm in each topology; `make chaos` is the long one. Every message is counted at the end."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.chaos.storm import storm

KILLS, EVERY = 6, 2
DISASTERS = {"embedded": set(), "scaled": {"Redis flushed", "Redis restarted", "PostgreSQL restarted"}}


@pytest.mark.redis
@pytest.mark.parametrize("topology", DISASTERS)
def test_kills_and_upset_servers_lose_and_double_nothing(indexed: Path, tmp_path: Path, topology: str) -> None:
    shutil.copytree(indexed.parent / "books", tmp_path / "books")
    shutil.copytree(indexed, tmp_path / "home")
    outcome = storm(topology, tmp_path, kills=KILLS, each=2, seed=1, every=EVERY, model=False, say=print)
    assert outcome.faulty == []
    assert outcome.kills.total() >= KILLS
    assert outcome.account.answers == outcome.account.messages > 6  # more than the first words of everybody
    assert set(outcome.disasters) == DISASTERS[topology]
