"""A book is added while the service runs: the command hands the work over, and the next question finds the page."""

from __future__ import annotations

import json
import subprocess
from contextlib import ExitStack
from pathlib import Path

from tests.prefork import forked
from tests.service import Service, environment, run

BOOK = """<html><head><title>The Metals Book</title></head><body><h1>Chapter 3: Metals</h1>
<p>Gallium is a metal that melts at about 30 degrees Celsius, so gallium melts in a warm hand. Mercury is a metal that
is liquid in an ordinary room. Sodium is a metal so soft that a knife cuts sodium like butter. Iron melts only at about
1,538 degrees Celsius. Tungsten has the highest melting point of all metals.</p></body></html>"""
QUESTION = "What is gallium?"


def textbooks(home: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return run("textbooks", *arguments, env=environment(home), cwd=home.parent, start=forked)


def test_a_book_is_added_to_a_running_service_and_taken_away_again(
    home: Path, tmp_path: Path, processes: ExitStack
) -> None:
    (tmp_path / "metals.html").write_text(BOOK, encoding="utf-8")
    service = Service(home, SAHPATHI_MODEL__ENABLED="false")
    processes.callback(service.stop)
    service.start()
    assert service.ask(QUESTION)["route"] == "not_in_book"

    added = textbooks(home, "add", str(tmp_path / "metals.html"), "--class", "8", "--subject", "science", "--json")
    assert added.returncode == 0, added.stderr
    assert json.loads(added.stdout)["index"]["rebuilt"]
    answer = service.ask(QUESTION)
    assert answer["route"] == "quoted"
    (source,) = answer["sources"]
    assert (source["book"], source["chapter"], source["page"]) == ("The Metals Book", "Metals", 0)
    assert "Gallium is a metal" in source["quote"]

    found = textbooks(home, "search", QUESTION, "--json")
    assert json.loads(found.stdout)[0]["book"] == "The Metals Book"

    removed = textbooks(home, "remove", "The Metals Book", "--yes")
    assert removed.returncode == 0, removed.stderr
    assert service.ask(QUESTION)["route"] == "not_in_book"
