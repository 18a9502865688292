from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from bot.cli.workbench import spread
from inference.adapters import Shelf
from inference.engine import Engine
from inference.generation import Decoding
from rag.embed import Embedder
from rag.ground import Grounding
from training.base.grounded import NOT_IN_PASSAGES
from training.evals.answers import (
    Answerer,
    Written,
    answered,
    asked,
    by_engine,
    by_grounding,
    evaluate,
    reliability,
    summary,
)
from training.evals.calibration import calibration
from training.evals.reading import abstains, aksharas_a_word, grade, words_a_sentence
from training.pairs.data import SELF, UNANSWERABLE, Example

EXAMPLES = [
    Example("Q1", "A1", passages=("Sound is energy.",), facts=("energy", "Sound"), split="test", chapter=1),
    Example("Q2", "A2", passages=("Light is fast.",), facts=("fast",), split="test", chapter=2),
]


def checked(answer: str, passages: Sequence[str], question: str) -> list[bool]:
    return [sentence.strip() in " ".join(passages) for sentence in answer.split(".") if sentence.strip()]


def saying(answer: Callable[[str, Sequence[str]], str], confidence: float | None = None) -> Answerer:
    return lambda question, passages: Written(answer(question, passages), confidence)


def test_a_perfect_answerer_scores_one() -> None:
    scores = evaluate(EXAMPLES, lambda _: [], saying(lambda _, passages: passages[0]), checked, unanswerable=0)
    assert (scores.key_facts, scores.grounded, scores.shown, scores.shown_key_facts) == (1.0, 1.0, 1.0, 1.0)
    assert scores.refused == 0.0
    assert scores.words == 3.0


def test_an_inventor_scores_nothing_and_is_not_shown() -> None:
    scores = evaluate(EXAMPLES, lambda _: [], saying(lambda *_: "The moon is cheese."), checked)
    assert (scores.key_facts, scores.grounded, scores.shown, scores.refused_rightly) == (0.0, 0.0, 0.0, 0.0)


def test_only_the_leading_supported_sentences_are_shown() -> None:
    def answer(question: str, passages: Sequence[str]) -> str:
        return "Sound is energy. It costs ten rupees. Light is fast."

    scores = evaluate(EXAMPLES, lambda _: [], saying(answer), checked, unanswerable=0)
    assert scores.shown == 0.5  # Q2's first sentence is not in its passage
    assert scores.shown_key_facts == 1.0
    assert scores.grounded == pytest.approx(1 / 3)


def test_refusals_are_counted_where_they_are_right_and_where_not() -> None:
    def answer(question: str, passages: Sequence[str]) -> str:
        right = {"Q1": "Sound is energy.", "Q2": "Light is fast."}[question]
        return right if right in passages else NOT_IN_PASSAGES

    scores = evaluate(EXAMPLES, lambda _: [], saying(answer), checked, unanswerable=2)
    assert (scores.refused, scores.refused_rightly) == (0.0, 1.0)


def test_a_question_with_nothing_retrieved_scores_nothing() -> None:
    scores = evaluate([Example("Q", "A", facts=("x",))], lambda _: [], saying(lambda *_: "x"), checked, unanswerable=0)
    assert (scores.key_facts, scores.grounded) == (0.0, 0.0)


def test_what_is_too_long_for_the_model_is_no_answer_and_ends_nothing(base: Path, tmp_path: Path) -> None:
    engine = Engine(base, Shelf(tmp_path), threads=1, dtype="float32", device="cpu")
    answer = by_engine(engine, "base", Decoding(temperature=0.0, max_new_tokens=2))
    assert answer("Q", ["Sound is energy. " * 400]) == Written("")
    short = answer("Q", ["Sound is energy."])
    assert short.seconds is not None
    assert short.seconds > 0


def test_no_examples_is_an_error() -> None:
    with pytest.raises(ValueError, match="no examples"):
        evaluate([], lambda _: [], saying(lambda *_: ""), checked)


def test_a_question_that_no_book_answers_is_right_when_that_is_said() -> None:
    absent = Example("Q3", "The book does not tell.", passages=("Sound is energy.",), kind=UNANSWERABLE, split="test")
    nowhere = Example("Q4", "-", kind=UNANSWERABLE, split="test")  # nothing is retrieved: the tutor asks no model
    examples = [*EXAMPLES, absent, nowhere]
    honest = summary(
        answered(examples, lambda _: [], saying(lambda *_: "The book does not tell that."), checked, unanswerable=0)
    )
    assert (honest.questions, honest.absent, honest.refused_rightly, honest.refused) == (2, 1, 1.0, 1.0)
    bold = summary(answered(examples, lambda _: [], saying(lambda *_: "Sound is energy."), checked, unanswerable=0))
    assert (bold.refused_rightly, bold.refused, bold.key_facts) == (0.0, 0.0, 0.5)


def test_what_no_passage_supports_or_an_earlier_turn_explains_is_not_asked() -> None:
    examples = [
        *EXAMPLES,
        Example("Who are you?", "I am Sahpathi.", kind=SELF),
        Example("And why?", "So.", passages=("Sound is energy.",), earlier=(("What is sound?", "Energy."),)),
    ]
    assert [one.example.question for one in asked(examples, lambda _: [], unanswerable=0)] == ["Q1", "Q2"]


def test_a_key_stands_for_question_and_passages() -> None:
    (first, _), (again, _) = (asked(EXAMPLES, lambda _: [], unanswerable=0) for _ in range(2))
    other = asked([replace(EXAMPLES[0], passages=("Light is fast.",))], lambda _: [], unanswerable=0)[0]
    assert first.key == again.key != other.key


def test_an_answerer_that_is_as_sure_as_it_is_right_is_calibrated() -> None:
    def right(question: str, passages: Sequence[str]) -> str:
        return passages[0] if question == "Q1" else "The moon is cheese."

    even = reliability(answered(EXAMPLES, lambda _: [], saying(right, 0.5), checked, unanswerable=0))
    boastful = reliability(answered(EXAMPLES, lambda _: [], saying(right, 1.0), checked, unanswerable=0))
    assert even is not None
    assert boastful is not None
    assert even.ece == 0.0
    assert boastful.ece == 0.5
    assert [(one.n, one.right) for one in boastful.bins if one.n] == [(2, 0.5)]
    assert reliability(answered(EXAMPLES, lambda _: [], saying(right), checked, unanswerable=0)) is None


@pytest.mark.parametrize(
    ("confidences", "right", "ece"),
    [
        ([0.95, 0.95, 0.15, 0.15], [True, True, False, False], 0.1),
        ([0.95, 0.15], [False, True], 0.9),
        ([1.0, 0.0], [True, False], 0.0),
    ],
)
def test_the_calibration_error_is_the_weighted_gap(confidences: list[float], right: list[bool], ece: float) -> None:
    found = calibration(confidences, right)
    assert found.ece == pytest.approx(ece)
    assert sum(one.n for one in found.bins) == len(right)


def test_calibration_needs_as_many_outcomes_as_confidences() -> None:
    for confidences, right in (([], []), ([0.5], [True, False]), ([1.5], [True])):
        with pytest.raises(ValueError, match=r"same|0\.\.1"):
            calibration(confidences, right)


@pytest.mark.parametrize(
    "text",
    [
        NOT_IN_PASSAGES,
        "This book does not tell the price. It does explain LoRA.",
        "The book gives no figure for that.",
        "That is outside our school books.",
        "यह पुस्तक नहीं बताती कि वे किस देश के हैं।",
        "Yeh hamari book mein nahi diya gaya hai.",
    ],
)
def test_saying_that_the_book_is_silent_is_heard(text: str) -> None:
    assert abstains(text)


@pytest.mark.parametrize(
    "text",
    [
        "", "Sound does not travel in empty space.", "पौधे रात में भोजन नहीं बनाते।", "A book is a set of pages.",
        "Sound is energy. The book does not say more.",
    ],
)  # fmt: skip
def test_an_answer_is_not_taken_for_silence(text: str) -> None:
    assert not abstains(text)


def test_the_reading_grade_follows_the_formula() -> None:
    # One sentence of 12 words with 14 syllables.
    text = "Green plants make their own food from water and air in leaves."
    assert grade(text) == pytest.approx(0.39 * 12 + 11.8 * 14 / 12 - 15.59, abs=0.01)
    hard = grade("Photosynthesis necessitates electromagnetic radiation, chlorophyll and atmospheric carbon dioxide.")
    assert hard is not None
    assert hard > 15
    assert grade("Sit down.") == 0.0


@pytest.mark.parametrize("text", ["", "12 + 7 = 19", "पौधे सूर्य के प्रकाश में अपना भोजन बनाते हैं।"])
def test_no_english_no_grade(text: str) -> None:
    assert grade(text) is None


def test_syllables_are_counted_as_the_formula_wants_them() -> None:
    def syllables(word: str) -> float:
        found = grade(" ".join([word] * 400) + ".")
        assert found is not None
        return round((found + 15.59 - 0.39 * 400) / 11.8)

    words = {"leaf": 1, "make": 1, "table": 2, "water": 2, "energy": 3, "photosynthesis": 5, "rhythm": 1, "the": 1}
    assert {word: syllables(word) for word in words} == words


@pytest.mark.parametrize(
    ("text", "words"),
    [("Sit down. It is 5 o'clock now.", 3.0), ("पौधे भोजन बनाते हैं। वे हरे हैं।", 3.5), ("12 + 7 = 19", None), ("", None)],
)
def test_words_of_a_sentence_are_counted_in_any_script(text: str, words: float | None) -> None:
    assert words_a_sentence(text) == words


@pytest.mark.parametrize(
    ("text", "aksharas"),
    [
        ("जल", 2.0),
        ("पानी", 2.0),
        ("विद्यार्थी", 3.0),  # joined consonants are one akshara
        ("प्रकाश संश्लेषण", 3.5),
        ("आम और इमली", (2 + 2 + 3) / 3),
        ("ज़मीन", 3.0),
        ("Stomata छिद्र", 2.0),
        ("Photosynthesis is a process", None),
        ("12 + 7", None),
    ],
)
def test_aksharas_are_counted_as_the_script_joins_them(text: str, aksharas: float | None) -> None:
    assert aksharas_a_word(text) == aksharas


def test_an_answer_keeps_the_time_it_took() -> None:
    def answer(question: str, passages: Sequence[str]) -> Written:
        return Written("Sound is energy.", 0.5, 0.25)

    assert {one.seconds for one in answered(EXAMPLES, lambda _: [], answer, checked, unanswerable=0)} == {0.25}


def test_some_of_the_questions_are_spread_over_all_of_them() -> None:
    many = [replace(EXAMPLES[0], question=f"Q{n}") for n in range(10)]
    assert [one.question for one in spread(many, 3)] == ["Q0", "Q3", "Q6"]
    assert spread(many, 0) == spread(many, 99) == many


def test_the_products_own_check_tells_support_from_invention() -> None:
    check = by_grounding(Grounding(Embedder(threads=1)))
    passages = ["Stomata are tiny pores on the surface of leaves. Oxygen leaves through them."]
    answer = "Stomata are tiny pores on the surface of leaves. Stomata were found by Newton in 1902."
    assert check(answer, passages, "What are stomata?") == [True, False]
