from __future__ import annotations

import os
import stat
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from rag.chunk import chunk
from rag.formats.document import Limits
from rag.ingest import read_library
from rag.shelf import Added, Facts, Refused, Shelf
from tests.rag.formats.made import FACTS_OF_HEAT, HINDI, Typeset, epub, lines, zipped

SCIENCE = Facts(7, "science")
DECLARED = """---
title: {title}
chapter: {chapter}
chapter_title: Heat
class: 8
subject: physics
language: en
board: cbse
licence: CC BY-SA 4.0
---
<!-- page: 12 -->
{text}
"""


@pytest.fixture
def shelf(tmp_path: Path) -> Shelf:
    return Shelf(tmp_path / "shelf")


def write(path: Path, content: str | bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def declared(path: Path, title: str = "Physics", chapter: int = 3, text: str = FACTS_OF_HEAT[0]) -> Path:
    return write(path, DECLARED.format(title=title, chapter=chapter, text=text))


def added(shelf: Shelf, *paths: Path, facts: Facts = SCIENCE) -> list[Added]:
    results = list(shelf.add(paths, facts))
    assert [result for result in results if isinstance(result, Refused)] == []
    return [result for result in results if isinstance(result, Added)]


def refused(shelf: Shelf, *paths: Path, facts: Facts = SCIENCE) -> str:
    [result] = shelf.add(paths, facts)
    assert isinstance(result, Refused)
    assert "\n" not in result.why
    return result.why


def held(shelf: Shelf) -> list[tuple[str, int, str]]:
    """The chapters on the shelf: book, number, title."""
    return [(book.title, book.chapter, book.chapter_title) for _, book in shelf.chapters()]


def two_chapters(path: Path, first: str = FACTS_OF_HEAT[0]) -> Path:
    return write(path, f"# Chapter 2: Heat\n\n{first}\n\n# Chapter 5: Light\n\n{FACTS_OF_HEAT[5]}\n")


# ---- what comes of a file ----------------------------------------------------------------------------------------


def test_a_pdf_is_read_into_chapters_that_the_library_reads(shelf: Shelf, tmp_path: Path) -> None:
    book = Typeset.at(tmp_path / "heat.pdf")
    book.canvas.setTitle("Science for Class 7")
    for place, fact in enumerate(FACTS_OF_HEAT[:4]):
        book.page(*lines([fact], size=8), (200, 30, "Helvetica", 9, str(47 + place)))
    told: list[tuple[str, int, int]] = []
    path = book.saved()
    [result] = shelf.add([path], SCIENCE, lambda name, done, total: told.append((name, done, total)))
    assert result == Added(str(path), "Science for Class 7", ("heat",), 4)
    assert told[-1] == (str(path), 4, 4)
    books, errors = read_library(shelf.folder)
    assert errors == []
    [chapter] = books
    assert (chapter.title, chapter.chapter, chapter.class_level, chapter.subject) == (
        "Science for Class 7",
        1,
        7,
        "science",
    )
    assert (chapter.language, chapter.board, chapter.source, chapter.reader) == ("en", "national", "heat.pdf", 1)
    assert [(page.number, page.text) for page in chapter.pages] == list(enumerate(FACTS_OF_HEAT[:4], start=47))
    assert chunk(chapter)[0].page == 47


def test_what_the_person_says_comes_before_what_the_file_says(shelf: Shelf, tmp_path: Path) -> None:
    path = two_chapters(tmp_path / "ch.md")
    facts = Facts(9, "physics", "hi", "cbse", "Our Book")
    [result] = added(shelf, path, facts=facts)
    assert (result.book, result.chapters, result.pages) == ("Our Book", ("Heat", "Light"), 2)
    [(first, chapter), (second, _)] = shelf.chapters()
    assert (chapter.class_level, chapter.subject, chapter.language, chapter.board) == (9, "physics", "hi", "cbse")
    assert (first.name, second.name) == ("002-heat.md", "005-light.md")
    assert first.parent == shelf.folder / "class-9" / "physics" / "our-book"


def test_the_language_of_each_chapter_is_seen(shelf: Shelf, tmp_path: Path) -> None:
    added(shelf, write(tmp_path / "दो पाठ.txt", f"# Heat\n\n{FACTS_OF_HEAT[0]}\n\n# प्रकाश\n\n{HINDI[0]}\n"))
    assert [(book.title, book.chapter_title, book.language) for _, book in shelf.chapters()] == [
        ("दो पाठ", "Heat", "en"),
        ("दो पाठ", "प्रकाश", "hi"),
    ]


def test_a_chapter_with_front_matter_says_all_of_itself(shelf: Shelf, tmp_path: Path) -> None:
    path = declared(tmp_path / "heat.md")
    [result] = added(shelf, path, facts=Facts())
    assert (result.book, result.chapters) == ("Physics", ("Heat",))
    [(_, book)] = shelf.chapters()
    assert (book.class_level, book.subject, book.board, book.chapter) == (8, "physics", "cbse", 3)
    assert [page.number for page in book.pages] == [12]
    [result] = added(shelf, path, facts=Facts(class_level=10))
    assert not result.known
    assert [book.class_level for _, book in shelf.chapters()] == [10, 8]


@pytest.mark.parametrize("facts", [Facts(), Facts(class_level=7), Facts(subject="science")])
def test_a_file_whose_class_or_subject_nobody_says_is_refused(shelf: Shelf, tmp_path: Path, facts: Facts) -> None:
    assert "give them: --class 7 --subject science" in refused(shelf, two_chapters(tmp_path / "a.md"), facts=facts)


def test_broken_front_matter_is_refused_with_its_line(shelf: Shelf, tmp_path: Path) -> None:
    path = write(tmp_path / "a.md", DECLARED.format(title="[", chapter=1, text="x"))
    assert refused(shelf, path).startswith("line 4: the front matter is not valid YAML")


# ---- again and anew ----------------------------------------------------------------------------------------------


def test_a_file_that_was_added_is_not_read_again(shelf: Shelf, tmp_path: Path) -> None:
    path = two_chapters(tmp_path / "ch.md")
    [first] = added(shelf, path)
    before = {file: file.stat().st_mtime_ns for file in shelf.folder.rglob("*.md")}
    moved = path.rename(tmp_path / "renamed.md")
    [again, twice] = Shelf(shelf.folder).add([moved, moved], SCIENCE, lambda *_: pytest.fail("it was read"))
    assert again == twice == Added(str(moved), first.book, first.chapters, first.pages, known=True)
    assert {file: file.stat().st_mtime_ns for file in shelf.folder.rglob("*.md")} == before


def test_a_teachers_mending_survives_adding_the_file_again(shelf: Shelf, tmp_path: Path) -> None:
    path = two_chapters(tmp_path / "ch.md")
    added(shelf, path)
    file = shelf.chapters()[0][0]
    file.write_text(file.read_text().replace("hot body", "warm body"))
    [again] = added(shelf, path)
    assert again.known
    assert "warm body" in shelf.chapters()[0][1].pages[0].text


def test_new_content_of_the_same_name_replaces_the_old_chapters(shelf: Shelf, tmp_path: Path) -> None:
    other = write(tmp_path / "other.txt", FACTS_OF_HEAT[3])
    facts = Facts(7, "science", title="Science")
    added(shelf, two_chapters(tmp_path / "ch.md"), other, facts=facts)
    assert held(shelf) == [("Science", 2, "Heat"), ("Science", 5, "Light"), ("Science", 6, "other")]
    [result] = added(shelf, write(tmp_path / "ch.md", f"# Sound\n\n{FACTS_OF_HEAT[1]}"), facts=facts)
    assert not result.known
    assert held(shelf) == [("Science", 2, "Sound"), ("Science", 6, "other")]
    assert FACTS_OF_HEAT[1] in shelf.chapters()[0][1].pages[0].text


@pytest.mark.parametrize("content", [b"", b"\x00\x01\x02", "fgUnh esa fyf[kk gqvk ikB gSA ;g ,d dgkuh gS"])
def test_new_content_that_cannot_be_read_leaves_the_old_chapters(
    shelf: Shelf, tmp_path: Path, content: bytes | str
) -> None:
    path = two_chapters(tmp_path / "ch.txt")
    added(shelf, path)
    before = held(shelf)
    assert refused(shelf, write(path, content))
    assert held(shelf) == before
    assert sorted(file.name for file in shelf.folder.rglob("*.*")) == ["002-heat.md", "005-light.md"]


def test_a_failure_while_writing_leaves_the_old_chapters(shelf: Shelf, tmp_path: Path) -> None:
    path = two_chapters(tmp_path / "ch.txt")
    added(shelf, path)
    before = held(shelf)
    text = (
        f"# Chapter 1: First\n\nFine.\n\n# Chapter 999: Last\n\n{FACTS_OF_HEAT[1]}\n\n" + "# More\n\nToo many.\n\n" * 3
    )
    assert "chapter must be a number from 1 to 999" in refused(shelf, write(path, text))
    assert held(shelf) == before
    assert {file.name for file in shelf.folder.rglob("*") if file.is_file()} == {"002-heat.md", "005-light.md"}


def test_what_a_crash_left_half_done_is_not_on_the_shelf(shelf: Shelf, tmp_path: Path) -> None:
    path = two_chapters(tmp_path / "ch.md")
    added(shelf, path)
    for file in list(shelf.folder.rglob("*.md")):
        half = file.parent / ".adding-x"
        half.mkdir(exist_ok=True)
        file.rename(half / file.name)
    assert shelf.chapters() == []
    [again] = added(shelf, path)
    assert not again.known
    assert len(held(shelf)) == 2


def test_the_same_file_serves_two_classes(shelf: Shelf, tmp_path: Path) -> None:
    path = two_chapters(tmp_path / "ch.md")
    for facts in (Facts(7, "science"), Facts(8, "science")):
        assert [result.known for result in added(shelf, path, facts=facts)] == [False]
    for facts in (Facts(7, "science"), Facts(8, "science")):
        assert [result.known for result in added(shelf, path, facts=facts)] == [True]
    books, errors = read_library(shelf.folder)
    assert errors == []
    assert len(books) == 4


# ---- folders and ZIPs --------------------------------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "General_Science-7"
    write(made / "ch10.txt", FACTS_OF_HEAT[0])
    write(made / "ch2.txt", FACTS_OF_HEAT[1])
    write(made / "part two" / "ch2.txt", FACTS_OF_HEAT[2])
    declared(made / "ch3.md")
    write(made / "README.md", "about these files")
    write(made / ".draft.txt", "not yet")
    write(made / "cover.jpg", b"\xff\xd8\xff")
    return made


NAMES = [
    ("General Science 7", 1, "ch2"),
    ("General Science 7", 2, "ch10"),
    ("General Science 7", 3, "ch2"),
    ("Physics", 3, "Heat"),
]


def test_the_files_of_a_folder_are_one_book_in_the_order_of_their_numbers(shelf: Shelf, folder: Path) -> None:
    assert [Path(result.file).name for result in added(shelf, folder)] == ["ch2.txt", "ch3.md", "ch10.txt", "ch2.txt"]
    assert sorted(held(shelf)) == NAMES
    assert [result.known for result in added(shelf, folder)] == [True] * 4
    books, errors = read_library(shelf.folder)
    assert (len(books), errors) == (4, [])


def test_the_files_of_a_zip_are_one_book_and_never_written_where_they_say(
    shelf: Shelf, folder: Path, tmp_path: Path
) -> None:
    files = {
        file.relative_to(folder).as_posix(): file.read_bytes() for file in sorted(folder.rglob("*")) if file.is_file()
    }
    path = zipped(tmp_path / "General_Science-7.zip", files)
    results = added(shelf, path)
    assert [result.file for result in results] == [
        f"{path}: {name}" for name in ("ch2.txt", "ch3.md", "ch10.txt", "part two/ch2.txt")
    ]
    assert sorted(held(shelf)) == NAMES
    assert {book.source for _, book in shelf.chapters()} == {"ch2.txt", "ch3.md", "ch10.txt", "part two/ch2.txt"}


def test_chapters_with_long_names_that_begin_alike_are_all_kept(shelf: Shelf, tmp_path: Path) -> None:
    start = "Science textbook of the state board for the seventh class, academic year 2025-26, chapter"
    path = zipped(tmp_path / "book.zip", {f"{start} {n}.txt": f"{FACTS_OF_HEAT[n]}" for n in range(4)})
    added(shelf, path)
    assert [number for _, number, _ in held(shelf)] == [1, 2, 3, 4]
    for title in (f"{start} one", f"{start} two"):
        added(shelf, two_chapters(tmp_path / "ch.md", title), facts=Facts(7, "science", title=title))
    assert len({book.title for _, book in shelf.chapters()}) == 3


def test_books_of_one_name_in_two_classes_are_both_indexed(shelf: Shelf, tmp_path: Path) -> None:
    for level in (6, 7):
        write(tmp_path / str(level) / "science" / "ch1.txt", f"{FACTS_OF_HEAT[level]}")
        write(tmp_path / str(level) / "science" / "ch2.txt", f"{FACTS_OF_HEAT[level]} Of {level}.")
        added(shelf, tmp_path / str(level) / "science", facts=Facts(level, "science"))
    books, errors = read_library(shelf.folder)
    assert errors == []
    assert [book.class_level for book in books] == [6, 6, 7, 7]


def test_a_zip_of_one_file_takes_the_files_name(shelf: Shelf, tmp_path: Path) -> None:
    added(shelf, zipped(tmp_path / "download(3).zip", {"Heat_and_Light.txt": FACTS_OF_HEAT[0]}))
    assert held(shelf) == [("Heat and Light", 1, "Heat and Light")]


def test_one_bad_file_costs_nothing_but_itself(shelf: Shelf, tmp_path: Path) -> None:
    inner = zipped(tmp_path / "inner.zip", {"a.txt": "Heat."}).read_bytes()
    files: dict[str, str | bytes] = {
        "1.txt": FACTS_OF_HEAT[0],
        "2.pdf": b"Heat.",
        "3.zip": inner,
        "4.docx": b"",
        "5.txt": FACTS_OF_HEAT[1],
    }
    good, missing, noise = (
        two_chapters(tmp_path / "good.md"),
        tmp_path / "nowhere.pdf",
        write(tmp_path / "n.pdf", os.urandom(99)),
    )
    results = list(shelf.add([missing, zipped(tmp_path / "book.zip", files), noise, good], SCIENCE))
    assert [type(result) for result in results] == [Refused, Added, Refused, Refused, Refused, Added, Refused, Added]
    reasons = [result.why for result in results if isinstance(result, Refused)]
    for reason, expected in zip(
        reasons,
        [
            "No such file",
            "named like a PDF but is",
            "a ZIP file within a ZIP file",
            "is empty",
            "named like a PDF but is",
        ],
        strict=True,
    ):
        assert expected in reason
        assert reason == " ".join(reason.split())


def test_a_damaged_chapter_of_a_zip_leaves_the_others(shelf: Shelf, tmp_path: Path) -> None:
    path = tmp_path / "book.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as packed:
        for n in range(3):
            packed.writestr(f"{n}.txt", FACTS_OF_HEAT[n])
    write(path, path.read_bytes().replace(b"Copper and iron", b"Copper and tin!"))
    results = list(shelf.add([path], SCIENCE))
    assert [type(result) for result in results] == [Added, Refused, Added]
    assert results[1] == Refused(f"{path}: 1.txt", "is damaged or cut short; fetch the file again")


def link(path: Path) -> Path:
    with zipfile.ZipFile(path, "w") as packed:
        entry = zipfile.ZipInfo("chapter.txt")
        entry.external_attr = (stat.S_IFLNK | 0o777) << 16
        packed.writestr(entry, "/etc/passwd")
    return path


@pytest.mark.parametrize(
    ("make", "why"),
    [
        (lambda path: zipped(path, {"../a.txt": "Heat."}), "path leads out of it"),
        (lambda path: zipped(path, {"/a.txt": "Heat."}), "path leads out of it"),
        (lambda path: zipped(path, {"a.txt": bytes(30_000_000)}), "zip bomb"),
        (lambda path: zipped(path, {f"{n}.txt": "" for n in range(2_001)}), "holds 2,001 files"),
        (lambda path: zipped(path, {"a.jpg": "x", "b.exe": "x"}), "holds no file of a format that is read"),
        (lambda path: write(path, b"PK\x03\x04 and no more"), "is named like a ZIP file but is none"),
        (lambda path: write(path, zipped(path, {"a.txt": FACTS_OF_HEAT[0]}).read_bytes()[:60]), "cut short"),
        (lambda path: epub(path, {"a": "<p>Heat.</p>"}), "is an EPUB; give it its right name"),
        (link, "holds a link to another file"),
    ],
)
def test_a_hostile_or_useless_zip_is_one_line(
    shelf: Shelf, tmp_path: Path, make: Callable[[Path], Path], why: str
) -> None:
    assert why in refused(shelf, make(tmp_path / "book.zip"))
    assert not shelf.folder.exists()


def test_names_in_a_zip_that_are_no_text_are_one_line(shelf: Shelf, tmp_path: Path) -> None:
    path = zipped(tmp_path / "book.zip", {"पाठ.txt": FACTS_OF_HEAT[0]})
    write(path, path.read_bytes().replace("पाठ".encode(), b"\xff" * 9))
    assert "damaged" in refused(shelf, path)


def test_an_empty_folder_and_what_is_no_file_are_refused(shelf: Shelf, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    assert "holds no file" in refused(shelf, tmp_path / "empty")
    os.mkfifo(tmp_path / "pipe.pdf")
    assert "neither a file nor a folder" in refused(shelf, tmp_path / "pipe.pdf")


def test_the_limits_are_those_the_shelf_was_given(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path / "shelf", Limits(file_bytes=1_000_000))
    assert "is larger than 1 MB" in refused(shelf, write(tmp_path / "a.txt", "Heat. " * 200_000))


# ---- forgeries ---------------------------------------------------------------------------------------------------


FORGED = "Heat\n---\nclass: 12\n---\n<!-- page: 9 -->"


def test_a_title_cannot_forge_front_matter(shelf: Shelf, tmp_path: Path) -> None:
    signs = "# : {[&*!|>'\"%@`"
    for number, title in enumerate(
        (FORGED, "---", "x" * 79 + " --- " + "y" * 90, signs, "a\u2028---\u2028b", "\x00\ud800")
    ):
        book = epub(tmp_path / f"{number}.epub", {"a": f"<h1>Heat</h1><p>{number} {' '.join(FACTS_OF_HEAT)}</p>"})
        added(shelf, book, facts=Facts(7, "science", title=title))
    books, errors = read_library(shelf.folder)
    assert errors == []
    assert len(books) == 6
    assert {book.class_level for book in books} == {7}
    assert {page.number for book in books for page in book.pages} == {0}


def test_a_pdf_cannot_forge_front_matter_by_its_own_title_or_outline(shelf: Shelf, tmp_path: Path) -> None:
    book = Typeset.at(tmp_path / "heat.pdf")
    book.canvas.setTitle(FORGED)
    for place in range(2):
        book.canvas.bookmarkPage(f"p{place}")
        book.canvas.addOutlineEntry(f"Part {place}\n---\nclass: 12", f"p{place}", 0)
        book.page(*lines(["---", "class: 12", "<!-- page: 99 -->", FACTS_OF_HEAT[place]], size=8))
    [result] = added(shelf, book.saved())
    assert result.chapters == ("Part 0 --- class: 12", "Part 1 --- class: 12")
    books, errors = read_library(shelf.folder)
    assert errors == []
    assert [(book.class_level, [page.number for page in book.pages]) for book in books] == [(7, [1]), (7, [2])]


def test_a_text_cannot_forge_front_matter(shelf: Shelf, tmp_path: Path) -> None:
    text = f"{FACTS_OF_HEAT[0]}\n---\ntitle: Forged\nclass: 12\n---\n<!--\u200b page: 5 -->\n <!-- page: 6 --> x\n"
    added(shelf, write(tmp_path / "heat.txt", text))
    [book], errors = read_library(shelf.folder)
    assert errors == []
    assert (book.title, book.class_level, [page.number for page in book.pages]) == ("heat", 7, [0])


def test_a_files_name_cannot_lead_out_of_the_shelf(shelf: Shelf, tmp_path: Path) -> None:
    facts = Facts(7, "science", title="../../../etc/passwd")
    added(
        shelf,
        write(tmp_path / "..%2f..txt", f"# ../../x\n\n{FACTS_OF_HEAT[0]}\n\n# /etc/y\n\n{FACTS_OF_HEAT[1]}"),
        facts=facts,
    )
    found = sorted(file.relative_to(shelf.folder).as_posix() for file in shelf.folder.rglob("*.md"))
    assert found == ["class-7/science/etc-passwd/001-x.md", "class-7/science/etc-passwd/002-etc-y.md"]


# ---- taking away -------------------------------------------------------------------------------------------------


def test_a_book_or_one_chapter_is_taken_away(shelf: Shelf, tmp_path: Path) -> None:
    added(shelf, two_chapters(tmp_path / "My Book.md"), declared(tmp_path / "heat.md"))
    assert shelf.find("Nothing") == []
    assert shelf.find("MY book ", 4) == []
    [(removed, light)] = shelf.find("MY book ", 5)
    assert (removed.name, light.chapter_title) == ("005-light.md", "Light")
    shelf.remove([removed])
    assert sorted(held(shelf)) == [("My Book", 2, "Heat"), ("Physics", 3, "Heat")]
    rest = [path for path, _ in shelf.find("my-book")]
    assert [path.name for path in rest] == ["002-heat.md"]
    shelf.remove(rest)
    assert held(shelf) == [("Physics", 3, "Heat")]
    assert not removed.parent.exists()


def test_taking_a_book_away_leaves_what_a_teacher_put_beside_it(shelf: Shelf, tmp_path: Path) -> None:
    added(shelf, two_chapters(tmp_path / "Book.md"))
    note = write(shelf.chapters()[0][0].parent / "notes.txt", "mine")
    shelf.remove([path for path, _ in shelf.find("Book")])
    assert held(shelf) == []
    assert note.exists()
