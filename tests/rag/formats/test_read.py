from __future__ import annotations

import io
import multiprocessing
import random
import subprocess
import sys
from collections import Counter
from pathlib import Path

import docx
import pytest

from rag.formats import read as reading
from rag.formats.document import Limits, Unreadable
from rag.formats.read import read
from tests.rag.formats.made import FACTS_OF_HEAT, Typeset, dies, epub, lines, whole, zipped

PDF = b"%PDF-1.7\n1 0 obj\n"
EPUB = {"mimetype": "application/epub+zip", "META-INF/container.xml": "<x/>"}
ROOT = Path(__file__).parents[3]


def word_file(text: str) -> bytes:
    made = docx.Document()
    made.add_paragraph(text)
    file = io.BytesIO()
    made.save(file)
    return file.getvalue()


@pytest.mark.parametrize(
    ("name", "content", "why"),
    [
        ("heat.pdf", b"", "is empty"),
        ("heat.pdf", b"Heat flows.", "is named like a PDF but is something else"),
        ("heat.pdf", b"<html><p>Heat</p></html>", "is named like a PDF but is something else"),
        ("heat.pdf", word_file("Heat."), "is named like a PDF but is a ZIP file"),
        ("heat.docx", PDF, "is named like a Word document but is a PDF"),
        ("heat.docx", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" * 20, "locked with a password or in the old .doc format"),
        ("heat.docx", b"\x00\xff\x17" * 100, "is named like a Word document but is something else"),
        ("heat.epub", word_file("Heat."), "is named like an EPUB but is a Word document"),
        ("heat.epub", b"\x00\xff\x17" * 100, "is named like an EPUB but is something else"),
        ("heat.txt", PDF, "is named like text but is a PDF"),
        ("heat.html", word_file("Heat."), "is named like text but is a ZIP file"),
        ("heat.doc", b"Heat", "is of a format that is not read; use one of pdf, epub, docx"),
        ("heat", b"Heat", "is of a format that is not read"),
        ("heat.md", b"x" * 2_000_001, "is larger than 2 MB; split it into volumes"),
    ],
)
def test_a_file_that_is_not_what_its_name_says_is_refused(tmp_path: Path, name: str, content: bytes, why: str) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(Unreadable) as caught:
        read(path, Limits(file_bytes=2_000_000))
    assert why in str(caught.value)
    assert str(caught.value).startswith("is ")


def test_an_epub_named_docx_is_told_apart_by_its_content(tmp_path: Path) -> None:
    with pytest.raises(Unreadable, match="is named like a Word document but is an EPUB"):
        read(zipped(tmp_path / "heat.docx", EPUB))
    unmarked = {"META-INF/container.xml": "<x/>"}
    with pytest.raises(Unreadable, match="is named like a Word document but is an EPUB"):
        read(zipped(tmp_path / "heat.docx", unmarked))
    with pytest.raises(Unreadable, match="is named like a Word document but is a ZIP file"):
        read(zipped(tmp_path / "heat.docx", {"a.txt": "Heat"}))


def test_a_file_that_is_not_there_cannot_be_opened(tmp_path: Path) -> None:
    with pytest.raises(Unreadable, match="cannot be opened: No such file"):
        read(tmp_path / "nowhere.pdf")


def test_a_file_is_read_in_a_process_of_its_own_that_counts_its_pages(tmp_path: Path) -> None:
    book = Typeset.at(tmp_path / "heat.PDF")
    for fact in FACTS_OF_HEAT[:3]:
        book.page(*lines([fact], size=9))
    told: list[tuple[int, int]] = []
    document = read(book.saved(), progress=lambda done, total: told.append((done, total)))
    assert whole(document).split("\n\n") == list(FACTS_OF_HEAT[:3])
    assert told == [(1, 3), (2, 3), (3, 3)]
    assert multiprocessing.active_children() == []


def test_whatever_a_file_does_to_its_reader_is_one_line(tmp_path: Path) -> None:
    path = tmp_path / "deep.html"
    path.write_text("<div>" * 5_000 + "Heat" + "</div>" * 5_000)
    with pytest.raises(Unreadable, match=r"cannot be read \(RecursionError\)|has no text"):
        read(path)
    path = tmp_path / "cut.epub"
    path.write_bytes(epub(tmp_path / "whole.epub", {"a": f"<p>{FACTS_OF_HEAT[0]}</p>"}).read_bytes()[:-40])
    with pytest.raises(Unreadable, match="damaged or cut short"):
        read(path)


def test_a_reader_that_dies_is_one_line() -> None:
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    child = context.Process(target=dies, args=(theirs,), daemon=True)
    child.start()
    theirs.close()
    told: list[tuple[int, int]] = []
    with pytest.raises(Unreadable, match="crashed its reader and was given up"):
        reading._listen(ours, lambda done, total: told.append((done, total)))
    child.join(10)
    ours.close()
    assert told == [(1, 9)]
    assert child.exitcode == 9


def test_a_reader_that_falls_silent_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "SILENCE", 0.05)
    ours, theirs = multiprocessing.Pipe()
    with pytest.raises(Unreadable, match="took too long"):
        reading._listen(ours, lambda done, total: None)
    ours.close()
    theirs.close()


def test_cut_and_flipped_files_are_read_or_refused_in_one_line(tmp_path: Path, printed: Path) -> None:
    chance = random.Random(7)
    body = f"<h1>Heat</h1><p>{' '.join(FACTS_OF_HEAT)}</p>"
    plain = Typeset.at(tmp_path / "plain.pdf", pageCompression=0)
    plain.page(*lines(FACTS_OF_HEAT, size=8))
    seeds = {
        ".pdf": [printed.read_bytes(), plain.saved().read_bytes()],
        ".docx": [word_file(" ".join(FACTS_OF_HEAT))],
        ".epub": [epub(tmp_path / "heat.epub", {"a": body, "b": body}).read_bytes()],
    }
    folder = tmp_path / "fuzzed"
    folder.mkdir()
    for suffix, wholes in seeds.items():
        for number in range(40):
            raw = bytearray(wholes[number % len(wholes)])
            if number < 12:
                raw = raw[: chance.randrange(20, len(raw))]
            else:
                for _ in range(chance.choice((1, 8, 64))):
                    raw[chance.randrange(len(raw))] = chance.randrange(256)
            (folder / f"{number:02}{suffix}").write_bytes(raw)
    command = "import sys; from pathlib import Path; from tests.rag.formats.made import fuzz; fuzz(Path(sys.argv[1]))"
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", command, str(folder)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
    )
    outcomes = [line.split(" ", 2) for line in done.stdout.splitlines()]
    assert [line for line in done.stdout.splitlines() if " leaked " in line] == []
    assert (done.returncode, len(outcomes)) == (0, 120), done.stderr[-2_000:]
    assert Counter(word for _, word, _ in outcomes)["refused"] > 20
