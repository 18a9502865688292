"""One road for what is pressed, picked by number and typed."""

from __future__ import annotations

import pytest

from bot.choices import numbered, picked, rating, thumb, thumbs, understood
from bot.ports import Choice, Kind, Outgoing

CLASSES = (Choice("Class 6", "/class 6"), Choice("Class 7", "/class 7"))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("What is a cell?", (Kind.TEXT, "What is a cell?", None)),
        ("/class 7", (Kind.COMMAND, "/class 7", None)),
        ("/rate up", (Kind.FEEDBACK, "up", None)),
        ("/rate down " + "f" * 32, (Kind.FEEDBACK, "down", "f" * 32)),
        ("/rate down " + "f" * 33, (Kind.COMMAND, "/rate down " + "f" * 33, None)),
        ("/rate sideways", (Kind.COMMAND, "/rate sideways", None)),
        ("👎", (Kind.FEEDBACK, "down", None)),
    ],
)
def test_what_a_text_is(text: str, expected: tuple[Kind, str, str | None]) -> None:
    assert understood(text) == expected


def test_a_press_on_a_thumb_rates_its_answer() -> None:
    up, down = thumbs("ab" * 16)
    assert understood(up.command) == (Kind.FEEDBACK, "up", "ab" * 16)
    assert understood(down.command) == (Kind.FEEDBACK, "down", "ab" * 16)
    assert len(rating("f" * 32, "down").encode()) <= 64  # what Telegram lets a button carry


@pytest.mark.parametrize(
    ("text", "label"), [("1", "Class 6"), (" 2. ", "Class 7"), ("२", "Class 7"), ("2)", "Class 7")]
)
def test_a_number_picks_a_choice(text: str, label: str) -> None:
    choice = picked(text, CLASSES)
    assert choice is not None
    assert choice.label == label


@pytest.mark.parametrize("text", ["0", "3", "-1", "12 apples", "", "one", "2 2", "1.5"])
def test_other_texts_pick_nothing(text: str) -> None:
    assert picked(text, CLASSES) is None


def test_choices_are_numbered_under_the_text() -> None:
    assert numbered(Outgoing(1, "a", "Which class?", CLASSES)) == "Which class?\n\n1. Class 6\n2. Class 7"
    assert numbered(Outgoing(1, "a", "An answer.", thumbs("a"))) == "An answer.\n\n1. 👍   2. 👎"
    assert numbered(Outgoing(1, "a", "Nothing to choose.")) == "Nothing to choose."


@pytest.mark.parametrize("text", ["👍", " 👍🏿 ", "👍👍🏽", "👍\ufe0f"])
def test_thumb_up(text: str) -> None:
    assert thumb(text) == "up"


@pytest.mark.parametrize("text", ["👎", "👎🏻👎"])
def test_thumb_down(text: str) -> None:
    assert thumb(text) == "down"


@pytest.mark.parametrize("text", ["", "1", "2", "👍👎", "👍 thanks", "good", "✋"])
def test_neither(text: str) -> None:
    assert thumb(text) is None
