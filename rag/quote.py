"""The sentences of the book that answer a question best. Children read them word for word, so each must stand alone."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from rag.embed import Vectors
from rag.passage import Passage, Quote
from rag.sentences import split
from rag.words import stem, topic, words

LONGEST = 3  # sentences
LONGEST_EXAMPLE = 7  # a worked example is quoted to its end, or it answers nothing
QUOTABLE = 0.5  # what the best sentence must be worth; every answerable question of the shipped ones has 0.56
# What a sentence is worth, beside its similarity to the question:
PASSAGE = 0.6  # times the relevance of its passage
PLACE = 0.05  # less for each passage that retrieval put before its own
TOPIC = 0.2  # times the share of the question's topic words in it
DEFINES = 0.25  # if it says what X is and the question asks so
EXPLAINS = 0.08  # if it gives a reason and the question asks why
# What share of the best sentence's worth another one needs: the next of the same paragraph, and any other.
NEXT = 0.5
OTHER = 0.8
DANGLING = re.compile(
    r"(?:and|but|so|then|also|therefore|thus|hence|here|there|this|that|these|those|it|its|he|his|she|her|they|their|"
    r"them|such|both|another|one of them|two of them|the others?|the second|the third|the same|in the same way|"
    r"for example|for instance|in this|in these|in return|on the other hand|however)\b",
    re.IGNORECASE,
)
WHAT_IS = re.compile(
    r"(?:what(?:'s| is| are| was| were)|define|meaning of|what do you mean by|what does|explain|who (?:is|was|were))\s+"
    r"(?:meant by\s+|the meaning of\s+)?(?:an?\s+|the\s+)?(?P<term>.+?)(?:\s+mean)?$",
    re.IGNORECASE,
)
REASON = re.compile(r"\b(?:because|so that|since|therefore|this is why|due to|so)\b", re.IGNORECASE)
EXAMPLE = re.compile(r"Example(?: \d+)?[.:]")
TABLE_ROW = re.compile(r"[^.:;]+: [^.:;]+; [^.:;]+: ")


@dataclass(frozen=True, slots=True)
class _Sentence:
    text: str
    worth: float
    paragraph: int


def choose(question: str, passages: Sequence[tuple[Passage, Vectors]]) -> Quote | None:
    """The best one to three sentences, or the worked example, of one passage; None when nothing answers.

    Each passage comes with the similarity of its sentences, in the order of `split`, to the question.
    """
    term = _term(question)
    best: tuple[float, Quote] | None = None
    for place, (passage, similar) in enumerate(passages):
        sentences = _weigh(question, term, passage.text, similar)
        picked = _pick(sentences)
        if not picked:
            continue
        own = max(sentences[n].worth for n in picked)
        worth = own + PASSAGE * passage.score - PLACE * place
        if own >= QUOTABLE and (best is None or worth > best[0]):
            best = worth, Quote(" ".join(sentences[n].text for n in picked), passage)
    return best[1] if best else None


def _weigh(question: str, term: frozenset[str], text: str, similar: Vectors) -> list[_Sentence]:
    about = topic(question)
    why = question.lower().lstrip().startswith("why")
    found = []
    numbered = ((line, sentence) for line, part in enumerate(text.splitlines()) for sentence in split(part))
    for (line, sentence), similarity in zip(numbered, similar, strict=True):
        held = {stem(word) for word in words(sentence)}
        worth = float(similarity)
        worth += TOPIC * len(about & held) / max(1, len(about))
        worth += DEFINES if term and _defines(sentence, term) else 0.0
        worth += EXPLAINS if why and REASON.search(sentence) else 0.0
        found.append(_Sentence(sentence, worth, line))
    return found


def _pick(sentences: Sequence[_Sentence]) -> list[int]:
    """Places of the best sentence with what it leans on, and of others that add to it."""
    ranked = sorted(range(len(sentences)), key=lambda n: sentences[n].worth, reverse=True)
    for best in ranked:
        if example := _example(sentences, best):
            return example
        if needed := _with_antecedent(sentences, best):
            return sorted(_extended(sentences, ranked, best, set(needed)))
    return []


def _extended(sentences: Sequence[_Sentence], ranked: Sequence[int], best: int, picked: set[int]) -> set[int]:
    enough = sentences[best].worth
    following = best + 1
    while (
        following < len(sentences)
        and len(picked) < LONGEST
        and sentences[following].paragraph == sentences[best].paragraph
        and sentences[following].worth >= NEXT * enough
    ):
        picked.add(following)
        following += 1
    for n in ranked:
        needed = _with_antecedent(sentences, n)
        if sentences[n].worth >= OTHER * enough and needed and len(picked | set(needed)) <= LONGEST:
            picked |= set(needed)
    return picked


def _example(sentences: Sequence[_Sentence], place: int) -> list[int]:
    """The worked example that the sentence belongs to, whole; empty when it belongs to none or to a very long one."""
    paragraph = [n for n, other in enumerate(sentences) if other.paragraph == sentences[place].paragraph]
    is_example = EXAMPLE.match(sentences[paragraph[0]].text) is not None
    return paragraph if is_example and len(paragraph) <= LONGEST_EXAMPLE else []


def _with_antecedent(sentences: Sequence[_Sentence], place: int) -> list[int]:
    """`place` and the sentences before it that it leans on; empty when it cannot be quoted."""
    needed = [place]
    if not _quotable(sentences[place].text) or _example(sentences, place):
        return []
    while DANGLING.match(sentences[needed[0]].text):
        before = needed[0] - 1
        if before < 0 or sentences[before].paragraph != sentences[place].paragraph or len(needed) == LONGEST:
            return []
        needed.insert(0, before)
    return needed


def _quotable(text: str) -> bool:
    """A statement: no question, no line that only introduces others, no row of a table, no stray label."""
    return not text.endswith((":", "?")) and len(text.split()) >= 3 and not TABLE_ROW.match(text)


def _term(question: str) -> frozenset[str]:
    """The stems of X in "What is X?"; empty for another kind of question. A bare "photosynthesis" asks the same."""
    asked = question.strip().rstrip("?.! ")
    match = WHAT_IS.match(asked)
    term = match["term"] if match else asked if len(asked.split()) <= 2 else ""
    return topic(term) if len(term.split()) <= 5 else frozenset()


def _defines(text: str, term: frozenset[str]) -> bool:
    """Whether the sentence says what `term` is: "X is ...", "X means ...", "X: ..."."""
    match = re.match(r"(.{1,60}?)(?::|\s(?:is|are|was|were|means|mean|has)\b)", text)
    return match is not None and topic(match[1]) == term
