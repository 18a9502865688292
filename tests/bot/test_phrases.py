"""The phrase language, construct by construct, and that no text can make it slow in kind."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bot.folding import words
from bot.phrases import Lexicon, Phrases

GROUPS = {"make": ["make", "set off", "build*"], "thing": ["bomb", "pipe bomb"]}


def found(phrase: str, text: str) -> bool:
    return Phrases([phrase], GROUPS).found(words(text).split())


@pytest.mark.parametrize(
    ("phrase", "text", "expected"),
    [
        ("red apple", "A red apple.", True),
        ("red apple", "a red, apple", True),
        ("red apple", "apple red", False),
        ("red apple", "red apples", False),
        ("red apple*", "red apples", True),
        ("red|green apple", "green apple", True),
        ("(dark red|green) apple", "dark red apple", True),
        ("(dark red|green) apple", "dark green apple", True),
        ("(dark red|green) apple", "dark apple", False),
        ("red very? ripe apple", "red ripe apple", True),
        ("red very? ripe apple", "red very ripe apple", True),
        ("red (not so)? ripe", "red not so ripe", True),
        ("red ... apple", "red apple", True),
        ("red ... apple", "red a b c d e apple", True),
        ("red ... apple", "red a b c d e f apple", False),
        ("red ... apple", "red. apple", False),
        ("red ... ... apple", "red a b c d e f apple", True),
        ("^red apple", "red apple", True),
        ("^red apple", "the red apple", False),
        ("<make> ... <thing>", "building a small pipe bomb", True),
        ("<make> ... <thing>", "set the bomb off", False),
        ("<make>|buy <thing>", "buy bomb", True),
        ("जहर खा*", "ज़हर खाना", True),
        ("मर", "मरना", False),
    ],
)
def test_the_language(phrase: str, text: str, expected: bool) -> None:
    assert found(phrase, text) is expected


@pytest.mark.parametrize("phrase", ["<nobody>", "... apple", "red? apple", "red !!!", "r*"])
def test_what_is_no_phrase_is_an_error(phrase: str) -> None:
    with pytest.raises(ValueError, match=r"no group|must begin|no word"):
        Phrases([phrase], GROUPS)


def test_every_place_is_found() -> None:
    tokens = ["red", "apple", "and", "red", "apple"]
    assert list(Phrases(["red apple"]).spans(tokens)) == [(0, 2), (3, 5)]


def test_work_grows_no_faster_than_the_text() -> None:
    """Counts the positions visited rather than seconds: the worst phrase on the worst text."""

    class Counting(list[str]):
        visits = 0

        def __getitem__(self, at: object) -> str:  # type: ignore[override]
            self.visits += 1
            return super().__getitem__(at)  # type: ignore[call-overload, no-any-return]

    phrases = Phrases(["a ... a ... a ... b c"])
    short, long = Counting(["a", "b"] * 500), Counting(["a", "b"] * 5000)
    assert not phrases.found(short)
    assert not phrases.found(long)
    assert long.visits <= 10.5 * short.visits


def test_a_lexicon_takes_lessons_out_first(tmp_path: Path) -> None:
    path = tmp_path / "lexicon.json"
    path.write_text(
        json.dumps({"groups": GROUPS, "lessons": ["bath bomb"], "here": {"weapons": ["<make> ... <thing>"]}}),
        encoding="utf-8",
    )
    lexicon = Lexicon.load(path, "here")
    assert lexicon.category("make a bath bomb") is None
    assert lexicon.category("make a bath bomb and a pipe bomb") == "weapons"
    with pytest.raises(ValueError, match=r"lexicon\.json is not a lexicon"):
        Lexicon.load(path, "elsewhere")
