"""What a question asks, read off its words: its way of asking, its quantities, its denials, and what it is about."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from rag.embed import packaged
from rag.glossary import HINDI, LONGEST, Glossary
from rag.phonetic import is_devanagari, key
from rag.same import asking, lexicon, quantities
from rag.same.asking import EXAMPLE, NAMED
from rag.same.forms import base, plain
from rag.same.lexicon import ASKING, BEFORE, BEHIND, NEGATIONS, POINTING, SILENT, Tables
from rag.same.quantities import Quantities
from rag.words import ASKING_WORDS, FUNCTION_WORDS, words
from rag.words import lexicon as words_of

SHORTEST_HEARD = 3  # letters of a phonetic key that says enough to find a word by
_MARKS = re.compile(r"[?!।॥;:\"“”]|[.,](?=\s|$)(?<!\d,)")
_POSSESSIVE = re.compile(r"['’]s?\b")


@dataclass(frozen=True, slots=True)
class Word:
    """A word that says what a question is about. `forms` are what it may stand for, its own first.

    `role` is what it is to the others ("from", "to", "by", "on" ...), "" where nothing says so; `known` whether it is a
    word, not a slip; `hindi` whether it was read by way of the glossary.
    """

    said: str
    forms: frozenset[str]
    first: str
    role: str
    known: bool
    hindi: bool


@dataclass(frozen=True, slots=True)
class Asked:
    """A question as read. `alone` is False where it only makes sense after an earlier one."""

    text: str
    ways: frozenset[str]
    quantities: Quantities
    denials: int
    words: tuple[Word, ...]
    hindi: bool
    alone: bool


class Reader:
    """Reads questions with a glossary and tables. `is_word` tells English words from slips and from other languages."""

    def __init__(self, glossary: Glossary, tables: Tables, is_word: Callable[[str], bool]) -> None:
        self._glossary = glossary
        self._tables = tables
        self._is_word = is_word
        self._longest_phrase = max(map(len, tables.phrases), default=0)
        self._alike = {base(other): base(word) for other, word in tables.alike.items()}
        self._whole = {  # words that only their endings tell apart, such as precipitate and precipitation
            word for word, others in tables.apart.items() if any(base(word) == base(other) for other in others)
        }
        self.apart = {
            self._form(word): frozenset(map(self._form, others)) for word, others in tables.apart.items()
        }  # by form

    @classmethod
    def load(cls, glossary: Path, tables: Path) -> Reader:
        """From their folders; the English words are those of the packaged embedding model. OSError, ValueError."""
        made = Tables.load(tables)
        known = set((packaged() / "vocab.txt").read_text(encoding="utf-8").splitlines())
        for line in (glossary / HINDI).read_text(encoding="utf-8").splitlines():
            known.update(words(line.partition("\t")[0]))
        known.update(made.alike, made.alike.values(), *made.phrases.values())
        return cls(Glossary.load(glossary), made, known.__contains__)

    @property
    def tables(self) -> Tables:
        return self._tables

    def read(self, text: str) -> Asked:
        """Never fails: what is not understood is kept as it stands."""
        written = _BIG_G.sub("universal gravitational constant", unicodedata.normalize("NFC", text))
        folded = written.casefold()
        quoted = frozenset(_QUOTED.findall(folded))
        if not text.istitle():
            quoted |= {symbol.casefold() for symbol in _SYMBOL.findall(text)}
        said = self._written_out(_POSSESSIVE.sub("", folded))
        hindi = self._is_hindi(words(said))
        measured, rest = quantities.read(_counted(said, hindi=hindi))
        asked = self._phrased([word for word in words(rest) if word not in measured.letters])
        if asked[-1:] == ["mean"] and asked[:2] in (["what", "do"], ["what", "does"]):
            asked.pop()
        if asked[:1] == ["what"] and asked[-1] == "do":
            asked[-1] = "function"  # "what does the nucleus do"
        if asked[1:] and asked[-1] == "no":
            asked[-1] = "number"  # "rational no"
        ways = asking.ways(asked, hindi=hindi)
        about = _by_modifiers(tuple(self._about(asked, hindi, quoted)))
        if EXAMPLE in ways and measured.numbers:  # "give three examples of" is "name three"
            ways = ways - {EXAMPLE} or frozenset({NAMED})
            about = tuple(word for word in about if EXAMPLE[:-1] not in word.forms)
        pointing = any(word in POINTING for word in asked if word not in quoted)
        some = bool(about or measured.formulas or len(measured.numbers) > 1)
        denials = sum(word in NEGATIONS or word.endswith("n't") for word in asked if word not in quoted)
        return Asked(text, ways, measured, denials, about, hindi, some and not pointing)

    def _written_out(self, text: str) -> str:
        """Shorthand in full, word by word; everything else as it stands."""
        pieces = _MARKS.sub(" ", text).split()
        before, behind = ["", *pieces], [*pieces[1:], ""]
        units = [  # 5 cm is no chief minister, but 12 n 18 is 12 and 18
            piece in quantities.UNITS and before[n][-1:].isdigit() and not (piece == "n" and behind[n][:1].isdigit())
            for n, piece in enumerate(pieces)
        ]
        return " ".join(
            piece if unit else self._glossary.meant(piece) for piece, unit in zip(pieces, units, strict=True)
        )

    def _is_hindi(self, said: Sequence[str]) -> bool:
        if any(is_devanagari(word) for word in said):
            return True
        english, small = FUNCTION_WORDS | ASKING_WORDS, self._glossary.is_small_word
        hindi = [word for word in said if word in _HINDI or (word not in english and small(word))]
        return bool(hindi) and not (said and said[0] in _ENGLISH_OPENING)

    def _phrased(self, said: list[str]) -> list[str]:
        """The words with each phrase taken for what it means, the longest first, from left to right."""
        phrases, longest = self._tables.phrases, self._longest_phrase
        taken: list[str] = []
        place = 0
        while place < len(said):
            for length in range(min(longest, len(said) - place), 0, -1):
                phrase = tuple(said[place : place + length])
                if phrase in phrases:
                    taken += phrases[phrase]
                    place += length
                    break
            else:
                taken.append(said[place])
                place += 1
        return taken

    def _about(self, asked: Sequence[str], hindi: bool, quoted: frozenset[str]) -> Iterator[Word]:
        place, role = 0, ""
        while place < len(asked):
            length, meanings = self._longest(asked, place) if hindi else (1, ())
            written = " ".join(asked[place : place + length])
            behind = asked[place + length] if place + length < len(asked) else ""
            silent = written not in quoted and (written in SILENT or written in NEGATIONS or written in ASKING)
            if length == 1 and (silent or (place == 0 and written in lexicon.IMPERATIVE)):
                role = "" if hindi else BEFORE.get(written, role if written in _ARTICLES else "")
            else:
                yield from self._made(written, meanings, BEHIND.get(behind, "") if hindi else role, hindi)
            place += length

    def _longest(self, asked: Sequence[str], place: int) -> tuple[int, tuple[str, ...]]:
        """How many words are read together from here, and what they mean in English."""
        for length in range(min(LONGEST, len(asked) - place), 0, -1):
            pieces = asked[place : place + length]
            if length > 1 and any(piece in SILENT or piece in ASKING for piece in (pieces[0], pieces[-1])):
                continue
            written = " ".join(pieces)
            known = length == 1 and not is_devanagari(written) and self._is_word(written)
            heard = not known and all(len(key(piece)) >= SHORTEST_HEARD for piece in pieces)
            meanings = self._glossary.meanings(written, by_sound=heard)
            if meanings and (length == 1 or not self._loses(pieces, meanings[0])):
                return length, meanings
        return 1, ()

    def _loses(self, pieces: Sequence[str], meaning: str) -> bool:
        """Whether a term of several words means no more than one of them: northern hemisphere would be hemisphere."""
        kept = {self._form(word) for word in words(meaning.lower())}
        return any(
            kept <= {self._form(word) for own in self._glossary.meanings(piece) for word in words(own.lower())}
            for piece in pieces
        )

    def _made(self, written: str, meanings: tuple[str, ...], role: str, hindi: bool) -> Iterator[Word]:
        if not meanings:
            known = self._is_word(written) or self._is_word(plain(written))
            form = self._form(written)
            yield Word(written, frozenset({form, "~" + key(written)}), form, role, known, is_devanagari(written))
            return
        spoken = [self._phrased(words(meaning.lower())) for meaning in meanings]
        meant = [[word for word in one if word not in SILENT] for one in spoken]
        if not meant[0] and not is_devanagari(written) and self._is_word(written):
            meant[0] = [written]  # an English word after all
        single = [one[0] for one in meant if len(one) == 1]
        if not single or " " in written:
            for number, word in enumerate(meant[0], start=1):
                form = self._form(word)
                yield Word(word, frozenset({form}), form, role if number == len(meant[0]) else "", True, True)
            return
        if not is_devanagari(written) and self._is_word(written):
            single.append(written)
        if single:
            forms = [self._form(word) for word in single]
            heard = ["~" + key(written)] if len(key(written)) >= SHORTEST_HEARD else []
            yield Word(written, frozenset([*forms, *heard]), forms[0], role, True, True)

    def _form(self, word: str) -> str:
        """The base form of an English word, or of the one that stands for it: "emitted" is "release"."""
        bare = plain(word)
        if bare in self._whole:
            return bare
        for spelled in (word, bare):
            if spelled in self._tables.alike:
                return base(self._tables.alike[spelled])
        form = base(word)
        return self._alike.get(form, form)


def _by_modifiers(about: tuple[Word, ...]) -> tuple[Word, ...]:
    """A word said twice is told apart by the one before it, which takes its role: active voice into passive voice."""
    often = Counter(word.first for word in about)
    made = list(about)
    for place, word in enumerate(about):
        if place and often[word.first] > 1:
            made[place] = replace(word, role="")
            made[place - 1] = replace(made[place - 1], role=word.role or made[place - 1].role)
    return tuple(made)


def _counted(text: str, *, hindi: bool) -> str:
    """Number words as digits. Hindi's two is also its "give", and its first its "before": they count what follows."""
    said = text.split()
    counted: list[str] = []
    for place, word in enumerate(said):
        behind = said[place + 1] if place + 1 < len(said) else ""
        last = not behind or behind in BEHIND or behind in lexicon.IS
        counts = word not in lexicon.AMBIGUOUS or (hindi and not last and said[place - 1] not in lexicon.SINCE)
        number = lexicon.CARDINALS.get(word) or lexicon.ORDINALS.get(word)
        counted.append(number if number and counts else word)
    return " ".join(counted)


_ARTICLES = frozenset({"a", "an", "the"})
_QUOTED = re.compile(r"[\"“'‘](\w{1,12})[\"”'’]")
_SYMBOL = re.compile(r"(?<=[a-z] )(?:In|As|At|He|No|Be|A)\b")  # an element, a vitamin: no word of grammar
_BIG_G = re.compile(r"(?<=[a-z] )G\b")  # in physics it is not g
_HINDI = words_of(
    "kya hai hain ka ki ke ko se mein kaise kese kyon kyun kyu aur hota hoti hote kab kahan kaun kisne kitna kitne "
    "kitni batao karo nikalo samjhao kise kisko nahi tha thi"
)
_ENGLISH_OPENING = words_of("what which who when where why how is are define explain name find")
