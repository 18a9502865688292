from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rag.answerable import UNFITTED
from rag.embed import Embedder
from rag.fitted import Fitted
from rag.index import Index
from rag.passage import Passage, Retrieval
from rag.retrieve import Retriever, Scope
from rag.sentences import split

MakePassage = Callable[..., Passage]
Ask = Callable[..., Retrieval]

ANYONE = Scope()
ANSWERABLE = Fitted.load(Path(__file__).parents[2] / "data" / "retrieval" / "fitted.json").answerable


def find(retriever: Retriever, embedder: Embedder, question: str, scope: Scope, **options: Any) -> Retrieval:
    read = retriever.read(question)
    given = {"answerable": ANSWERABLE} | options
    return retriever.retrieve(read, embedder.embed([read.english])[0], scope, **given)


@pytest.fixture
def ask(index: Index, embedder: Embedder) -> Ask:
    retriever = Retriever(index, embedder)
    return lambda question, scope=ANYONE, **options: find(retriever, embedder, question, scope, **options)


@pytest.mark.parametrize(
    ("question", "book", "page"),
    [
        ("What is photosynthesis?", "Science, Class 7", 1),
        ("What are stomata?", "Science, Class 7", 2),
        ("photosynthesis kya hota hai?", "Science, Class 7", 4),
        ("How do plants store food?", "Science, Class 7", 3),
        ("Why does the pitcher plant trap insects?", "Science, Class 7", 5),
        ("What is evaporation?", "Science, Class 6", 2),
        ("how are clouds formed", "Science, Class 6", 4),
        ("What is rainwater harvesting?", "Science, Class 6", 5),
        ("What is an echo?", "Science, Class 8", 19),
        ("Why can we not hear sound in space?", "Science, Class 8", 16),
        ("What is transposing?", "Mathematics, Class 8", 2),
        ("Solve 5x - 7 = 2x + 8", "Mathematics, Class 8", 3),
        ("When did India become free?", "History, Class 8", 6),
        ("Who led the Dandi March?", "History, Class 8", 5),
        ("What happened at Jallianwala Bagh?", "History, Class 8", 3),
    ],
)
def test_the_page_is_found(ask: Ask, question: str, book: str, page: int) -> None:
    found = ask(question)
    assert (book, page) in [(passage.book, passage.page) for passage in found.passages]
    assert found.passages[0].book == book
    assert all(0.0 < passage.score <= 1.0 for passage in found.passages)
    assert ANSWERABLE.threshold <= found.confidence <= 1.0
    assert len(found.passages) <= 3


@pytest.mark.parametrize(
    "question",
    [
        "Who won the cricket world cup in 2011?",
        "How do I make chicken biryani?",
        "What is the capital of France?",
        "Tell me a joke about elephants",
        "What is bitcoin?",
        "Which mobile phone should I buy?",
        "What is Ohm's law?",
        "What is mitosis?",
        "Who was Akbar?",
        "What is the area of a circle?",
        "What is a metaphor?",
        "क्रिकेट विश्व कप किसने जीता?",
        "???",
    ],
)
def test_what_is_not_in_the_books_is_not_found_there(ask: Ask, question: str) -> None:
    found = ask(question)
    assert found.passages == ()
    assert 1 <= len(found.nearby) <= 3


def test_nearby_chapters_are_named_with_their_book(ask: Ask) -> None:
    found = ask("What is the loudest animal in the sea?")
    assert found.passages == ()
    assert found.nearby[0] == "Sound (Science, Class 8)"
    assert len(set(found.nearby)) == len(found.nearby)


def test_the_students_class_does_not_hide_other_books(ask: Ask) -> None:
    found = ask("What is an echo?", Scope(class_level=6, subject="history"))
    assert found.passages[0].book == "Science, Class 8"


def test_one_passage_can_be_asked_for(ask: Ask) -> None:
    assert len(ask("What is photosynthesis?", k=1).passages) == 1


def test_what_decides_is_an_argument(ask: Ask) -> None:
    never = dataclasses.replace(ANSWERABLE, threshold=1.01)
    assert ask("What is photosynthesis?", answerable=never).passages == ()
    assert ask("Who won the cricket world cup in 2011?", answerable=UNFITTED).passages != ()


@pytest.fixture
def small(tmp_path: Path, embedder: Embedder) -> Callable[[list[Passage]], Ask]:
    """Asks an index of a few made-up passages."""

    def build(passages: list[Passage]) -> Ask:
        def ask(question: str, scope: Scope = ANYONE, **options: Any) -> Retrieval:
            index = Index.embedded(tmp_path)
            index.build(passages, embedder)
            try:
                return find(Retriever(index, embedder), embedder, question, scope, **options)
            finally:
                index.close()

        return ask

    return build


def test_of_equals_the_students_own_book_comes_first(
    small: Callable[[list[Passage]], Ask], make_passage: MakePassage
) -> None:
    ask = small(
        [
            make_passage("A cell is the smallest unit of life. Cells make tissues and organs.", class_level=8),
            make_passage("A cell is the smallest unit of life. Every plant has many cells.", class_level=6),
        ]
    )
    for level in (6, 8):
        assert ask("What is a cell?", Scope(class_level=level)).passages[0].class_level == level


def test_the_lesson_comes_before_its_summary(small: Callable[[list[Passage]], Ask], make_passage: MakePassage) -> None:
    lesson = make_passage("An echo is a sound that is heard again after it is reflected from a distant surface.")
    summary = dataclasses.replace(
        make_passage("Echo: a sound that is reflected from a surface.", page=9), heading="Key terms; Summary"
    )
    assert small([summary, lesson])("What is an echo?").passages[0].page == lesson.page


def test_what_says_the_same_is_given_once(small: Callable[[list[Passage]], Ask], make_passage: MakePassage) -> None:
    text = "An echo is a sound that is heard again after it is reflected from a distant surface."
    twin = make_passage(text.replace("An echo", "The echo"), page=2)
    found = small([make_passage(text), twin, make_passage("Bats use an echo of sound to hunt.", page=3)])(
        "What is an echo?"
    )
    assert len(found.passages) == 2
    assert found.passages[1].page == 3


def test_the_sentences_of_what_is_found_need_no_second_embedding(index: Index, embedder: Embedder) -> None:
    retriever = Retriever(index, embedder)
    questions = ("How do plants store food?", "how are clouds formed", "Who led the Dandi March?")
    found = [p for question in questions for p in find(retriever, embedder, question, ANYONE).passages]
    assert {bool(passage.parts) for passage in found} == {True}  # joined of one part or of several
    assert max(len(passage.parts) for passage in found) > 1
    for passage in found:
        indexed = retriever.sentences(passage)
        assert indexed is not None
        assert np.allclose(indexed, embedder.embed(split(passage.text)), atol=0.01)


def test_a_passage_that_is_not_indexed_as_it_is_has_no_vectors(index: Index, embedder: Embedder) -> None:
    retriever = Retriever(index, embedder)
    known = index.passages()[0]
    assert retriever.sentences(known) is not None
    assert retriever.sentences(dataclasses.replace(known, text=known.text + " And more.")) is None
    assert retriever.sentences(dataclasses.replace(known, id="gone")) is None


def test_an_empty_index_knows_nothing(small: Callable[[list[Passage]], Ask]) -> None:
    assert small([])("What is an echo?") == Retrieval((), ())
