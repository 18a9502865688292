"""`sahpathi textbooks` as an operator uses it: a heap of files in, the right page out, and the bad ones named."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.bot.cli.test_commands import CHAPTER, refused, sahpathi

PAGES = "Copper is a good conductor of heat.\fMercury boils at 357 degrees Celsius. Mercury is a liquid metal.\n"


@pytest.fixture
def school(tmp_path: Path) -> Path:
    """A folder with a shipped shelf of one chapter, and files to be added."""
    (tmp_path / "books").mkdir()
    (tmp_path / "books" / "leaves.md").write_text(CHAPTER, encoding="utf-8")
    (tmp_path / "metals.txt").write_text(PAGES, encoding="utf-8")
    (tmp_path / "torn.pdf").write_bytes(b"%PDF-1.7 and nothing more")
    (tmp_path / "blank.txt").write_bytes(b"")
    return tmp_path


def textbooks(school: Path, *arguments: str, status: int = 0) -> Any:
    """Run a command with --json; its output."""
    result = sahpathi(school, "textbooks", *arguments, "--json", SAHPATHI_TEXTBOOKS=str(school / "books"))
    assert result.returncode == status, result.stderr
    return json.loads(result.stdout)


def test_what_can_be_read_is_added_found_and_removed(school: Path) -> None:
    files = [str(school / name) for name in ("metals.txt", "torn.pdf", "blank.txt")]
    said = textbooks(school, "add", *files, "--class", "8", "--subject", "science", "--board", "Kerala", status=1)
    assert [(row["book"], row["pages"], row["state"]) for row in said["added"]] == [("metals", 2, "added")]
    assert [(Path(row["file"]).name, row["why"]) for row in said["refused"]] == [
        ("torn.pdf", "is damaged or cut short; fetch the file again"),
        ("blank.txt", "is empty"),
    ]
    assert said["index"]["chapters"] == 2

    found = textbooks(school, "search", "At how many degrees does mercury boil?")
    assert [(row["book"], row["page"], row["board"]) for row in found][:1] == [("metals", 2, "kerala")]
    listed = {row["title"]: row for row in textbooks(school, "list")}
    assert listed["metals"]["source"] == "metals.txt"
    assert listed["Science, Class 7"]["source"] == "shipped"

    again = textbooks(school, "add", files[0], "--class", "8", "--subject", "science")
    assert again["added"][0]["state"] == "was there already"

    assert textbooks(school, "remove", "Metals")["removed"] == 1
    assert "metals" not in {row["title"] for row in textbooks(school, "list")}
    assert textbooks(school, "search", "At how many degrees does mercury boil?") == []


def test_a_shipped_book_is_not_removed_but_left_out_by_a_setting(school: Path) -> None:
    line = refused(sahpathi(school, "textbooks", "remove", "Science, Class 7", "--yes"))
    assert "SAHPATHI_TEXTBOOKS" in line


def test_a_file_that_does_not_say_its_class_asks_for_it(school: Path) -> None:
    result = sahpathi(school, "textbooks", "add", str(school / "metals.txt"))
    assert result.returncode == 1
    assert "--class 7 --subject science" in result.stderr.replace("\n", " ")


@pytest.mark.parametrize(
    ("option", "value", "hint"),
    [("--subject", "../etc", "study-skills"), ("--language", "english", "en or hi"), ("--board", "?", "kerala")],
)
def test_a_malformed_option_is_named(school: Path, option: str, value: str, hint: str) -> None:
    given = {"--subject": "science", option: value}
    line = refused(
        sahpathi(
            school, "textbooks", "add", "metals.txt", "--class", "7", *(part for pair in given.items() for part in pair)
        )
    )
    assert option in line
    assert hint in line
