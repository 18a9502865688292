"""Documents made by program from the textbooks that teach a small model to answer from its passages.

Each is a question with numbered passages, as at serving time, and an answer that is copied from one of the passages, or
the line that says that none of them holds it. Most are disguised: their content words are swapped for others, the same
way throughout the document, so that the answer cannot be remembered and has to be read from the passages.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from rag.passage import Passage
from rag.words import ASKING_WORDS, FUNCTION_WORDS, topic
from training.base.corpus import Chapter
from training.pairs.data import Example, of_split

NOT_IN_PASSAGES = "I cannot find the answer in these passages."

_PAIR = 80  # words: about one passage of the textbooks
_UNANSWERABLE = 0.06  # share of documents without the passage that answers

_WORD = re.compile(r"[A-Za-z]{3,}")
_NUMBER = re.compile(r"\d")
_DEFINES = re.compile(r"^(?:(?:An?|The) )?([A-Z]?[\w'-]+(?: [\w'-]+){0,2}) (is|are) (?:an? |the |any |tiny |a set of )")
_DEFINITION_QUESTIONS = (
    "What {be} {term}?",
    "Define {term}.",
    "What do you mean by {term}?",
    "What {be} meant by {term}?",
)
_MENTION_QUESTIONS = (
    "Which sentence mentions {words}?",
    "What does the book say about {words}?",
    "Tell me about {words}.",
    "What do you know of {words}?",
)
_SENTENCE_QUESTIONS = {
    "why": ("Why {words}?", "Why is it that {words}?"),
    "how": ("How {words}?", "How does {words}?"),
    "when": ("When {words}?", "In which year {words}?"),
    "who": ("Who {words}?", "What {words}?", "Where {words}?"),
}
# Words that carry the grammar of a sentence, or of our own questions: never swapped, never asked about.
_GRAMMAR = """
    above after again all almost along always among any around away back before behind below better does during
    either enough ever few first gets gives goes however inside keep last less let like makes many meant mentions more
    must near need never next nobody none not nothing off often once others outside passages per put see sentence since
    several should still take takes third though three through together towards under until upon uses want way well
    went were while whole within without
"""
UNCHANGED = FUNCTION_WORDS | ASKING_WORDS | frozenset(_GRAMMAR.split())


@dataclass(frozen=True, slots=True)
class Grounded:
    """One document. `passages` in the order shown; `answer` is copied from one of them, or is NOT_IN_PASSAGES."""

    question: str
    passages: tuple[str, ...]
    answer: str


class Maker:
    """Makes documents from chapters. Deterministic: the same generator state gives the same document.

    `examples` are question-answer pairs, asked with the `passages` that hold their answers. What the dev and test
    splits ask about is asked here only in disguise.
    """

    def __init__(
        self,
        chapters: Sequence[Chapter],
        passages: Sequence[Passage] = (),
        examples: Sequence[Example] = (),
        *,
        disguised: float = 0.8,
    ) -> None:
        pairs = [pair for pair in of_split(examples, "train") if pair.kind != "numerical"]  # disguise breaks sums
        held_out = [example.question for example in of_split(examples, "dev", "test")]
        self._disguised = disguised
        self._held_out = [topic(question) for question in held_out]
        self._pairs = [(pair, found) for pair in pairs if (found := _gold(pair, passages))]
        self._passages = [passage.text for passage in passages]
        self._runs = [s.sentences for chapter in chapters for s in chapter.sections if s.sentences]
        self._headings = [(s.heading, s.sentences) for chapter in chapters for s in chapter.sections if s.sentences]
        self._definitions = [found for run in self._runs for found in _definitions(run)]
        self._vocabulary = sorted({_root(word) for run in self._runs for text in run for word in _content(text)})
        self._kinds: tuple[Callable[[random.Random], tuple[str, tuple[str, ...], int, int]], ...] = (
            self._definition,
            self._mention,
            self._mention,
            self._cloze,
            self._heading,
        )

    def make(self, rng: random.Random, words: int) -> Grounded:
        """One document whose passages have about `words` words in all."""
        document = (
            self._pair(rng, words) if self._pairs and words >= _PAIR and rng.random() < 0.5 else self._made(rng, words)
        )
        if self._is_held_out(document.question):
            return disguise(document, rng, self._vocabulary, share=1.0)
        if rng.random() < self._disguised:
            return disguise(document, rng, self._vocabulary, share=rng.uniform(0.5, 1.0))
        return document

    def _made(self, rng: random.Random, words: int) -> Grounded:
        question, run, start, stop = rng.choice(self._kinds)(rng)
        answer = " ".join(run[start:stop])
        gold = _window(rng, run, start, stop, rng.randint(10, max(11, words // 2)))
        others = self._distractors(rng, run, answer, words - _length(gold))
        return _assemble(rng, question, gold, others, answer)

    def _pair(self, rng: random.Random, words: int) -> Grounded:
        pair, found = rng.choice(self._pairs)
        gold = rng.choice(found)
        others: list[str] = []
        while _length(" ".join([gold, *others])) < words - _PAIR:
            other = rng.choice(self._passages)
            if other not in (*found, *others):
                others.append(other)
        return _assemble(rng, pair.question, gold, others, pair.answer)

    def _definition(self, rng: random.Random) -> tuple[str, tuple[str, ...], int, int]:
        term, be, run, at = rng.choice(self._definitions)
        question = rng.choice(_DEFINITION_QUESTIONS).format(be=be, term=_lower_first(term))
        return question, run, at, _stop(rng, run, at)

    def _mention(self, rng: random.Random) -> tuple[str, tuple[str, ...], int, int]:
        while True:
            run = rng.choice(self._runs)
            at = rng.randrange(len(run))
            words = [word for word in _content(run[at]) if len(word) > 3]
            if len(words) >= 2:
                break
        shape = rng.choice((_MENTION_QUESTIONS, *_SENTENCE_QUESTIONS.values()))
        count = rng.randint(1 if shape is _MENTION_QUESTIONS else 2, 4)
        first = rng.randrange(max(1, len(words) - count + 1))  # neighbours, in their order: as people ask
        asked = " ".join(words[first : first + count])
        return rng.choice(shape).format(words=asked), run, at, _stop(rng, run, at)

    def _cloze(self, rng: random.Random) -> tuple[str, tuple[str, ...], int, int]:
        while True:
            run = rng.choice(self._runs)
            at = rng.randrange(len(run))
            if words := _content(run[at]):
                break
        blank = re.sub(rf"\b{rng.choice(words)}\b", "____", run[at], count=1)
        return f"Fill in the blank. {blank}", run, at, at + 1

    def _heading(self, rng: random.Random) -> tuple[str, tuple[str, ...], int, int]:
        heading, run = rng.choice(self._headings)
        question = (
            heading if heading.endswith("?") else rng.choice(("Tell me about: {}", "Explain: {}")).format(heading)
        )
        return question, run, 0, _stop(rng, run, 0)

    def _distractors(self, rng: random.Random, run: tuple[str, ...], answer: str, words: int) -> list[str]:
        """Passages that do not hold the answer, of about `words` words in all."""
        found: list[str] = []
        count = rng.randint(1, 3)
        while words > 10 and len(found) < count:
            other = rng.choice(self._runs)
            if other is run:
                continue
            at = rng.randrange(len(other))
            passage = _window(rng, other, at, at + 1, max(10, words // (count - len(found))))
            if answer not in passage:
                found.append(passage)
                words -= _length(passage)
        return found

    def _is_held_out(self, question: str) -> bool:
        asked = topic(question)
        return any(len(asked & held) >= 0.5 * min(len(asked), len(held)) for held in self._held_out if asked and held)


def _assemble(rng: random.Random, question: str, gold: str, others: list[str], answer: str) -> Grounded:
    """The passages in random order. In a few documents the one that answers is taken away, and the answer says so."""
    if others and rng.random() < _UNANSWERABLE:
        return Grounded(question, tuple(others), NOT_IN_PASSAGES)
    passages = [*others, gold]
    rng.shuffle(passages)
    return Grounded(question, tuple(passages), answer)


def _gold(example: Example, passages: Sequence[Passage]) -> list[str]:
    """The passages of the example's page that hold all of its facts."""
    return [
        passage.text
        for passage in passages
        if (passage.book, passage.page) == (example.title, example.page)
        and all(fact.lower() in passage.text.lower() for fact in example.facts)
    ]


def disguise(document: Grounded, rng: random.Random, vocabulary: Sequence[str], share: float = 1.0) -> Grounded:
    """The same document about other things: a `share` of its content words become other words, digits other digits.

    The swap is the same everywhere in the document; plural s and capitals are kept. A word becomes a real one from
    `vocabulary` or, one time in four, a made-up one. Digits swap too, so that a date has to be read and not recalled.
    """
    swaps: dict[str, str] = {}
    digits = dict(zip("0123456789", rng.sample("0123456789", 10), strict=True))

    def swap(match: re.Match[str]) -> str:
        word = match.group()
        root = _root(word)
        if word.lower() in UNCHANGED:
            return word
        if root not in swaps:
            swaps[root] = _stranger(rng, vocabulary, root) if rng.random() < share else root
        new = swaps[root] + word.lower()[len(root) :]
        return new.upper() if word.isupper() else new.capitalize() if word[0].isupper() else new

    def change(text: str) -> str:
        return _NUMBER.sub(lambda match: digits.get(match.group(), match.group()), _WORD.sub(swap, text))

    passages = tuple(change(passage) for passage in document.passages)
    answer = document.answer if document.answer == NOT_IN_PASSAGES else change(document.answer)
    return Grounded(change(document.question), passages, answer)


def _content(text: str) -> list[str]:
    return [word for word in _WORD.findall(text) if word.lower() not in UNCHANGED]


def _root(word: str) -> str:
    lower = word.lower()
    return lower[:-1] if lower.endswith("s") and not lower.endswith(("ss", "us", "is")) and len(lower) > 3 else lower


def _stranger(rng: random.Random, vocabulary: Sequence[str], word: str) -> str:
    """Another word than `word`: mostly a real one, else one made up."""
    if rng.random() < 0.75 and (new := rng.choice(vocabulary)) != word:
        return new
    return "".join(
        rng.choice("bcdfghjklmnprstvz") + rng.choice("aeiou") for _ in range(rng.randint(2, 3))
    ) + rng.choice("nrlmt")


def _definitions(run: tuple[str, ...]) -> list[tuple[str, str, tuple[str, ...], int]]:
    """(term, "is" or "are", sentences, index) of the sentences that define something."""
    return [
        (match.group(1), match.group(2), run, at)
        for at, sentence in enumerate(run)
        if (match := _DEFINES.match(sentence)) and match.group(1).lower() not in UNCHANGED
    ]


def _stop(rng: random.Random, run: Sequence[str], at: int) -> int:
    """Where an answer that starts at sentence `at` ends: it has one or two sentences."""
    return min(len(run), at + rng.choice((1, 2, 2)))


def _window(rng: random.Random, run: Sequence[str], start: int, stop: int, words: int) -> str:
    """Sentences of `run` around those from `start` to `stop`, until there are about `words` words."""
    while _length(" ".join(run[start:stop])) < words and (start > 0 or stop < len(run)):
        if start > 0 and (stop == len(run) or rng.random() < 0.5):
            start -= 1
        else:
            stop += 1
    return " ".join(run[start:stop])


def _length(text: str) -> int:
    return len(text.split())


def _lower_first(text: str) -> str:
    return text if text[:2].isupper() else text[:1].lower() + text[1:]
