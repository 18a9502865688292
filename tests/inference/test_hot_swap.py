"""Adapters change places under load: every answer is wholly the work of the adapter that it names."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
import pytest_asyncio

from inference.adapters import AdapterCard, Shelf
from inference.engine import Engine
from inference.generation import Decoding, Generation, Message
from inference.process import EngineProcess
from inference.prompt import grounded

pytestmark = pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing. is deprecated:FutureWarning")

GREEDY = Decoding(temperature=0, max_new_tokens=32)
WAVES, EACH = 6, 8
PROMPTS = [grounded(question, ["Water evaporates and falls as rain."]) for question in ("rain?", "जल?", "Why 7?", "a")]

MakeAdapter = Callable[..., AdapterCard]
Expected = dict[tuple[str | None, int], str]  # (adapter, prompt) -> answer


@pytest.fixture
def cards(shelf: Shelf, make_adapter: MakeAdapter) -> list[AdapterCard]:
    return [make_adapter(shelf, seed=seed) for seed in (1, 2)]


@pytest.fixture
def expected(base: Path, shelf: Shelf, cards: list[AdapterCard]) -> Expected:
    """What each adapter, and the base model, answers to each prompt, asked one after another."""
    engine = Engine(base, shelf, threads=1, dtype="float32")

    def answer(adapter: str, messages: list[Message]) -> str:
        return engine.generate(messages, decoding=GREEDY, adapter=adapter, on_text=lambda _: True).text

    served = [None, *(card.id for card in cards)]
    answers = {
        (adapter, n): answer(adapter or "base", messages) for adapter in served for n, messages in enumerate(PROMPTS)
    }
    for n in range(len(PROMPTS)):
        assert len({answers[adapter, n] for adapter in served}) == len(served)  # or a mix-up would not be seen
    return answers


@pytest_asyncio.fixture
async def process(base: Path, shelf: Shelf) -> AsyncIterator[EngineProcess]:
    running = EngineProcess(base, shelf.roots, threads=1, dtype="float32")
    yield running
    await running.close()


async def test_every_answer_is_that_of_the_adapter_it_names(
    process: EngineProcess, shelf: Shelf, cards: list[AdapterCard], expected: Expected
) -> None:
    """Waves of students; the promotion flips as soon as somebody of the wave is being answered, and does not wait."""
    beside: set[int] = set()

    async def student(n: int, adapter: str, answering: asyncio.Event) -> tuple[str | None, str | None]:
        """The adapter asked for, if it was one by name, and the one that the answer names."""
        text = ""
        stream = process.stream(PROMPTS[n], decoding=GREEDY, adapter=adapter, conversation=f"{id(answering)}-{n}")
        async for item in stream:
            answering.set()
            beside.add(process.under_way)
            if isinstance(item, Generation):
                assert (item.text, item.text) == (text, expected[item.adapter, n])
                return adapter, item.adapter
            text += item
        raise AssertionError("no Generation")

    students = []
    shelf.promote(cards[0])
    await process.warm_up()
    for wave in range(WAVES):
        shelf.promote(cards[wave % 2])
        answering = asyncio.Event()
        wanted = ["current"] * (EACH - 2) + ["base", cards[(wave + 1) % 2].id]
        students += [asyncio.create_task(student(n % 4, adapter, answering)) for n, adapter in enumerate(wanted)]
        await answering.wait()
    answered = await asyncio.gather(*students)

    by_promotion = [served for asked, served in answered if asked == "current"]
    assert set(by_promotion) == {card.id for card in cards}
    by_name = [(asked, served or "base") for asked, served in answered if asked != "current"]
    assert len(by_name) == 2 * WAVES
    assert all(asked == served for asked, served in by_name)
    assert max(beside) > 2  # they were in truth answered side by side
