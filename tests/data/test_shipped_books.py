"""The shipped chapters as product: form, counts, and what the requirements of the library ask for."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import pytest

from rag.chunk import chunk
from rag.glossary import Glossary
from rag.ingest import Textbook, read_library

DATA = Path(__file__).resolve().parents[2] / "data"
BOOKS, ERRORS = read_library(DATA / "textbooks")
SECTIONS = {
    "en": ("Key terms", "Summary", "Exercises", "Answers"),
    "hi": ("मुख्य शब्द", "सारांश", "अभ्यास", "उत्तर"),
}
SHORTEST, LONGEST = 900, {"en": 1800, "hi": 2000}  # words; Hindi takes more of them for the same
FEWEST = {
    "science": 25, "mathematics": 15, "history": 10, "geography": 8, "english": 6, "computers": 8, "study-skills": 3,
    "general-knowledge": 4,
}  # fmt: skip
DEVANAGARI = re.compile(r"[\u0900-\u097f]")
each_chapter = pytest.mark.parametrize(
    "book", BOOKS, ids=[f"{b.class_level}-{b.subject}-{b.language}-{b.chapter}" for b in BOOKS]
)


def text_of(book: Textbook) -> str:
    return "\n\n".join(page.text for page in book.pages)


def test_every_chapter_can_be_read() -> None:
    assert ERRORS == []


def test_there_is_a_chapter_for_every_subject() -> None:
    english = Counter(book.subject for book in BOOKS if book.language == "en")
    assert english.total() >= 85
    assert {subject: count for subject, count in FEWEST.items() if english[subject] < count} == {}
    assert english["civics"] + english["economics"] >= 6
    assert {book.class_level for book in BOOKS} == {6, 7, 8, 9, 10}


def test_every_chapter_is_there_in_hindi_too_but_those_of_english_grammar() -> None:
    kept = Counter((book.class_level, book.subject, book.language) for book in BOOKS if book.subject != "english")
    english = {key[:2]: count for key, count in kept.items() if key[2] == "en"}
    assert english == {key[:2]: count for key, count in kept.items() if key[2] == "hi"}


@each_chapter
def test_a_chapter_has_its_parts_and_its_length(book: Textbook) -> None:
    text = text_of(book)
    words = len(re.sub(r"[#|*-]", " ", text).split())
    assert SHORTEST <= words <= LONGEST[book.language]
    for section in SECTIONS[book.language]:
        assert re.search(rf"^## {section}\s*$", text, re.MULTILINE), section
    numbers = [page.number for page in book.pages]
    assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
    assert len(numbers) >= 6
    assert "$" not in text
    assert "\\" not in text


@each_chapter
def test_every_exercise_has_its_answer(book: Textbook) -> None:
    text = text_of(book)
    _, exercises, answers = SECTIONS[book.language][1:]
    asked, answered = (
        re.findall(r"^(\d+)\. \S", part, re.MULTILINE)
        for part in text.partition(f"## {exercises}")[2].split(f"## {answers}")
    )
    assert asked == answered == [str(number) for number in range(1, len(asked) + 1)]
    assert len(asked) >= 5


@each_chapter
def test_key_terms_carry_hindi_and_latin_forms(book: Textbook) -> None:
    terms = re.findall(r"^- \*\*([^*]+)\*\* \(([^)]*)\): \S", text_of(book), re.MULTILINE)
    assert len(terms) >= 7
    for term, forms in terms:
        assert DEVANAGARI.search(term + forms), term
        assert re.search(r"[a-z]", forms), term


def test_pages_of_one_book_do_not_overlap() -> None:
    seen: dict[tuple[str, int], str] = {}
    for book in BOOKS:
        for page in book.pages:
            assert seen.setdefault((book.title, page.number), book.chapter_title) == book.chapter_title


def test_key_terms_reach_the_glossary() -> None:
    passages = [passage for book in BOOKS for passage in chunk(book)]
    glossary = Glossary().with_key_terms(passages)
    assert "Photosynthesis" in glossary.meanings("प्रकाश संश्लेषण")
    assert "Cell" in glossary.meanings("koshika")


def test_the_card_lists_every_chapter() -> None:
    card = (DATA / "textbooks" / "README.md").read_text(encoding="utf-8")
    missing = [
        book.chapter_title for book in BOOKS if f"| {book.title} | {book.chapter} {book.chapter_title} |" not in card
    ]
    assert missing == []
