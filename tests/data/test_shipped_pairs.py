"""The shipped question-answer pairs: the schema check that their card promises, and the counts it gives."""

from __future__ import annotations

import json
import re
import unicodedata
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

import pytest

from rag.ingest import read_library
from training.pairs.data import read

DATA = Path(__file__).resolve().parents[2] / "data"
FILES = sorted((DATA / "qa").glob("*.jsonl"))
ROWS: list[dict[str, Any]] = [
    json.loads(line) for file in FILES for line in file.read_text(encoding="utf-8").splitlines()
]
KEYS = {"messages", "asked", "kind", "group", "split"}
PLACED = {"title", "chapter", "class", "subject", "language"}
OPTIONAL = {"page", "also", "facts", "distance"}
KINDS = {"define", "factual", "why", "how", "compare", "numerical", "premise", "unanswerable"}
WAYS = {"en", "sms", "hinglish", "hi"}
DEVANAGARI = re.compile(r"[\u0900-\u097f]")
BOOKS, _ = read_library(DATA / "textbooks")
PAGES = {(book.title, page.number): page.text for book in BOOKS for page in book.pages}
PLACES = {(book.title, book.chapter): book for book in BOOKS}


def folded(text: str) -> str:
    plain = re.sub(r"[*_`]", "", unicodedata.normalize("NFKC", text)).lower().replace("’", "'")
    return " ".join(plain.split())


def question(row: dict[str, Any]) -> str:
    return str(row["messages"][0]["content"])


def answer(row: dict[str, Any]) -> str:
    return str(row["messages"][1]["content"])


def places(row: dict[str, Any]) -> list[tuple[str, int]]:
    """Where the answer stands, in either language."""
    also = [
        (one["title"], one["page"]) if isinstance(one, dict) else (row["title"], one) for one in row.get("also", [])
    ]
    return [(row["title"], row["page"]), *also]


def test_every_line_has_the_shape_of_the_card() -> None:
    for row in ROWS:
        far = row.get("distance") == "far"
        assert set(row) <= KEYS | PLACED | OPTIONAL, question(row)
        assert set(row) >= (KEYS if far else KEYS | PLACED), question(row)
        assert [message["role"] for message in row["messages"]] == ["user", "assistant"]
        assert row["kind"] in KINDS
        assert row["asked"] in WAYS
        assert row["split"] in {"train", "dev", "test"}
        assert ("page" in row) == (row["kind"] != "unanswerable")
        assert (row.get("distance") in {"far", "near", "close"}) == (row["kind"] == "unanswerable")
    assert len(read(*FILES)) == len(ROWS)


def test_every_place_is_a_page_of_that_chapter() -> None:
    for row in ROWS:
        if "title" not in row:
            continue
        book = PLACES[row["title"], row["chapter"]]
        assert (row["class"], row["subject"], row["language"]) == (book.class_level, book.subject, book.language)
        if "page" in row:
            assert row["page"] in {page.number for page in book.pages}, question(row)
            assert set(places(row)) <= set(PAGES), question(row)


def test_facts_stand_in_the_answer_and_on_the_page() -> None:
    for row in ROWS:
        for fact in row.get("facts", []):
            ways = [folded(way) for way in fact.split("|")]
            assert ways[0] in folded(answer(row)), question(row)
            same_language = row["asked"] in ("en", "sms") if row["language"] == "en" else row["asked"] == "hi"
            if same_language and "group" in row and row["kind"] != "premise":
                pages = [row["page"], *(other for other in row.get("also", []) if isinstance(other, int))]
                assert any(ways[0] in folded(PAGES[row["title"], page]) for page in pages), question(row)
            for way in ways[1:]:
                assert any(way in folded(PAGES[place]) for place in places(row)), (question(row), way)


def test_scripts_are_those_of_the_way_of_asking() -> None:
    for row in ROWS:
        assert bool(DEVANAGARI.search(question(row))) == (row["asked"] == "hi"), question(row)
        assert row["asked"] != "hi" or DEVANAGARI.search(answer(row)), question(row)


def test_no_question_is_there_twice() -> None:
    counts = Counter(folded(question(row)) for row in ROWS)
    assert [text for text, count in counts.items() if count > 1] == []


def test_a_fact_is_in_one_split() -> None:
    splits = defaultdict(set)
    facts = defaultdict(set)
    for row in ROWS:
        splits[row["group"]].add(row["split"])
        if row.get("facts"):
            facts[row["title"], row["page"], tuple(sorted(map(folded, row["facts"])))].add(row["split"])
    assert [group for group, found in splits.items() if len(found) > 1] == []
    assert [fact for fact, found in facts.items() if len(found) > 1] == []


@pytest.mark.parametrize(
    ("fewest", "what"),
    [
        (2000, lambda row: True),
        (300, lambda row: row["asked"] == "sms" and row["kind"] != "unanswerable"),
        (300, lambda row: row["asked"] == "hinglish" and row["kind"] != "unanswerable"),
        (200, lambda row: row["asked"] == "hi" and row["kind"] != "unanswerable"),
        (300, lambda row: row["kind"] == "unanswerable"),
        (100, lambda row: row.get("distance") == "near"),
        (100, lambda row: row.get("distance") == "far"),
        (150, lambda row: row["kind"] == "premise"),
    ],
)
def test_there_are_enough_of_each(fewest: int, what: Any) -> None:
    assert sum(map(what, ROWS)) >= fewest


@pytest.mark.parametrize("way", ["en", "sms", "hinglish"])
def test_the_test_split_has_a_hundred_questions_a_row(way: str) -> None:
    answerable = [row for row in ROWS if row["split"] == "test" and row["kind"] != "unanswerable"]
    assert sum(row["asked"] == way for row in answerable) >= 100


def test_the_card_gives_the_counts() -> None:
    card = (DATA / "qa" / "README.md").read_text(encoding="utf-8")
    assert f"{len(ROWS):,} pairs" in card
    for split, count in Counter(row["split"] for row in ROWS).items():
        assert f"{split} {count:,}" in card
    for kind, count in Counter(row["kind"] for row in ROWS).items():
        assert f"{kind} {count:,}" in card
