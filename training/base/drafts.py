"""Questions with the passage that answers and others that do not, before they are put together and disguised.

Two makers of them: `FromRuns` asks about sentences of running text, `FromSets` takes questions that people asked about
a text. `paired.py` has a third, for the pairs of our own books.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from rag.phonetic import in_devanagari
from training.base import asking
from training.base.words import content, roots

Run = tuple[str, ...]  # sentences that follow each other

_NEAR = 4  # runs to either side of the one that answers: of the same chapter, mostly
TRIES = 12
SHORTEST = 10  # words of a passage
_NAMED = 0.7  # share of the questions on a sentence that ask about a noun of it; the others are a few of its words


@dataclass(frozen=True, slots=True)
class Asked:
    """A question, the run that answers it (an index) and the sentences of it that are the answer, `start` to `stop`."""

    question: str
    run: int
    start: int
    stop: int
    about: frozenset[str] = frozenset()  # roots of the words asked about: no other passage may hold all of them


@dataclass(frozen=True, slots=True)
class Draft:
    """A question, its answer, the passage that holds it and others of the same language."""

    question: str
    answer: str
    gold: str
    others: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Material:
    """Sentences under a heading ("" without one), with the key terms of their chapter."""

    heading: str
    run: Run
    terms: frozenset[str] = frozenset()
    defines: bool = True  # stories define nothing, whatever their sentences look like


class FromRuns:
    """Asks about sentences of `sections`, all in one language: definitions, mentions, blanks, headings."""

    def __init__(self, sections: Sequence[Material]) -> None:
        self._runs = [section.run for section in sections]
        hindi = bool(sections) and in_devanagari(" ".join(sections[0].run))
        self._define, self._about, self._heading, self._blank = (
            (asking.HINDI_DEFINE, asking.HINDI_ABOUT, asking.HINDI_HEADING, asking.HINDI_BLANK)
            if hindi
            else (asking.DEFINE, asking.ABOUT, asking.HEADING, asking.BLANK)
        )
        self._lower = {word for run in self._runs for text in run for word in content(text) if word.islower()}
        self._definitions = [
            (*found, at, place)
            for at, section in enumerate(sections)
            if section.defines
            for place, text in enumerate(section.run)
            if (found := asking.definition(text, self._lower, section.terms))
        ]
        seen = Counter(section.heading for section in sections)  # what heads several sections tells of none
        self._headings = [
            (section.heading, at)
            for at, section in enumerate(sections)
            if seen[section.heading] == 1 and content(section.heading) and asking.is_statement(section.run[0])
        ]
        kinds: list[Callable[[random.Random], Asked | None]] = [self._mention, self._mention, self._cloze]
        kinds += [self._definition, self._definition] if self._definitions else []
        kinds += [self._under_heading] if self._headings else []
        self._kinds = tuple(kinds)

    def draft(self, rng: random.Random, words: int) -> Draft:
        """One whose passages have about `words` words in all."""
        while True:
            if asked := rng.choice(self._kinds)(rng):
                return _drafted(rng, self._runs, asked, words)

    def _definition(self, rng: random.Random) -> Asked:
        term, be, run, at = rng.choice(self._definitions)
        if be:
            question = asking.capital(rng.choice(self._define).format(be=be, term=term))
        else:
            question = asking.capital(rng.choice(self._about[:3]).format(words=term))
        return Asked(question, run, at, _stop(rng, self._runs[run], at), roots(term))

    def _mention(self, rng: random.Random) -> Asked | None:
        """About a few words of a sentence that no other of its run holds all of."""
        run, at, sentence = self._sentence(rng)
        if not asking.is_statement(sentence):
            return None
        if rng.random() < _NAMED:
            templates: Sequence[str] = self._about
            words = asking.phrase(rng, sentence)
        else:
            templates = asking.questions(sentence)
            held = list(dict.fromkeys(word for word in content(sentence) if len(word) > 2))
            count = rng.randint(2, 4)
            first = rng.randrange(max(1, len(held) - count + 1))  # neighbours, in their order: as people ask
            words = " ".join(held[first : first + count])
        about = roots(words)
        if not about or any(about <= roots(other) for n, other in enumerate(self._runs[run]) if n != at):
            return None
        question = asking.capital(rng.choice(templates).format(words=words))
        return Asked(question, run, at, _stop(rng, self._runs[run], at), about)

    def _cloze(self, rng: random.Random) -> Asked | None:
        run, at, sentence = self._sentence(rng)
        blanked = asking.blanked(rng, sentence)
        return Asked(rng.choice(self._blank).replace("{}", blanked), run, at, at + 1) if blanked else None

    def _under_heading(self, rng: random.Random) -> Asked:
        heading, run = rng.choice(self._headings)
        bare = heading.endswith("?") or ":" in heading
        question = heading if bare else rng.choice(self._heading).format(heading)
        return Asked(question, run, 0, _stop(rng, self._runs[run], 0), roots(heading))

    def _sentence(self, rng: random.Random) -> tuple[int, int, str]:
        run = rng.randrange(len(self._runs))
        at = rng.randrange(len(self._runs[run]))
        return run, at, self._runs[run][at]


class FromSets:
    """Asks what people asked about `runs`: each of the sets as often, however large it is."""

    def __init__(self, runs: Sequence[Run], sets: Sequence[Sequence[Asked]]) -> None:
        self._runs = runs
        self._sets = sets

    def draft(self, rng: random.Random, words: int) -> Draft:
        """One whose passages have about `words` words in all."""
        return _drafted(rng, self._runs, rng.choice(rng.choice(self._sets)), words)


def window(rng: random.Random, run: Sequence[str], start: int, stop: int, words: int) -> str:
    """Sentences of `run` around those from `start` to `stop`, until there are about `words` words."""
    count = length(" ".join(run[start:stop]))
    while count < words and (start > 0 or stop < len(run)):
        if start > 0 and (stop == len(run) or rng.random() < 0.5):
            start -= 1
            count += length(run[start])
        else:
            count += length(run[stop])
            stop += 1
    return " ".join(run[start:stop])


def _drafted(rng: random.Random, runs: Sequence[Run], asked: Asked, words: int) -> Draft:
    run = runs[asked.run]
    answer = " ".join(run[asked.start : asked.stop])
    gold = window(rng, run, asked.start, asked.stop, rng.randint(SHORTEST, max(SHORTEST + 1, words // 2)))
    others: list[str] = []
    shown = {asked.run}
    count = rng.randint(1, 3)
    left = words - length(gold)
    for _ in range(TRIES):
        if left <= SHORTEST or len(others) == count:
            break
        near = range(max(0, asked.run - _NEAR), min(len(runs), asked.run + _NEAR + 1))
        at = rng.choice(near) if rng.random() < 0.5 else rng.randrange(len(runs))
        if at in shown:
            continue
        place = rng.randrange(len(runs[at]))
        passage = window(rng, runs[at], place, place + 1, max(SHORTEST, left // (count - len(others))))
        if answer in passage or (asked.about and asked.about <= roots(passage)):
            continue
        others.append(passage)
        shown.add(at)
        left -= length(passage)
    return Draft(asked.question, answer, gold, tuple(others))


def _stop(rng: random.Random, run: Run, at: int) -> int:
    """Where an answer that starts at sentence `at` ends: it has one to three sentences, all on the same thing."""
    stop, longest = at + 1, rng.choice((1, 2, 2, 3))
    while stop - at < longest and stop < len(run) and asking.goes_on(run[stop], run[stop - 1]):
        stop += 1
    return stop


def length(text: str) -> int:
    """In words."""
    return len(text.split())
