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


HURRIED = Glossary(
    (), {"wat": "what", "y": "why", "n": "and", "cm": "chief minister", "shud": "should", "u": "you", "hw": "how"}
)


@pytest.mark.parametrize(
    ("asked", "english"),
    [
        ("y do v need leaves", "why do we need leaves"),
        ("v shud eat leaves", "we should eat leaves"),
        ("wat is v in u + at", "what is v in u at"),  # a formula's letters are no words
        ("y is the point (x,y) on the line", "why is the point x y on the line"),
        ("wat is the cm of a state", "what is the chief minister of a state"),
        ("hw long is 5 cm n 2 sq cm", "how long is 5 cm and 2 sq cm"),
        ("hw long does light take 2 reach leaves", "how long does light take to reach leaves"),
        ("wat is root 2 on the line", "what is root 2 on the line"),
        ("food how 2 make", "food how to make"),
        ("Add 2 leaves", "Add 2 leaves"),  # nothing else is shorthand, so neither is the number
        ("leaves make food, na?", "leaves make food"),
        ("wat is Na", "what is na"),  # sodium
    ],
)
def test_shorthand_is_written_out_where_it_is_some(make_passage: MakePassage, asked: str, english: str) -> None:
    lexicon = Lexicon([make_passage("Leaves make food. Na is the symbol of sodium. A line has a point and 2 ends.")])
    plain = {*asked.lower().replace(",", " ").split(), "why", "what", "chief", "minister", "should"}
    assert Reader(HURRIED, lexicon.spelled, plain.__contains__).read(asked).english == english


@pytest.mark.parametrize(
    ("asked", "english"),
    [
        ("meltin of ice", "melting of ice"),
        ("an xperiment", "an experiment"),
        ("mam ice", "mam ice"),  # not heard as the "2m" of the books
    ],
)
def test_a_clipped_word_is_made_whole(make_passage: MakePassage, asked: str, english: str) -> None:
    lexicon = Lexicon([make_passage("The melting of ice is an experiment. A rod of 2m.")])
    assert Reader(HURRIED, lexicon.spelled, {"of", "ice", "an"}.__contains__).read(asked).english == english


def test_what_is_heard_alike_has_no_digits(make_passage: MakePassage) -> None:
    lexicon = Lexicon([make_passage("A rod of 2m and one of 3m.")])
    (term,) = Reader(HURRIED, lexicon.spelled, {"the"}.__contains__).read("the muum").terms
    assert not any(letter.isdigit() for form in term.forms for letter in form)


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
