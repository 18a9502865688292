from __future__ import annotations

import os
import random
import re
import subprocess
import sys
from pathlib import Path

import pytest

from training.base import asking
from training.base.asking import carelessly, definition, is_statement, phrase, questions
from training.base.corpus import chapters, passages
from training.base.disguise import Vocabulary
from training.base.grounded import NOT_IN_PASSAGES, Grounded, Maker, disguise
from training.base.words import content
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


def test_the_passage_that_answers_is_first_most_of_the_time_and_not_always(made: list[Grounded]) -> None:
    several = [document for document in made if len(document.passages) > 1 and document.answer != NOT_IN_PASSAGES]
    first = sum(document.answer in document.passages[0] for document in several)
    assert 0.85 * len(several) < first < 0.98 * len(several)


def test_the_same_state_gives_the_same_document(textbooks: Path) -> None:
    maker = Maker(chapters(textbooks))
    assert maker.make(random.Random(1), 60) == maker.make(random.Random(1), 60)
    assert maker.make(random.Random(1), 60) != maker.make(random.Random(2), 60)


def test_a_disguise_swaps_words_the_same_way_everywhere() -> None:
    plain = Grounded(
        "What are stomata?", ("Stomata are tiny pores. In 1779 pores were seen.",), "Stomata are tiny pores."
    )
    for seed in range(20):
        hidden = disguise(plain, random.Random(seed), Vocabulary(("kite", "lamp", "river")))
        assert hidden.answer in hidden.passages[0]
        asked = hidden.question.removeprefix("What are ").removesuffix("?")
        assert hidden.answer.lower().startswith(asked.lower() + " are ")
        assert hidden.answer[0].isupper()


def test_a_disguise_changes_numbers_and_leaves_grammar_and_refusals() -> None:
    plain = Grounded("When was the year 1779?", ("It was in 1779.",), NOT_IN_PASSAGES)
    hidden = disguise(plain, random.Random(0), Vocabulary(("kite",)))
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
    assert all(any(pair.answer in passage for passage in document.passages) for document in found)
    assert any("hertz" in passage for document in found for passage in document.passages)


def test_the_same_document_in_another_process_whatever_the_hash_seed(textbooks: Path, questions: Path) -> None:
    program = (
        "import random, sys; from pathlib import Path; from training.base.corpus import chapters, passages\n"
        "from training.base.grounded import Maker; from training.pairs.data import read\n"
        "books, asked = map(Path, sys.argv[1:]); rng = random.Random(4)\n"
        "maker = Maker(chapters(books), passages(books), read(asked))\n"
        "print([maker.make(rng, 80) for _ in range(60)])"
    )

    def made(seed: str) -> bytes:
        command = [sys.executable, "-c", program, str(textbooks), str(questions)]
        return subprocess.run(
            command, env=os.environ | {"PYTHONHASHSEED": seed}, check=True, capture_output=True
        ).stdout

    assert made("1") == made("2")


def test_a_word_of_the_answer_that_nobody_could_read_stays_unless_it_is_held_out() -> None:
    plain = Grounded("What is sound?", ("Sound is energy.",), "Sound is really energy.")
    for seed in range(10):
        answer = disguise(plain, random.Random(seed), Vocabulary(("kite", "lamp"))).answer
        assert " is really " in answer
        assert "Sound" not in answer
        whole = disguise(plain, random.Random(seed), Vocabulary(("kite", "lamp")), whole=True).answer
        assert "really" not in whole


def test_pairs_are_asked_with_the_sentences_that_their_answers_need(textbooks: Path, questions: Path) -> None:
    maker = Maker(chapters(textbooks), passages(textbooks), read(questions), disguised=0.0)
    rng = random.Random(2)
    made = [maker.make(rng, 60) for _ in range(400)]
    asked = [d for d in made if d.question == "What are stomata?" and d.answer.endswith("surface of leaves.")]
    gold = {passage for d in asked for passage in d.passages if "Stomata are tiny pores" in passage}
    assert len(gold) > 1  # not always the whole passage


@pytest.mark.parametrize(
    ("sentence", "found"),
    [
        ("Stomata are tiny pores on leaves.", ("stomata", "are")),
        ("The cell wall is a tough layer.", ("cell wall", "is")),
        ("DNA is the molecule of heredity.", ("DNA", "is")),
        ("South Africa is the largest coal producer.", ("South Africa", "")),
        ("Moru is a boy who likes numbers.", ("Moru", "")),
        ("This is the end.", None),
        ("The answer is the number of apples.", None),
        ("Plants make food.", None),
    ],
)
def test_what_a_sentence_defines(sentence: str, found: tuple[str, str] | None) -> None:
    assert definition(sentence, {"stomata"}) == found


def test_what_is_asked_about_is_a_noun_of_the_sentence() -> None:
    sentence = "Air from the lungs passes through a narrow slit and makes the vocal cords vibrate."
    found = {phrase(random.Random(seed), sentence) for seed in range(30)}
    assert found == {"lungs", "narrow slit", "vocal cords"}
    assert phrase(random.Random(1), "Birds fly.") == ""


def test_a_question_word_is_one_that_the_sentence_answers() -> None:
    assert set(questions("It fell because it was heavy.")) == {"Why {words}?"}
    assert "When {words}?" in questions("Babur won in 1526.")
    assert "Why {words}?" not in questions("Leaves are green.")
    assert is_statement("Leaves are mostly green.")
    assert not is_statement("It is green and large.")
    assert not is_statement("What makes leaves so green?")


def test_the_words_of_our_own_questions_are_never_swapped() -> None:
    templates = [
        *(asking.DEFINE + asking.ABOUT + asking.HEADING + asking.BLANK),
        *(asking.HINDI_DEFINE + asking.HINDI_ABOUT + asking.HINDI_HEADING + asking.HINDI_BLANK),
        *questions("It fell because of 3 things."),
        *questions("वह गिरा क्योंकि वह भारी था।"),
    ]
    for template in templates:
        assert content(re.sub(r"{\w*}", "", template)) == [], template


def test_some_questions_are_typed_as_on_a_phone(made: list[Grounded]) -> None:
    typed = {carelessly(random.Random(seed), "Why do you see the stars?") for seed in range(20)}
    assert typed == {"why do you see the stars", "y do u see d stars"}
    assert carelessly(random.Random(0), "तारा क्या है?") == "तारा क्या है"
    lower = sum(document.question.islower() for document in made)
    assert 0.05 * len(made) < lower < 0.2 * len(made)
