"""What a phone offers without being asked: a few words beside its keyboard, and the list of commands."""

from __future__ import annotations

from bot.replies import Replies

MENU = {"menu.class": "/class", "menu.subject": "/subject", "menu.language": "/language", "menu.help": "/help"}

LISTED = ("class", "subject", "language", "sources", "help", "privacy", "forget", "stop")


def menu(replies: Replies, language: str) -> tuple[str, ...]:
    """The words, in order."""
    return tuple(replies.say(key, language) for key in MENU)


def commands(replies: Replies) -> dict[str, str]:
    """The command that each word stands for, in every language."""
    return {replies.say(key, language): command for language in replies.languages for key, command in MENU.items()}


def listed(replies: Replies, language: str) -> tuple[tuple[str, str], ...]:
    """The commands as a messenger lists them: the name without its slash, and what it is for."""
    return tuple((name, replies.say(f"command.{name}", language)) for name in LISTED)
