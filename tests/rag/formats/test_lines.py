from __future__ import annotations

import re

from hypothesis import given, settings
from hypothesis import strategies as st

from rag.formats.lines import Line, body_size, markdown, vocabulary, without_headers

WORDS = st.text("abcdefgh प्रकाश,.-", min_size=1, max_size=12).map(str.strip).filter(lambda word: word.strip("-o"))
TEXTS = st.lists(WORDS, min_size=1, max_size=8).map(" ".join)


def line(
    text: str, bottom: float, *, size: float = 11, bold: bool = False, left: float = 50, right: float = 370
) -> Line:
    return Line(text, size, bold, left, right, bottom, ((left, text),))


def row(bottom: float, *cells: str) -> Line:
    places = tuple((50.0 + 100 * n, cell) for n, cell in enumerate(cells))
    return Line(" ".join(cells), 11, False, 50, 370, bottom, places)


@st.composite
def page_of_lines(draw: st.DrawFn) -> list[Line]:
    return [
        line(
            draw(TEXTS),
            700 - 14 * place,
            size=draw(st.sampled_from([9.0, 11.0, 14.0, 20.0])),
            bold=draw(st.booleans()),
            right=draw(st.floats(60, 400)),
        )
        for place in range(draw(st.integers(0, 12)))
    ]


def letters(text: str) -> str:
    """What may not change: hyphens and spaces are mended, bullets and headings are marks."""
    return re.sub(r"[\s#\-]", "", text)


@settings(deadline=None)
@given(page_of_lines())
def test_no_letter_of_a_page_is_lost(page: list[Line]) -> None:
    text = markdown(page, body_size([page]), vocabulary([page]))
    assert letters(text) == letters("".join(line.text for line in page))


@settings(deadline=None)
@given(st.lists(page_of_lines(), max_size=5))
def test_only_lines_at_the_edge_are_taken_for_headers(pages: list[list[Line]]) -> None:
    kept, _ = without_headers(pages)
    for before, after in zip(pages, kept, strict=True):
        assert [line for line in before if line in after] == after
        assert len(before) - len(after) <= 4


def test_a_sentence_that_runs_over_lines_is_one_paragraph() -> None:
    page = [line("Heat flows from a hot", 500), line("body to a cold one.", 486), line("heat. It is measured", 472)]
    assert markdown(page, 11) == "Heat flows from a hot body to a cold one. heat. It is measured"


def test_a_gap_and_a_short_line_begin_paragraphs() -> None:
    page = [
        line("Heat flows from a hot body to a cold", 500),
        line("one.", 486, right=80),
        line("Air is a poor conductor of heat and so", 472),
        line("is wool.", 458, right=90),
        line("The sun warms us.", 425),
    ]
    assert markdown(page, 11).split("\n\n") == [
        "Heat flows from a hot body to a cold one.",
        "Air is a poor conductor of heat and so is wool.",
        "The sun warms us.",
    ]


def test_items_of_lists_stand_alone() -> None:
    page = [
        line(text, 500 - 14 * n) for n, text in enumerate(["• Copper", "\uf0b7 Iron", "1. Wool", "(क) ऊन", "iv) Air"])
    ]
    assert markdown(page, 11).split("\n\n") == ["- Copper", "- Iron", "1. Wool", "(क) ऊन", "iv) Air"]


def test_a_word_with_a_hyphen_of_its_own_keeps_it() -> None:
    known = vocabulary([[line("a well-known fact and a photosynthesis", 1)]])
    assert markdown([line("a well-", 500), line("known fact", 486)], 11, known) == "a well-known fact"
    assert markdown([line("by photo-", 500), line("synthesis", 486)], 11, known) == "by photosynthesis"
    assert markdown([line("सुख-", 500), line("दुख में", 486)], 11, known) == "सुख-दुख में"
    assert (
        markdown([line("the years 1990-", 500), line("91 were dry", 486)], 11, known) == "the years 1990- 91 were dry"
    )


def test_rows_of_cells_are_a_table_and_bars_in_them_do_no_harm() -> None:
    page = [
        line("Two metals.", 500),
        row(480, "Metal", "Use"),
        row(466, "Iron", "rails | bridges"),
        line("That is all.", 440),
    ]
    assert markdown(page, 11) == (
        "Two metals.\n\n| Metal | Use |\n| --- | --- |\n| Iron | rails / bridges |\n\nThat is all."
    )


def test_a_heading_over_two_lines_is_one_and_two_sizes_are_two() -> None:
    page = [
        line("Heat and", 540, size=20),
        line("Temperature", 518, size=20),
        line("What is heat?", 490, size=14),
        line("Heat is a form of energy.", 470),
    ]
    assert markdown(page, 11) == "# Heat and Temperature\n\n## What is heat?\n\nHeat is a form of energy."


def book(*, header: str = "Science", first: int = 47, pages: int = 5) -> list[list[Line]]:
    return [
        [
            line(header, 560, size=9),
            *(line(f"Sentence {n} of page {chr(97 + place)}.", 500 - 14 * n) for n in range(4)),
            line(str(first + place), 30, size=9),
        ]
        for place in range(pages)
    ]


def test_headers_and_numbers_go_and_tell_the_page() -> None:
    kept, numbers = without_headers(book())
    assert [len(page) for page in kept] == [4] * 5
    assert numbers == {0: 47, 1: 48, 2: 49, 3: 50, 4: 51}


def test_numbers_that_do_not_go_up_are_no_page_numbers() -> None:
    pages = [[line("A sentence.", 500), line("Another one.", 486), line(str(n), 30)] for n in (3, 14, 8, 5)]
    _, numbers = without_headers(pages)
    assert numbers == {}


def test_a_chapters_heading_is_kept_when_it_says_the_same_as_the_header_or_the_number() -> None:
    pages = book(header="1 Introduction", first=1)
    pages[0][0] = line("1 Introduction", 540, size=20)
    kept, numbers = without_headers(pages)
    assert numbers[0] == 1
    assert kept[0][0].text == "1 Introduction"
    assert all(page[0].text.startswith("Sentence") for page in kept[1:])
