"""Timing: adapters take turns, medians are told, and the engine is timed from outside. Nothing here asserts a speed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from inference.adapters import Shelf
from inference.engine import Engine
from inference.generation import Decoding
from inference.prompt import grounded
from tests.training.overfit import overfit
from training.evals.speed import Turn, measure, summary, turn
from training.pairs.data import Example

EXAMPLE = Example("What is sound?", "Sound is a form of energy.", passages=("Sound is a form of energy that we hear.",))
PROMPTS = [grounded(EXAMPLE.question, EXAMPLE.passages), grounded("What do we hear?", EXAMPLE.passages)]

pytestmark = pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing. is deprecated:FutureWarning")


def test_medians_and_the_share_of_nine_in_ten() -> None:
    turns = [Turn("base", 0.1 * n, 0.1 * n + 1.0, 11, 50) for n in range(1, 12)]
    (found,) = summary(["base"], turns, {"base": 7})
    assert (found.turns, found.tokens, found.prompt, found.loaded, found.times) == (11, 11, 50, 7, 1.0)
    assert found.first == pytest.approx(600)
    assert found.first_90 == pytest.approx(1000)
    assert found.answer == pytest.approx(1600)
    assert found.rate == pytest.approx(10)  # ten tokens in the second after the first one


def test_adapters_are_compared_turn_by_turn_and_a_token_at_a_time() -> None:
    base = [Turn("base", 0.1, seconds, 10, 50) for seconds in (1.0, 2.0, 9.0)]
    slow = [Turn("slow", 0.1, seconds, 20, 50) for seconds in (4.0, 8.0, 18.0)]  # twice, twice and once as long a token
    found = summary(["base", "slow"], [one for pair in zip(base, slow, strict=True) for one in pair], {})
    assert [one.times for one in found] == [1.0, 2.0]
    assert found[1].tokens == 20


def test_an_answer_of_one_token_has_no_rate() -> None:
    (found,) = summary(["base"], [Turn("base", 0.1, 0.1, 1, 50)], {})
    assert found.rate is None
    assert found.answer_90 == pytest.approx(100)


def test_the_engine_answers_in_turns(base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shelf = Shelf(tmp_path / "adapters")
    card = overfit(base, shelf, [EXAMPLE], steps=0, noise=0.01)
    engine = Engine(base, shelf, threads=1, dtype="float32", device="cpu")
    asked: list[str] = []
    put: list[tuple[str, str]] = []
    real = engine.generate

    def heard(*given: object, **more: object) -> object:
        asked.append(str(more["adapter"]))
        put.append((str(more["adapter"]), str(given[0])))
        return real(*given, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(engine, "generate", heard)
    told: list[tuple[int, int]] = []
    found = measure(engine, ["base", card.id], PROMPTS, rounds=2, longest=3, progress=lambda *done: told.append(done))
    warm = ["base", card.id]
    assert asked == warm + [card.id, "base"] * 2 + ["base", card.id] * 2  # each round begins with another one
    assert len(set(put)) == len(put)  # no adapter is given a prompt that it may remember
    assert told[-1] == (8, 8)
    assert [(one.adapter, one.turns) for one in found.speeds] == [("base", 4), (card.id, 4)]
    assert all(0 < one.first <= one.answer and one.prompt > 20 and one.tokens <= 3 for one in found.speeds)
    assert 0 < found.resident <= found.peak * 1.5
    assert json.loads(json.dumps(found.named()))["adapters"][0]["times"] == 1.0


def test_a_turn_is_timed_until_its_first_token(base: Path, tmp_path: Path) -> None:
    engine = Engine(base, Shelf(tmp_path), threads=1, dtype="float32", device="cpu")
    one = turn(engine, "base", PROMPTS[0], Decoding(temperature=0.0, max_new_tokens=5))
    assert 0 < one.first <= one.seconds
    assert one.prompt == engine.count_tokens(PROMPTS[0])
    assert 0 < one.tokens <= 5


@pytest.mark.parametrize("adapters", [[], ["base", "base"], ["a", "b", "c", "d", "e"]])
def test_what_cannot_be_compared_is_refused(base: Path, tmp_path: Path, adapters: list[str]) -> None:
    engine = Engine(base, Shelf(tmp_path), threads=1, dtype="float32", device="cpu")
    with pytest.raises(ValueError, match="one to 4 adapters"):
        measure(engine, adapters, PROMPTS)
    with pytest.raises(ValueError, match="nothing to answer"):
        measure(engine, ["base"], [])
