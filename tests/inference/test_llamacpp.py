"""llama.cpp, as the wheel of xllamacpp, on a GGUF file that the export wrote: its process, and its server by itself."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio
import torch
import xllamacpp
from transformers import AutoModelForCausalLM

from inference.adapters import AdapterCard, Shelf
from inference.errors import AdapterRefused, EngineDied, ModelMissing, PromptTooLong
from inference.generation import Decoding, Generation, Message
from inference.llamacpp import LlamaCpp
from inference.llamacpp_file import about
from inference.prompt import grounded
from inference.remote import Patience, RemoteGenerator
from tests.training.exportable import EXAMPLES, make_adapter, make_base

pytestmark = [
    pytest.mark.asyncio(loop_scope="module"),
    # PEFT 0.21 reads a property that transformers 5.23 has renamed.
    pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing. is deprecated:FutureWarning"),
]

GREEDY = Decoding(temperature=0, repetition_penalty=1.0, no_repeat_ngram=0, max_new_tokens=8)
ENDLESS = replace(GREEDY, max_new_tokens=400_000)
ASKED = [
    grounded("What do leaves give out?", ["Water is needed. Oxygen is given out."]),
    grounded("जल चक्र क्या है?", ["जल वाष्प बनता है, बादल बनते हैं।"]),
    grounded("What is photosynthesis?", ["Plants make their own food in the leaves."]),
]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, AdapterCard, Path, Shelf]:
    """A GGUF file, the card of the adapter in it, the base model and the shelf it was made from.

    With so long a context that an answer goes on until somebody stops it.
    """
    from training.export.run import ExportArguments, export

    root = tmp_path_factory.mktemp("export")
    base = make_base(root / "base", seed=4, tie_word_embeddings=False, initializer_range=0.5)  # wordy, and sure of it
    model: Any = AutoModelForCausalLM.from_pretrained(base)
    with torch.no_grad():
        model.lm_head.weight[2] = 0.0  # the token that ends a turn: never the likeliest
    model.config.max_position_embeddings = 100_000
    model.save_pretrained(base)
    shelf = Shelf(root / "adapters")
    card = make_adapter(base, shelf)
    arguments = ExportArguments(format="gguf", base=base, exports=root, output=root / "gguf", adapter=card.id)
    report = export(arguments, shelf, EXAMPLES)
    return report.folder / next(name for name in report.files if name.endswith(".gguf")), card, base, shelf


@pytest.fixture(scope="module")
def file(made: tuple[Path, AdapterCard, Path, Shelf]) -> Path:
    return made[0]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def llama(file: Path) -> AsyncIterator[LlamaCpp]:
    process = LlamaCpp(file, threads=1, slots=2, timeout=120)
    yield process
    await process.close()


async def ask(generator: LlamaCpp | RemoteGenerator, messages: list[Message], **how: Any) -> Generation:
    """The Generation of a whole stream, after checking that the pieces before it are its text."""
    items = [item async for item in generator.stream(messages, **({"decoding": GREEDY} | how))]
    last = items.pop()
    assert isinstance(last, Generation)
    assert "".join(map(str, items)) == last.text
    return last


async def test_it_answers_what_our_engine_answers(llama: LlamaCpp, made: tuple[Path, AdapterCard, Path, Shelf]) -> None:
    from inference.engine import Engine

    _, card, base, shelf = made
    assert await llama.start() == card.id
    engine = Engine(base, shelf, threads=1, dtype="float32")
    for messages in ASKED:
        ours = engine.generate(messages, decoding=GREEDY, adapter=card.id, on_text=lambda _: True)
        theirs = await ask(llama, messages)
        assert whole(theirs.text) == whole(ours.text)
        # llama.cpp tells no probability of a token that leaves a character open, nor of the one that ends the turn.
        assert theirs.confidence == pytest.approx(ours.confidence, abs=0.1)
        assert (theirs.adapter, theirs.stopped_by, theirs.tokens) == (card.id, ours.stopped_by, ours.tokens)


async def test_answers_side_by_side_are_not_mixed(llama: LlamaCpp) -> None:
    alone = [(await ask(llama, messages)).text for messages in ASKED]
    together = await asyncio.gather(*(ask(llama, messages) for messages in ASKED * 3))
    assert [answer.text for answer in together] == alone * 3


def whole(text: str) -> str:
    """Without the bytes that make no character, of which a model that has learned nothing writes many."""
    return text.replace("\N{REPLACEMENT CHARACTER}", "").strip()


def read(path: str) -> str:
    return Path(path).read_text(errors="replace")


async def slots(llama: LlamaCpp) -> int:
    """How many answers llama.cpp itself says are under way."""
    assert llama._server
    told = (await llama._server.generator._client.get("../slots")).json()
    return sum(slot["is_processing"] for slot in told)


async def test_a_reader_that_leaves_frees_its_slot_and_the_loop_is_never_held_up(llama: LlamaCpp) -> None:
    await llama.start()
    readers = [llama.stream(messages, decoding=ENDLESS) for messages in ASKED[:2]]
    await asyncio.gather(*(anext(reader) for reader in readers))
    assert await slots(llama) > 0  # under way, and we can ask; the first may have filled its context by now
    for reader in readers:
        await reader.aclose()
    async with asyncio.timeout(60):
        while await slots(llama):  # noqa: ASYNC110  another process has no event for it
            await asyncio.sleep(0.01)


async def test_it_samples_as_it_is_told(llama: LlamaCpp) -> None:
    def hot(seed: int) -> Decoding:
        return Decoding(temperature=2.0, top_k=0, top_p=1.0, max_new_tokens=12, seed=seed)

    first, again, other = [await ask(llama, ASKED[0], decoding=hot(seed)) for seed in (1, 1, 2)]
    assert first.text == again.text != other.text


async def test_what_does_not_fit_is_cut_or_refused(llama: LlamaCpp) -> None:
    """A slot has 4,096 tokens, whatever the file allows."""
    long = grounded("What is rain?", ["It rains.", "Leaves. " * 3000])
    assert (await ask(llama, long)).text == (await ask(llama, grounded("What is rain?", ["It rains."]))).text
    with pytest.raises(PromptTooLong):
        await ask(llama, grounded("What is rain? " * 2000, []))


async def test_the_file_holds_one_adapter(llama: LlamaCpp, made: tuple[Path, AdapterCard, Path, Shelf]) -> None:
    card = made[1]
    assert (await ask(llama, ASKED[0], adapter=card.id, subject="science")).adapter == card.id
    for other in ("base", "science-000000000000"):
        with pytest.raises(AdapterRefused, match=card.id):
            await ask(llama, ASKED[0], adapter=other)


async def test_it_is_given_no_secrets_and_a_lower_priority(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SAHPATHI_TELEGRAM__TOKEN", "1234:not-for-the-model")
    process = LlamaCpp(file, threads=1, slots=1)
    await process.start()
    try:
        assert "not-for-the-model" not in read(f"/proc/{process.pid}/environ")
        lower = min(19, os.getpriority(os.PRIO_PROCESS, 0) + 5)
        assert os.getpriority(os.PRIO_PROCESS, process.pid or 0) == lower
        assert process._server
        address = process._server.generator._client.base_url
        async with httpx.AsyncClient(base_url=address, trust_env=False) as stranger:
            assert (await stranger.post("chat/completions", json={"messages": ASKED[0]})).status_code == 401
    finally:
        await process.close()
    with pytest.raises(EngineDied, match="closed"):
        await ask(process, ASKED[0])


async def test_a_process_that_dies_fails_its_answer_and_is_replaced(
    llama: LlamaCpp, caplog: pytest.LogCaptureFixture
) -> None:
    before = await ask(llama, ASKED[0])
    pid = llama.pid or 0
    async with contextlib.aclosing(llama.stream(ASKED[1], decoding=ENDLESS)) as pieces:
        await anext(pieces)
        os.kill(pid, signal.SIGKILL)
        with pytest.raises(EngineDied):
            [piece async for piece in pieces]
    assert (await ask(llama, ASKED[0])).text == before.text
    assert llama.pid != pid
    assert "llama.cpp ended with status -9" in caplog.text


def damaged(file: Path, name: str, size: int) -> None:
    shutil.copyfile(file, file.parent / name)
    os.truncate(file.parent / name, size)


async def test_what_cannot_be_served(tmp_path: Path, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = Path(shutil.copyfile(file, tmp_path / "whole.gguf"))
    damaged(whole, "cut.gguf", 150_000)  # whole header, and not all of the weights
    damaged(whole, "short.gguf", 300)
    (tmp_path / "text.gguf").write_text("This is no model.")
    for name, words in [
        ("nothing.gguf", "No such file"),
        ("text.gguf", "no whole GGUF file"),
        ("short.gguf", "no whole GGUF file"),
        ("cut.gguf", "cannot serve this file"),
    ]:
        process = LlamaCpp(tmp_path / name, threads=1)
        with pytest.raises(ModelMissing, match=words):
            await process.start()
        await process.close()
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    with pytest.raises(ModelMissing, match="pip install"):
        await LlamaCpp(file, threads=1).start()


async def test_a_header_is_read_without_the_weights(made: tuple[Path, AdapterCard, Path, Shelf]) -> None:
    file, card, _, _ = made
    assert (about(file).adapter, about(file).context) == (card.id, 100_000)


async def test_llama_server_as_somebody_else_runs_it(file: Path) -> None:
    """With a key of its own, two slots, and whatever else it does by default."""
    params = xllamacpp.CommonParams()
    params.model.path = str(file)
    params.n_ctx, params.n_parallel, params.cpuparams.n_threads = 1024, 2, 1
    params.api_keys, params.verbosity = ["theirs"], 0
    running = xllamacpp.Server(params)  # until the last reference is gone
    patience = Patience(connect=20, silence=60, whole=60)
    generator = RemoteGenerator(running.listening_address, key="theirs", patience=patience)
    try:
        assert len(await generator.start()) == 1
        answers = await asyncio.gather(*(ask(generator, messages) for messages in ASKED))
        assert [answer.adapter for answer in answers] == [None] * 3
        assert all(0.0 < answer.confidence < 1.0 for answer in answers)
        assert answers[0].text == (await ask(generator, ASKED[0])).text
    finally:
        await generator.close()
        del running
