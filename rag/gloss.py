"""A Hindi message word by word in English, for a model that reads English only.

It is no translation: the order stays Hindi's and much is lost. But "papa roz mujhe maarte hain" becomes "papa daily me
hit is", which an English model that was trained on such lines understands, and पापा रोज़ मुझे मारते हैं becomes the same.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable
from pathlib import Path

from rag.glossary import EVERYDAY, HINDI, LONGEST, Glossary
from rag.phonetic import is_devanagari, key
from rag.romanise import evened, romanised

HINDI_SHARE = 0.34  # of a message's words, from which on it is Hindi
SHORTEST_HEARD = 3  # letters of a phonetic key that says enough to find a word by

_PIECE = re.compile(r"[\w\u0900-\u0963\u0966-\u097f']+|[^\w\s]")  # the danda (\u0964) ends a sentence, it is no letter


class Gloss:
    """Reads messages with a glossary. `is_word` tells English words from others; those of `ambiguous` are both."""

    def __init__(
        self, glossary: Glossary, is_word: Callable[[str], bool], ambiguous: frozenset[str] = frozenset()
    ) -> None:
        self._glossary = glossary
        self._is_word = is_word
        self._ambiguous = ambiguous

    @classmethod
    def load(cls, folder: Path, is_word: Callable[[str], bool]) -> Gloss:
        """With the tables of `folder`, everyday meanings first. Raises OSError or ValueError."""
        return cls(Glossary.load(folder, EVERYDAY, HINDI), is_word, Glossary.ambiguous(folder))

    def english(self, text: str) -> str:
        """The message as English as it can be made; an English one comes back with its shorthand written out."""
        pieces = [self._glossary.meant(piece) for piece in _PIECE.findall(unicodedata.normalize("NFC", text.lower()))]
        if not self._is_hindi(pieces):
            return " ".join(pieces)
        said: list[str] = []
        place = 0
        while place < len(pieces):
            length, meaning = self._longest(pieces, place)
            said.append(meaning)
            place += length
        return " ".join(said)

    def spelled(self, text: str) -> str:
        """The message as it sounds, in Latin letters and small ones."""
        return " ".join(map(evened, _PIECE.findall(unicodedata.normalize("NFC", text.lower()))))

    def _is_hindi(self, pieces: list[str]) -> bool:
        if any(is_devanagari(piece) for piece in pieces):
            return True
        written = [piece for piece in pieces if piece[0].isalpha()]
        hindi = sum(self._is_hindi_word(piece) for piece in written)
        return hindi > 0 and hindi >= HINDI_SHARE * len(written)

    def _is_hindi_word(self, word: str) -> bool:
        return word not in self._ambiguous and bool(self._glossary.meanings(word, by_sound=False))

    def _longest(self, pieces: list[str], place: int) -> tuple[int, str]:
        """How many pieces are read together from here, and what they mean."""
        for length in range(min(LONGEST, len(pieces) - place), 0, -1):
            written = " ".join(pieces[place : place + length])
            if meanings := self._glossary.meanings(written, by_sound=self._heard(written, length)):
                return length, meanings[0].lower()
        piece = pieces[place]
        return 1, romanised(piece) if is_devanagari(piece) else piece

    def _heard(self, written: str, length: int) -> bool:
        """Whether it may be looked up by ear: not what is an English word, nor what is too short to tell."""
        if not is_devanagari(written) and (length > 1 or self._is_word(written)):
            return False
        return all(len(key(word)) >= SHORTEST_HEARD for word in written.split())
