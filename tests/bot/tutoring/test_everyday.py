"""Small talk is met, other people's business is declined, and no question is taken for either."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bot.ports import Route
from bot.settings import PROJECT
from bot.tutoring.everyday import Everyday

EVERYDAY = Everyday()


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("hi", "greeting"),
        ("Hi!", "greeting"),
        ("hiiiii 😊", "greeting"),
        ("hello sir", "greeting"),
        ("hlo", "greeting"),
        ("gud mrng mam", "greeting"),
        ("Good Evening Ma'am", "greeting"),
        ("namaste", "greeting"),
        ("नमस्ते सर", "greeting"),
        ("Assalamu alaikum sir", "greeting"),
        ("thanks", "thanks"),
        ("thank you so much", "thanks"),
        ("thnx bro 🙏", "thanks"),
        ("ok thanks bye", "thanks"),
        ("samajh aa gaya", "thanks"),
        ("धन्यवाद", "thanks"),
        ("बहुत बहुत धन्यवाद सर", "thanks"),
        ("bye", "goodbye"),
        ("bye 👋", "goodbye"),
        ("good night", "goodbye"),
        ("kal milte hain", "goodbye"),
        ("who are you", "who_are_you"),
        ("hi, who are you?", "who_are_you"),
        ("whats your name?", "who_are_you"),
        ("aap kaun ho", "who_are_you"),
        ("ap kon ho", "who_are_you"),
        ("आप कौन हैं?", "who_are_you"),
        ("are you a robot", "are_you_human"),
        ("r u real", "are_you_human"),
        ("kya aap insaan ho?", "are_you_human"),
        ("who made you?", "who_made_you"),
        ("आपको किसने बनाया?", "who_made_you"),
        ("help me!!", "help_me"),
        ("sir plz help me", "help_me"),
        ("मेरी मदद करो", "help_me"),
        ("can you make mistakes?", "can_you_be_wrong"),
        ("kya aap galat ho sakte ho", "can_you_be_wrong"),
        ("how are you", "how_are_you"),
        ("hello how r u sir", "how_are_you"),
        ("kaise ho", "how_are_you"),
        ("आप कैसे हैं", "how_are_you"),
        ("ok", "okay"),
        ("haan ji", "okay"),
        ("ठीक है", "okay"),
        ("👍", "okay"),
        ("👍🏽", "okay"),
        ("❤️", "thanks"),
        ("😭😭", "greeting"),
        ("???", "rephrase"),
    ],
)
def test_small_talk(text: str, key: str) -> None:
    assert EVERYDAY.match(text) == (Route.SMALLTALK, key)


@pytest.mark.parametrize(
    "text",
    [
        "tell me a joke",
        "ek joke sunao",
        "चुटकुला सुनाओ",
        "sing a song",
        "write a poem about my girlfriend",
        "cricket score batao",
        "live cricket score",
        "what is the weather today",
        "aaj ka mausam kaisa hai",
        "आज का मौसम बताओ",
        "suggest a good movie",
        "order pizza",
        "give me 500 rupees",
        "let's play a game",
        "write an excuse letter for not doing homework",
        "homework na karne ka bahana batao",
        "i'm so bored",
        "biryani recipe",
        "will you marry me",
    ],
)
def test_what_is_not_a_tutors_business(text: str) -> None:
    assert EVERYDAY.match(text) == (Route.OFF_TOPIC, "off_topic")


@pytest.mark.parametrize(
    "text",
    [
        "hi, what is photosynthesis?",
        "thank you, now explain cells",
        "ok what is force",
        "namaste sir photosynthesis kya hai",
        "bhai photosynthesis kya hai",
        "who are the Mughals",
        "kaun hai Akbar",
        "what is hello in Hindi",
        "नमस्ते का अर्थ क्या है",
        "change to passive voice: who are you waiting for",
        "how does a robot work",
        "who made the Constitution",
        "difference between weather and climate",
        "what is the weather like in the Thar desert",
        "mausam aur jalvayu mein antar",
        "the mean score = 20, find the sum of 5 scores",
        "a batsman's scores in 5 matches are 20, 30, 40, 50 and 60, find the average",
        "which part of a sitar makes the sound of a song",
        "divide the money in the ratio 2:3",
        "Rahul gives Ram 500 rupees, how much is left",
        "how do banks lend money",
        "he told a joke, change the narration",
        "explain the poem The Road Not Taken",
        "write a paragraph on my best friend",
        "write a letter to the editor about water shortage",
        "how does a film camera work",
        "the play of light and shadow",
        "what do plants do at night",
        "test for starch",
        "12 + 30",
        "x",
    ],
)
def test_a_question_is_never_taken_for_anything_else(text: str) -> None:
    assert EVERYDAY.match(text) is None


def test_no_question_of_the_shipped_books_is_taken_for_anything_else() -> None:
    rows = [
        json.loads(line)
        for path in sorted((PROJECT / "data" / "qa").glob("*.jsonl"))
        for line in path.read_text(encoding="utf-8").splitlines()
    ]
    asked = [row["messages"][0]["content"] for row in rows if row.get("distance") != "far"]
    assert len(asked) >= 120
    assert [text for text in asked if EVERYDAY.match(text)] == []


@pytest.mark.parametrize("content", ["{", '{"talk": {}}', '{"talk": {"thanks": 3}}'])
def test_a_malformed_file_is_named(tmp_path: Path, content: str) -> None:
    path = tmp_path / "everyday.json"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(ValueError, match=r"everyday\.json"):
        Everyday(path)
