from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from inference.adapters import Shelf
from inference.engine import Engine
from rag.embed import Embedder
from rag.ground import Grounding
from training.data import Example
from training.errors import TrainingError
from training.evals.answers import by_engine, by_grounding, evaluate, key_facts
from training.from_log import Reviewed, from_log
from training.grounded import NOT_IN_PASSAGES
from training.registry import register, score
from training.sft import SftArguments, sft

pytestmark = pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing. is deprecated:FutureWarning")

EXAMPLES = [
    Example("Q1", "A1", passages=("Sound is energy.",), facts=("energy", "Sound"), split="test", chapter=1),
    Example("Q2", "A2", passages=("Light is fast.",), facts=("fast",), split="test", chapter=2),
]


def checked(answer: str, passages: Sequence[str], question: str) -> list[bool]:
    return [sentence.strip() in " ".join(passages) for sentence in answer.split(".") if sentence.strip()]


def test_key_facts_are_counted_without_case() -> None:
    assert key_facts("SOUND is not much", ["sound", "energy"]) == 0.5
    assert key_facts("anything", []) == 1.0


def test_a_perfect_answerer_scores_one() -> None:
    scores = evaluate(EXAMPLES, lambda _: [], lambda question, passages: passages[0], checked, unanswerable=0)
    assert (scores.key_facts, scores.grounded, scores.shown, scores.shown_key_facts) == (1.0, 1.0, 1.0, 1.0)
    assert scores.refused == 0.0
    assert scores.words == 3.0


def test_an_inventor_scores_nothing_and_is_not_shown() -> None:
    scores = evaluate(EXAMPLES, lambda _: [], lambda question, passages: "The moon is cheese.", checked)
    assert (scores.key_facts, scores.grounded, scores.shown, scores.refused_rightly) == (0.0, 0.0, 0.0, 0.0)


def test_only_the_leading_supported_sentences_are_shown() -> None:
    def answer(question: str, passages: Sequence[str]) -> str:
        return "Sound is energy. It costs ten rupees. Light is fast."

    scores = evaluate(EXAMPLES, lambda _: [], answer, checked, unanswerable=0)
    assert scores.shown == 0.5  # Q2's first sentence is not in its passage
    assert scores.shown_key_facts == 1.0
    assert scores.grounded == pytest.approx(1 / 3)


def test_refusals_are_counted_where_they_are_right_and_where_not() -> None:
    def answer(question: str, passages: Sequence[str]) -> str:
        right = {"Q1": "Sound is energy.", "Q2": "Light is fast."}[question]
        return right if right in passages else NOT_IN_PASSAGES

    scores = evaluate(EXAMPLES, lambda _: [], answer, checked, unanswerable=2)
    assert (scores.refused, scores.refused_rightly) == (0.0, 1.0)


def test_a_question_with_nothing_retrieved_scores_nothing() -> None:
    scores = evaluate([Example("Q", "A", facts=("x",))], lambda _: [], lambda q, p: "x", checked, unanswerable=0)
    assert (scores.key_facts, scores.grounded) == (0.0, 0.0)


def test_no_examples_is_an_error() -> None:
    with pytest.raises(ValueError, match="no examples"):
        evaluate([], lambda _: [], lambda q, p: "", checked)


def test_the_products_own_check_tells_support_from_invention() -> None:
    check = by_grounding(Grounding(Embedder(threads=1)))
    passages = ["Stomata are tiny pores on the surface of leaves. Oxygen leaves through them."]
    answer = "Stomata are tiny pores on the surface of leaves. Stomata were found by Newton in 1902."
    assert check(answer, passages, "What are stomata?") == [True, False]


@pytest.fixture(scope="module")
def registered(base: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Shelf, str]:
    root = tmp_path_factory.mktemp("adapters")
    examples = [Example("What is sound?", "Sound is energy.", passages=("Sound is energy.",)), *EXAMPLES]
    args = SftArguments(base, root, rank=2, alpha=4, epochs=1, batch=1, device="cpu", threads=1)
    card = sft(args, examples, lambda _: [], on_progress=lambda _: None)
    shelf = Shelf(root)
    engine = Engine(base, shelf, threads=1, dtype="float32", device="cpu")
    score(card, engine, shelf, examples, lambda _: [], checked)
    return shelf, card.id


def test_scores_of_base_and_adapter_are_on_the_card_and_the_id_stays(registered: tuple[Shelf, str]) -> None:
    shelf, adapter = registered
    card = shelf.find(adapter)
    assert {"held_out_loss", "key_facts", "base_key_facts", "grounded", "base_grounded"} <= set(card.scores)
    assert card.scores["questions"] == 2
    shelf.verify(card, card.base_sha256)


def test_greedy_answers_repeat(registered: tuple[Shelf, str], base: Path) -> None:
    shelf, adapter = registered
    answer = by_engine(Engine(base, shelf, threads=1, dtype="float32", device="cpu"), adapter)
    assert answer("What is sound?", ["Sound is energy."]) == answer("What is sound?", ["Sound is energy."])


def test_scores_are_not_written_to_a_read_only_root(registered: tuple[Shelf, str], tmp_path: Path) -> None:
    shelf, adapter = registered
    outer = Shelf(tmp_path, *shelf.roots)
    with pytest.raises(TrainingError, match="read only"):
        register(outer, outer.find(adapter), {"key_facts": 1.0})


def test_scoring_needs_held_out_examples(registered: tuple[Shelf, str], base: Path) -> None:
    shelf, adapter = registered
    engine = Engine(base, shelf, threads=1, dtype="float32", device="cpu")
    with pytest.raises(TrainingError, match="test or dev"):
        score(shelf.find(adapter), engine, shelf, [Example("q", "a")], lambda _: [], checked)


def reviewed(question: str, answer: str = "Rain is water.") -> Reviewed:
    return Reviewed(question, ("Rain is water.",), answer, "science", "en")


def test_reviewed_answers_become_examples_with_the_passages_the_model_saw() -> None:
    example = from_log([reviewed(" What is\nrain? ")])[0]
    assert example.question == "What is rain?"
    assert (example.answer, example.passages, example.subject) == ("Rain is water.", ("Rain is water.",), "science")


def test_the_latest_review_of_a_question_counts() -> None:
    rows = [reviewed("What is rain?", "old"), reviewed("Why?"), reviewed("what is rain", "new")]
    assert [(e.question, e.answer) for e in from_log(rows)] == [("Why?", "Rain is water."), ("what is rain", "new")]


def test_a_question_is_always_on_the_same_side_and_some_are_held_out() -> None:
    rows = [reviewed(f"What is number {n}?") for n in range(200)]
    splits = {example.question: example.split for example in from_log(rows)}
    again = {example.question: example.split for example in from_log(rows[::-1])}
    assert splits == again
    assert 10 < sum(split == "test" for split in splits.values()) < 50


def test_an_empty_review_is_an_error() -> None:
    with pytest.raises(TrainingError, match="the answer is empty"):
        from_log([reviewed("q", " ")])
