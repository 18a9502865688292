"""The safety classifier from the alarms of a school to the one that screens, and back again, by the commands."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

import bot.cli.safety_bench
from bot.cli import app
from bot.compose import opened_safety, opened_store
from bot.ports import Action
from bot.settings import Settings
from inference.classifiers import CURRENT, SHIPPED
from tests.bot.distress import ESCALATED, QUESTION, happened
from training.classifiers.safety_examples import BENIGN, DISTRESS, SafetyExample

HAPPY = ["what is sound", "why is the sky blue", "how do plants drink", "thank you so much", "prakash kya hota hai"]
SAD = ["papa hits me every night", "i do not want to live", "she touched me and i cry", "mujhe mar jana hai"]
RECIPE = """\
safety:
  output: unused
  encoder: all-MiniLM-L6-v2
  rank: 2
  epochs: 1
  batch: 8
"""


def few(_corpus: Path | None, reviewed: Sequence[SafetyExample] = (), *, apart: bool = False) -> list[SafetyExample]:
    """Messages for a run of seconds, in place of the thousands that are shipped; those to learn from mislabelled."""
    kinds = {BENIGN: ("chat", HAPPY, SAD), DISTRESS: ("abuse", SAD, HAPPY)}
    made = [
        SafetyExample(text, label, category, "en", text, split, "ours")
        for label, (category, right, wrong) in kinds.items()
        for split in ("train", "dev", "test")
        for text in (right if split == "test" else wrong)
    ]
    return [*made, *reviewed]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SAHPATHI_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(bot.cli.safety_bench, "messages", few)
    (tmp_path / "quick.yaml").write_text(RECIPE, encoding="utf-8")
    return tmp_path / "home"


def run(*words: str) -> Result:
    return CliRunner().invoke(app, words)


def current(home: Path) -> str:
    path = home / "classifiers" / CURRENT
    history = json.loads(path.read_text(encoding="utf-8")) if path.exists() else []
    return history[-1]["id"] if history else SHIPPED


async def judged_incident() -> None:
    async with opened_store(Settings.load()) as store:
        case = await happened(store, ESCALATED)
        await store.close_incident(case.id, by="Asha", note="It was a line of a song.", outcome="false_alarm")


def test_from_an_alarm_to_the_classifier_that_screens_and_back(home: Path) -> None:
    asyncio.run(judged_incident())
    trained = run("train", "safety", "--recipe", str(home.parent / "quick.yaml"))
    assert trained.exit_code == 0, trained.output
    listed = json.loads(run("classifiers", "list", "--json").stdout)
    made = listed[0]
    assert made["reviewed"] == 1
    assert made["current"] == ""
    assert listed[-1] == {**dict.fromkeys(listed[-1], ""), "current": "*", "id": SHIPPED}
    names = [row["name"] for row in made["sets"]]
    assert "distress, English" in names
    assert made["gate"] == "failed"
    assert not list((home / "classifiers").glob(".making-*"))

    refused = run("classifiers", "promote", made["id"], "--by", "Asha")
    assert refused.exit_code != 0
    assert current(home) == SHIPPED
    assert asyncio.run(follows_a_promotion(made["id"])) == [SHIPPED, made["id"], SHIPPED]
    assert current(home) == SHIPPED


async def follows_a_promotion(made: str) -> list[str]:
    """What screens in a service that runs all the while: before, after the promotion, and after taking it back."""
    seen = []
    async with opened_safety(Settings.load()) as screening:
        (classifier,) = (layer for layer in screening.layers if layer.name == "classifier")
        serving = classifier._serving  # type: ignore[attr-defined]
        assert (await screening.screen_question(QUESTION)).action is Action.ESCALATE
        seen.append(serving._id)
        promoted = run("classifiers", "promote", made, "--by", "Asha", "--reason", "a drill")
        assert promoted.exit_code == 0, promoted.output
        await screening.screen_question("what is sound and how does it travel")
        seen.append(serving._id)
        assert run("classifiers", "rollback").exit_code == 0
        await screening.screen_question("what is sound and how does it travel")
        seen.append(serving._id)
    return seen


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["promote", "0123456789ab", "--by", "Asha"], "no classifier"),
        (["show", ".."], "no classifier"),
        (["rollback"], "nothing to take back"),
        (["promote", SHIPPED], "--by"),
    ],
)
def test_what_cannot_be_done_is_said(home: Path, words: list[str], said: str) -> None:
    result = run("classifiers", *words)
    assert result.exit_code != 0
    assert said in f"{result.output} {result.exception}"


def test_thresholds_alone_need_a_folder(home: Path) -> None:
    assert "--output" in str(run("train", "safety", "--fit-only").exception)
