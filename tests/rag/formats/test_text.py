from __future__ import annotations

from pathlib import Path

import pytest

from rag.formats.document import Unreadable
from tests.rag.formats.made import FACTS_OF_HEAT, HINDI, KRUTI_DEV, read, texts, whole


def write(folder: Path, content: str | bytes, name: str = "heat.txt") -> Path:
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-be", "cp1252"])
def test_text_of_any_encoding_is_read(tmp_path: Path, encoding: str) -> None:
    words = "It’s 25 °C – “naïve” café, ½ of 3×4.\r\nIce melts.\rSteam rises."
    mark = b"\xfe\xff" if encoding == "utf-16-be" else b""
    expected = "It’s 25 °C – “naïve” café, ½ of 3×4.\nIce melts.\nSteam rises."
    assert texts(read(write(tmp_path, mark + words.encode(encoding)))) == [(0, expected)]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_hindi_comes_back_exactly(tmp_path: Path, encoding: str) -> None:
    assert whole(read(write(tmp_path, "\n".join(HINDI).encode(encoding)))) == "\n".join(HINDI)


def test_a_form_feed_begins_a_page(tmp_path: Path) -> None:
    assert texts(read(write(tmp_path, "One.\n\fTwo.\n\f\n\fFour.\n\f"))) == [(1, "One."), (2, "Two."), (4, "Four.")]
    assert texts(read(write(tmp_path, "\fOnly one.\n\f"))) == [(0, "Only one.")]


def test_our_own_page_marks_number_plain_markdown(tmp_path: Path) -> None:
    text = "# Heat\n<!-- page: 4 -->\nHeat flows.\n<!--page:5-->\nIce melts. <!-- page: 6 -->\n"
    assert texts(read(write(tmp_path, text, "heat.md"))) == [
        (0, "# Heat"),
        (4, "Heat flows."),
        (5, "Ice melts. <! -- page: 6 -->"),
    ]


@pytest.mark.parametrize("hidden", ["\u200b", "\x00", "\x0b", "\u2060", "\ufeff", "\u00ad"])
def test_a_hidden_letter_cannot_make_a_mark_of_text(tmp_path: Path, hidden: str) -> None:
    text = f"Heat flows.\n<!{hidden}-- page: 3 -->\n<{hidden}!-- page: 4 -->\nIce melts."
    found = whole(read(write(tmp_path, text.encode("utf-16"))))
    assert "<!--" not in found
    assert "Ice melts." in found


def test_top_headings_of_markdown_are_chapters(tmp_path: Path) -> None:
    document = read(write(tmp_path, "# Chapter 2: Heat\n\nWarm.\n\n# Light\n\n## Rays\n\nBright.\n", "book.md"))
    assert [(c.number, c.title, c.pages[0].text) for c in document.chapters] == [
        (2, "Heat", "# Chapter 2: Heat\n\nWarm."),
        (None, "Light", "# Light\n\n## Rays\n\nBright."),
    ]


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "is empty"),
        (b" \r\n\t", "is empty"),
        ("\ufeff\u200b\u200b".encode(), "is empty"),
        (b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR", "is no text file"),
        ("Привет, мир, это текст".encode("cp1251"), "unknown encoding; save it as UTF-8"),
        (bytes(range(128, 256)) * 4, "unknown encoding; save it as UTF-8"),
        ("\n".join(KRUTI_DEV).encode(), "an old Hindi font .* print it to a PDF and add that"),
        ("\n".join(KRUTI_DEV).encode("cp1252"), "an old Hindi font"),
    ],
)
def test_what_is_no_text_is_refused(tmp_path: Path, content: bytes, why: str) -> None:
    with pytest.raises(Unreadable, match=why):
        read(write(tmp_path, content))


def test_one_page_in_an_old_font_is_enough_to_refuse(tmp_path: Path) -> None:
    with pytest.raises(Unreadable, match="Kruti Dev"):
        read(write(tmp_path, f"{FACTS_OF_HEAT[0]}\f{KRUTI_DEV[0]}"))
