"""Drafts of documents from question-answer pairs on our own books."""

from __future__ import annotations

import random
from collections.abc import Sequence

from rag.passage import Passage
from rag.sentences import split
from rag.words import content as stems
from training.base.drafts import SHORTEST, TRIES, Draft, length, window
from training.pairs.data import Example


class FromPairs:
    """Asks question-answer pairs, with the passages of the books that hold all of their facts.

    Half of the time a passage that is not too long is shown whole, else only those of its sentences that the answer
    was made from and some beside them: so the tutor gathers them.
    """

    def __init__(self, pairs: Sequence[Example], passages: Sequence[Passage]) -> None:
        self._texts = {
            language: [split(passage.text) for passage in passages if passage.language == language]
            for language in sorted({passage.language for passage in passages})
        }
        found = ((pair, _holding(pair, passages)) for pair in pairs)
        self._pairs = [(pair, [(text, _needed(text, pair)) for text in texts]) for pair, texts in found if texts]

    def __bool__(self) -> bool:
        return bool(self._pairs)

    def of_language(self, language: str) -> FromPairs:
        """Those on books in a language."""
        some = FromPairs((), ())
        some._texts = self._texts
        some._pairs = [(pair, found) for pair, found in self._pairs if pair.language == language]
        return some

    def draft(self, rng: random.Random, words: int) -> Draft:
        """One whose passages have about `words` words in all, or as many as the passage that answers has."""
        pair, found = rng.choice(self._pairs)
        sentences, needed = rng.choice(found)
        if sum(map(length, sentences)) > words or rng.random() < 0.5:
            shown = set(needed)
            more = [place for place in range(len(sentences)) if place not in shown]
            rng.shuffle(more)
            for place in more:
                if length(" ".join(sentences[n] for n in shown)) >= words // 2:
                    break
                shown.add(place)
            gold = " ".join(sentences[place] for place in sorted(shown))
        else:
            gold = " ".join(sentences)
        texts = self._texts[pair.language]
        others: list[str] = []
        left = words - length(gold)
        for _ in range(TRIES):
            if left <= SHORTEST or len(others) == 3:
                break
            other = rng.choice(texts)
            if other in [text for text, _ in found]:
                continue
            at = rng.randrange(len(other))
            passage = window(rng, other, at, at + 1, rng.randint(SHORTEST, max(SHORTEST, left)))
            if not any(fact.lower() in passage.lower() for fact in pair.facts):
                others.append(passage)
                left -= length(passage)
        return Draft(pair.question, pair.answer, gold, tuple(others))


def _holding(example: Example, passages: Sequence[Passage]) -> list[list[str]]:
    """The sentences of the passages of the example's page that hold all of its facts."""
    return [
        split(passage.text)
        for passage in passages
        if (passage.book, passage.page) == (example.title, example.page)
        and all(fact.lower() in passage.text.lower() for fact in example.facts)
    ]


def _needed(sentences: Sequence[str], pair: Example) -> tuple[int, ...]:
    """The fewest sentences, about, that hold what the passage holds of the answer's words and all of the facts."""
    held = [set(stems(sentence)) for sentence in sentences]
    wanted = set(stems(pair.answer)) & set().union(*held)
    chosen: set[int] = set()
    while wanted:
        best = max(range(len(sentences)), key=lambda place: len(held[place] & wanted))
        chosen.add(best)
        wanted -= held[best]
    shown = " ".join(sentences[place] for place in sorted(chosen)).lower()
    if all(fact.lower() in shown for fact in pair.facts):
        return tuple(sorted(chosen))
    return tuple(range(len(sentences)))
