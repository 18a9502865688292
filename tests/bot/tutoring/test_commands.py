"""Commands, in the forms that students and channels write them in."""

from __future__ import annotations

import pytest

from bot.ports import Answer, Chapter, Kind, Profile, Route, Turn
from bot.replies import Replies
from bot.settings import PROJECT
from bot.tutoring.commands import Commands

REPLIES = Replies.load(PROJECT / "data" / "locales")
SHELF = (
    Chapter("Science, Class 7", "Photosynthesis", 7, "science"),
    Chapter("Science, Class 7", "Acids", 7, "science"),
    Chapter("Mathematics, Class 6", "Fractions", 6, "mathematics"),
    Chapter("Computers, Class 6", "Networks", 6, "computer-science"),
)


def run(text: str, profile: Profile | None = None, *, chapters: tuple[Chapter, ...] = ()) -> Answer:
    answer = Commands(REPLIES, chapters).run(Turn("1", Kind.COMMAND, text, profile or Profile()))
    assert answer.route is Route.COMMAND
    assert answer.text
    return answer


@pytest.mark.parametrize(
    ("text", "level"),
    [
        ("/class 7", 7),
        ("/class7", 7),
        ("/CLASS 7", 7),
        ("/class 7th", 7),
        ("/class 7B", 7),
        ("/class class 7", 7),
        ("/class VII", 7),
        ("/class seven", 7),
        ("/class saat", 7),
        ("/class सात", 7),
        ("/class सातवीं", 7),
        ("/class ७", 7),
        ("/class 7वीं", 7),
        ("/class: 10", 10),
        ("/class@SahpathiBot 8", 8),
        ("/class XII", 12),
    ],
)
def test_a_class_is_set(text: str, level: int) -> None:
    answer = run(text, Profile(subject="science", language="en"))
    assert answer.profile == Profile(level, "science", "en")
    assert str(level) in answer.text


@pytest.mark.parametrize("text", ["/class 0", "/class 13", "/class blue", "/class 777", "/class -3a9"])
def test_a_class_that_is_none_changes_nothing(text: str) -> None:
    answer = run(text)
    assert answer.profile is None
    assert answer.text == REPLIES.say("class_unknown", "en", first=1, last=12)


@pytest.mark.parametrize(
    ("text", "subject"),
    [
        ("/subject science", "science"),
        ("/subject vigyan", "science"),
        ("/subject विज्ञान", "science"),
        ("/subject MATHS", "mathematics"),
        ("/subject ganit", "mathematics"),
        ("/subject गणित", "mathematics"),
        ("/subject itihas", "history"),
        ("/subject study skills", "study-skills"),
        ("/subject political science", "civics"),
        ("/subjectmaths", None),
    ],
)
def test_a_subject_is_set_by_any_of_its_names(text: str, subject: str | None) -> None:
    profile = run(text).profile
    assert (profile.subject if profile else None) == subject


def test_the_subjects_are_those_of_the_books() -> None:
    answer = run("/subject computer science", chapters=SHELF)
    assert answer.profile == Profile(subject="computer-science")
    assert "Computer Science" in answer.text
    unknown = run("/subject history", chapters=SHELF)
    assert unknown.profile is None
    assert unknown.text == REPLIES.say("subject_unknown", "en", subjects="Computer Science, Mathematics, Science")


def test_all_takes_a_choice_back() -> None:
    chosen = Profile(7, "science", "en")
    assert run("/subject all", chosen).profile == Profile(7, None, "en")
    assert run("/class sab", chosen).profile == Profile(None, "science", "en")


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("/language hindi", "hi"),
        ("/language हिन्दी", "hi"),
        ("/language हिंदी", "hi"),
        ("/language English", "en"),
        ("/language angrezi", "en"),
        ("/language Hinglish", "hinglish"),
        ("/language hi", "hi"),
    ],
)
def test_a_language_is_set_and_spoken_at_once(text: str, language: str) -> None:
    answer = run(text, Profile(class_level=7))
    assert answer.profile == Profile(7, None, language)
    assert answer.language == language


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("/class", "class_ask"),
        ("/language", "language_ask"),
        ("/language klingon", "language_unknown"),
        ("/start", "welcome"),
        ("/start@SahpathiBot", "welcome"),
        ("/start deep-link", "welcome"),
        ("/help", "help"),
        ("/HELP", "help"),
        ("/sources", "sources_none"),
        ("/weather", "unknown_command"),
        ("/", "unknown_command"),
        ("/ class 7", "unknown_command"),
        ("class 7", "unknown_command"),
    ],
)
def test_fixed_replies(text: str, key: str) -> None:
    answer = run(text)
    assert answer.text == REPLIES.say(key, "en")
    assert answer.profile is None


def test_a_bare_subject_names_the_choice() -> None:
    answer = run("/subject", chapters=SHELF)
    assert answer.text == REPLIES.say("subject_ask", "en", subjects="Computer Science, Mathematics, Science")


def test_sources_name_each_book_once() -> None:
    answer = run("/sources", chapters=SHELF)
    assert answer.text.count("Science, Class 7") == 1
    assert answer.text.count("Mathematics, Class 6") == 1


def test_replies_come_in_the_language_set_or_the_one_written() -> None:
    assert run("/help", Profile(language="hi")).language == "hi"
    assert run("/subject विज्ञान").language == "hi"
    assert run("/class sab kya hai").language == "hinglish"
