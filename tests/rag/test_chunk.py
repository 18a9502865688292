from __future__ import annotations

import dataclasses
import itertools
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rag.chunk import LONGEST, SHORTEST, chunk
from rag.ingest import Page, Textbook


def book(*pages: str, first: int = 1) -> Textbook:
    return Textbook(
        title="Science, Class 7",
        chapter=3,
        chapter_title="Heat",
        class_level=7,
        subject="science",
        language="en",
        pages=tuple(Page(number, text) for number, text in enumerate(pages, start=first)),
        sha256="",
    )


def sentence(words: int, word: str = "heat") -> str:
    return " ".join([word.capitalize(), *[word] * (words - 1)]) + "."


def letters(text: str) -> str:
    return re.sub(r"[\W_]", "", text)


# A page as the lengths of its sentences, paragraph by paragraph; 0 stands for a heading.
shapes = st.lists(st.lists(st.integers(min_value=0, max_value=30), min_size=1, max_size=8), min_size=1, max_size=8)


def numbered(shape: list[list[int]]) -> str:
    """A page of that shape in which no word occurs twice."""
    words = (f"w{n}" for n in itertools.count())
    paragraphs = []
    for lengths in shape:
        said = [" ".join(next(words) for _ in range(length)).capitalize() + "." for length in lengths if length]
        paragraphs += ["## A heading"] * lengths.count(0) + [" ".join(said)]
    return "\n\n".join(paragraphs)


@settings(deadline=None)
@given(st.lists(shapes, min_size=1, max_size=3))
def test_a_page_is_cut_without_loss_and_never_crossed(shape_of_pages: list[list[list[int]]]) -> None:
    made = book(*map(numbered, shape_of_pages))
    passages = chunk(made)
    for page in made.pages:
        written = [word for line in page.text.splitlines() if not line.startswith("#") for word in line.split()]
        cut = [word for passage in passages if passage.page == page.number for word in passage.text.split()]
        assert cut == written
    assert len({passage.id for passage in passages}) == len(passages)


@settings(deadline=None)
@given(shapes)
def test_passages_are_neither_long_nor_needlessly_short(shape: list[list[int]]) -> None:
    lengths = [len(passage.text.split()) for passage in chunk(book(numbered(shape)))]
    assert all(length <= LONGEST for length in lengths)
    if sum(lengths) >= SHORTEST:  # with sentences of up to 30 words, there is always a cut that keeps to the bounds
        assert min(lengths) >= SHORTEST


def test_a_very_long_sentence_is_broken() -> None:
    made = chunk(book(sentence(2 * LONGEST + 40)))
    assert len(made) >= 3
    assert all(len(passage.text.split()) <= LONGEST for passage in made)


def test_the_cut_comes_where_the_text_pauses() -> None:
    first, second = (" ".join(sentence(12, word) for _ in range(7)) for word in ("ice", "steam"))
    assert [passage.text for passage in chunk(book(f"## Ice\n\n{first}\n\n## Steam\n\n{second}"))] == [first, second]


def test_a_passage_knows_its_place() -> None:
    (passage,) = chunk(book("# Heat\n\n## Melting\n\nIce melts at 0 °C.", first=12))
    assert (passage.book, passage.chapter, passage.page) == ("Science, Class 7", "Heat", 12)
    assert (passage.class_level, passage.subject, passage.language) == (7, "science", "en")
    assert (passage.heading, passage.text) == ("Melting", "Ice melts at 0 °C.")


def test_exercises_are_left_out_also_on_the_next_page() -> None:
    made = chunk(
        book(
            "## Summary\n\n- Ice melts.\n\n## Exercises\n\n1. What melts?",
            "2. What boils?\n\n### Harder ones\n\n3. Why?\n\n## Answers\n\n1. Ice.",
            "## Steam\n\nSteam is hot.",
        )
    )
    assert [passage.text for passage in made] == ["Ice melts.", "Steam is hot."]


def test_ids_are_stable_and_depend_on_text_and_place() -> None:
    made = book("Ice melts.")
    (passage,) = chunk(made)
    assert chunk(made) == [passage]
    for change in ({"title": "Science, Class 8"}, {"class_level": 8}, {"chapter": 4}, {"language": "hi"}):
        (other,) = chunk(dataclasses.replace(made, **change))
        assert other.id != passage.id
    (reworded,) = chunk(book("Ice melts fast."))
    assert reworded.id != passage.id


def test_every_shipped_passage_stands_on_its_page(shipped: list[Textbook]) -> None:
    for made in shipped:
        pages = {page.number: letters(page.text) for page in made.pages}
        for passage in chunk(made):
            for line in passage.text.splitlines():
                for word in line.split():
                    assert letters(word) in pages[passage.page]


def test_shipped_passages_have_the_right_length(shipped: list[Textbook]) -> None:
    lengths = [len(passage.text.split()) for made in shipped for passage in chunk(made)]
    assert min(lengths) >= SHORTEST
    assert max(lengths) <= LONGEST


@pytest.mark.parametrize("sign", ["?", ":"])
def test_no_shipped_passage_asks_or_stops_short(shipped: list[Textbook], sign: str) -> None:
    assert [p.id for made in shipped for p in chunk(made) if p.text.endswith(sign)] == []
