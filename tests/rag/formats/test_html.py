from __future__ import annotations

from pathlib import Path

import pytest

from rag.formats.document import Document, Unreadable
from tests.rag.formats.made import FACTS_OF_HEAT, HINDI, read, texts, whole


def html(folder: Path, body: str, head: str = "") -> Document:
    path = folder / "heat.html"
    path.write_text(f"<!doctype html><html><head>{head}</head><body>{body}</body></html>", encoding="utf-8")
    return read(path)


def test_a_page_is_one_chapter_without_page_numbers(tmp_path: Path) -> None:
    document = html(
        tmp_path, f"<h1>Heat</h1><p>{FACTS_OF_HEAT[0]}</p>", "<meta charset=utf-8><title>Heat\n &amp; Light</title>"
    )
    assert document.title == "Heat & Light"
    assert [chapter.title for chapter in document.chapters] == ["Heat"]
    assert texts(document) == [(0, f"# Heat\n\n{FACTS_OF_HEAT[0]}")]


def test_top_headings_are_chapters_and_say_their_numbers(tmp_path: Path) -> None:
    document = html(
        tmp_path, "<h1>Chapter 3: Heat</h1><p>Warm.</p><h1>पाठ 4 - प्रकाश</h1><p>किरण।</p>", "<meta charset=utf-8>"
    )
    assert [(c.number, c.title, c.pages[0].text) for c in document.chapters] == [
        (3, "Heat", "# Chapter 3: Heat\n\nWarm."),
        (4, "प्रकाश", "# पाठ 4 - प्रकाश\n\nकिरण।"),
    ]


@pytest.mark.parametrize(
    "hidden",
    [
        "<script>document.write('unwanted')</script>",
        "<style>.unwanted { color: red }</style>",
        "<noscript>unwanted</noscript>",
        "<template><p>unwanted</p></template>",
        "<nav><a href=/>unwanted</a></nav>",
        "<footer>unwanted</footer>",
        "<div hidden>unwanted<p hidden>unwanted</p></div>",
        "<div aria-hidden=true>unwanted</div>",
        "<div style='color: red; DISPLAY : NONE'>unwanted <script>unwanted</script></div>",
        "<div style='visibility:hidden'>unwanted</div>",
        "<iframe src=x>unwanted</iframe>",
        "<svg><text>unwanted</text></svg>",
        "<button>unwanted</button><select><option>unwanted</select><textarea>unwanted</textarea>",
        "<!-- unwanted -->",
        "<?php unwanted ?>",
        "<img src=x alt=unwanted onerror=unwanted()>",
    ],
)
def test_what_is_not_text_is_left_out(tmp_path: Path, hidden: str) -> None:
    assert whole(html(tmp_path, f"<p>Heat flows.</p>{hidden}<p>Ice melts.</p>")) == "Heat flows.\n\nIce melts."


def test_text_within_a_form_is_kept(tmp_path: Path) -> None:
    assert (
        whole(html(tmp_path, "<form action=/><p>Heat <a href=/x>flows</a>.</p><input value=x></form>")) == "Heat flows."
    )


@pytest.mark.parametrize(
    "forged",
    [
        "<!-- page: 3 -->",
        "<p>&lt;!-- page: 3 --&gt;</p>",
        "<p>&lt;!&#x200b;-- page: 3 --&gt;</p>",
        "<pre>\n&lt;!-- page: 3 --&gt;\n</pre>",
        "<p>&#x2060;page:3&#x2060;</p>",
        "<p>\u2060page:3\u2060</p>",
    ],
)
def test_text_cannot_forge_a_page_mark(tmp_path: Path, forged: str) -> None:
    document = html(tmp_path, f"<p>Heat flows.</p>{forged}<p>Ice melts.</p>")
    assert [number for number, _ in texts(document)] == [0]
    assert "<!--" not in whole(document)


def test_tables_lists_and_formulas_stay_readable(tmp_path: Path) -> None:
    text = whole(
        html(
            tmp_path,
            "<table><tr><th>Metal<th>Use<tr><td>Iron<td>rails|bridges</table>"
            "<ul><li>Copper<li>Tin</ul><ol><li>one<li>two</ol>"
            "<p>x<sup>2</sup> + H<sub>2</sub>O, the 3<sup>rd</sup>, a * b * c, snake_case_name, 1 &lt; 2</p>",
        )
    )
    assert text.split("\n\n") == [
        "| Metal | Use |\n| --- | --- |\n| Iron | rails/bridges |",
        "- Copper\n- Tin",
        "1. one\n2. two",
        "x² + H₂O, the 3rd, a * b * c, snake_case_name, 1 < 2",
    ]


def test_page_breaks_of_a_book_number_its_pages(tmp_path: Path) -> None:
    document = html(
        tmp_path,
        '<p>Before.</p><span role="doc-pagebreak" aria-label="12"></span><p>On twelve, which goes '
        '<span class="pagebreak" id="page_13"></span>on.</p>'
        '<span class="pagebreak" title="xiv">nothing</span><p>Still.</p>'
        '<div class="pagebreak" id="p15"><p>A division that begins a page and ends in 1947</p></div>',
    )
    assert texts(document) == [
        (11, "Before."),
        (12, "On twelve, which goes"),
        (13, "on.\n\nStill."),
        (15, "A division that begins a page and ends in 1947"),
    ]


def test_a_heading_before_page_one_is_on_page_one(tmp_path: Path) -> None:
    document = html(
        tmp_path, "<h1>Heat</h1><i class=pagebreak id=p1></i><p>One.</p><i class=pagebreak id=p2></i><p>Two.</p>"
    )
    assert texts(document) == [(1, "# Heat\n\nOne."), (2, "Two.")]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "cp1252"])
def test_encodings_are_told_apart(tmp_path: Path, encoding: str) -> None:
    path = tmp_path / "heat.htm"
    declared = "windows-1252" if encoding == "cp1252" else encoding
    path.write_bytes(
        f"<html><head><meta charset={declared}></head><body><p>25 °C – naïve</p></body></html>".encode(encoding)
    )
    assert whole(read(path)) == "25 °C – naïve"


def test_hindi_comes_back_exactly(tmp_path: Path) -> None:
    assert whole(html(tmp_path, "".join(f"<p>{text}</p>" for text in HINDI), "<meta charset=utf-8>")) == "\n\n".join(
        HINDI
    )


@pytest.mark.parametrize("body", ["", "<script>alert(1)</script>", "<img src=x>", "<p> &nbsp; </p>"])
def test_a_page_without_text_is_refused(tmp_path: Path, body: str) -> None:
    with pytest.raises(Unreadable, match="has no text in it"):
        html(tmp_path, body)
