"""Hindi school words in English, for books and embedding models that know only English.

Two sources: a shipped table, and the key terms of the books themselves, which carry their Hindi names in brackets:
"Evaporation (वाष्पीकरण, vashpikaran): The change ..." or, in a Hindi book, "वाष्पीकरण (Evaporation, vashpikaran): ...".
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from rag.passage import Passage
from rag.phonetic import is_devanagari, key
from rag.words import ASKING_WORDS, FUNCTION_WORDS, words

HINDI = "hindi-english.tsv"  # English, Devanagari forms, Latin forms; forms apart by commas
EVERYDAY = "everyday.tsv"  # the same for everyday words; a Latin form after "!" is an English word as well
SHORTHAND = "shorthand.tsv"  # what students type, what they mean
LONGEST = 4  # words in a term
_SAME = {0x0901: 0x0902, 0x093C: None}
_KEY_TERM = re.compile(r"^(?P<term>[^():]{2,60}) \((?P<forms>[^()]{2,120})\)\s*:")


class Glossary:
    """Looks up words and terms of several words. Later additions never replace earlier ones: all meanings are kept."""

    def __init__(
        self, entries: Iterable[tuple[str, Iterable[str]]] = (), shorthand: Mapping[str, str] | None = None
    ) -> None:
        self._spelled: dict[str, list[str]] = {}
        self._sounding: dict[str, list[str]] = {}
        self._shorthand = dict(shorthand or {})
        for english, forms in entries:
            self.add(english, forms)

    @classmethod
    def load(cls, folder: Path, *tables: str) -> Glossary:
        """Read tables of `folder`, HINDI unless told. Raises OSError, and ValueError naming a malformed line."""
        entries = [
            (english, [form.strip() for form in f"{hindi},{latin}".split(",")])
            for table in tables or (HINDI,)
            for english, hindi, latin in _rows(folder / table, 3)
        ]
        return cls(entries, {row[0]: row[1] for row in _rows(folder / SHORTHAND, 2)})

    def with_key_terms(self, passages: Iterable[Passage]) -> Glossary:
        """This glossary and the key terms of the books. The more particular meaning, the books', comes first."""
        made = Glossary(_key_terms(passages), self._shorthand)
        for mine, theirs in ((made._spelled, self._spelled), (made._sounding, self._sounding)):
            for form, meanings in theirs.items():
                mine.setdefault(form, []).extend(m for m in meanings if m not in mine[form])
        return made

    def add(self, english: str, forms: Iterable[str]) -> None:
        """Let each of `forms` (Devanagari or Latin) mean `english`."""
        for form in forms:
            spelled = " ".join(words(form))
            if not spelled:
                continue
            for table, entry in ((self._spelled, _plain(spelled)), (self._sounding, _sounding(spelled))):
                meanings = table.setdefault(entry, [])
                if english not in meanings:
                    meanings.append(english)

    def meanings(self, term: str, *, by_sound: bool = True) -> tuple[str, ...]:
        """What one or more words mean in English; () when the term is not known. `term` is as `words` gives it."""
        found = self._spelled.get(_plain(term))
        if found is None and by_sound:
            found = self._sounding.get(_sounding(term))
        return tuple(found or ())

    def meant(self, typed: str) -> str:
        """A word written out: "wat" is "what"; anything else stays as it is."""
        return self._shorthand.get(typed, typed)

    @staticmethod
    def ambiguous(folder: Path) -> frozenset[str]:
        """Latin forms of everyday Hindi words that are English words too: "me", "to", "main"."""
        forms = (form.strip() for _, _, latin in _rows(folder / EVERYDAY, 3) for form in latin.split(","))
        return frozenset(form.removeprefix("!").strip() for form in forms if form.startswith("!"))

    def is_small_word(self, word: str) -> bool:
        """Whether a word is grammar or asking in Hindi (hai, kya, kaise), in a spelling that the table holds."""
        return any(_is_small(meaning) for meaning in self._spelled.get(_plain(word), ()))


def _is_small(meaning: str) -> bool:
    return all(word in FUNCTION_WORDS or word in ASKING_WORDS for word in words(meaning))


def _plain(term: str) -> str:
    """One spelling where phones write several: \u0901 or \u0902 for a nasal, \u093c or nothing for a foreign sound."""
    return unicodedata.normalize("NFD", term).translate(_SAME) if is_devanagari(term) else term


def _sounding(term: str) -> str:
    return " ".join(key(word) for word in term.split())


def _key_terms(passages: Iterable[Passage]) -> Iterator[tuple[str, list[str]]]:
    for passage in passages:
        for line in passage.text.splitlines():
            found = _KEY_TERM.match(line)
            if found is None or not is_devanagari(line):
                continue
            term, forms = found["term"], [form.strip() for form in found["forms"].split(",")]
            if is_devanagari(term):
                yield forms[0], [term, *forms[1:]]
            else:
                yield term, forms


def _rows(path: Path, columns: int) -> Iterator[list[str]]:
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        if not line.strip() or line.startswith("#"):
            continue
        row = [cell.strip() for cell in line.split("\t")]
        if len(row) != columns or not all(row):
            raise ValueError(f"{path}, line {number}: expected {columns} columns apart by tabs")
        yield row
