from __future__ import annotations

import random
from pathlib import Path

import pytest

from training.base.corpus import chapters, passages
from training.base.grounded import NOT_IN_PASSAGES, Grounded, Maker, disguise
from training.pairs.data import read


@pytest.fixture(scope="module")
def made(textbooks: Path) -> list[Grounded]:
    maker = Maker(chapters(textbooks), disguised=0.5)
    rng = random.Random(3)
    return [maker.make(rng, rng.randint(15, 120)) for _ in range(400)]


def test_the_answer_is_copied_from_a_passage_or_is_the_refusal(made: list[Grounded]) -> None:
    for document in made:
        held = any(document.answer in passage for passage in document.passages)
        assert held != (document.answer == NOT_IN_PASSAGES), document


def test_some_documents_refuse_and_most_answer(made: list[Grounded]) -> None:
    refusals = sum(document.answer == NOT_IN_PASSAGES for document in made)
    assert 0 < refusals < 80


def test_the_place_of_the_passage_that_answers_varies(made: list[Grounded]) -> None:
    several = [document for document in made if len(document.passages) > 1 and document.answer != NOT_IN_PASSAGES]
    first = sum(document.answer in document.passages[0] for document in several)
    assert 0.2 * len(several) < first < 0.8 * len(several)


def test_the_same_state_gives_the_same_document(textbooks: Path) -> None:
    maker = Maker(chapters(textbooks))
    assert maker.make(random.Random(1), 60) == maker.make(random.Random(1), 60)
    assert maker.make(random.Random(1), 60) != maker.make(random.Random(2), 60)


def test_a_disguise_swaps_words_the_same_way_everywhere() -> None:
    plain = Grounded(
        "What are stomata?", ("Stomata are tiny pores. In 1779 pores were seen.",), "Stomata are tiny pores."
    )
    for seed in range(20):
        hidden = disguise(plain, random.Random(seed), ["kite", "lamp", "river"])
        assert hidden.answer in hidden.passages[0]
        asked = hidden.question.removeprefix("What are ").removesuffix("?")
        assert hidden.answer.lower().startswith(asked.lower() + " are ")
        assert hidden.answer[0].isupper()


def test_a_disguise_changes_numbers_and_leaves_grammar_and_refusals() -> None:
    plain = Grounded("When was the year 1779?", ("It was in 1779.",), NOT_IN_PASSAGES)
    hidden = disguise(plain, random.Random(0), ["kite"])
    assert hidden.answer == NOT_IN_PASSAGES
    assert hidden.passages[0].startswith("It was in ")
    assert "1779" not in hidden.passages[0]


def test_what_is_held_out_is_asked_in_disguise_only(textbooks: Path, questions: Path) -> None:
    examples = read(questions)
    maker = Maker(chapters(textbooks), passages(textbooks), examples, disguised=0.0)
    rng = random.Random(5)
    made = [maker.make(rng, rng.randint(15, 120)) for _ in range(600)]
    asked = [(document.question.lower(), document.answer.lower()) for document in made]

    def openly(word: str) -> list[str]:
        return [question for question, answer in asked if word in question and answer.startswith(f"{word} is the ")]

    assert not openly("amplitude")
    assert openly("frequency")  # the train split asks about it


def test_train_pairs_become_documents_with_the_passage_that_holds_their_facts(textbooks: Path, questions: Path) -> None:
    examples = read(questions)
    maker = Maker(chapters(textbooks), passages(textbooks), examples, disguised=0.0)
    rng = random.Random(6)
    made = [maker.make(rng, 120) for _ in range(200)]
    pair = next(example for example in examples if example.question == "What is frequency?")
    found = [document for document in made if document.question == pair.question and document.answer == pair.answer]
    assert found
    assert all(any("hertz" in passage for passage in document.passages) for document in found)
