from __future__ import annotations

import re
import zipfile
from collections.abc import Callable
from pathlib import Path

import docx
import pytest
from docx.document import Document as Word
from docx.enum.text import WD_BREAK
from docx.oxml import OxmlElement, parse_xml
from docx.oxml.ns import nsdecls, qn

from rag.formats.document import LIMITS, Limits, Unreadable
from tests.rag.formats.made import FACTS_OF_HEAT, HINDI, attempt, read, texts, whole


@pytest.fixture
def word() -> Word:
    return docx.Document()


@pytest.fixture
def saved(word: Word, tmp_path: Path) -> Callable[[], Path]:
    def save() -> Path:
        word.save(str(tmp_path / "heat.docx"))
        return tmp_path / "heat.docx"

    return save


def repacked(path: Path, **changes: bytes) -> Path:
    """A DOCX with some of its parts replaced; a part's name has __ for / and no suffix."""
    other = path.with_name("other.docx")
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(other, "w", zipfile.ZIP_DEFLATED) as new:
        for name in old.namelist():
            new.writestr(name, changes.get(name.removesuffix(".xml").replace("/", "__"), old.read(name)))
    return other


def test_headings_lists_and_titles_are_kept(word: Word, saved: Callable[[], Path]) -> None:
    word.core_properties.title = "Science,\nClass 7"
    word.add_heading("Chapter 3: Heat", 1)
    word.add_paragraph(FACTS_OF_HEAT[0])
    word.add_heading("Conductors", 2)
    word.add_paragraph("Copper", style="List Bullet")
    word.add_paragraph("Iron", style="List Number")
    word.add_paragraph("")
    word.add_paragraph(HINDI[2])
    document = read(saved())
    assert document.title == "Science, Class 7"
    assert [(chapter.number, chapter.title) for chapter in document.chapters] == [(3, "Heat")]
    assert texts(document) == [
        (0, f"# Chapter 3: Heat\n\n{FACTS_OF_HEAT[0]}\n\n## Conductors\n\n- Copper\n- Iron\n\n{HINDI[2]}")
    ]


def test_top_headings_are_chapters(word: Word, saved: Callable[[], Path]) -> None:
    for title in ("Chapter 3: Heat", "Chapter 4: Light"):
        word.add_heading(title, 1)
        word.add_paragraph(f"All about {title}.")
    assert [(c.number, c.title) for c in read(saved()).chapters] == [(3, "Heat"), (4, "Light")]


def test_raised_and_lowered_runs_are_written_so(word: Word, saved: Callable[[], Path]) -> None:
    paragraph = word.add_paragraph("Water is H")
    paragraph.add_run("2").font.subscript = True
    paragraph.add_run("O and a square x")
    paragraph.add_run("2").font.superscript = True
    paragraph.add_run(" on the 3")
    paragraph.add_run("rd").font.superscript = True
    hidden = paragraph.add_run(" Nobody sees this.")
    hidden.font.hidden = True
    assert whole(read(saved())) == "Water is H₂O and a square x² on the 3rd"


def test_a_table_keeps_its_columns_where_cells_are_merged(word: Word, saved: Callable[[], Path]) -> None:
    table = word.add_table(3, 3)
    for row, cells in enumerate([("Marks", "", "Name"), ("40", "50|60", "Asha"), ("", "45", "Ravi")]):
        for column, text in enumerate(cells):
            table.cell(row, column).text = text
    table.cell(0, 0).merge(table.cell(0, 1))
    table.cell(1, 0).merge(table.cell(2, 0))
    assert whole(read(saved())) == (
        "| Marks | Marks | Name |\n| --- | --- | --- |\n| 40 | 50/60 | Asha |\n| 40 | 45 | Ravi |"
    )


def test_pages_are_those_that_the_word_processor_last_saw(word: Word, saved: Callable[[], Path]) -> None:
    section = word.sections[0]._sectPr
    numbering = OxmlElement("w:pgNumType")
    numbering.set(qn("w:start"), "47")
    section.append(numbering)
    word.add_paragraph("On forty-seven.")
    word.add_paragraph().add_run().add_break(WD_BREAK.PAGE)
    seen = word.add_paragraph().add_run()
    seen._r.append(OxmlElement("w:lastRenderedPageBreak"))
    seen.add_text("On forty-eight, which goes ")
    rest = seen._r
    rest.append(OxmlElement("w:lastRenderedPageBreak"))
    seen.add_text("on.")
    heading = word.add_heading("Fifty", 2)
    heading.paragraph_format.page_break_before = True
    assert texts(read(saved())) == [
        (47, "On forty-seven."),
        (48, "On forty-eight, which goes"),
        (49, "on."),
        (50, "## Fifty"),
    ]


def test_a_table_over_two_pages_and_an_empty_page_count(word: Word, saved: Callable[[], Path]) -> None:
    table = word.add_table(2, 1)
    table.cell(0, 0).text = "Metal"
    run = table.cell(1, 0).paragraphs[0].add_run()
    run._r.append(OxmlElement("w:lastRenderedPageBreak"))
    run.add_text("Iron")
    word.add_paragraph("On two.").add_run().add_break(WD_BREAK.PAGE)
    word.add_paragraph().add_run().add_break(WD_BREAK.PAGE)
    word.add_paragraph("On four.")
    assert texts(read(saved())) == [(1, "| Metal |\n| --- |\n| Iron |"), (2, "On two."), (4, "On four.")]


def test_links_insertions_controls_and_text_boxes_are_read_and_deletions_are_not(
    word: Word, saved: Callable[[], Path]
) -> None:
    in_box = "<w:txbxContent><w:p><w:r><w:t>In a box.</w:t></w:r></w:p></w:txbxContent>"
    box = (
        "<w:r><mc:AlternateContent xmlns:mc='http://schemas.openxmlformats.org/markup-compatibility/2006'>"
        f"<mc:Choice Requires='wps'>{in_box}</mc:Choice><mc:Fallback>{in_box}</mc:Fallback></mc:AlternateContent></w:r>"
    )
    runs = (
        "<w:r><w:t xml:space='preserve'>Heat </w:t></w:r>"
        "<w:hyperlink w:anchor='x'><w:r><w:t>flows</w:t></w:r></w:hyperlink>"
        "<w:ins w:id='1' w:author='a'><w:r><w:t xml:space='preserve'> always</w:t></w:r></w:ins>"
        "<w:del w:id='2' w:author='a'><w:r><w:delText> never</w:delText></w:r></w:del><w:r><w:t>.</w:t></w:r>"
    )
    body = word.element.body
    body.insert(0, parse_xml(f"<w:p {nsdecls('w')}>{runs}{box}</w:p>"))
    controlled = (
        f"<w:sdt {nsdecls('w')}><w:sdtContent><w:p><w:r><w:t>In a control.</w:t></w:r></w:p></w:sdtContent></w:sdt>"
    )
    body.insert(1, parse_xml(controlled))
    assert whole(read(saved())) == "Heat flows always.\n\nIn a box.\n\nIn a control."


def test_text_cannot_forge_a_page(word: Word, saved: Callable[[], Path]) -> None:
    word.add_paragraph("<!-- page: 3 -->")
    word.add_paragraph("\u2060page:4\u2060")
    table = word.add_table(1, 1)
    table.cell(0, 0).text = "<!-- page: 5 --> \u2060page:6\u2060"
    document = read(saved())
    assert [number for number, _ in texts(document)] == [0]
    assert "<!--" not in whole(document)


def test_a_file_without_text_is_refused(saved: Callable[[], Path]) -> None:
    with pytest.raises(Unreadable, match="has no text in it"):
        read(saved())


def test_a_bomb_of_entities_is_not_unfolded(word: Word, saved: Callable[[], Path]) -> None:
    word.add_paragraph("Heat.")
    entities = "".join(f'<!ENTITY e{n} "{f"&e{n - 1};" * 10}">' for n in range(1, 10))
    bomb = (
        f'<?xml version="1.0"?><!DOCTYPE w [<!ENTITY e0 "bomb">{entities}<!ENTITY file SYSTEM "file:///etc/passwd">]>'
        f"<w:document {nsdecls('w')}><w:body><w:p><w:r><w:t>Heat &e9; &file;</w:t></w:r></w:p></w:body></w:document>"
    )
    path = repacked(saved(), word__document=bomb.encode())
    found = attempt(path)
    assert "bomb" not in found
    assert "root:" not in found
    assert found == "Heat" or "damaged" in found


@pytest.mark.parametrize("part", ["word__document", "[Content_Types]", "word__styles", "docProps__core"])
@pytest.mark.parametrize("content", [b"", b"<", b"<x/>", b"\x00\xff" * 50, b"<?xml version='1.0'?><a:b xmlns:a='c'/>"])
def test_a_damaged_part_is_one_clear_line(word: Word, saved: Callable[[], Path], part: str, content: bytes) -> None:
    word.add_paragraph("Heat flows.")
    path = repacked(saved(), **{part: content})
    found = attempt(path)
    assert found == "Heat flows." or re.match("refused: (is damaged|has no text)", found)


def test_one_part_that_unpacks_to_too_much_is_a_bomb(word: Word, saved: Callable[[], Path]) -> None:
    word.add_paragraph("Heat.")
    bomb = b"<w:document>" + b" " * 3_000_000
    with pytest.raises(Unreadable, match="zip bomb"):
        read(repacked(saved(), word__document=bomb))
    with pytest.raises(Unreadable, match="zip bomb"):
        read(saved(), Limits(unpacked_bytes=10_000))
    assert whole(read(saved(), LIMITS)) == "Heat."
