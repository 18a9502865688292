from __future__ import annotations

import io
import os
import re
from pathlib import Path

import pytest
from reportlab.lib.utils import ImageReader
from reportlab.pdfbase import pdfmetrics
from reportlab.pdfbase.ttfonts import TTFont
from reportlab.pdfgen.canvas import Canvas

from rag.formats import ocr
from rag.formats.document import Limits, Unreadable
from rag.formats.pdf import spans
from tests.rag.formats.made import (
    FACTS_OF_HEAT,
    HINDI,
    KRUTI_DEV,
    Typeset,
    attempt,
    lines,
    picture,
    raw_pdf,
    read,
    scanned,
    texts,
    whole,
    wrapped,
)

PAGE = "<< /Type /Page /Parent 2 0 R /MediaBox [0 0 300 300] /Contents 4 0 R /Resources << /Font << /F1 5 0 R >> >> >>"
SAYS_HEAT = "<< /Length 44 >>\nstream\nBT /F1 12 Tf 20 200 Td (Heat is energy.) Tj ET\nendstream"
HELVETICA = "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>"


def one_page(path: Path, *more: str, catalogue: str = "", facts: str = "<< >>") -> Path:
    """A hand-written PDF of one page; `more` objects begin at number 6."""
    catalogue = f"<< /Type /Catalog /Pages 2 0 R {catalogue} >>"
    return raw_pdf(
        path, [catalogue, "<< /Type /Pages /Kids [3 0 R] /Count 1 >>", PAGE, SAYS_HEAT, HELVETICA, *more, facts]
    )


def font(name: str, as_name: str) -> str:
    """A font that comes with reportlab under a name of our choice, as it stands in the PDF."""
    made = TTFont(as_name, name)
    made.face.name = as_name.encode()
    pdfmetrics.registerFont(made)
    return as_name


# ---- printed by a browser ----------------------------------------------------------------------------------------


def test_a_printed_book_has_its_chapters_numbers_and_title(printed: Path) -> None:
    document = read(printed)
    assert document.title == "Science, Class 7"
    assert [(chapter.number, chapter.title) for chapter in document.chapters] == [(1, "Heat"), (2, "प्रकाश")]
    assert [page.number for page in document.chapters[0].pages] == [1, 2]
    assert [page.number for page in document.chapters[1].pages] == [3]
    assert document.notes == ()


def test_every_hindi_word_of_a_printed_page_comes_back_exactly(printed: Path) -> None:
    [page] = read(printed).chapters[1].pages
    heading, _, rest = page.text.partition("\n\n")
    assert heading == "# अध्याय 2: प्रकाश"
    assert rest.split() == " ".join(HINDI).split()


def test_headings_tables_and_raised_letters_of_a_printed_page_are_kept(printed: Path) -> None:
    text = whole(read(printed))
    assert text.startswith("# Chapter 1: Heat\n\nHeat always flows")
    assert "\n\n## Units of heat\n\n" in text
    assert "| Material | Conductor |\n| --- | --- |\n| Copper | Yes |\n| Wood | No |" in text
    assert "Water is H₂O and a square is x²." in text
    assert "An efficient office finds five flutes." in text


def test_what_a_browser_does_not_show_is_not_read(printed: Path) -> None:
    text = whole(read(printed))
    assert "Nobody sees this" not in text
    assert "Printed for our school" not in text


# ---- typeset -----------------------------------------------------------------------------------------------------


def test_running_headers_go_and_printed_numbers_stay(tmp_path: Path) -> None:
    book = Typeset.at(tmp_path / "book.pdf")
    for place, fact in enumerate(FACTS_OF_HEAT):
        header = "Science for Class 7" if place % 2 else "Heat"
        book.page(
            (150, 560, "Helvetica", 9, header),
            *([(50, 525, "Helvetica-Bold", 20, "Heat")] if place == 0 else []),
            *lines(wrapped(fact)),
            (200, 30, "Helvetica", 9, f"{47 + place}"),
        )
    document = read(book.saved())
    assert texts(document) == [(47, f"# Heat\n\n{FACTS_OF_HEAT[0]}"), *enumerate(FACTS_OF_HEAT[1:], start=48)]
    assert [chapter.title for chapter in document.chapters] == ["Heat"]


def test_a_number_beside_the_running_header_is_the_pages_number(tmp_path: Path) -> None:
    book = Typeset.at(tmp_path / "book.pdf")
    for place, fact in enumerate(FACTS_OF_HEAT[:4]):
        header = f"{112 + place}   Science" if place % 2 == 0 else f"Chapter 9   Heat   {112 + place}"
        book.page((50, 560, "Helvetica", 9, header), *lines(wrapped(fact)))
    assert texts(read(book.saved())) == list(enumerate(FACTS_OF_HEAT[:4], start=112))


def test_the_running_header_of_one_chapter_of_many_goes(tmp_path: Path) -> None:
    book = Typeset.at(tmp_path / "book.pdf")
    for place in range(24):
        header = "Heat" if 4 <= place < 8 else f"Of {FACTS_OF_HEAT[place % 8].split()[0]} things"
        book.page((150, 560, "Helvetica", 9, header), *lines(wrapped(f"{FACTS_OF_HEAT[place % 8]} That is {place}.")))
    text = whole(read(book.saved()))
    assert "Heat\n" not in text
    assert text.count("Of Copper things") == 3


def test_pages_before_the_first_printed_number_have_none(tmp_path: Path) -> None:
    book = Typeset.at(tmp_path / "book.pdf")
    for place, fact in enumerate(FACTS_OF_HEAT):
        number = [(200, 30, "Helvetica", 9, str(place - 2))] if place > 2 else []
        book.page(*lines(wrapped(fact)), *number)
    assert [number for number, _ in texts(read(book.saved()))] == [0, 0, 0, 1, 2, 3, 4, 5]


def test_the_files_own_page_labels_count_where_no_number_is_printed(tmp_path: Path) -> None:
    book = Typeset.at(tmp_path / "book.pdf")
    for fact in FACTS_OF_HEAT[:4]:
        book.page(*lines(wrapped(fact)))
    book.canvas.addPageLabel(0, style="ROMAN_LOWER")
    book.canvas.addPageLabel(1, style="ARABIC", start=31)
    assert [number for number, _ in texts(read(book.saved()))] == [0, 31, 32, 33]


def test_words_broken_at_the_end_of_a_line_are_mended(tmp_path: Path) -> None:
    book = Typeset.at(tmp_path / "book.pdf")
    book.page(
        *lines(
            [
                "Green plants make their own food by photo-",
                "synthesis, which is a well-known fact, and this well-",
                "known fact was found out when people had to co-",
                "operate on the plains of the Indo-",
                "Gangetic basin.",
            ]
        )
    )
    assert whole(read(book.saved())) == (
        "Green plants make their own food by photosynthesis, which is a well-known fact, and this well-known fact "
        "was found out when people had to cooperate on the plains of the Indo-Gangetic basin."
    )


def test_ligatures_are_opened(tmp_path: Path) -> None:
    book = Typeset.at(tmp_path / "book.pdf")
    book.page(*lines(["The ﬁrst ﬂame is hard to ﬁnd."], font=font("Vera.ttf", "VeraPlain")))
    assert whole(read(book.saved())) == "The first flame is hard to find."


def test_large_and_bold_lines_are_headings_and_bold_pages_are_not(tmp_path: Path) -> None:
    book = Typeset.at(tmp_path / "book.pdf")
    book.page(
        (50, 540, "Helvetica", 22, "Heat and Temperature"),
        *lines(wrapped(" ".join(FACTS_OF_HEAT[:4]))),
        (50, 390, "Helvetica-Bold", 11, "Convection in liquids"),
        *lines(wrapped(FACTS_OF_HEAT[4]), top=370),
    )
    book.page(*lines(FACTS_OF_HEAT[5:7], font="Helvetica-Bold"))
    [first, second] = [text for _, text in texts(read(book.saved()))]
    assert first.startswith("# Heat and Temperature\n\nHeat always")
    assert f"\n\n### Convection in liquids\n\n{FACTS_OF_HEAT[4]}" in first
    assert "#" not in second


def test_two_columns_are_read_one_after_the_other(tmp_path: Path) -> None:
    left, right = wrapped(" ".join(FACTS_OF_HEAT[:3]), 32), wrapped(" ".join(FACTS_OF_HEAT[3:6]), 32)
    book = Typeset.at(tmp_path / "book.pdf")
    book.page(*lines(left, left=40, size=10), *lines(right, left=225, size=10))
    assert " ".join(whole(read(book.saved())).split()) == " ".join(FACTS_OF_HEAT[:6])


def test_columns_of_words_are_a_table(tmp_path: Path) -> None:
    book = Typeset.at(tmp_path / "book.pdf")
    rows = [("Metal", "Melts at", "Use"), ("Iron", "1538", "Rails"), ("Lead", "327", "Batteries")]
    table = [
        (50 + 110.0 * column, 450 - 16.0 * row, "Helvetica", 11.0, cell)
        for row, cells in enumerate(rows)
        for column, cell in enumerate(cells)
    ]
    book.page(*lines(wrapped(FACTS_OF_HEAT[0])), *table)
    table_text = "| Metal | Melts at | Use |\n| --- | --- | --- |\n| Iron | 1538 | Rails |\n| Lead | 327 | Batteries |"
    assert whole(read(book.saved())) == f"{FACTS_OF_HEAT[0]}\n\n{table_text}"


def test_chapters_follow_the_outline_and_front_matter_is_left_out_with_a_note(tmp_path: Path) -> None:
    book = Typeset.at(tmp_path / "book.pdf")
    for place, fact in enumerate(FACTS_OF_HEAT):
        if place in (2, 5):
            book.canvas.bookmarkPage(f"p{place}")
            book.canvas.addOutlineEntry(f"Chapter {place}: Part {place}", f"p{place}", 0)
        book.page(*lines(wrapped(fact)))
    document = read(book.saved())
    assert [(c.number, c.title, [p.number for p in c.pages]) for c in document.chapters] == [
        (2, "Part 2", [3, 4, 5]),
        (5, "Part 5", [6, 7, 8]),
    ]
    assert document.notes == ("2 pages before the first chapter are left out.",)


def test_an_outline_of_the_appendices_alone_does_not_cost_the_book(tmp_path: Path) -> None:
    book = Typeset.at(tmp_path / "book.pdf")
    for place, fact in enumerate(FACTS_OF_HEAT):
        if place in (6, 7):
            book.canvas.bookmarkPage(f"p{place}")
            book.canvas.addOutlineEntry(f"Appendix {place}", f"p{place}", 0)
        book.page(*lines(wrapped(fact)))
    document = read(book.saved())
    assert [len(chapter.pages) for chapter in document.chapters] == [6, 1, 1]
    assert document.notes == ()


def test_chapters_follow_headings_where_there_is_no_outline(tmp_path: Path) -> None:
    book = Typeset.at(tmp_path / "book.pdf")
    for title, fact in (("Chapter 3: Heat", FACTS_OF_HEAT[0]), ("Chapter 4 - Light", FACTS_OF_HEAT[5])):
        book.page((50, 540, "Helvetica-Bold", 20, title), *lines(wrapped(fact)))
    found = [(chapter.number, chapter.title) for chapter in read(book.saved()).chapters]
    assert found == [(3, "Heat"), (4, "Light")]


@pytest.mark.parametrize("title", ["Microsoft Word - ch3.docx", "gesc103.pmd", "untitled", ""])
def test_a_title_that_a_program_gave_is_none(tmp_path: Path, title: str) -> None:
    book = Typeset.at(tmp_path / "book.pdf")
    book.canvas.setTitle(title)
    book.page(*lines([FACTS_OF_HEAT[0]]))
    assert read(book.saved()).title == ""


# ---- pictures and old fonts --------------------------------------------------------------------------------------


def test_a_scanned_page_is_read_by_ocr_and_said_to_be(tesseract: None, scan: Path) -> None:
    document = read(scan)
    assert whole(document) == FACTS_OF_HEAT[0]
    assert document.notes == ("Pages 1 hold a picture and no text and were read by OCR: look them over.",)


def test_scanned_pages_keep_their_printed_numbers_and_lose_their_headers(
    tesseract: None, made: Path, tmp_path: Path
) -> None:
    book = Typeset.at(tmp_path / "book.pdf", (330, 260))
    for place, fact in enumerate(FACTS_OF_HEAT[:3]):
        heading = [(30, 175, "Helvetica-Bold", 16, "Chapter 4: Heat")] if place == 0 else []
        book.page(
            (100, 240, "Helvetica", 10, "Science for Class 7"),
            *heading,
            *lines(wrapped(fact, 40), 110, 30, 13),
            (160, 12, "Helvetica", 11, str(112 + place)),
        )
    document = read(scanned(book.saved(), made / "scanned-book.pdf"))
    [chapter] = document.chapters
    assert (chapter.number, chapter.title) == (4, "Heat")
    assert texts(document) == [
        (112, f"# Chapter 4: Heat\n\n{FACTS_OF_HEAT[0]}"),
        (113, FACTS_OF_HEAT[1]),
        (114, FACTS_OF_HEAT[2]),
    ]


def test_a_scanned_hindi_page_is_read_by_ocr(tesseract: None, printed: Path, made: Path) -> None:
    import pypdfium2

    book = pypdfium2.PdfDocument(printed)
    shown = book[len(book) - 1].render(scale=150 / 72, grayscale=True).to_pil()
    book.close()
    top = shown.crop((0, shown.height // 10, shown.width, shown.height // 4))
    path = made / "hindi-scan.pdf"
    top.save(path, "PDF", resolution=150)
    text = whole(read(path))
    words = HINDI[0].split()
    assert sum(word in text for word in words) >= 0.8 * len(words)


def test_without_tesseract_the_notes_name_the_pages_that_hold_no_text(
    without_tesseract: None, paper: Path, scan: Path, tmp_path: Path
) -> None:
    import pypdfium2

    joined = pypdfium2.PdfDocument.new()
    for source in (paper, scan, scan, paper, scan):
        joined.import_pages(pypdfium2.PdfDocument(source))
    joined.save(tmp_path / "book.pdf")
    joined.close()
    document = read(tmp_path / "book.pdf")
    assert [number for number, _ in texts(document)] == [1, 4]
    [note] = document.notes
    assert note == f"Pages 2-3, 5 hold a picture and no text and were left out; {ocr.HOW_TO_INSTALL}."


def test_without_tesseract_a_book_of_pictures_is_refused_with_what_to_install(
    without_tesseract: None, scan: Path
) -> None:
    with pytest.raises(Unreadable, match=r"only pictures of pages.*install tesseract-ocr"):
        read(scan)


def test_a_scan_that_bears_a_stamp_is_a_scan_all_the_same(tesseract: None, paper: Path, tmp_path: Path) -> None:
    import pypdfium2

    shown = pypdfium2.PdfDocument(paper)[0].render(scale=200 / 72).to_pil()
    book = Typeset.at(tmp_path / "book.pdf", (300, 130))
    book.canvas.drawImage(ImageReader(shown), 0, 0, 300, 130)
    book.page((100, 5, "Helvetica", 7, "Reprint 2025-26"))
    document = read(book.saved())
    assert FACTS_OF_HEAT[0] in whole(document)
    assert "were read by OCR" in document.notes[0]


def test_text_over_a_large_photograph_is_kept(tesseract: None, tmp_path: Path) -> None:
    book = Typeset.at(tmp_path / "book.pdf", (300, 130))
    book.canvas.drawImage(ImageReader(picture(60, 26)), 0, 0, 300, 130)
    book.canvas.setFillColorRGB(0.16, 0.47, 0.24)
    book.page((30, 60, "Helvetica", 24, "Light and Shadow"))
    document = read(book.saved())
    assert "Light and Shadow" in whole(document)


def test_letters_made_into_curves_are_looked_at(without_tesseract: None, tmp_path: Path) -> None:
    book = Typeset.at(tmp_path / "book.pdf")
    book.page(*lines([FACTS_OF_HEAT[0]]))
    for place in range(60):
        book.canvas.bezier(50 + 5 * place, 300, 52 + 5 * place, 310, 54 + 5 * place, 290, 56 + 5 * place, 300)
    book.canvas.showPage()
    book.canvas.line(50, 300, 300, 300)
    book.canvas.showPage()
    [note] = read(book.saved()).notes
    assert note.startswith("Pages 2 hold")


def test_text_in_an_old_hindi_font_is_never_kept(without_tesseract: None, tmp_path: Path) -> None:
    kruti = font("Vera.ttf", "KrutiDev010")
    book = Typeset.at(tmp_path / "book.pdf", (600, 400))
    book.page(*lines(FACTS_OF_HEAT[:2], top=350))
    book.page(*lines(KRUTI_DEV, top=350))
    book.page((50, 350, "Helvetica", 11, "7"), (80, 350, kruti, 11, "foKku d{kk"))
    document = read(book.saved())
    assert whole(document) == " ".join(FACTS_OF_HEAT[:2])
    [note] = document.notes
    assert note.startswith("Pages 2-3 are set in an old Hindi font that is no Unicode and were left out; install")


def test_a_book_in_an_old_hindi_font_is_refused_without_ocr(without_tesseract: None, tmp_path: Path) -> None:
    book = Typeset.at(tmp_path / "book.pdf", (600, 400))
    book.page(*lines(KRUTI_DEV, top=350))
    with pytest.raises(Unreadable, match="an old Hindi font; install tesseract-ocr"):
        read(book.saved())


def test_an_old_hindi_font_is_read_by_ocr(tesseract: None, printed: Path, tmp_path: Path) -> None:
    import pypdfium2

    shown = pypdfium2.PdfDocument(printed)
    hindi = shown[len(shown) - 1].render(scale=150 / 72, grayscale=True).to_pil()
    shown.close()
    strip = hindi.crop((0, hindi.height // 10, hindi.width, hindi.height * 3 // 10))
    book = Typeset.at(tmp_path / "book.pdf", (strip.width * 72 / 150, strip.height * 72 / 150))
    book.canvas.drawImage(ImageReader(strip), 0, 0, strip.width * 72 / 150, strip.height * 72 / 150)
    behind = book.canvas.beginText(10, 60)
    behind.setTextRenderMode(3)
    behind.setFont("Helvetica", 6)
    behind.textLines("\n".join(wrapped(" ".join(KRUTI_DEV), 80)))
    book.canvas.drawText(behind)
    book.canvas.showPage()
    document = read(book.saved())
    assert "gSA" not in whole(document)
    assert "सूर्य के" in whole(document)
    assert document.notes[0].startswith("Pages 1 are set in an old Hindi font that is no Unicode and were read by OCR")


def test_an_old_hindi_font_that_is_not_in_the_file_is_not_kept_as_its_picture_reads(
    tesseract: None, tmp_path: Path
) -> None:
    book = Typeset.at(tmp_path / "book.pdf", (420, 120))
    book.page(*lines(wrapped(" ".join(KRUTI_DEV)), top=100, left=10))
    with pytest.raises(Unreadable, match="no text could be read"):
        read(book.saved())


def test_with_english_alone_an_old_hindi_font_is_not_read_by_ocr(english_alone: None, tmp_path: Path) -> None:
    book = Typeset.at(tmp_path / "book.pdf", (600, 400))
    book.page(*lines(KRUTI_DEV, top=350))
    with pytest.raises(Unreadable, match="install tesseract-ocr with the languages eng and hin"):
        read(book.saved())


# ---- hostile and damaged -----------------------------------------------------------------------------------------


def test_a_scan_a_million_points_wide_costs_no_memory(tesseract: None, tmp_path: Path) -> None:
    book = Typeset.at(tmp_path / "book.pdf", (1_000_000, 800))
    book.canvas.drawImage(ImageReader(picture(40, 40)), 0, 0, 1_000_000, 800)
    book.canvas.showPage()
    with pytest.raises(Unreadable, match="no text could be read"):
        read(book.saved(), Limits(picture_pixels=1_000_000))


def test_a_locked_file_says_so(tmp_path: Path) -> None:
    book = Typeset.at(tmp_path / "book.pdf", encrypt="secret")
    book.page(*lines([FACTS_OF_HEAT[0]]))
    with pytest.raises(Unreadable, match="locked with a password"):
        read(book.saved())


def test_a_file_that_forbids_only_printing_is_read(tmp_path: Path) -> None:
    from reportlab.lib.pdfencrypt import StandardEncryption

    book = Typeset.at(tmp_path / "book.pdf", encrypt=StandardEncryption("", "owner", canPrint=0))
    book.page(*lines([FACTS_OF_HEAT[0]]))
    assert whole(read(book.saved())) == FACTS_OF_HEAT[0]


def test_five_thousand_pages_are_refused_with_what_to_do(tmp_path: Path) -> None:
    path = raw_pdf(
        tmp_path / "book.pdf",
        [
            "<< /Type /Catalog /Pages 2 0 R >>",
            f"<< /Type /Pages /Kids [{' '.join(f'{n} 0 R' for n in range(3, 5003))}] /Count 5000 >>",
            *["<< /Type /Page /Parent 2 0 R /MediaBox [0 0 9 9] >>"] * 5000,
            "<< >>",
        ],
    )
    with pytest.raises(Unreadable, match="has 5,000 pages, and 2,000 is the most; split it into volumes"):
        read(path)


def test_random_bytes_and_half_a_file_are_damaged(tmp_path: Path, printed: Path) -> None:
    noise = tmp_path / "noise.pdf"
    noise.write_bytes(b"%PDF-1.7\n" + os.urandom(20_000))
    half = tmp_path / "half.pdf"
    half.write_bytes(printed.read_bytes()[:4_000])
    for path in (noise, half):
        with pytest.raises(Unreadable, match=r"damaged or cut short|no text|no pages"):
            read(path)


def test_a_blank_page_has_no_text(tmp_path: Path) -> None:
    book = Typeset.at(tmp_path / "book.pdf")
    book.canvas.showPage()
    with pytest.raises(Unreadable, match="has no text on any page"):
        read(book.saved())


def test_an_outline_in_a_circle_ends(tmp_path: Path) -> None:
    circle = [
        "<< /Type /Outlines /First 7 0 R /Last 8 0 R >>",
        "<< /Title (One) /Parent 6 0 R /Next 8 0 R /First 7 0 R /Dest [3 0 R /Fit] >>",
        "<< /Title (Two) /Parent 6 0 R /Next 7 0 R /Dest [3 0 R /Fit] >>",
    ]
    path = one_page(tmp_path / "book.pdf", *circle, catalogue="/Outlines 6 0 R")
    assert whole(read(path)) == "Heat is energy."


def test_names_that_are_no_text_are_none(tmp_path: Path) -> None:
    bad = "<< /Title <FEFFD800D800> >>"
    entry = "<< /Title <FEFFDC00> /Parent 6 0 R /Dest [3 0 R /Fit] >>"
    path = one_page(
        tmp_path / "book.pdf",
        "<< /Type /Outlines /First 7 0 R /Last 7 0 R >>",
        entry,
        catalogue="/Outlines 6 0 R",
        facts=bad,
    )
    document = read(path)
    assert document.title == ""
    assert whole(document) == "Heat is energy."


def test_a_file_that_lies_about_its_pages_is_read_or_refused(tmp_path: Path) -> None:
    for count in (-3, 0, 40, 10**9):
        objects = ["<< /Type /Catalog /Pages 2 0 R >>", f"<< /Type /Pages /Kids [3 0 R 2 0 R] /Count {count} >>"]
        path = raw_pdf(tmp_path / "book.pdf", [*objects, PAGE, SAYS_HEAT, HELVETICA, "<< >>"])
        assert re.match("refused: |Heat is energy.", attempt(path))


def test_text_cannot_forge_a_page_mark_or_a_heading(tmp_path: Path) -> None:
    book = Typeset.at(tmp_path / "book.pdf")
    book.page(*lines(["<!-- page: 99 -->", "# # Chapter 9: Forged", "---", "title: Forged", "---", FACTS_OF_HEAT[0]]))
    document = read(book.saved())
    assert "<!--" not in whole(document)
    assert "# " not in whole(document)
    assert [number for number, _ in texts(document)] == [1]


def test_a_picture_inside_out_costs_its_page_only(without_tesseract: None, tmp_path: Path) -> None:
    buffer = io.BytesIO()
    canvas = Canvas(buffer, pagesize=(300, 300))
    canvas.drawString(20, 200, "Heat is energy.")
    canvas.showPage()
    canvas.drawImage(ImageReader(picture(8, 8)), 0, 0, -300, -300)
    canvas.showPage()
    canvas.save()
    path = tmp_path / "book.pdf"
    path.write_bytes(buffer.getvalue())
    assert texts(read(path)) == [(1, "Heat is energy.")]


def test_numbers_in_a_row_are_a_span() -> None:
    assert spans([1, 2, 3, 7, 9, 10]) == "1-3, 7, 9-10"
    assert spans([0, 0, 4]) == "without a number (2), 4"
