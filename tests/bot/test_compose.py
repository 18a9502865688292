"""The composition root: one secret an installation, errors as ours, and nothing heavy where it is not needed."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path

import pytest

from bot.compose import Role, TranslatedGenerator, opened_library, running
from bot.errors import GenerationError, SettingsError, SetupError
from bot.ports import Decoding, Message
from bot.settings import Settings
from inference.process import EngineProcess


async def test_the_secret_is_made_once_and_kept_to_its_owner(tmp_path: Path) -> None:
    settings = Settings.load(home=tmp_path / "home")
    async with running(settings, Role.WEB) as first:
        secret = first.secret
    async with running(settings, Role.WEB) as second:
        assert second.secret == secret
        assert second.derived_secret("telegram") != second.derived_secret("dashboard")
    assert (tmp_path / "home" / "secret").stat().st_mode & 0o077 == 0


async def test_a_given_secret_is_used_and_not_written(tmp_path: Path) -> None:
    settings = Settings.load(home=tmp_path / "home", secret="given")
    async with running(settings, Role.WEB) as services:
        assert services.secret == "given"
    assert not (tmp_path / "home" / "secret").exists()


async def test_an_adult_who_never_could_be_told_is_said_before_anything_slow_starts(tmp_path: Path) -> None:
    settings = Settings.load(home=tmp_path / "home", safety={"adults": "mailto:asha@school.example"})
    with pytest.raises(SettingsError, match="SAHPATHI_SMTP__HOST"):
        async with running(settings, Role.WORKER):
            pass
    assert not (tmp_path / "home" / "index").exists()


def test_a_web_process_loads_neither_model_nor_index(tmp_path: Path) -> None:
    probe = """
import asyncio, sys
from bot.compose import Role, running
from bot.settings import Settings
from bot.web.app import create_app
async def main():
    async with running(Settings.load(), Role.WEB) as services:
        create_app(services)
asyncio.run(main())
print(sorted({"torch", "transformers", "chromadb", "sentence_transformers", "peft"} & set(sys.modules)))
"""
    environment = {"SAHPATHI_HOME": str(tmp_path / "home"), "PATH": ""}
    done = subprocess.run([sys.executable, "-c", probe], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


async def test_engine_errors_become_generation_errors(tmp_path: Path) -> None:
    engine = EngineProcess(tmp_path / "no-model", [tmp_path], threads=1)
    stream = TranslatedGenerator(engine).stream([Message(role="user", content="x")], decoding=Decoding())
    with pytest.raises(GenerationError, match="no-model"):
        await anext(stream)
    await engine.close()


async def test_a_second_process_on_the_embedded_index_is_told_who_holds_it(tmp_path: Path) -> None:
    settings = Settings.load(home=tmp_path / "home", textbooks=tmp_path)
    async with opened_library(settings):
        probe = "import asyncio; from tests.bot.test_compose import open_again; asyncio.run(open_again())"
        environment = {"SAHPATHI_HOME": str(tmp_path / "home"), "PATH": "", "SAHPATHI_TEXTBOOKS": str(tmp_path)}
        second = await asyncio.create_subprocess_exec(
            sys.executable, "-c", probe, env=environment, stdout=asyncio.subprocess.PIPE
        )
        said, _ = await second.communicate()
    assert b"SAHPATHI_CHROMA_URL" in said


async def open_again() -> None:
    """Run in a second process by the test above."""
    try:
        async with opened_library(Settings.load()):
            print("opened")
    except SetupError as error:
        print(error)
