from __future__ import annotations

from collections.abc import Callable

import pytest

from rag.glossary import Glossary
from rag.lexical import Lexicon
from rag.passage import Passage
from rag.phonetic import key
from rag.question import Question, Reader

MakePassage = Callable[..., Passage]

GLOSSARY = Glossary(
    [
        ("what", ["क्या", "kya"]),
        ("is", ["है", "hai", "hota", "होता"]),
        ("leaf", ["पत्ती", "patti", "पत्तियाँ"]),
        ("why", ["kyon"]),
    ],
    {"wat": "what", "u": "you"},
)


@pytest.fixture
def read(make_passage: MakePassage) -> Callable[[str], Question]:
    passages = [
        make_passage("Stomata (रंध्र, randhra): Tiny pores on leaves.\nPhotosynthesis makes food in leaves."),
        make_passage("An echo is a reflected sound.", page=2),
    ]
    lexicon = Lexicon(passages)
    known = {"what", "is", "an", "food", "leaf", "you"}
    return Reader(GLOSSARY.with_key_terms(passages), lexicon.spelled, known.__contains__).read


@pytest.mark.parametrize(
    ("devanagari", "latin"),
    [
        ("वाष्पीकरण", "vashpikaran"),
        ("प्रकाश", "prakash"),
        ("संविधान", "samvidhan"),
        ("परमाणु", "parmanu"),
        ("नदियाँ", "nadiyan"),
    ],
)
def test_a_word_sounds_the_same_in_both_scripts(devanagari: str, latin: str) -> None:
    assert key(devanagari) == key(latin) != ""


def test_words_that_differ_sound_different() -> None:
    assert len({key(word) for word in ("patti", "nadi", "vashpikaran", "sanghanan", "parmanu", "anu")}) == 6


@pytest.mark.parametrize(
    ("asked", "english"),
    [
        ("wat is photosynthsis", "what is photosynthesis"),
        ("patti kya hai?", "leaf what is"),
        ("पत्ती क्या है?", "leaf what is"),
        ("randhra kya hota hai", "Stomata what is is"),
        ("What is an echo?", "What is an echo?"),
    ],
)
def test_a_question_is_put_into_the_words_of_the_books(
    read: Callable[[str], Question], asked: str, english: str
) -> None:
    assert read(asked).english == english


def test_hindi_is_told_from_english(read: Callable[[str], Question]) -> None:
    assert read("echo kya hai").is_hindi
    assert read("पत्ती").is_hindi
    assert not read("What is an echo?").is_hindi


def test_nothing_understood_is_kept_as_it_was_asked(read: Callable[[str], Question]) -> None:
    assert read("???") == Question("???", "???", False, ())


def test_the_passage_with_the_words_scores_best(make_passage: MakePassage, read: Callable[[str], Question]) -> None:
    lexicon = Lexicon(
        [make_passage("Leaves make food."), make_passage("An echo is a sound. Bats use an echo.", page=2)]
    )
    scores = lexicon.scores(read("What is an echo?").terms)
    assert scores[1] == pytest.approx(1.0)
    assert scores[0] == 0.0


def test_a_word_that_no_book_holds_counts_against_them(
    make_passage: MakePassage, read: Callable[[str], Question]
) -> None:
    lexicon = Lexicon([make_passage("An echo is a sound."), make_passage("Leaves make food.", page=2)])
    with_unknown = lexicon.scores(read("echo bitcoin").terms)
    assert 0.0 < with_unknown[0] < 0.7


def test_no_passages_score_nothing() -> None:
    assert Lexicon([]).scores(()).shape == (0,)
