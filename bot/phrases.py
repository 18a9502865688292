"""A small language for phrases, matched on words rather than characters, in linear time.

Regular expressions are the wrong tool here: `\\b` and `\\w` break Devanagari words at their vowel signs, and a pattern
that a teacher adds must never be able to hang the service. A phrase is a line of words:

    how to make ... <weapon>     words in this order; "..." lets up to five others stand between, within one sentence
    bomb*                        any word that begins so
    a|b                          either word
    (a b|c)                      either, where one has several words
    <weapon>                     any entry of the group "weapon", whose entries may have several words
    very?                        a word that may be missing
    ^tell                        only as the first word of the text

The work for a text of n words is at most n times the number of phrases that share a beginning with one of them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from bot.folding import STOP, words

GAP = 5
BLANK = "_"  # stands where a lesson's phrase stood, and matches nothing
_KEY = 2  # phrases are looked up by the first letters of their first word, so a beginning has two at least
_WINDOW = 64  # words that are searched with one look at which phrases are possible at all

_PIECE = re.compile(r"\([^()]*\)\??|\S+")

Entry = tuple[str, ...]  # the words of one alternative; a trailing "*" marks a beginning


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """The words of one text and the keys they are looked up by."""

    words: frozenset[str]
    keys: frozenset[str]

    @classmethod
    def of(cls, tokens: Iterable[str]) -> Vocabulary:
        words = frozenset(tokens)
        return cls(words, frozenset(map(_key, words)))


@dataclass(frozen=True, slots=True)
class Choice:
    """One step of a phrase: any of `entries`, which may be missing when `optional`."""

    exact: Mapping[str, tuple[Entry, ...]]  # by first word
    starts: tuple[Entry, ...]  # entries whose first word is a beginning
    start_keys: frozenset[str]
    optional: bool
    width: int  # words of the longest entry

    @property
    def keys(self) -> frozenset[str]:
        """What phrases that begin with this step are looked up by."""
        return self.start_keys | {_key(first) for first in self.exact}

    def may_stand(self, vocabulary: Vocabulary) -> bool:
        """False when none of a text's words can begin this step. Cheap, so asked before any matching."""
        return (
            self.optional
            or not self.exact.keys().isdisjoint(vocabulary.words)
            or not self.start_keys.isdisjoint(vocabulary.keys)
        )

    @classmethod
    def of(cls, entries: Iterable[Entry], *, optional: bool = False) -> Choice:
        exact: dict[str, tuple[Entry, ...]] = {}
        starts: list[Entry] = []
        width = 0
        for entry in entries:
            width = max(width, len(entry))
            if entry[0].endswith("*"):
                starts.append(entry)
            else:
                exact[entry[0]] = (*exact.get(entry[0], ()), entry)
        return cls(exact, tuple(starts), frozenset(_key(entry[0].rstrip("*")) for entry in starts), optional, width)

    def ends(self, tokens: Sequence[str], at: int) -> Iterator[int]:
        """Every position that may follow when this step begins at `at`."""
        if self.optional:
            yield at
        if at >= len(tokens):
            return
        for entry in self.exact.get(tokens[at], ()):
            if len(entry) == 1 or _stands(entry, tokens, at):
                yield at + len(entry)
        for entry in self.starts:
            if tokens[at].startswith(entry[0][:-1]) and _stands(entry, tokens, at):
                yield at + len(entry)


@dataclass(frozen=True, slots=True)
class Gap:
    """Up to `GAP` words of any kind, none of them the end of a sentence."""

    width: ClassVar[int] = GAP

    def may_stand(self, vocabulary: Vocabulary) -> bool:
        return True

    def ends(self, tokens: Sequence[str], at: int) -> Iterator[int]:
        for end in range(at, min(at + GAP, len(tokens)) + 1):
            yield end
            if end < len(tokens) and tokens[end] == STOP:
                return


@dataclass(frozen=True, slots=True)
class Phrase:
    """A compiled line."""

    steps: tuple[Choice | Gap, ...]
    first_only: bool

    def may_stand(self, vocabulary: Vocabulary) -> bool:
        return all(step.may_stand(vocabulary) for step in self.steps)

    def end(self, tokens: Sequence[str], start: int) -> int | None:
        """Where the phrase ends when it begins at `start`; the nearest end of several."""
        places = {start}
        for step in self.steps:
            places = {end for place in places for end in step.ends(tokens, place)}
            if not places:
                return None
        return min(places)


class Phrases:
    """Many phrases, searched together."""

    def __init__(self, lines: Iterable[str], groups: Mapping[str, Sequence[str]] | None = None) -> None:
        self._by_key: dict[str, list[Phrase]] = {}
        self._reach = 0  # how many words the longest phrase can cover
        entries = {name: [_entry(line) for line in group] for name, group in (groups or {}).items()}
        for line in lines:
            phrase = _compile(line, entries)
            self._reach = max(self._reach, sum(step.width for step in phrase.steps))
            first = phrase.steps[0]
            if isinstance(first, Gap) or first.optional:
                raise ValueError(f"a phrase must begin with a word that cannot be missing: {line!r}")
            for key in first.keys:
                self._by_key.setdefault(key, []).append(phrase)

    def spans(self, tokens: Sequence[str]) -> Iterator[tuple[int, int]]:
        """Every (start, end) at which some phrase stands."""
        for window in range(0, len(tokens), _WINDOW):
            vocabulary = Vocabulary.of(tokens[window : window + _WINDOW + self._reach])
            possible = {
                key: [phrase for phrase in self._by_key[key] if phrase.may_stand(vocabulary)]
                for key in vocabulary.keys & self._by_key.keys()
            }
            for start in range(window, min(window + _WINDOW, len(tokens))):
                for phrase in possible.get(_key(tokens[start]), ()):
                    end = None if phrase.first_only and start else phrase.end(tokens, start)
                    if end is not None:
                        yield start, end

    def found(self, tokens: Sequence[str]) -> bool:
        return next(self.spans(tokens), None) is not None


@dataclass(frozen=True, slots=True)
class Lexicon:
    """Phrases by category, and lessons' phrases that are taken out before anything else is looked for."""

    lessons: Phrases
    categories: Mapping[str, Phrases]

    @classmethod
    def load(cls, path: Path, part: str) -> Lexicon:
        """Reads `part` of a lexicon file. Raises ValueError naming the file when it is malformed."""
        try:
            content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
            groups = content["groups"]
            lines = content[part]
            return cls(
                Phrases(content["lessons"], groups),
                {category: Phrases(entries, groups) for category, entries in lines.items()},
            )
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(f"{path} is not a lexicon: {error}") from error

    def category(self, view: str) -> str | None:
        """The first category, in the file's order, that a view of a text falls into."""
        tokens = self.without_lessons(view)
        return next((name for name, phrases in self.categories.items() if phrases.found(tokens)), None)

    def without_lessons(self, view: str) -> list[str]:
        tokens = view.split()
        for start, end in list(self.lessons.spans(tokens)):
            tokens[start:end] = [BLANK] * (end - start)
        return tokens


def _key(word: str) -> str:
    return word[:_KEY]


def _compile(line: str, groups: Mapping[str, list[Entry]]) -> Phrase:
    first_only = line.startswith("^")
    return Phrase(tuple(_step(piece, groups) for piece in _PIECE.findall(line.removeprefix("^"))), first_only)


def _step(piece: str, groups: Mapping[str, list[Entry]]) -> Choice | Gap:
    if piece == "...":
        return Gap()
    optional = piece.endswith("?")
    entries: list[Entry] = []
    for word in piece.removesuffix("?").strip("()").split("|"):
        if not word.startswith("<"):
            entries.append(_entry(word))
        elif word[1:-1] in groups:
            entries += groups[word[1:-1]]
        else:
            raise ValueError(f"no group is called {word}")
    return Choice.of(entries, optional=optional)


def _entry(line: str) -> Entry:
    """An alternative, folded as texts are. Raises ValueError for what is no word or too short a beginning."""
    folded = []
    for word in line.split():
        kept = words(word.removesuffix("*")).split()
        if not kept or STOP in kept or (word.endswith("*") and len(kept[-1]) < _KEY):
            raise ValueError(f"no word, or too short a beginning: {line!r}")
        kept[-1] += "*" if word.endswith("*") else ""
        folded += kept
    return tuple(folded)


def _stands(entry: Entry, tokens: Sequence[str], at: int) -> bool:
    if at + len(entry) > len(tokens):
        return False
    return all(
        token.startswith(word[:-1]) if word.endswith("*") else token == word
        for word, token in zip(entry, tokens[at:], strict=False)
    )
