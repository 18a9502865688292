"""What is offered under a reply, and what a press, a number or a thumb stands for.

A choice stands for a command as a student would type it, so there is one road for what is pressed, picked and typed.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from bot.ports import Choice, Kind, Outgoing

Understood = tuple[Kind, str, str | None]  # kind, text, and for a rating the answer it is about, if it says so

_RATING = re.compile(r"/rate (up|down)(?: ([0-9A-Za-z_-]{1,32}))?")
_NUMBER = re.compile(r"\s*(\d{1,2})[.)]?\s*")
_TONE = "[\U0001f3fb-\U0001f3ff]?\ufe0f?"
_THUMB = re.compile(f"(?:(?P<up>(?:👍{_TONE})+)|(?:👎{_TONE})+)")


def thumbs(answer_id: str) -> tuple[Choice, ...]:
    """The choices under an answer from a book."""
    return tuple(Choice(sign, rating(answer_id, word)) for sign, word in (("👍", "up"), ("👎", "down")))


def rating(answer_id: str, word: str) -> str:
    """The command of a thumb, "up" or "down"."""
    return f"/rate {word} {answer_id}"


def understood(text: str) -> Understood:
    """What a text is, typed or pressed."""
    if rated := _RATING.fullmatch(text.strip()):
        return Kind.FEEDBACK, rated[1], rated[2]
    if text.startswith("/"):
        return Kind.COMMAND, text, None
    if word := thumb(text):
        return Kind.FEEDBACK, word, None
    return Kind.TEXT, text, None


def thumb(text: str) -> str | None:
    """The word up or down when the text is nothing but that emoji, in any skin tone, any number of times; else None."""
    found = _THUMB.fullmatch(text.strip())
    if found is None:
        return None
    return "up" if found["up"] else "down"


def picked(text: str, choices: Sequence[Choice]) -> Choice | None:
    """The choice whose number was sent, in whatever digits."""
    found = _NUMBER.fullmatch(text)
    place = int(found[1]) if found else 0
    return choices[place - 1] if 1 <= place <= len(choices) else None


def numbered(part: Outgoing) -> str:
    """The text with its choices as a list to pick from by number, for channels without buttons."""
    if not part.choices:
        return part.text
    between = "   " if all(len(choice.label) == 1 for choice in part.choices) else "\n"
    return f"{part.text}\n\n" + between.join(f"{n}. {choice.label}" for n, choice in enumerate(part.choices, 1))
