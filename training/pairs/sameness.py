"""Whether two questions are one, and whether two answers say the same.

Vectors alone do not tell: questions that differ in a number, a "not", or in what is asked of a thing are near in every
embedding, and an English model spells Hindi letter by letter. So what must agree is read off the words first.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from rapidfuzz import fuzz, process

from rag.claims import TELLING, negations, numbers
from rag.embed import Vectors
from rag.phonetic import is_devanagari
from rag.words import FUNCTION_WORDS, lexicon, stem, words
from training.pairs.data import Example

# Cosine from which two questions belong on one side of a split; the shipped pairs keep the same distance.
NEAR = 0.9
# Cosine from which a word more or less in a question makes no other question of it.
SAME = 0.95
SPELLED_NEAR = 90.0  # of 100, letter by letter: for slips, and Devanagari, which an English model cannot read
# Below this neither meaning nor words of two answers have enough in common to be the same answer.
ALIKE = 0.5
MOSTLY = 0.7  # share of an answer's words from which another with a "not" more denies it
SHARED = 0.5  # share of a question's words that another near it has as well
ROWS = 512  # of similarities at a time

# How a thing is asked about; any other way of asking ("what is", "define", "batao") asks what it is.
_ASKING = {
    "why": "why kyun kyon kyu kyo क्यों",
    "how": "how kaise kese kaisay कैसे",
    "when": "when kab कब",
    "where": "where kahan kahaan kaha कहाँ कहां",
    "who": "who whom whose kaun kon kisne किसने कौन",
    "which": "which kaunsa kaunsi konsa konsi",
    "many": "many much kitna kitne kitni कितना कितने कितनी",
    "example": "example examples udaharan उदाहरण",
    "difference": "difference differ differs compare antar अंतर अन्तर",
}
_WAYS = {word: way for way, spelled in _ASKING.items() for word in spelled.split()}
_WHETHER = lexicon("is are was were do does did can could will would has have should")
_SAY_NOTHING = (FUNCTION_WORDS - TELLING) | lexicon(
    "what whats explain tell give define definition describe meaning means mean please pls plz say know help "
    "understand question answer about batao bataiye btao samjhao samjhaiye matlab paribhasha "
    "क्या है हैं का की के को में से किसे कहते बताओ बताइए समझाओ समझाइए परिभाषा अर्थ मतलब होता होती होते"
)
_NOT_IN_HINDI = lexicon("nahi nahin nhi bina नहीं नही बिना मत")
_YES = lexicon("yes haan han हाँ हां")
_NO = lexicon("no nahi nahin nhi नहीं नही")
_ONE = re.compile(r"\bone\b", re.IGNORECASE)  # "one of the gases" counts nothing
_APOSTROPHE = re.compile(r"['’‘`]")
_PUNCTUATION = re.compile(r"(?<!\d)[.,]|[.,](?!\d)|[?!;:\"“”…।॥]")


def normalised(text: str) -> str:
    """A text in the form in which two spellings of one are the same: no case, no punctuation, single spaces."""
    plain = _APOSTROPHE.sub("", unicodedata.normalize("NFC", text).casefold())
    return " ".join(_PUNCTUATION.sub(" ", plain).split())


def asked(example: Example) -> str:
    """All that an example asks: its question, after the earlier ones of the dialogue. "Why?" alone is no question."""
    return "\n".join([*(question for question, _ in example.earlier), example.question])


def key(example: Example) -> str:
    """What two examples share that ask the same in the same words."""
    return normalised(asked(example))


class Embeds(Protocol):
    """Makes vectors of length 1 of texts, one a row: `rag.embed.Embedder`, or one that remembers."""

    def embed(self, texts: Sequence[str]) -> Vectors: ...


class Remembering:
    """An embedder that makes each vector once: questions are looked at when they are merged, and when placed."""

    def __init__(self, embedder: Embeds) -> None:
        self._embedder = embedder
        self._known: dict[str, Vectors] = {}

    def embed(self, texts: Sequence[str]) -> Vectors:
        new = [text for text in dict.fromkeys(texts) if text not in self._known]
        self._known |= dict(zip(new, self._embedder.embed(new), strict=True)) if new else {}
        return np.stack([self._known[text] for text in texts]) if texts else self._embedder.embed(texts)


@dataclass(frozen=True, slots=True)
class Asked:
    """What a question asks, read off its words."""

    ways: frozenset[str]
    numbers: frozenset[float]
    denies: int
    stems: tuple[str, ...]
    devanagari: bool

    @classmethod
    def of(cls, text: str) -> Asked:
        said = words(text)
        ways = {_WAYS[word] for word in said if word in _WAYS}
        if said and said[0] in _WHETHER:
            ways.add("whether")
        stems = tuple(_singular(word) for word in said if word not in _SAY_NOTHING and word not in _WAYS)
        return cls(frozenset(ways), _numbers(text), _denials(text), stems, _is_devanagari(text))

    def is_same(self, other: Asked, similar: float) -> bool:
        """Whether both ask the same thing. `similar` is the cosine of the two; it counts where one says a word more."""
        mine, theirs = ((one.ways, one.numbers, one.denies) for one in (self, other))
        if mine != theirs or not (self.stems and other.stems):
            return False
        if self.stems == other.stems:
            return True
        fewer, more = sorted((self.stems, other.stems), key=len)
        return not self.devanagari and similar >= SAME and _is_within(fewer, more)


class Questions:
    """Questions with what they ask and their vectors: which are one, and which are near enough to give each other away.

    Near ones are apart by a slip, a word, an order of words: a model that was trained on one has seen the other.
    """

    def __init__(
        self, texts: Sequence[str], embedder: Embeds, on_progress: Callable[[int, int], None] = lambda *_: None
    ) -> None:
        self.texts = tuple(texts)
        self.asked = tuple(Asked.of(text) for text in texts)
        self._keys = [normalised(text) for text in texts]
        pieces = []
        for start in range(0, len(texts), ROWS):
            pieces.append(embedder.embed(texts[start : start + ROWS]))
            on_progress(min(len(texts), start + ROWS), len(texts))
        self.vectors: Vectors = np.concatenate(pieces) if pieces else np.zeros((0, 1), dtype=np.float32)

    def same(self) -> list[tuple[int, int]]:
        """Pairs of places, the lower first, of questions that ask the same thing."""
        return [
            (a, b)
            for a, b in self._candidates()
            if self._keys[a] == self._keys[b] or self.asked[a].is_same(self.asked[b], self._similar(a, b))
        ]

    def near(self) -> list[tuple[int, int]]:
        """Pairs of places, the lower first, that must not stand on two sides of a split.

        A sum with other numbers is another sum: that one was seen gives the other's answer away to nobody.
        """
        alike = (*self._by_meaning(NEAR), *self._by_spelling())
        together = {(a, b) for a, b in alike if self.asked[a].numbers == self.asked[b].numbers}
        return sorted(together | set(self.same()))

    def _candidates(self) -> list[tuple[int, int]]:
        alike: dict[object, list[int]] = {}
        for place, (text, read) in enumerate(zip(self._keys, self.asked, strict=True)):
            alike.setdefault(text, []).append(place)
            if read.stems:
                alike.setdefault(read.stems, []).append(place)
        by_words = {(a, b) for places in alike.values() for n, a in enumerate(places) for b in places[n + 1 :]}
        return sorted(by_words | set(self._by_meaning(SAME)))

    def _by_meaning(self, least: float) -> list[tuple[int, int]]:
        """Pairs of questions in Latin letters whose cosine is at least `least`."""
        readable = np.array([n for n, read in enumerate(self.asked) if not read.devanagari], dtype=np.int64)
        vectors = self.vectors[readable]
        found: list[tuple[int, int]] = []
        for start in range(0, len(readable), ROWS):
            rows, columns = np.nonzero(vectors[start : start + ROWS] @ vectors.T >= least)
            kept = rows + start < columns
            pairs = zip(readable[rows[kept] + start].tolist(), readable[columns[kept]].tolist(), strict=True)
            found += list(pairs)
        return found

    def _by_spelling(self) -> list[tuple[int, int]]:
        """Pairs of questions that are spelled nearly the same."""
        found: list[tuple[int, int]] = []
        for start in range(0, len(self._keys), ROWS):
            block = self._keys[start : start + ROWS]
            like = process.cdist(block, self._keys[start:], scorer=fuzz.ratio, score_cutoff=SPELLED_NEAR)
            rows, columns = np.nonzero(like)
            pairs = zip((rows + start).tolist(), (columns + start).tolist(), strict=True)
            found += [(a, b) for a, b in pairs if a < b]
        return found

    def _similar(self, a: int, b: int) -> float:
        return float(self.vectors[a] @ self.vectors[b])


def close_to(examples: Sequence[Example], others: Sequence[Example]) -> list[Example]:
    """Those of `others` that could be near one of `examples` and are none of them, told by their words alone.

    It saves making the vectors of thousands of questions that have nothing to do with these.
    """
    keys = list(dict.fromkeys(map(key, examples)))
    about = [frozenset(Asked.of(asks).stems) for asks in keys]
    places: dict[str, list[int]] = {}
    for place, stems in enumerate(about):
        for one in stems:
            places.setdefault(one, []).append(place)
    known = set(keys)
    return [other for other in others if key(other) not in known and _may_be_near(other, keys, places)]


def _may_be_near(other: Example, keys: Sequence[str], places: Mapping[str, Sequence[int]]) -> bool:
    stems = frozenset(Asked.of(key(other)).stems)
    shared = Counter(place for one in stems for place in places.get(one, ()))
    if shared and max(shared.values()) >= SHARED * len(stems):
        return True
    return process.extractOne(key(other), keys, scorer=fuzz.ratio, score_cutoff=SPELLED_NEAR) is not None


def disagreement(one: str, other: str, similar: float) -> str:
    """In what two answers to one question differ, or "". `similar` is their cosine, which Devanagari goes without."""
    first, second = _numbers(one), _numbers(other)
    if first and second and not (first <= second or second <= first):
        return "different numbers"
    if {_opening(one), _opening(other)} == {"yes", "no"}:
        return "yes and no"
    shared = _shared(one, other)
    if shared >= MOSTLY and bool(_denials(one)) != bool(_denials(other)):
        return "one denies what the other says"
    if shared < ALIKE and (_is_devanagari(one) or _is_devanagari(other) or similar < ALIKE):
        return "they say different things"
    return ""


def stems_of(text: str) -> frozenset[str]:
    """The stems of the words that say something."""
    return frozenset(stem(word) for word in words(text) if word not in _SAY_NOTHING)


def _singular(word: str) -> str:
    """No more than the plural is taken off: by their stems precipitation and a precipitate are one thing."""
    bare = word.removesuffix("'s")
    if len(bare) > 3 and bare.endswith("ies"):
        return bare[:-3] + "y"
    return bare[:-1] if len(bare) > 3 and bare.endswith("s") and not bare.endswith(("ss", "us", "is")) else bare


def _shared(one: str, other: str) -> float:
    """Share of the words of the shorter text that the longer has too, 0 to 1."""
    fewer, more = sorted((stems_of(one), stems_of(other)), key=len)
    return len(fewer & more) / len(fewer) if fewer else 0.0


def _opening(text: str) -> str:
    first = next(iter(words(text)), "")
    return "yes" if first in _YES else "no" if first in _NO else ""


def _denials(text: str) -> int:
    return negations(text) + sum(word in _NOT_IN_HINDI for word in words(text))


def _numbers(text: str) -> frozenset[float]:
    """The numbers of a text by value, whatever their digits: 100, 100.0 and १०० are one."""
    return frozenset(float(number) for number in numbers(_ONE.sub(" ", text)))


def _is_devanagari(text: str) -> bool:
    said = words(text)
    return 2 * sum(map(is_devanagari, said)) > len(said)


def _is_within(fewer: Sequence[str], more: Sequence[str]) -> bool:
    rest = iter(more)
    return all(word in rest for word in fewer)
