"""`sahpathi data`: from what teachers reviewed to a dataset that training reads, by the commands."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from bot.cli.data import app
from bot.compose import opened_library, opened_store
from bot.errors import SetupError
from bot.ports import Answer, Effect, Route, Source
from bot.settings import Settings
from bot.store import Store
from tests.bot.cli.test_commands import CHAPTER
from tests.bot.distress import answered, forgotten
from training.base.grounded import NOT_IN_PASSAGES
from training.pairs.data import SELF, UNANSWERABLE, Example, read

FOOD = "Leaves make food for the plant with the help of sunlight."
AGREED = Answer("Thank you.", Route.COMMAND, "en", effect=Effect.CONSENT)
BOOK = "Science, Class 7"
ROOTS = """
<!-- page: 2 -->
## Roots

Roots take up water from the soil. Roots hold the plant in the ground. A root hair is a thin part of a root.

<!-- page: 3 -->
## Flowers

Flowers make seeds. Bees carry pollen from flower to flower. Petals are coloured so that insects find them.

<!-- page: 4 -->
## Seeds

A seed rests until it is warm and wet. Then a shoot grows out of the seed, and the shoot turns to the light.
"""


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    books = tmp_path / "books"
    books.mkdir()
    (books / "leaves.md").write_text(CHAPTER + ROOTS, encoding="utf-8")
    monkeypatch.setenv("SAHPATHI_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("SAHPATHI_TEXTBOOKS", str(books))
    return tmp_path / "home"


def run(*words: str | Path, code: int = 0) -> Result:
    result = CliRunner().invoke(app, [str(word) for word in words])
    assert result.exit_code == code, (result.output, result.exception)
    return result


def refused(*words: str | Path) -> str:
    result = CliRunner().invoke(app, [str(word) for word in words])
    assert isinstance(result.exception, SetupError), result.output
    return str(result.exception)


def built(*words: str | Path) -> tuple[dict[str, Any], list[Example]]:
    card = json.loads(run("build", *words, "--json").stdout)
    return card, read(Path(card["folder"]))


def lines(path: Path, *rows: object) -> Path:
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return path


def pair(question: str, answer: str, **more: object) -> dict[str, object]:
    return {"instruction": question, "response": answer, **more}


def in_the_log(happen: Callable[[Store], Awaitable[None]]) -> None:
    async def write() -> None:
        async with opened_store(Settings.load()) as store:
            await happen(store)

    asyncio.run(write())


def quoted(text: str = FOOD, **more: Any) -> Answer:
    cited = (Source(BOOK, "Leaves", 1, FOOD),)
    return Answer(text, Route.QUOTED, "en", confidence=0.8, sources=cited, passages=(FOOD,), **more)


async def a_term(store: Store) -> None:
    """Approved, corrected and liked answers, and one that is not in the books; of students who agreed and did not."""
    for address in ("asha", "ravi", "gone"):
        await answered(store, AGREED, "/agree", address=address)
    said = "my phone number is 9876543210, what do leaves make?"
    approved = await answered(store, quoted(), said, address="asha")
    corrected = await answered(store, quoted("Roots."), "What holds the plant?", address="ravi")
    absent = await answered(store, Answer("Not there.", Route.NOT_IN_BOOK, "en"), "What is a quark?", address="ravi")
    liked = await answered(store, quoted(), "Who likes leaves?", address="ravi")
    silent = await answered(store, quoted(), "What is asked by the silent?", address="silent")
    erased = await answered(store, quoted(), "What is asked by the forgotten?", address="gone")
    for answer in (approved, absent, silent, erased):
        assert await store.review(answer, by="Meera")
    await store.review(corrected, by="Meera", correction="The roots hold the plant in the ground.")
    stored = await store.answer(liked)
    assert stored is not None
    await store.rate(stored.conversation_id, liked, 1)
    await answered(store, quoted(), "Who likes leaves?", address="asha")
    await forgotten(store, "gone")


def test_what_teachers_reviewed_becomes_a_dataset_that_training_reads(home: Path) -> None:
    in_the_log(a_term)
    card, examples = built("--no-self")
    assert {example.question for example in examples} == {
        "my phone number is [phone], what do leaves make?",
        "What holds the plant?",
        "What is a quark?",
    }
    by_kind = {example.kind: example for example in examples}
    corrected = next(example for example in examples if example.question == "What holds the plant?")
    assert corrected.answer == "The roots hold the plant in the ground."
    refusal = by_kind[UNANSWERABLE]
    assert refusal.answer == NOT_IN_PASSAGES
    assert len(refusal.passages) == 3
    approved = next(example for example in examples if "leaves" in example.question)
    assert (approved.title, approved.page, approved.subject) == (BOOK, 1, "general")
    assert FOOD in approved.passages
    assert len(approved.passages) == 3
    assert all("food" not in text for text in approved.passages if text != FOOD)
    assert card["masks"] == {"phone": 1}
    assert (card["notes"]["liked"], card["notes"]["withheld"]) == (1, 1)
    assert card["notes"]["asked_often"] == [{"question": "Who likes leaves?", "times": 2, "taught": False}]
    assert [(source["name"], source["examples"]) for source in card["sources"]] == [("log", 3)]
    assert card["index"]
    assert Path(card["folder"]).parent == home / "datasets"
    everything = "".join(path.read_text(encoding="utf-8") for path in Path(card["folder"]).iterdir())
    for hidden in ("9876543210", "forgotten", "silent"):
        assert hidden not in everything


def test_files_the_log_and_the_pairs_about_itself_come_together(home: Path, tmp_path: Path) -> None:
    in_the_log(a_term)
    file = lines(
        tmp_path / "own.jsonl", pair("what holds the plant", "Roots hold the plant in the ground.", split="test")
    )
    card, examples = built(file, "--passages", "0", "--name", "term one")
    assert sum(example.kind == SELF for example in examples) == 30
    assert card["name"] == "term one"
    assert card["filters"] == {"near duplicates": 1}
    answers = [example.answer for example in examples if example.question == "What holds the plant?"]
    assert answers == ["The roots hold the plant in the ground."]  # the teacher's, who came later
    assert card["parent"] == ""


def test_without_the_log_nothing_of_it_is_touched(home: Path, tmp_path: Path) -> None:
    file = lines(tmp_path / "own.jsonl", pair("What is rain?", "Rain is water."))
    card, examples = built(file, "--no-log", "--no-self", "--passages", "0", "--output", tmp_path / "out")
    assert [example.answer for example in examples] == ["Rain is water."]
    assert Path(card["folder"]).parent == tmp_path / "out"
    assert not (home / "sahpathi.db").exists()
    assert (home / "datasets" / "splits.json").exists()


def test_contradictions_are_told_and_left_out_unless_kept(home: Path, tmp_path: Path) -> None:
    rows = [pair("How many moons has Mars?", "Mars has 2 moons."), pair("how many moons has mars", "Mars has 3 moons.")]
    file = lines(tmp_path / "own.jsonl", *rows, pair("What is rain?", "Rain is water."))
    options = ("--no-log", "--no-self", "--passages", "0")
    told = run("build", file, *options)
    assert "Contradictory (different numbers)" in told.stderr
    assert "Mars has 3 moons." in told.stderr
    assert "hardly move" in told.stderr
    card, examples = built(file, *options)
    assert card["filters"] == {"contradictory answers": 2}
    assert len(examples) == 1
    assert len(built(file, *options, "--keep-contradictions")[1]) == 3


def test_a_question_stays_on_its_side_in_every_later_dataset(home: Path, tmp_path: Path) -> None:
    options = ("--no-log", "--no-self", "--passages", "0")
    rows = [pair(f"What is the colour of stone {n}?", f"Colour {n}.") for n in range(30)]
    first, _ = built(lines(tmp_path / "one.jsonl", *rows[:20]), *options)
    assert first["counts"]["split"].keys() == {"train", "dev", "test"}
    changed = [row | {"split": "train"} for row in rows[::-1]]
    second, _ = built(lines(tmp_path / "two.jsonl", *changed), *options, "--output", tmp_path / "elsewhere")
    third, _ = built(lines(tmp_path / "three.jsonl", *rows), *options)
    assert third["parent"] == first["id"]
    for later in (second, third):
        told = json.loads(run("diff", first["folder"], later["folder"], "--json").stdout)
        assert (told["moved"], told["removed"], len(told["added"])) == ([], [], 10)


def test_what_the_shipped_test_asks_is_never_trained_on(home: Path, tmp_path: Path) -> None:
    shipped = Path(__file__).parents[3] / "data" / "qa"
    tested = next(example for example in read(shipped) if example.split == "test")
    file = lines(tmp_path / "own.jsonl", pair(tested.question.upper(), tested.answer, split="train"))
    (example,) = built(file, "--no-log", "--no-self", "--passages", "0")[1]
    assert example.split == "test"


def test_the_service_may_run_while_passages_are_looked_up(home: Path, tmp_path: Path) -> None:
    file = lines(tmp_path / "own.jsonl", pair("What do leaves make?", "Leaves make food.", title=BOOK, page=1))

    async def build_beside() -> tuple[dict[str, Any], list[Example]]:
        async with opened_library(Settings.load()):
            return await asyncio.to_thread(built, file, "--no-log", "--no-self")

    card, (example,) = asyncio.run(build_beside())
    assert card["index"]
    assert any("Leaves make food" in text for text in example.passages)


def test_a_malformed_line_stops_the_build_and_is_named(home: Path, tmp_path: Path) -> None:
    file = lines(tmp_path / "own.jsonl", pair("q", "a"), {"instruction": "q"})
    assert f"{file}:2:" in refused("build", file, "--no-log")
    assert "nothing to put" in refused("build", "--no-self")


def test_validate_names_what_cannot_be_trained_on(home: Path, tmp_path: Path) -> None:
    wrong = {"messages": [{"role": "user", "content": "q"}, {"role": "robot", "content": "a"}]}
    file = lines(tmp_path / "own.jsonl", pair("q", "a"), wrong, pair("q", " "), pair("q", "long " * 500))
    listed = json.loads(run("validate", file, "--json", code=1).stdout)
    assert [(row["file"], row["line"]) for row in listed["bad"]] == [(str(file), 2), (str(file), 3), (str(file), 4)]
    assert [word for row, word in zip(listed["bad"], ("robot", "empty", "too long"), strict=True) if word in row["why"]]
    told = run("validate", file, code=1)
    assert f"{file}:2: the roles" in told.stdout
    assert "hardly move" in told.stderr
    good = run("validate", lines(tmp_path / "good.jsonl", *(pair(f"q{n}", "a") for n in range(50))))
    assert "50 examples can be trained on" in good.stdout
    assert good.stderr == ""


def test_validate_counts_by_the_base_model_that_is_named(home: Path, tmp_path: Path) -> None:
    shipped = Path(__file__).parents[3] / "data" / "models" / "base"
    file = lines(tmp_path / "own.jsonl", pair("q", "ङ्ग्ञ्ज्ट्ठ " * 300))
    assert "can be trained on" in run("validate", file).stdout
    assert "tokens" in run("validate", file, "--base", shipped, code=1).stdout
    assert "absent" in refused("validate", file, "--base", tmp_path / "absent")


def test_statistics_and_differences_of_datasets_by_name(home: Path, tmp_path: Path) -> None:
    options = ("--no-log", "--no-self", "--passages", "0")
    one, _ = built(lines(tmp_path / "one.jsonl", pair("What is rain?", "Water.", subject="science")), *options)
    two, _ = built(
        lines(tmp_path / "two.jsonl", pair("what is rain", "Water from clouds."), pair("Why?", "Because.")), *options
    )
    counted = json.loads(run("stats", one["id"][:6], "--json").stdout)
    assert (counted["examples"], counted["unit"]) == (1, "tokens")
    assert counted["counts"]["subject"] == {"science": 1}
    shown = run("stats", one["id"])
    assert "science 1" in shown.stdout
    assert "p95" in shown.stdout
    told = json.loads(run("diff", one["id"], two["id"], "--json").stdout)
    assert told == {"added": ["Why?"], "removed": [], "changed": ["what is rain"], "moved": []}
    assert "They hold the same." in run("diff", one["id"], one["folder"]).stdout
    assert "no dataset" in refused("stats", "zzz")


def test_a_question_that_changed_sides_is_told_by_the_exit_status(home: Path, tmp_path: Path) -> None:
    one = lines(tmp_path / "one.jsonl", pair("q", "a", split="test"))
    two = lines(tmp_path / "two.jsonl", pair("q", "a", split="train"))
    told = run("diff", one, two, code=1)
    assert "test -> train" in told.stdout
    assert "cannot be compared" in told.stderr


def test_an_altered_dataset_is_refused(home: Path, tmp_path: Path) -> None:
    file = lines(tmp_path / "own.jsonl", pair("q", "a", split="train"))
    card, _ = built(file, "--no-log", "--no-self", "--passages", "0")
    train = Path(card["folder"]) / "train.jsonl"
    train.chmod(0o644)
    train.write_text(train.read_text(encoding="utf-8").replace('"a"', '"b"'), encoding="utf-8")
    assert "altered" in refused("stats", card["id"])
    assert "altered" in run("validate", card["folder"], code=1).stdout


def test_the_template_is_valid_and_never_overwrites(home: Path, tmp_path: Path) -> None:
    file = tmp_path / "pairs.jsonl"
    run("template", file)
    text = file.read_text(encoding="utf-8")
    assert text.startswith("// ")
    assert json.loads(run("validate", file, "--json").stdout)["examples"] == 5
    assert "there already" in refused("template", file)
    assert file.read_text(encoding="utf-8") == text
    assert "cannot be written" in refused("template", tmp_path / "no" / "such" / "folder.jsonl")


def test_drafts_wait_for_a_teacher(home: Path, tmp_path: Path) -> None:
    file = tmp_path / "drafts.jsonl"
    told = json.loads(run("draft", "--book", BOOK.upper(), "--output", file, "--json").stdout)
    rows = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
    assert told["drafts"] == len(rows) > 0
    assert {row["kind"] for row in rows} == {"draft"}
    assert all(row["passages"] and row["page"] and "split" not in row for row in rows)
    assert "nothing to put" in refused("build", file, "--no-log", "--no-self")
    rows[0]["approved"] = True
    card, examples = built(lines(tmp_path / "approved.jsonl", *rows), "--no-log", "--no-self", "--passages", "0")
    assert (len(examples), card["notes"]["drafts"]) == (1, len(rows) - 1)
    assert "no book" in refused("draft", "--book", "Nothing", "--output", tmp_path / "x.jsonl")
