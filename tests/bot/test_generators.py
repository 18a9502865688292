"""Where the text is generated is a setting: here, by llama.cpp, or on another machine."""

from __future__ import annotations

import socket
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from bot.compose import TranslatedGenerator, start_engine
from bot.errors import GenerationError, SetupError
from bot.ports import Decoding, Message
from bot.settings import Settings
from inference.remote import RemoteGenerator

ASKED = [Message(role="user", content="Hello")]


async def test_none_where_generation_is_off() -> None:
    async with AsyncExitStack() as stack:
        assert await start_engine(Settings.load(model={"enabled": False}, generator_url="http://x"), stack) is None


async def test_a_server_that_is_away_does_not_keep_the_tutor_from_quoting(caplog: pytest.LogCaptureFixture) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
        async with AsyncExitStack() as stack:
            generator = await start_engine(Settings.load(generator_url=url), stack)
            assert isinstance(generator, RemoteGenerator)
            assert "the book is quoted until it answers" in caplog.text
            with pytest.raises(GenerationError, match="cannot be reached"):
                await anext(TranslatedGenerator(generator).stream(ASKED, decoding=Decoding()))


async def test_llama_cpp_needs_its_file(tmp_path: Path) -> None:
    settings = Settings.load(model={"gguf": tmp_path / "nothing.gguf"}, worker={"concurrency": 3})
    async with AsyncExitStack() as stack:
        with pytest.raises(SetupError, match=r"nothing\.gguf"):
            await start_engine(settings, stack)
