"""`sahpathi inference` as an operator starts it: the installed command, a real model, asked over the network."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from typer.testing import CliRunner

from bot.cli import app
from bot.errors import SetupError
from inference.adapters import Shelf
from tests.training.exportable import make_adapter, make_base

KEY = "a-key-of-this-test"
ASKED = {"model": "current", "messages": [{"role": "user", "content": "Hello"}], "max_tokens": 3}


class Started:
    """The command as it runs, and what it has said."""

    def __init__(self, folder: Path, adapter: str, process: subprocess.Popen[bytes]) -> None:
        self.adapter = adapter
        self.process = process
        self._folder = folder

    @property
    def said(self) -> str:
        return (self._folder / "said").read_text(encoding="utf-8")

    @property
    def complained(self) -> str:
        return (self._folder / "complained").read_text(encoding="utf-8")

    def url(self) -> str:
        """The address that it printed, waited for."""
        for _ in range(1200):
            if found := re.search(r"http://[\d.]+:\d+/v1", self.said):
                return found[0]
            assert self.process.poll() is None, self.complained
            time.sleep(0.1)
        raise AssertionError(self.complained)


@pytest.fixture(scope="module")
def started(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Started]:
    """On every address, with a key."""
    folder = tmp_path_factory.mktemp("inference")
    base, shelf = make_base(folder / "tutor-model"), Shelf(folder / "adapters")
    shelf.promote(card := make_adapter(base, shelf))
    settings = {
        "SAHPATHI_HOME": str(folder / "home"),
        "SAHPATHI_MODEL__BASE": str(base),
        "SAHPATHI_MODEL__THREADS": "1",
        "SAHPATHI_MODEL__DTYPE": "float32",
        "SAHPATHI_ADAPTERS": str(shelf.roots[0]),
        "SAHPATHI_GENERATOR_KEY": KEY,
        "COLUMNS": "200",
    }
    command = [str(Path(sys.executable).with_name("sahpathi")), "inference", "--host", "0.0.0.0", "--port", "0"]  # noqa: S104
    clean = {name: value for name, value in os.environ.items() if not name.startswith("SAHPATHI_")}
    with (folder / "said").open("wb") as said, (folder / "complained").open("wb") as complained:
        process = subprocess.Popen(command, env=clean | settings, cwd=folder, stdout=said, stderr=complained)
        try:
            yield Started(folder, card.id, process)
        finally:
            process.kill()
            process.wait()


def test_it_says_where_it_is_and_what_it_has(started: Started) -> None:
    url = started.url()
    assert f"current, tutor-model, {started.adapter}." in started.said
    assert "SAHPATHI_GENERATOR_URL" in started.said
    assert "Whoever reaches" not in started.complained  # it has a key
    answer = httpx.get(f"{url}/models", headers={"Authorization": f"Bearer {KEY}"}, trust_env=False)
    assert [model["id"] for model in answer.json()["data"]] == ["current", "tutor-model", started.adapter]


def test_it_answers_by_the_promoted_adapter(started: Started) -> None:
    asked = f"{started.url()}/chat/completions"
    assert httpx.post(asked, json=ASKED, trust_env=False).status_code == 401
    answer = httpx.post(asked, json=ASKED, headers={"Authorization": f"Bearer {KEY}"}, trust_env=False, timeout=60)
    assert answer.json()["sahpathi"]["adapter"] == started.adapter
    assert answer.json()["usage"]["completion_tokens"] == 3


def test_ctrl_c_ends_it_and_its_model_process(started: Started) -> None:
    """The last of this file: it stops what the others use."""
    started.url()
    children = Path(f"/proc/{started.process.pid}/task/{started.process.pid}/children")
    model = int(children.read_text().split()[0]) if children.exists() else 0
    started.process.send_signal(signal.SIGINT)
    assert started.process.wait(60) == 0
    assert "Traceback" not in started.complained
    if model:
        with pytest.raises(ProcessLookupError):
            os.kill(model, 0)


def test_mistakes_are_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SAHPATHI_MODEL__BASE", str(tmp_path / "nowhere"))
    result = CliRunner().invoke(app, ["inference", "--port", "0"])
    assert isinstance(result.exception, SetupError)
    assert "there is no model there" in str(result.exception)
