"""Consent is asked once, in the student's language, and nothing is answered before it but a cry for help."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bot.ports import Effect, Kind, Profile, Route, Turn
from bot.replies import Replies
from bot.settings import PROJECT
from bot.tutoring.commands import Commands
from bot.tutoring.menu import MENU, commands, menu

REPLIES = Replies.load(PROJECT / "data" / "locales")
COMMANDS = Commands(REPLIES)
STRANGER = Turn("1", Kind.TEXT, "What is a cell?", consented=False)


def test_a_question_waits_and_consent_is_asked_for() -> None:
    answer = COMMANDS.consent.respond(STRANGER, STRANGER.text)
    assert answer.effect is Effect.HOLD
    assert answer.text == REPLIES.say("consent_ask", "en")
    assert [choice.command for choice in answer.choices] == ["/agree", "/decline"]


def test_what_follows_at_once_is_held_in_silence() -> None:
    answer = COMMANDS.consent.respond(replace(STRANGER, consent_asked=True), "And what is a tissue?")
    assert (answer.effect, answer.message()) == (Effect.HOLD, "")


@pytest.mark.parametrize("text", ["yes", "Haan ji!", "हाँ", "OK", "agree"])
def test_a_yes_is_taken_once_we_asked(text: str) -> None:
    assert COMMANDS.consent.respond(replace(STRANGER, consent_asked=True), text).effect is Effect.CONSENT
    assert COMMANDS.consent.respond(STRANGER, text).effect is Effect.HOLD  # a yes to what?


@pytest.mark.parametrize("text", ["no", "nahi", "नहीं"])
def test_a_no_is_taken_kindly(text: str) -> None:
    answer = COMMANDS.consent.respond(replace(STRANGER, consent_asked=True), text)
    assert answer.effect is Effect.WITHDRAW
    assert answer.text


def test_it_speaks_the_language_of_the_question() -> None:
    hindi = replace(STRANGER, text="कोशिका क्या है?")
    assert COMMANDS.consent.respond(hindi, hindi.text).text == REPLIES.say("consent_ask", "hi")


def command(text: str, *, consented: bool = True) -> Turn:
    return Turn("1", Kind.COMMAND, text, Profile(language="en"), consented=consented)


def test_start_greets_and_asks_a_stranger() -> None:
    answer = COMMANDS.run(command("/start", consented=False))
    assert answer.effect is Effect.ASK
    assert answer.text.startswith(REPLIES.say("welcome", "en"))
    assert len(answer.choices) == 2
    assert COMMANDS.run(command("/start")).menu == menu(REPLIES, "en")


@pytest.mark.parametrize(
    ("text", "effect"),
    [("/agree", Effect.CONSENT), ("/decline", Effect.WITHDRAW), ("/stop", Effect.WITHDRAW), ("/forget", None),
     ("/forget yes", Effect.FORGET), ("/privacy", None)],
)  # fmt: skip
def test_what_commands_do(text: str, effect: Effect | None) -> None:
    answer = COMMANDS.run(command(text, consented=False))
    assert answer.effect is effect
    assert answer.route is Route.COMMAND


def test_forgetting_is_asked_for_twice() -> None:
    (choice,) = COMMANDS.run(command("/forget")).choices
    assert COMMANDS.run(command(choice.command)).effect is Effect.FORGET


@pytest.mark.parametrize("language", REPLIES.languages)
def test_the_menu_stands_for_commands_in_every_language(language: str) -> None:
    meant = commands(REPLIES)
    assert [meant[word] for word in menu(REPLIES, language)] == list(MENU.values())
    assert all(COMMANDS.behind(word) for word in menu(REPLIES, language))
    assert COMMANDS.behind("What is a class?") is None
