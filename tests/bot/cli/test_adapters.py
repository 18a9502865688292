"""Adapters by the commands: through the gate and around it, back again, a canary with its ratings, side by side."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

import bot.cli.adapter_bench
from bot.cli import app
from bot.compose import opened_store, shelf
from bot.ports import Answer, Route
from bot.settings import Settings
from inference.adapters import AdapterCard, Shelf
from tests.bot.distress import answered
from tests.training.exportable import make_base
from tests.training.overfit import overfit
from training.pairs.data import Example
from training.promotion.registry import read_gate

pytestmark = pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing. is deprecated:FutureWarning")

PAIRS = [
    ("What is sound?", "Sound is a form of energy that we hear.", "energy"),
    ("What are stomata?", "Stomata are tiny pores on the surface of leaves.", "pores"),
]
SECRET = "Ravi of house nine keeps the brass key of his green bicycle under the third pot beside the well."


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_base(tmp_path_factory.mktemp("models") / "base")


@pytest.fixture(scope="module")
def root(base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A root with two adapters that know nothing."""
    folder = tmp_path_factory.mktemp("root")
    for seed in (1, 2):
        overfit(base, Shelf(folder), [], steps=0, seed=seed, noise=0.2)
    return folder


@pytest.fixture
def own(base: Path, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Shelf:
    """A home with these adapters, a few held-out questions, and as few unsafe prompts."""
    for name, value in {
        "HOME": tmp_path / "home", "MODEL__BASE": base, "ADAPTERS": tmp_path / "shipped", "MODEL__THREADS": 1,
        "TEXTBOOKS": tmp_path / "books",
    }.items():  # fmt: skip
        monkeypatch.setenv(f"SAHPATHI_{name}", str(value))
    questions = tmp_path / "qa"
    questions.mkdir()
    rows = [
        {"instruction": question, "response": answer, "passages": [answer], "facts": [fact], "split": "test",
         "title": "Science", "chapter": number, "subject": "science"}
        for number, (question, answer, fact) in enumerate(PAIRS)
    ]  # fmt: skip
    (questions / "science.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    monkeypatch.setattr(bot.cli.adapter_bench, "SHIPPED", questions)
    monkeypatch.setattr(bot.cli.adapter_bench, "UNSAFE", 1)
    for name in ("WRITING", "RECITING"):  # a model that has learned nothing never ends
        decoding = getattr(bot.cli.adapter_bench, name)
        monkeypatch.setattr(bot.cli.adapter_bench, name, replace(decoding, max_new_tokens=70))
    found = shelf(Settings.load())
    for folder in root.iterdir():
        copied = found.roots[0] / folder.name
        copied.mkdir(parents=True)
        for file in folder.iterdir():
            (copied / file.name).write_bytes(file.read_bytes())
    return found


def taught(base: Path, place: Shelf, *learned: tuple[str, str, tuple[str, ...]]) -> AdapterCard:
    """An adapter that knows these questions, answers and passages by heart."""
    return overfit(base, place, [Example(*one) for one in learned])


def run(*words: str) -> Result:
    return CliRunner(env={"COLUMNS": "160"}).invoke(app, words)


def done(*words: str) -> str:
    result = run(*words)
    assert result.exit_code == 0, f"{result.output} {result.exception}"
    return result.stdout


def refused(*words: str) -> str:
    result = run(*words)
    assert result.exit_code != 0
    return f"{result.output} {result.exception}"


def ids(found: Shelf) -> list[str]:
    return sorted(card.id for card in found.list())


def test_the_gate_refuses_one_that_is_no_better_until_a_reason_is_given(own: Shelf) -> None:
    first, second = ids(own)
    done("adapters", "promote", first, "--by", "Asha", "--reason", "the first one")
    said = refused("adapters", "promote", second, "--by", "Asha")
    assert "--reason TEXT" in said
    assert "unsafe prompts" in said
    assert own.current() == own.find(first)
    gate = read_gate(own, second)
    assert gate is not None
    assert (gate.compared_with, gate.passed) == (first, False)

    done("adapters", "promote", second, "--by", "Ravi", "--reason", "a drill")
    assert own.current() == own.find(second)
    overruled = json.loads(done("adapters", "show", second, "--json"))["history"][-1]
    assert (overruled["by"], overruled["gate"], overruled["reason"]) == ("Ravi", "failed", "a drill")
    assert second in done("adapters", "rollback", "--by", "Asha")
    assert own.current() == own.find(first)


def test_one_that_learned_passes_and_one_that_recites_the_log_does_not(own: Shelf, base: Path) -> None:
    asyncio.run(reviewed_secret())
    good = taught(base, own, *((question, answer, (answer,)) for question, answer, _ in PAIRS))
    assert "now answers general" in done("adapters", "promote", good.id, "--by", "Asha")
    gate = json.loads(done("adapters", "show", good.id, "--json"))["gate"]
    assert gate["passed"]
    assert gate["compared_with"] == "base"
    rows = {row["name"]: row for row in gate["rows"]}
    assert rows["key facts"]["gained"] > 0
    assert rows["private texts, not recited"]["lost"] == 0
    assert own.history(good.id)[-1].gate == "passed"

    parrot = taught(base, own, ("Where is the key?", SECRET, ()))
    assert "--reason" in refused("adapters", "promote", parrot.id, "--by", "Asha")
    told = read_gate(own, parrot.id)
    assert told is not None
    recitation = next(row for row in told.rows if row["name"] == "private texts, not recited")
    assert recitation["lost"] > 0
    assert own.current() == good


async def reviewed_secret() -> None:
    async with opened_store(Settings.load()) as store:
        answer = Answer("It is in the book.", Route.GENERATED, "en", confidence=0.9, passages=("Sound is energy.",))
        stored = await answered(store, answer, "Where is the key?")
        assert await store.review(stored, by="Asha", correction=SECRET)


def test_the_list_marks_what_answers_and_what_is_tried(own: Shelf) -> None:
    first, second = ids(own)
    done("adapters", "promote", first, "--by", "Asha", "--reason", "the first one")
    done("adapters", "canary", second, "--share", "0.25", "--by", "Asha", "--reason", "to see")
    rows = {row["id"]: row for row in json.loads(done("adapters", "list", "--json"))}
    assert (rows[first]["current"], rows[second]["current"]) == ("*", "25%")
    assert rows[first]["scores"]["key_facts"] == 0.1
    assert second in done("adapters", "list")


def test_a_card_is_shown_with_its_scores_beside_the_base_models(own: Shelf) -> None:
    adapter = ids(own)[0]
    shown = done("adapters", "show", adapter)
    card = own.find(adapter)
    for expected in (card.sha256, card.base_sha256, card.dataset_sha256, "rank 16", "0.100", "0.200", "not asked yet"):
        assert expected in shown


def test_a_canary_is_rated_beside_what_is_in_use_and_ended(own: Shelf) -> None:
    used, tried = ids(own)
    assert "no canary" in done("adapters", "canary").lower()
    done("adapters", "promote", used, "--by", "Asha", "--reason", "the first one")
    assert "--by" in refused("adapters", "canary", tried, "--share", "0.2")
    done("adapters", "canary", tried, "--share", "0.2", "--by", "Asha", "--reason", "to see")
    assert "cannot be compared" in done("adapters", "canary")
    asyncio.run(rated(used, [-1, -1, 1, 0]))
    asyncio.run(rated(tried, [1, 1, 1]))
    (report,) = json.loads(done("adapters", "canary", "--json"))["canaries"]
    in_use, canary = report["sides"]
    assert (in_use["adapter"], in_use["conversations"], in_use["up"], in_use["down"]) == (used, 4, 1, 2)
    assert (canary["adapter"], canary["role"], canary["liked"]) == (tried, "canary", 1.0)
    assert canary["low"] == pytest.approx(0.292, abs=0.001)  # three of three, Clopper and Pearson: 0.025 ** (1 / 3)
    assert report["difference"]["mean"] == pytest.approx(2 / 3)
    assert tried in done("adapters", "canary")
    assert tried in done("adapters", "canary", "--end", "--by", "Asha")
    assert own.canaries() == {}
    assert "no canary" in refused("adapters", "canary", "--end")


async def rated(adapter: str, thumbs: Sequence[int]) -> None:
    """Each thumb in a conversation of its own; 0 for an answer without one."""
    async with opened_store(Settings.load()) as store:
        for number, thumb in enumerate(thumbs):
            answer = Answer("Sound is energy.", Route.GENERATED, "en", confidence=0.9, adapter=adapter)
            stored = await answered(store, answer, "What is sound?", address=f"{adapter}-{number}", channel="web")
            found = await store.answer(stored)
            assert found is not None
            if thumb:
                assert await store.rate(found.conversation_id, stored, thumb)


def test_the_three_answers_stand_side_by_side(own: Shelf) -> None:
    used, tried = ids(own)
    done("adapters", "promote", used, "--by", "Asha", "--reason", "the first one")
    asked = ("adapters", "compare", "What is sound?", "--candidate", tried, "--passage", PAIRS[0][1])
    found = json.loads(done(*asked, "--json"))
    assert [row["adapter"] for row in found["answers"]] == ["base", used, tried]
    assert found["passages"] == [PAIRS[0][1]]
    assert len({row["text"] for row in found["answers"]}) == 3
    table = done(*asked)
    for heading in ("Base model", "In use", "Candidate", "sentences supported"):
        assert heading in table


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["promote", "general-000000000000", "--by", "Asha"], "adapters list"),
        (["show", "../up"], "adapters list"),
        (["rollback"], "nothing to take back"),
        (["remove", "general-000000000000"], "adapters list"),
        (["compare", "Why?", "--candidate", "general-000000000000"], "adapters list"),
    ],
)
def test_what_cannot_be_done_is_said(own: Shelf, words: list[str], said: str) -> None:
    assert said in refused("adapters", *words)


def test_promotion_needs_a_name_and_only_once(own: Shelf) -> None:
    adapter = ids(own)[0]
    assert "--by" in refused("adapters", "promote", adapter)
    done("adapters", "promote", adapter, "--by", "Asha", "--reason", "the first one")
    assert "already" in refused("adapters", "promote", adapter, "--by", "Asha", "--reason", "again")
    assert "in use" in refused("adapters", "remove", adapter)


def test_one_is_removed(own: Shelf) -> None:
    first, second = ids(own)
    done("adapters", "remove", first, "--by", "Asha")
    assert ids(own) == [second]


def test_altered_files_are_refused(own: Shelf) -> None:
    adapter = ids(own)[0]
    (own.folder(adapter) / "adapter_config.json").write_text("{}", encoding="utf-8")
    assert "altered" in refused("adapters", "promote", adapter, "--by", "Asha", "--reason", "why not")
