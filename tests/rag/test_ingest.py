from __future__ import annotations

from pathlib import Path

import pytest

from rag.errors import TextbookError
from rag.ingest import Page, Textbook, read_library, read_textbook

FRONT = """---
title: Science, Class 7
chapter: 3
chapter_title: Heat
class: 7
subject: science
language: en
board: national
licence: CC BY-SA 4.0
---
"""
GOOD = FRONT + "<!-- page: 4 -->\n# Heat\n\nHeat flows.\n\n<!-- page: 5 -->\nIce melts.\n"


def write(folder: Path, text: str, name: str = "03-heat.md") -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text.encode())
    return path


def test_a_chapter_is_read_with_its_pages(tmp_path: Path) -> None:
    book = read_textbook(write(tmp_path, GOOD))
    assert (book.title, book.chapter, book.chapter_title) == ("Science, Class 7", 3, "Heat")
    assert (book.class_level, book.subject, book.language) == (7, "science", "en")
    assert book.pages == (Page(4, "# Heat\n\nHeat flows."), Page(5, "Ice melts."))


def test_line_endings_and_a_byte_order_mark_do_not_matter(tmp_path: Path) -> None:
    plain = read_textbook(write(tmp_path, GOOD))
    windows = read_textbook(write(tmp_path, "\ufeff" + GOOD.replace("\n", "\r\n"), "windows.md"))
    assert windows.pages == plain.pages
    assert windows.sha256 != plain.sha256


def test_a_blank_page_is_left_out(tmp_path: Path) -> None:
    book = read_textbook(write(tmp_path, FRONT + "<!-- page: 1 -->\n\n<!-- page: 2 -->\nText.\n"))
    assert [page.number for page in book.pages] == [2]


@pytest.mark.parametrize(
    ("text", "line", "why"),
    [
        ("", 1, "front matter"),
        ("# Heat\n", 1, "front matter"),
        ("---\ntitle: Science\n", 1, "no end"),
        (GOOD.replace("chapter: 3\n", ""), 1, "lacks chapter"),
        (GOOD.replace("licence: CC BY-SA 4.0\n", ""), 1, "lacks licence"),
        (GOOD.replace("chapter: 3", "chapter: three"), 3, "chapter must be a number"),
        (GOOD.replace("chapter: 3", "chapter: 0"), 3, "chapter must be a number"),
        (GOOD.replace("chapter: 3", "chapter: true"), 3, "chapter must be a number"),
        (GOOD.replace("class: 7", 'class: "7"'), 5, "class must be a number"),
        (GOOD.replace("class: 7", "class: 13"), 5, "class must be a number from 1 to 12"),
        (GOOD.replace("title: Science, Class 7", "title: 7"), 2, "title must be text"),
        (GOOD.replace("language: en", "language: no"), 7, "language must be text"),
        (GOOD.replace("language: en", "language: English"), 7, "language must be a code"),
        (GOOD.replace("subject: science", "subject: Social Science"), 6, "lower case"),
        (GOOD.replace("chapter_title: Heat", "chapter_title: Heat: a form of energy"), 4, "colon needs quotes"),
        (GOOD.replace(FRONT, "---\n- a\n- b\n---\n"), 1, "key: value"),
        (FRONT + "Heat flows.\n<!-- page: 1 -->\nText.\n", 11, "before the first page mark"),
        (FRONT + "<!-- page: 4 -->\nA.\n<!-- page: 4 -->\nB.\n", 13, "pages must go up"),
        (FRONT + "<!-- page: 4 -->\nA.\n<!-- page: 3 -->\nB.\n", 13, "page 3 comes after page 4"),
        (FRONT + "<!-- page: 4 -->\nA.\n<!-- page five -->\nB.\n", 13, "line of its own"),
        (FRONT + "<!-- page: 4 -->\nA. <!-- page: 5 --> B.\n", 12, "line of its own"),
        (FRONT + "<!-- page: 4 -->\n\n", 0, "has no text"),
        (FRONT, 0, "has no text"),
    ],
)
def test_a_malformed_chapter_says_where_and_why(tmp_path: Path, text: str, line: int, why: str) -> None:
    path = write(tmp_path, text)
    with pytest.raises(TextbookError) as caught:
        read_textbook(path)
    assert caught.value.line == line
    assert why in caught.value.why
    assert str(path) in str(caught.value)
    assert (f"line {line}" in str(caught.value)) == (line > 0)


def test_bytes_that_are_not_utf_8_are_located(tmp_path: Path) -> None:
    path = tmp_path / "old.md"
    path.write_bytes(GOOD.encode().replace(b"Ice", b"\xff\xfe"))
    with pytest.raises(TextbookError, match="UTF-8") as caught:
        read_textbook(path)
    assert caught.value.line == GOOD[: GOOD.index("Ice")].count("\n") + 1


def test_another_format_and_a_missing_file_are_errors(tmp_path: Path) -> None:
    with pytest.raises(TextbookError, match="only Markdown is read"):
        read_textbook(write(tmp_path, "x", "book.pages"))
    with pytest.raises(TextbookError, match="cannot be read"):
        read_textbook(tmp_path / "nowhere.md")


def test_a_library_reports_what_it_leaves_out(tmp_path: Path) -> None:
    write(tmp_path, GOOD, "a/03-heat.md")
    bad = write(tmp_path, GOOD.replace("class: 7", "class: VII"), "a/04-bad.md")
    twin = write(tmp_path, GOOD + "\nMore.\n", "b/03-heat-again.md")
    write(tmp_path, "about these books", "README.md")
    write(tmp_path, "draft", ".drafts/05.md")
    write(tmp_path, "not read yet", "notes.text")
    books, errors = read_library(tmp_path)
    assert [book.chapter_title for book in books] == ["Heat"]
    assert [(error.path, error.line) for error in errors] == [(bad, 5), (twin, 0)]
    assert "already in" in errors[1].why


def test_a_folder_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    books, errors = read_library(tmp_path / "nowhere")
    assert books == []
    assert [error.path for error in errors] == [tmp_path / "nowhere"]


def test_overlapping_roots_are_read_once(tmp_path: Path) -> None:
    path = write(tmp_path, GOOD)
    books, errors = read_library(tmp_path, path)
    assert (len(books), errors) == (1, [])


def test_every_shipped_chapter_is_read(shipped: list[Textbook]) -> None:
    assert len(shipped) >= 12
    assert len({(book.title, book.chapter) for book in shipped}) == len(shipped)
