"""What a question is about, in the words of the books: shorthand written out, slips mended, Hindi looked up.

An English embedding model is given `english`; the lexical side is given `terms`. Nothing here changes what the student
sees or what the model answers.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from rapidfuzz import process
from rapidfuzz.distance import DamerauLevenshtein

from rag.glossary import LONGEST, Glossary
from rag.phonetic import is_devanagari, key
from rag.words import ASKING_WORDS, FUNCTION_WORDS, WORD, lexicon, stem, words

SHORTEST_MENDED = 4
NEAR = 12  # words of the books that are looked at when one is mended
SHORTEST_HINDI = 3  # letters that a Hindi word in an English question has more than
SHORTEST_HEARD = 3  # letters of a phonetic key that says enough to find a word by
# What a Hindi sentence in Latin letters is held together by, where the same letters are an English word.
HINDI_FILLERS = lexicon(
    "ho hi na to ji sir madam bhi log hum ham tum aap the tha thi raha rahi rahe rha rhi rhe jata jati jate gaya gayi "
    "gaye apna apni apne wala wali wale jo jab tab wo vo koi kuch sab nahi mat"
)
LONG = 7  # letters from which two slips are allowed
# Where shorthand is none: the letters of a formula, the units of a measure, digits that count or number something.
FORMULA = frozenset("()=+^*/×÷<>²³")
MEASURES = lexicon("sq square cu cubic per in")
UNITS = lexicon("cm pm")
NUMBERED = lexicon(
    "root power class chapter question part type step example rule law page number no table unit lesson and or of is "
    "add"
)
# What in hurried English is a word only beside others: "do v need it", "v shud go"; "takes 2 reach us", "wat 4".
BEFORE_WE = lexicon("do did can could should will must are have if when why that then")
AFTER_WE = lexicon("do did can could should will must are have had need get call say see write use")
DIGITS = {"2": "to", "4": "for"}
SODIUM = re.compile(r"\bNa(?![a-z])")
UNKNOWN_HINDI = 0.3  # weight of a Hindi word that neither the glossary nor the books know


@dataclass(frozen=True, slots=True)
class Term:
    """A word that says what a question is about. `forms` are the tokens of the books that stand for it."""

    word: str
    forms: tuple[str, ...]
    weight: float = 1.0


@dataclass(frozen=True, slots=True)
class Question:
    """`english` holds the question's words as far as English has them; `is_hindi` also of Hindi in Latin letters."""

    text: str
    english: str
    is_hindi: bool
    terms: tuple[Term, ...]

    @property
    def language(self) -> str:
        """That of the books that can be read by whoever writes so: Hindi in Latin letters is for no Hindi book."""
        return "hi" if is_devanagari(self.text) else "en"


def plain(text: str) -> Question:
    """A question in English as it stands, where there is no Reader to read it."""
    return Question(text, text, is_hindi=False, terms=())


class Reader:
    """Reads questions for one set of books.

    `spelled` are their words and how often each is; `is_word` tells English words from others.
    """

    def __init__(self, glossary: Glossary, spelled: Mapping[str, int], is_word: Callable[[str], bool]) -> None:
        self._glossary = glossary
        self._spelled = spelled
        self._stems = frozenset(stem(word) for word in spelled if not is_devanagari(word))
        self._sounds: dict[str, set[str]] = {}
        for word in spelled:
            if not any(letter.isdigit() for letter in word):  # "2m" is not heard as "mam"
                self._sounds.setdefault(key(word), set()).add(word)
        self._mendable = [
            word for word in spelled if len(word) >= SHORTEST_MENDED and word.isascii() and word.isalpha()
        ]
        self._is_word = is_word

    def read(self, text: str) -> Question:
        """Never fails: what is not understood is kept as it stands."""
        asked = self._written_out(text)
        is_hindi = self._is_hindi(asked)
        if not is_hindi and SODIUM.search(text) is None:
            asked = [word for word in asked if word != "na"]  # "..., na?" asks to agree
        english: list[str] = []
        terms: list[Term] = []
        for written, meanings in self._grouped(asked, is_hindi):
            shown, term = self._resolve(written, meanings, is_hindi)
            english.append(shown)
            if term is not None:
                terms.append(term)
        distinct = {term.forms: term for term in terms}
        changed = is_hindi or english != words(text)
        rendered = " ".join(filter(None, english)) if changed else text
        return Question(text, rendered or text, is_hindi, tuple(distinct.values()))

    def _written_out(self, text: str) -> list[str]:
        """The question's words, shorthand written out where it is some: not the y of (x, y), nor the cm of 5 cm."""
        lowered, typed = text.lower(), words(text)
        meant = [self._glossary.meant(word) for word in typed]
        hurried = meant != typed
        asked: list[str] = []
        for place, match in enumerate(WORD.finditer(lowered)):
            word, before, after = typed[place], "".join(meant[:place][-1:]), "".join(meant[place + 1 : place + 2])
            around = lowered[: match.start()].rstrip()[-1:] + lowered[match.end() :].lstrip()[:1]
            if (len(word) == 1 and not FORMULA.isdisjoint(around)) or (
                word in UNITS and (before.isdigit() or before in MEASURES)
            ):
                asked.append(word)
            elif hurried and word == "v" and (before in BEFORE_WE or after in AFTER_WE):
                asked.append("we")
            elif (
                (hurried or before == "how")
                and word in DIGITS
                and before.isalpha()
                and before not in NUMBERED
                and after.isalpha()
            ):
                asked.append(DIGITS[word])
            else:
                asked += words(meant[place])
        return asked

    def _is_hindi(self, asked: list[str]) -> bool:
        if any(is_devanagari(word) for word in asked):
            return True
        return any(self._glossary.is_small_word(word) and not self._is_english(word) for word in asked)

    def _is_english(self, word: str) -> bool:
        return word in FUNCTION_WORDS - _HINDI_FUNCTION or word in ASKING_WORDS

    def _grouped(self, asked: list[str], is_hindi: bool) -> Iterator[tuple[str, tuple[str, ...]]]:
        """The question's words, terms of several words together, with their meanings: the longest known term first."""
        place = 0
        while place < len(asked):
            for length in range(min(LONGEST, len(asked) - place), 0, -1):
                written = " ".join(asked[place : place + length])
                meanings = self._meanings(written, length, is_hindi)
                if meanings or length == 1:
                    yield written, meanings
                    place += length
                    break

    def _meanings(self, written: str, length: int, is_hindi: bool) -> tuple[str, ...]:
        devanagari = is_devanagari(written)
        if length == 1 and not devanagari and (not is_hindi or self._is_english(written)):
            # An English question: a Hindi word in it is taken as it is spelled. By ear, every slip would be one.
            unknown = len(written) > SHORTEST_HINDI and not self._is_known(written)
            return self._glossary.meanings(written, by_sound=False) if unknown else ()
        if is_hindi and not devanagari and written in HINDI_FILLERS:
            return ()
        sounds = devanagari or length > 1 or not self._is_known(written)
        heard = all(len(key(word)) >= SHORTEST_HEARD for word in written.split())
        return self._glossary.meanings(written, by_sound=sounds and heard and (length == 1 or is_hindi))

    def _is_known(self, written: str) -> bool:
        """Whether a word in Latin letters is one of the books or of English, also in another form of it."""
        inflected = stem(written) != written and stem(written) in self._stems
        return written in FUNCTION_WORDS or written in self._spelled or inflected or self._is_word(written)

    def _resolve(self, written: str, meanings: tuple[str, ...], is_hindi: bool) -> tuple[str, Term | None]:
        """What a word becomes in the English text, and its Term if it has one."""
        if meanings:
            meant = [word for word in words(" ".join(meanings)) if _carries(word)]
            if not meant:
                return meanings[0], None
            tokens = [stem(word) for word in meant] + ["~" + key(word) for word in written.split()]
            return meanings[0], Term(written, tuple(dict.fromkeys(tokens)))
        if not _carries(written):
            return written, None
        if is_hindi and written in HINDI_FILLERS:
            return "", None
        if is_devanagari(written):
            return self._by_sound(written, is_hindi)
        if self._is_known(written) or not written.isalpha():
            if not written.isalpha() and stem(written) not in self._stems:
                return written, None
            by_ear = ("~" + key(written),) if is_hindi and written.isalpha() else ()
            return written, Term(written, (stem(written), *by_ear))
        mended = self._mend(written)
        if mended is not None:
            return mended, Term(written, (stem(mended),))
        return self._by_sound(written, is_hindi)

    def _by_sound(self, written: str, is_hindi: bool) -> tuple[str, Term | None]:
        """A word found by ear: in a Hindi book, or an English word in Devanagari."""
        alike = sorted(self._sounds.get(key(written), ()))
        latin = [word for word in alike if not is_devanagari(word)]
        forms = dict.fromkeys(["~" + key(written), *(stem(word) for word in latin), stem(written)])
        weight = 1.0 if alike or not is_hindi else UNKNOWN_HINDI
        shown = latin[0] if latin else "" if is_devanagari(written) else written
        return shown, Term(written, tuple(forms), weight)

    def _mend(self, written: str) -> str | None:
        """The word of the books that was probably meant."""
        for whole in _unclipped(written):
            if whole in self._spelled:
                return whole
        if len(written) < SHORTEST_MENDED:
            return None
        slips = 2 if len(written) >= LONG else 1
        near = process.extract(
            written, self._mendable, scorer=DamerauLevenshtein.distance, score_cutoff=slips, limit=NEAR
        )
        slipped = [word for word, _, _ in near if word[0] == written[0]]
        alike = [word for word in self._sounds.get(key(written), ()) if not is_devanagari(word)]

        def likeness(word: str) -> tuple[int, bool, int, str]:
            return DamerauLevenshtein.distance(word, written), word not in alike, -self._spelled[word], word

        return min([*slipped, *alike], key=likeness, default=None)


_HINDI_FUNCTION = lexicon("kya hai hain ka ki ke ko se mein hota hoti hote kaise kyon kyun aur ye yeh woh")


def _unclipped(written: str) -> Iterator[str]:
    """What a clipped word may be: "meltin" of melting, "xperiment" of experiment."""
    if written.endswith("in"):
        yield written + "g"
    if written.startswith("x"):
        yield "e" + written


def _carries(word: str) -> bool:
    return word not in FUNCTION_WORDS and word not in ASKING_WORDS
