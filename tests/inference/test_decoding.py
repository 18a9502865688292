"""Many answers at once: each must be what it would have been alone, whatever happens to the others."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from inference import decoding as loop
from inference.adapters import AdapterCard, Shelf
from inference.decoding import Batch, Writing
from inference.engine import Engine
from inference.errors import InferenceError, PromptTooLong
from inference.executor import Executor, executor_for
from inference.generation import Decoding, Generation, Message, Request
from inference.prompt import grounded
from inference.weights import load_base

# PEFT 0.21 reads a property that transformers 5.23 has renamed.
pytestmark = pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing. is deprecated:FutureWarning")

MakeAdapter = Callable[..., AdapterCard]

PLAIN = Decoding(temperature=0, repetition_penalty=1.0, no_repeat_ngram=0, max_new_tokens=40)
PENALISED = Decoding(temperature=0, repetition_penalty=1.2, no_repeat_ngram=3, max_new_tokens=40)
CHANCE = Decoding(temperature=0.4, top_k=20, top_p=0.9, repetition_penalty=1.0, no_repeat_ngram=0, max_new_tokens=40)
PASSAGES = ["Water evaporates, forms clouds and falls as rain.", "Oxygen is given out."]
QUESTIONS = ["What is rain?", "जल चक्र क्या है?", "Why?", "What is given out? By which plants?"]


class Heard:
    """A listener that keeps all it is told."""

    def __init__(self) -> None:
        self.texts: dict[int, str] = {}
        self.finished: dict[int, Generation] = {}
        self.errors: dict[int, InferenceError] = {}

    def text(self, number: int, piece: str) -> None:
        assert piece
        self.texts[number] = self.texts.get(number, "") + piece

    def done(self, number: int, generation: Generation) -> None:
        self.finished[number] = generation

    def failed(self, number: int, error: InferenceError) -> None:
        self.errors[number] = error


@pytest.fixture
def engine(base: Path, shelf: Shelf) -> Engine:
    return Engine(base, shelf, threads=1, dtype="float32", slots=4)


def asked(n: int) -> list[Message]:
    question = grounded(f"{QUESTIONS[n % 4]} {n}", PASSAGES[: 1 + n % 2])[-1]
    return [Message(role="system", content="You are kind. Answer from the passages."), question]


def alone(engine: Engine, n: int, decoding: Decoding, adapter: str = "base") -> Generation:
    return engine.generate(asked(n), decoding=decoding, adapter=adapter, on_text=lambda _: True)


def run(engine: Engine, heard: Heard) -> None:
    while engine.under_way:
        engine.step()


def seeded(decoding: Decoding, n: int) -> Decoding:
    return Decoding(**{name: getattr(decoding, name) for name in Decoding.__slots__} | {"seed": n})


def same(one: Generation, other: Generation) -> None:
    assert (one.text, one.tokens, one.stopped_by, one.adapter) == (
        other.text,
        other.tokens,
        other.stopped_by,
        other.adapter,
    )
    assert one.confidence == pytest.approx(other.confidence, rel=1e-3)


@pytest.mark.parametrize("decoding", [PLAIN, PENALISED, CHANCE], ids=["plain", "penalised", "chance"])
def test_answers_that_come_and_go_are_what_they_are_alone(engine: Engine, decoding: Decoding) -> None:
    expected = [alone(engine, n, seeded(decoding, n)) for n in range(10)]
    heard = Heard()
    for n in range(10):
        engine.add(Request(n, asked(n), seeded(decoding, n), adapter="base"), heard)
        for _ in range(3 * (n % 4)):  # some come while others are in the middle, more than there are slots for
            engine.step()
    run(engine, heard)
    assert sorted(heard.finished) == list(range(10))
    for n in range(10):
        same(heard.finished[n], expected[n])
        assert heard.texts.get(n, "") == expected[n].text


def written(model: Any, prompts: list[list[int]], decoding: Decoding, *, drafts: bool) -> tuple[list[list[int]], Batch]:
    """The tokens of answers that are written together, with and without drafts."""
    batch = Batch(executor_for(model, rows=len(prompts), context=256), drafts=drafts)
    answers = []
    for number, ids in enumerate(prompts):
        request = Request(number, [], seeded(decoding, number))
        writing = Writing(request, Heard(), ids, 40, card=None, stops={2: "end"}, decode=lambda _: "x", started=0.0)
        answers.append(writing)
        batch.begin(writing)
        while batch.reads:
            batch.read()
    while len(batch):
        batch.write()
    return [writing.tokens[len(ids) :] for writing, ids in zip(answers, prompts, strict=True)], batch


@pytest.mark.parametrize("together", [1, 3])
@pytest.mark.parametrize("decoding", [PLAIN, PENALISED, CHANCE], ids=["plain", "penalised", "chance"])
def test_drafts_change_nothing_but_the_speed(base: Path, decoding: Decoding, together: int) -> None:
    tokenizer, (model, _) = AutoTokenizer.from_pretrained(base), load_base(base, "float32", "cpu")
    for first in range(0, 6, together):
        prompts = [
            list(tokenizer.apply_chat_template(asked(n), add_generation_prompt=True, return_dict=True)["input_ids"])
            for n in range(first, first + together)
        ]
        plain, without = written(model, prompts, decoding, drafts=False)
        drafted, batch = written(model, prompts, decoding, drafts=True)
        assert drafted == plain
        assert (without.drafted, batch.drafted >= batch.accepted) == (0, True)


def test_drafts_that_are_right_save_steps(base: Path) -> None:
    """A model whose layers add nothing says its last token for ever, and then every draft is right."""
    model, _ = load_base(base, "float32", "cpu")
    for name, parameter in model.named_parameters():
        if "o_proj" in name or "down_proj" in name:
            parameter.data.zero_()
    answers, batch = written(model, [[5, 6, 7]], PLAIN, drafts=True)
    assert answers == [[7] * 40]
    assert batch.accepted >= 30
    assert batch.accepted == batch.drafted


@torch.no_grad()
def test_greedy_is_what_generate_of_transformers_writes(engine: Engine, base: Path) -> None:
    model: Any = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    tokenizer = AutoTokenizer.from_pretrained(base)
    for n in range(4):
        ids = tokenizer.apply_chat_template(asked(n), add_generation_prompt=True, return_dict=True)["input_ids"]
        inputs = torch.tensor([list(ids)])
        output = model.generate(
            inputs, attention_mask=torch.ones_like(inputs), do_sample=False, max_new_tokens=40, eos_token_id=2
        )
        text = tokenizer.decode(output[0, inputs.shape[1] :], skip_special_tokens=True)
        assert alone(engine, n, PLAIN).text == text.rstrip("\N{REPLACEMENT CHARACTER}").strip()


def test_what_was_read_before_is_not_read_again(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[int] = []
    batch = next(iter(engine._models.kept.values()))
    forward = batch._executor.forward

    def counting(spans: Any, *, every: bool) -> torch.Tensor:
        read.append(sum(len(span.tokens) for span in spans))
        return forward(spans, every=every)

    monkeypatch.setattr(batch._executor, "forward", counting)
    first, prompt = alone(engine, 0, PENALISED), engine.count_tokens(asked(0))
    system = engine._tokeniser.encode(asked(0)).index(1, 1)  # where the second turn begins
    assert read[0] == prompt
    read.clear()
    same(alone(engine, 0, PENALISED), first)
    assert read[0] == 1  # the last token must be read for its logits
    read.clear()
    alone(engine, 1, PENALISED)  # another question: the system line is the same
    assert 0 < read[0] <= engine.count_tokens(asked(1)) - system
    read.clear()
    again = [*asked(0), Message(role="assistant", content=first.text), Message(role="user", content="Why?")]
    alone(engine, 0, PENALISED)
    read.clear()
    engine.generate(again, decoding=PENALISED, adapter="base", on_text=lambda _: True)
    assert read[0] <= engine.count_tokens(again) - prompt  # the question and its passages are there


def test_a_long_prompt_is_read_in_parts_and_others_go_on_meanwhile(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop, "PREFILL", 16)
    expected = [alone(engine, n, PLAIN) for n in range(2)]
    heard = Heard()
    engine.add(Request(0, asked(0), PLAIN, adapter="base"), heard)
    while not heard.texts:
        engine.step()
    engine._models.get(None)._rows._held = [[] for _ in range(4)]  # as if nothing had been read before
    engine.add(Request(1, asked(1), PLAIN, adapter="base"), heard)
    shown = heard.texts[0]
    parts = 0
    while 1 not in heard.texts and 1 not in heard.finished:
        engine.step()
        parts += 1
    assert parts >= 2 * (engine.count_tokens(asked(1)) // 16)
    assert len(heard.texts[0]) > len(shown)
    run(engine, heard)
    for n in range(2):
        same(heard.finished[n], expected[n])


@pytest.mark.parametrize("after", [0, 1, 4, 9, 30])
def test_a_cancelled_request_is_told_nothing_more_and_frees_its_slot(engine: Engine, after: int) -> None:
    expected = [alone(engine, n, PLAIN) for n in range(6)]
    heard = Heard()
    for n in range(6):
        engine.add(Request(n, asked(n), PLAIN, adapter="base"), heard)
    for _ in range(after):
        engine.step()
    before = engine.under_way
    finished = dict(heard.finished)
    for n in (0, 2, 5):
        engine.cancel(n)
    engine.cancel(77)
    assert engine.under_way == before - len({0, 2, 5} - finished.keys())
    shown = dict(heard.texts)
    run(engine, heard)
    assert not heard.errors
    for n in range(6):
        if n in {0, 2, 5} - finished.keys():
            assert n not in heard.finished
            assert heard.texts.get(n) == shown.get(n)
        else:
            same(heard.finished[n], expected[n])


def test_a_listener_that_raises_loses_its_own_answer_only(engine: Engine) -> None:
    expected = [alone(engine, n, PLAIN) for n in range(3)]

    class Broken(Heard):
        def text(self, number: int, piece: str) -> None:
            super().text(number, piece)
            if number == 1:
                raise BrokenPipeError("gone")

    heard = Broken()
    for n in range(3):
        engine.add(Request(n, asked(n), PLAIN, adapter="base"), heard)
    with pytest.raises(BrokenPipeError, match="gone"):
        run(engine, heard)
    run(engine, heard)
    assert sorted(heard.finished) == [0, 2]
    for n in (0, 2):
        same(heard.finished[n], expected[n])


def test_a_listener_may_cancel_itself_and_others(engine: Engine) -> None:
    class Impatient(Heard):
        def text(self, number: int, piece: str) -> None:
            super().text(number, piece)
            if number == 0:
                for n in (0, 1):
                    engine.cancel(n)

    heard = Impatient()
    for n in range(3):
        engine.add(Request(n, asked(n), PLAIN, adapter="base"), heard)
    run(engine, heard)
    assert sorted(heard.finished) == [2]


def test_an_answer_that_is_not_a_number_fails_alone(engine: Engine) -> None:
    expected = [alone(engine, n, PLAIN) for n in range(4)]
    heard = Heard()
    for n in range(3):
        engine.add(Request(n, asked(n), PLAIN, adapter="base"), heard)
    while len(heard.texts) < 3:
        engine.step()
    batch = engine._models.get(None)
    with torch.inference_mode():
        batch._executor._cache[:, 1, :10] = float("nan")  # type: ignore[attr-defined]
    row = batch._writing[1].request.number
    run(engine, heard)
    assert list(heard.errors) == [row]
    assert "not a number" in str(heard.errors[row])
    for n in {0, 1, 2} - {row}:
        same(heard.finished[n], expected[n])
    for n in range(4):  # and nothing of it is left in any row
        same(alone(engine, n, PLAIN), expected[n])


def test_each_answer_is_of_the_adapter_that_was_promoted_when_it_was_asked(
    engine: Engine, shelf: Shelf, make_adapter: MakeAdapter
) -> None:
    cards = [make_adapter(shelf, seed=seed) for seed in (1, 2)]
    expected = {(card.id, n): alone(engine, n, PLAIN, card.id) for card in cards for n in range(8)}
    heard = Heard()
    asked_of = []
    for n in range(8):
        shelf.promote(cards[n % 2])
        asked_of.append(cards[n % 2].id)
        engine.add(Request(n, asked(n), PLAIN), heard)
        engine.step()
    run(engine, heard)
    for n, adapter in enumerate(asked_of):
        same(heard.finished[n], expected[adapter, n])


def test_a_model_with_answers_under_way_is_not_let_go(base: Path, shelf: Shelf, make_adapter: MakeAdapter) -> None:
    engine = Engine(base, shelf, threads=1, dtype="float32", slots=4, copies=1)
    cards = [make_adapter(shelf, seed=seed) for seed in (1, 2)]
    order = [0, 1, 1]
    expected = [alone(engine, n, PLAIN, cards[of].id) for n, of in enumerate(order)]
    heard = Heard()
    for n, of in enumerate(order):
        engine.add(Request(n, asked(n), PLAIN, adapter=cards[of].id), heard)
    while engine.under_way:
        engine.step()
        assert len(engine._models.kept) == 1
    for n in range(3):
        same(heard.finished[n], expected[n])


def test_what_cannot_be_answered_is_told_to_the_listener(
    engine: Engine, shelf: Shelf, make_adapter: MakeAdapter
) -> None:
    heard = Heard()
    engine.add(Request(0, grounded("why " * 400, []), PLAIN), heard)
    engine.add(Request(1, asked(1), PLAIN, adapter="science-000000000000"), heard)
    altered = make_adapter(shelf)
    (shelf.folder(altered.id) / "adapter_model.safetensors").write_bytes(b"")
    engine.add(Request(2, asked(2), PLAIN, adapter=altered.id), heard)  # found out when its turn comes
    engine.add(Request(3, asked(3), PLAIN, adapter="base"), heard)
    run(engine, heard)
    assert {n: type(error).__name__ for n, error in heard.errors.items()} == {
        0: "PromptTooLong",
        1: "AdapterRefused",
        2: "AdapterRefused",
    }
    assert isinstance(heard.errors[0], PromptTooLong)
    assert list(heard.finished) == [3]


def test_the_slots_are_shared_in_the_order_of_arrival(engine: Engine) -> None:
    heard = Heard()
    for n in range(6):
        engine.add(Request(n, asked(n), PLAIN, adapter="base"), heard)
    assert (engine.slots, engine.under_way) == (4, 6)
    while not heard.finished:
        engine.step()
        assert sum(map(len, engine._models.kept.values())) <= 4
        assert not {4, 5} & heard.texts.keys() or heard.finished
    run(engine, heard)
    assert sorted(heard.finished) == list(range(6))


def test_models_that_cannot_go_back_are_served_without_drafts(
    engine: Engine, base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from inference.executor import TransformersExecutor

    class Forgetful(TransformersExecutor):
        def __init__(self, model: Any, rows: int) -> None:
            super().__init__(model, rows)
            self.rewinds = False

        def copy(self, source: int, target: int, length: int) -> None:
            raise AssertionError("it cannot")

    model, _ = load_base(base, "float32", "cpu")
    executor: Executor = Forgetful(model, 4)
    monkeypatch.setitem(engine._models._kept, None, Batch(executor))
    other = Engine(base, engine.shelf, threads=1, dtype="float32")
    for n in (0, 1, 0):
        same(alone(engine, n, PLAIN), alone(other, n, PLAIN))
    assert math.isfinite(engine.generate(asked(1), decoding=PLAIN, on_text=lambda _: True).confidence)
