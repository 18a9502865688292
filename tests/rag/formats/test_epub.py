from __future__ import annotations

import contextlib
from pathlib import Path

import pytest

from rag.formats.document import Unreadable
from tests.rag.formats.made import CONTAINER, FACTS_OF_HEAT, HINDI, epub, read, texts, whole, zipped

HEAT = f"<h1>Chapter 1: Heat</h1><p>{' '.join(FACTS_OF_HEAT[:3])}</p>"
LIGHT = f"<h1>पाठ 2: प्रकाश</h1>{''.join(f'<p>{text}</p>' for text in HINDI)}"
ENCRYPTION = (
    '<encryption xmlns="urn:oasis:names:tc:opendocument:xmlns:container" xmlns:enc="http://www.w3.org/2001/04/xmlenc#">'
    '<enc:EncryptedData><enc:CipherData><enc:CipherReference URI="{}"/></enc:CipherData></enc:EncryptedData>'
    "</encryption>"
)


def test_chapters_follow_the_spine_and_not_the_names(tmp_path: Path) -> None:
    path = epub(
        tmp_path / "book.epub",
        {"a": LIGHT, "b": HEAT, "cover": "<p>Science</p>", "nav": f"<nav><ol><li>{HEAT}</li></ol></nav>"},
        spine=["cover", "nav", "b", "a", "a"],
        title="Science &amp;\n Technology",
    )
    document = read(path)
    assert document.title == "Science & Technology"
    assert [(c.number, c.title) for c in document.chapters] == [(1, "Heat"), (2, "प्रकाश")]
    assert document.chapters[1].pages[0].text == "# पाठ 2: प्रकाश\n\n" + "\n\n".join(HINDI)
    assert document.notes == ("1 parts with almost no text (cover, title page) are left out.",)


def test_page_breaks_number_the_pages_over_the_parts(tmp_path: Path) -> None:
    first = (
        f'<h1>Heat</h1><span epub:type="pagebreak" id="p1" title="1"/><p>{" ".join(FACTS_OF_HEAT[:3])}</p>'
        '<span role="doc-pagebreak" aria-label="Page 2."/><p>On two.</p>'
    )
    second = f'<h1>Light</h1><p>{" ".join(FACTS_OF_HEAT[3:6])}</p><span epub:type="pagebreak">3</span><p>On three.</p>'
    third = f"<h1>Sound</h1><p>{' '.join(FACTS_OF_HEAT[5:])}</p>"
    document = read(epub(tmp_path / "book.epub", {"a": first, "b": second, "c": third}))
    assert [[page.number for page in chapter.pages] for chapter in document.chapters] == [[1, 2], [2, 3], [3]]
    assert document.chapters[0].pages[0].text.startswith("# Heat\n\nHeat always flows")
    assert document.chapters[1].pages[1].text == "On three."


def test_boxes_beside_the_text_are_kept_and_scripts_are_not(tmp_path: Path) -> None:
    empty = '<a id="x"/><script src="x.js"/><title/>'
    more = '<aside epub:type="sidebar"><p>Did you know?</p></aside><script>unwanted()</script><!-- page: 3 -->'
    body = f"{HEAT}{empty}{more}"
    text = whole(read(epub(tmp_path / "book.epub", {"a": body})))
    assert text.endswith("Did you know?")
    assert "unwanted" not in text
    assert "page: 3" not in text


def test_a_book_protected_against_copying_says_so_and_scrambled_fonts_do_not_matter(tmp_path: Path) -> None:
    locked = ENCRYPTION.format("OEBPS/a.xhtml")
    with pytest.raises(Unreadable, match="protected against copying"):
        read(epub(tmp_path / "locked.epub", {"a": HEAT}, **{"META-INF/encryption.xml": locked}))
    fonts = ENCRYPTION.format("OEBPS/fonts/serif.TTF")
    assert read(epub(tmp_path / "fonts.epub", {"a": HEAT}, **{"META-INF/encryption.xml": fonts})).chapters


@pytest.mark.parametrize(
    ("files", "why"),
    [
        ({"mimetype": "application/epub+zip"}, "holds no book"),
        ({"META-INF/container.xml": CONTAINER}, "its table of parts is missing"),
        ({"META-INF/container.xml": "", "OEBPS/book.opf": ""}, "its table of parts is missing"),
        ({"META-INF/container.xml": CONTAINER, "OEBPS/book.opf": "\x00\x01 no XML"}, "has no text"),
        ({"META-INF/container.xml": CONTAINER.replace("OEBPS", "../..")}, "its table of parts is missing"),
    ],
)
def test_a_book_without_its_tables_is_refused(tmp_path: Path, files: dict[str, str], why: str) -> None:
    with pytest.raises(Unreadable, match=why):
        read(zipped(tmp_path / "book.epub", files))


def test_a_book_of_pictures_has_no_text(tmp_path: Path) -> None:
    with pytest.raises(Unreadable, match="has no text in it"):
        read(epub(tmp_path / "book.epub", {"a": '<img src="1.jpg"/>', "b": '<img src="2.jpg"/>'}))


def test_entities_are_neither_unfolded_nor_fetched(tmp_path: Path) -> None:
    entities = "".join(f'<!ENTITY e{n} "{f"&e{n - 1};" * 10}">' for n in range(1, 9))
    bomb = (
        f'<?xml version="1.0"?><!DOCTYPE p [<!ENTITY e0 "bomb ">{entities}<!ENTITY file SYSTEM "file:///etc/passwd">]>'
        '<package xmlns="http://www.idpf.org/2007/opf"><metadata><title>Heat &file; &e8;</title></metadata><manifest>'
        '<item id="a" href="a.xhtml" media-type="application/xhtml+xml"/></manifest><spine><itemref idref="a"/></spine>'
        "</package>"
    )
    path = epub(tmp_path / "book.epub", {"a": HEAT}, **{"OEBPS/book.opf": bomb})
    with contextlib.suppress(Unreadable):
        document = read(path)
        assert "root:" not in document.title
        assert len(document.title) < 1_000


def test_parts_may_have_blanks_in_their_names_and_be_missing(tmp_path: Path) -> None:
    package = (
        '<package xmlns="http://www.idpf.org/2007/opf"><manifest><item id="a" href="the%20first.xhtml" '
        'media-type="application/xhtml+xml"/><item id="b" href="gone.xhtml" media-type="application/xhtml+xml"/>'
        '</manifest><spine><itemref idref="b"/><itemref idref="a"/><itemref idref="c"/></spine></package>'
    )
    files = {
        "META-INF/container.xml": CONTAINER,
        "OEBPS/book.opf": package,
        "OEBPS/the first.xhtml": f"<html><body>{HEAT}</body></html>",
    }
    document = read(zipped(tmp_path / "book.epub", files))
    assert document.title == ""
    assert [number for number, _ in texts(document)] == [0]
