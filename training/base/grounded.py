"""Documents made by program that teach a small model to answer from its passages.

Each is a question with numbered passages, as at serving time, and an answer that is copied from one of the passages, or
the line that says that none of them holds it. Most are disguised: their content words are swapped for others, the same
way throughout the document, so that the answer cannot be remembered and has to be read from the passages.
"""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate, chain
from typing import Protocol

from rag.passage import Passage
from rag.phonetic import in_devanagari
from training.base.asking import carelessly
from training.base.corpus import Chapter
from training.base.disguise import Disguise, Vocabulary
from training.base.drafts import Draft, FromRuns, FromSets, Material
from training.base.paired import FromPairs
from training.base.reading import Reading
from training.base.words import subject
from training.pairs.data import Example, of_split

NOT_IN_PASSAGES = "I cannot find the answer in these passages."
NOT_IN_PASSAGES_HINDI = "मुझे इन पाठों में इसका उत्तर नहीं मिला।"

REFUSALS = frozenset({NOT_IN_PASSAGES, NOT_IN_PASSAGES_HINDI})
_PAIR = 50  # words: less do not hold what a pair's answer was made from
_UNANSWERABLE = 0.03  # share of documents without the passage that answers
_ELSEWHERE = 0.15  # share of documents in which that passage may stand anywhere, not first
_CARELESS = 0.1  # share of questions typed as on a phone
_IN_HINDI = frozenset({"hi", "hinglish"})  # how a question may be put on a book that is in English


def refusal_of(question: str) -> str:
    """The line that says that the passages do not hold the answer, in the script of the question."""
    return NOT_IN_PASSAGES_HINDI if in_devanagari(question) else NOT_IN_PASSAGES


@dataclass(frozen=True, slots=True)
class Grounded:
    """One document. `passages` in the order shown; `answer` is copied from one of them, or says that none holds it."""

    question: str
    passages: tuple[str, ...]
    answer: str


@dataclass(frozen=True, slots=True)
class Shares:
    """How often each source is drawn, where it is there; they need not add up to 1.

    Sentences of the textbooks, pairs on them, the reading sets of a corpus, sentences of its prose.
    """

    textbooks: float = 0.35
    pairs: float = 0.3
    sets: float = 0.2
    prose: float = 0.15


class _Source(Protocol):
    def draft(self, rng: random.Random, words: int) -> Draft: ...


class Maker:
    """Makes documents from chapters. Deterministic: the same generator state gives the same document.

    `examples` are question-answer pairs, asked with the `passages` that hold their answers; `reading` is what a corpus
    adds. What the dev and test splits ask about is asked here only in disguise. `hindi` is the least share of documents
    in Hindi where there are Hindi chapters; with more of them it is their share of the sections.
    """

    def __init__(
        self,
        chapters: Sequence[Chapter],
        passages: Sequence[Passage] = (),
        examples: Sequence[Example] = (),
        reading: Reading | None = None,
        *,
        disguised: float = 0.8,
        hindi: float = 0.15,
        shares: Shares | None = None,
    ) -> None:
        self._disguised = disguised
        self._held_out = _HeldOut(of_split(examples, "dev", "test"))
        reading = reading or Reading()
        prose = reading.prose or {}
        books = {language: _sections(chapters, language) for language in ("en", "hi")}
        pairs = FromPairs([pair for pair in of_split(examples, "train") if self._usable(pair)], passages)
        given = shares or Shares()
        self._sources = {
            language: _Drawn(
                (given.textbooks, FromRuns(books[language]) if books[language] else None),
                (given.pairs, pairs.of_language(language)),
                (given.sets, FromSets(reading.runs, reading.asked) if language == "en" and reading.asked else None),
                (given.prose, FromRuns(prose[language]) if prose.get(language) else None),
            )
            for language in ("en", "hi")
            if books[language]
        }
        sections = sum(map(len, books.values()))
        self._hindi = max(hindi, len(books["hi"]) / sections) if books["en"] and books["hi"] else float(not books["en"])
        corpus = chain(_texts(chain(*prose.values())), *reading.runs)
        self._vocabulary = Vocabulary.of(_texts(chain(*books.values())), corpus)

    def make(self, rng: random.Random, words: int) -> Grounded:
        """One document whose passages have about `words` words in all."""
        language = "hi" if rng.random() < self._hindi else "en"
        document = _assemble(rng, self._sources[language].draft(rng, words))
        if self._held_out.asks(document.question):
            document = disguise(document, rng, self._vocabulary, whole=True)
        elif rng.random() < self._disguised:
            document = disguise(document, rng, self._vocabulary, share=rng.uniform(0.5, 1.0))
        if rng.random() < _CARELESS:
            return Grounded(carelessly(rng, document.question), document.passages, document.answer)
        return document

    def _usable(self, pair: Example) -> bool:
        """Disguise breaks sums, and an answer in another language than the book's cannot be disguised."""
        across = pair.language == "en" and pair.asked in _IN_HINDI
        return pair.kind != "numerical" and not (across and self._held_out.asks(pair.question))


class _Drawn:
    """Sources and how often each is drawn."""

    def __init__(self, *sources: tuple[float, _Source | None]) -> None:
        there = [(share, source) for share, source in sources if source and share > 0]
        self._sources = [source for _, source in there]
        self._upto = list(accumulate(share for share, _ in there))

    def draft(self, rng: random.Random, words: int) -> Draft:
        source = rng.choices(self._sources, cum_weights=self._upto)[0]
        if isinstance(source, FromPairs) and words < _PAIR:
            source = self._sources[0]
        return source.draft(rng, words)


class _HeldOut:
    """What the dev and test splits ask about."""

    def __init__(self, examples: Iterable[Example]) -> None:
        topics = [subject(example.question) for example in examples]
        topics += [subject(e.question, by_sound=True) for e in examples if e.asked == "hinglish"]
        self._sizes = [len(topic) for topic in topics]
        self._holding: dict[str, list[int]] = defaultdict(list)
        for number, topic in enumerate(topics):
            for word in topic:
                self._holding[word].append(number)

    def asks(self, question: str) -> bool:
        """Whether a question shares half of its words, or of theirs, with one that is held out."""
        asked = subject(question)
        shared: dict[int, int] = defaultdict(int)
        for word in asked:
            for number in self._holding.get(word, ()):
                shared[number] += 1
        return any(count >= 0.5 * min(len(asked), self._sizes[number]) for number, count in shared.items())


def disguise(
    document: Grounded, rng: random.Random, vocabulary: Vocabulary, share: float = 1.0, *, whole: bool = False
) -> Grounded:
    """The same document about other things: a `share` of its content words become other words (`Disguise`).

    A word of the answer that neither passages nor question hold could not be guessed: it stays, unless `whole`.
    """
    hidden = Disguise(rng, vocabulary, share)
    passages = tuple(hidden.of(passage) for passage in document.passages)
    question = hidden.of(document.question)
    answer = document.answer if document.answer in REFUSALS else hidden.of(document.answer, known=not whole)
    return Grounded(question, passages, answer)


def _assemble(rng: random.Random, draft: Draft) -> Grounded:
    """The passage that answers first, as the tutor gives it, or at times anywhere, as the tutor may be mistaken.

    In a few documents it is taken away, and the answer says so.
    """
    if draft.others and rng.random() < _UNANSWERABLE:
        return Grounded(draft.question, draft.others, refusal_of(draft.question))
    passages = [draft.gold, *draft.others]
    if rng.random() < _ELSEWHERE:
        rng.shuffle(passages)
    return Grounded(draft.question, tuple(passages), draft.answer)


def _texts(sections: Iterable[Material]) -> Iterator[str]:
    return (sentence for section in sections for sentence in section.run)


def _sections(chapters: Sequence[Chapter], language: str) -> list[Material]:
    """The running text of the chapters in a language; a language other than Hindi is read as English is."""
    return [
        Material(section.heading, section.sentences, frozenset(term for term, _ in chapter.terms))
        for chapter in chapters
        if (chapter.language == "hi") == (language == "hi")
        for section in chapter.sections
        if section.sentences
    ]
