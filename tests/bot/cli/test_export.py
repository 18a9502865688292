"""`sahpathi export` as an operator meets it: figures, a folder, one clear line for each mistake."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from bot.cli.export import app
from bot.errors import SetupError
from inference.adapters import Shelf
from tests.training.exportable import EXAMPLES, make_adapter, make_base


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A base model, and a folder with a promoted adapter for it."""
    base = make_base(tmp_path_factory.mktemp("models") / "base")
    shelf = Shelf(tmp_path_factory.mktemp("adapters"))
    shelf.promote(make_adapter(base, shelf))
    return base, shelf.roots[0]


@pytest.fixture
def home(trained: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SAHPATHI_MODEL__BASE", str(trained[0]))
    monkeypatch.setenv("SAHPATHI_ADAPTERS", str(trained[1]))
    monkeypatch.setenv("COLUMNS", "200")
    return tmp_path / "home"


def run(*words: str) -> Result:
    return CliRunner().invoke(app, words)


def refused(result: Result) -> str:
    """The one line that `sahpathi` prints for it."""
    assert isinstance(result.exception, SetupError), result.output
    assert "\n" not in str(result.exception)
    return str(result.exception)


def test_an_ollama_folder_with_its_figures(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bot.cli.export.pairs", lambda _: EXAMPLES)  # in place of the thousands that are shipped
    result = run("ollama", "--quantise", "q8_0", "--json")
    assert result.exit_code == 0, result.output
    told = json.loads(result.stdout)
    assert Path(told["folder"]).parent == home / "exports"
    assert told["precision"] == "q8_0"
    assert told["check"]["prompts"] == len(EXAMPLES)
    assert told["check"]["equal_tokens"] > 0.9
    assert (Path(told["folder"]) / "Modelfile").is_file()


def test_a_table_and_what_to_do_with_it(home: Path, tmp_path: Path) -> None:
    result = run("merged", "--output", str(tmp_path / "out"), "--adapter", "base")
    assert result.exit_code == 0, result.output
    assert re.search(r"Prompts asked +16 *\n", result.stdout)
    assert re.search(r"Equal greedy tokens +100.0%", result.stdout)
    assert f"vllm serve {tmp_path / 'out'}" in result.stdout
    assert (tmp_path / "out" / "model.safetensors").is_file()
    assert not (home / "exports").exists()


def test_mistakes_are_one_line(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "there is no adapter 'general-000000000000'" in refused(run("merged", "--adapter", "general-000000000000"))
    assert run("gguf", "--quantise", "q2_k").exit_code == 2
    monkeypatch.setitem(sys.modules, "gguf", None)
    assert refused(run("gguf")) == "gguf is not installed: exporting needs `pip install 'sahpathi[export]'`."
    monkeypatch.setenv("SAHPATHI_MODEL__BASE", str(home / "nowhere"))
    assert "there is no model there" in refused(run("merged"))
