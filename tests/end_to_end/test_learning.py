"""From a teacher's correction to the adapter that answers: ask, correct, train, promote, ask again."""

from __future__ import annotations

import asyncio
import json
import subprocess
from contextlib import ExitStack
from pathlib import Path

from bot.compose import opened_store
from bot.settings import Settings
from inference.adapters import Shelf
from tests.service import SAHPATHI, Service, environment

QUESTIONS = ("What is photosynthesis?", "What is chlorophyll?", "What is a cell?", "What is force?", "What is an echo?")
QUICK = """\
sft:
  base: unused
  adapters: unused
  rank: 4
  alpha: 8
  epochs: 1
  batch: 4
"""


def sahpathi(home: Path, *arguments: str) -> str:
    result = subprocess.run(
        [str(SAHPATHI), *arguments], env=environment(home), cwd=home.parent, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr
    return result.stdout


async def correct_everything(home: Path) -> int:
    """What a teacher does on the dashboard: approve the first answer, correct the others."""
    async with opened_store(Settings.load(home=home)) as store:
        waiting = await store.answers(review=None)
        for number, answer in enumerate(waiting):
            text = None if number == 0 else f"{answer.text} Read the page again at home."
            assert await store.review(answer.id, by="asha", correction=text)
        return len(waiting)


def test_a_correction_becomes_an_adapter_that_answers(home: Path, tmp_path: Path, processes: ExitStack) -> None:
    service = Service(home)
    processes.callback(service.stop)
    service.start()
    for question in QUESTIONS:
        assert service.ask(question)["route"] in {"generated", "quoted"}
    assert asyncio.run(correct_everything(home)) == len(QUESTIONS)

    # Training runs beside the service: neither needs the other to stop.
    recipe = tmp_path / "quick.yaml"
    recipe.write_text(QUICK, encoding="utf-8")
    said = sahpathi(home, "train", "sft", "--log-only", "--recipe", str(recipe))
    (trained,) = [row for row in json.loads(sahpathi(home, "adapters", "list", "--json")) if row["id"] in said]
    assert trained["examples"] > 0
    assert not trained["current"]

    sahpathi(home, "adapters", "promote", trained["id"])
    current = Shelf(home / "adapters", Settings.load().adapters).current("general")
    assert current is not None
    assert current.id == trained["id"]
    # The running service serves it from the next question on; generated answers name it.
    again = [service.ask(question) for question in QUESTIONS]
    assert {answer["adapter"] for answer in again} <= {trained["id"], None}
    assert service.stop() == 0
