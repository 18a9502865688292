"""Meets everyday messages as a person would, and says kindly what is not a tutor's business.

A message counts as small talk only when all of it is small talk: "thank you, now explain cells" is a question. It
counts as off-topic only when it clearly asks for something else: jokes, scores, films. In doubt it is a student's
question, so both lists (data/everyday) are meant to miss.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

from bot.folding import STOP, clean, words
from bot.phrases import Phrases
from bot.ports import Route

_STRETCHED = re.compile(r"(.)\1{2,}")
_PICTURE = "greeting"  # the reply to pictures we have no better answer to
_FIRST_PICTURE = 0x2190
_NO_WORDS = "rephrase"  # the reply to "???"

SHIPPED = Path(__file__).resolve().parents[2] / "data" / "everyday" / "everyday.json"

Words = tuple[str, ...]


class Everyday:
    """Recognises small talk and clearly off-topic requests. Keeps nothing; share one."""

    def __init__(self, path: Path = SHIPPED) -> None:
        """Raises ValueError naming the file when it is malformed."""
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            talk: dict[str, list[str]] = content["talk"]
            self._rank = {key: rank for rank, key in enumerate(talk)}
            self._talk = {_words(phrase): key for key in reversed(talk) for phrase in talk[key]}
            self._beside = frozenset(_words(phrase) for phrase in content["beside"])
            self._emoji: dict[str, str] = content["emoji"]
            self._off_topic = Phrases(content["off_topic"])
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            raise ValueError(f"{path} does not hold everyday messages: {error}") from error
        self._longest = max(len(phrase) for phrase in (*self._talk, *self._beside))

    @property
    def keys(self) -> frozenset[str]:
        """Every reply key that `match` may name."""
        return frozenset({*self._talk.values(), *self._emoji.values(), _PICTURE, _NO_WORDS, Route.OFF_TOPIC.value})

    def match(self, text: str) -> tuple[Route, str] | None:
        """The route and the key of the reply, or None when the text is to be answered as a question."""
        tokens = _words(text)
        if not tokens:
            return Route.SMALLTALK, self._wordless(text)
        if key := self._small_talk(tokens):
            return Route.SMALLTALK, key
        if self._off_topic.found(tokens):
            return Route.OFF_TOPIC, Route.OFF_TOPIC.value
        return None

    def _small_talk(self, tokens: Words) -> str | None:
        """Reads the message as a row of known phrases, the longest first; None when a word is left over."""
        keys: set[str] = set()
        at = 0
        while at < len(tokens):
            lengths = range(min(self._longest, len(tokens) - at), 0, -1)
            phrase = next((p for n in lengths if self._knows(p := tokens[at : at + n])), None)
            if phrase is None:
                return None
            keys |= {self._talk[phrase]} if phrase in self._talk else set()
            at += len(phrase)
        return min(keys, key=self._rank.__getitem__, default=None)

    def _knows(self, phrase: Words) -> bool:
        return phrase in self._talk or phrase in self._beside

    def _wordless(self, text: str) -> str:
        """The reply to a message of emoji or punctuation alone."""
        pictures = [c for c in clean(text) if ord(c) >= _FIRST_PICTURE and not c.isspace()]
        return next((self._emoji[c] for c in pictures if c in self._emoji), _PICTURE if pictures else _NO_WORDS)


def _words(text: str) -> Words:
    """Folded words without sentence ends; stretched letters ("hiiii") are shortened to one."""
    return tuple(token for token in words(_STRETCHED.sub(r"\1", text)).split() if token != STOP)
