"""`evaluate same`, as an operator runs it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from bot.cli.evaluate_same import QUESTIONS, same
from bot.errors import SetupError

app = typer.Typer()
app.command()(same)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The tables and a handful of groups of each split."""
    for name in ("alike.tsv", "apart.tsv", "phrases.tsv", "threshold.json"):
        shutil.copy(QUESTIONS / name, tmp_path / name)
    lines = (QUESTIONS / "science.jsonl").read_text(encoding="utf-8").splitlines()[:12]
    rows = [json.loads(line) | {"split": ("train", "dev", "test")[n % 3]} for n, line in enumerate(lines)]
    (tmp_path / "few.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    return tmp_path


def test_it_fits_keeps_the_threshold_and_reports(folder: Path) -> None:
    (folder / "threshold.json").write_text("{}", encoding="utf-8")
    done = CliRunner().invoke(app, ["--questions", str(folder), "--fit", "--json"])
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    assert found["threshold"] == json.loads((folder / "threshold.json").read_text(encoding="utf-8"))["least"]
    assert {row["pairs"] for row in found["pairs"]} == {"same meaning", "near miss"}
    assert found["cache"]["questions"] == 36


def test_a_table_for_people(folder: Path) -> None:
    done = CliRunner().invoke(app, ["--questions", str(folder), "--split", "dev"])
    assert done.exit_code == 0, done.output
    assert "answered from the" in done.stdout


def test_an_unknown_split_and_a_broken_threshold_say_what_to_do(folder: Path) -> None:
    done = CliRunner().invoke(app, ["--questions", str(folder), "--split", "tset"])
    assert isinstance(done.exception, SetupError)
    assert "train, dev or test" in str(done.exception)
    (folder / "threshold.json").write_text("{}", encoding="utf-8")
    done = CliRunner().invoke(app, ["--questions", str(folder)])
    assert isinstance(done.exception, SetupError)
    assert "--fit" in str(done.exception)
