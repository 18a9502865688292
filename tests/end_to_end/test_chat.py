"""`sahpathi chat` as somebody types in it: the console's own words, a question, and the way out."""

from __future__ import annotations

from pathlib import Path

from tests.prefork import forked
from tests.service import environment, run

TYPED = """\
/help
/temp 0
/temp nine
/topk 5
/tokens 60
What is photosynthesis?
/compare What is photosynthesis?
/class 7
hello
/clear
/quit
never read
"""


def test_the_console_answers_and_keeps_its_habits(home: Path) -> None:
    wide = environment(home, COLUMNS="200")
    result = run("chat", env=wide, cwd=home.parent, start=forked, typed=TYPED, timeout=180)
    assert result.returncode == 0, result.stderr
    said = result.stdout
    assert "/compare QUESTION" in said
    assert "temperature 0.0, top_k 5, at most 60 tokens" in said
    assert "/temp needs a number" in said
    assert "make food" in said
    assert "Science, Class 7" in said
    assert said.index("base") < said.index("adapter\n")
    assert "tokens in" in said
    assert "books of class 7" in said
    assert "Traceback" not in result.stderr
    assert said.count("you") >= 11
    assert "never read" not in said
