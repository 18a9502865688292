"""Brings texts to one form for comparing, never for showing: "Ｈéllo, हिन्दी!" and "hello हिंदी" are the same words.

A folded text is a run of lower-case words separated by single spaces, with `STOP` for the end of a sentence. Whatever
is compared with a folded text goes through the same functions.
"""

from __future__ import annotations

import re
import unicodedata

STOP = "."

# Letters of other alphabets, and of typographic ones, that look like Latin ones.
_LOOKALIKES = str.maketrans(
    {
        **dict(zip("абвгеёзіїјкмнорсԁѕтухһԛԝցӏь", "abbreeziijkmhopcdstyxhqwglb", strict=True)),
        **dict(zip("αβγδεζηικλμνορστυχω", "abydezniklmvopotuxw", strict=True)),
        **dict(zip("ɑɡɩıⅼօսոհƅƽℓ", "agiilounhbsl", strict=True)),
        **dict(zip("ᴀʙᴄᴅᴇғɢʜɪᴊᴋʟᴍɴᴏᴘʀꜱᴛᴜᴠᴡʏᴢ", "abcdefghijklmnoprstuvwyz", strict=True)),
        **{chr(0x1F170 + n): chr(97 + n) for n in range(26)},  # white letters on black squares
        **{chr(0x1F1E6 + n): chr(97 + n) for n in range(26)},  # the letters that flags are made of
    }
)

_BLANKS = frozenset("\u115f\u1160\u3164\uffa0\u2800\u034f\u17b4\u17b5")  # letters and marks that show nothing
_APOSTROPHES = re.compile(r"['’‘`´]")
_BRACKETED_LETTER = re.compile(r"[(\[{](\w)[)\]}]")
_SENTENCE_END = re.compile(r"[.?!](?=\s|$)|[।॥]")
_NASAL_BEFORE_CONSONANT = re.compile("[ङञणनम]्(?=[क-ह])")


def clean(text: str) -> str:
    """NFKC without invisible, bidirectional and control characters; line breaks and case are kept."""
    composed = unicodedata.normalize("NFKC", text)
    return "".join(c for c in composed if c in "\n\t" or not _invisible(c))


def _invisible(c: str) -> bool:
    return unicodedata.category(c)[0] == "C" or c in _BLANKS or "\ufe00" <= c <= "\ufe0f"


def latin(text: str) -> str:
    """A text in lower case with its look-alike letters made Latin, and nothing else of it changed."""
    return text.casefold().translate(_LOOKALIKES)


def words(text: str) -> str:
    """The folded form."""
    return split(letters(text))


def letters(text: str) -> str:
    """The first half of folding: lower case, look-alikes made Latin, no accents, Devanagari spelt one way."""
    lowered = latin(clean(text))
    lowered = _BRACKETED_LETTER.sub(r"\1", _APOSTROPHES.sub("", lowered))
    return _devanagari(_without_accents(lowered))


def split(folded: str) -> str:
    """The second half: punctuation goes, words stay, and with them Devanagari's vowel signs."""
    marked = _SENTENCE_END.sub(f" {STOP} ", folded)
    kept = "".join(c if unicodedata.category(c)[0] in "LMN" or c == STOP else " " for c in marked)
    return " ".join(" ".join(token if token == STOP else token.replace(STOP, " ") for token in kept.split()).split())


def _without_accents(text: str) -> str:
    if text.isascii():
        return text
    decomposed = unicodedata.normalize("NFD", text)
    return unicodedata.normalize("NFC", "".join(c for c in decomposed if not "\u0300" <= c <= "\u036f"))


def _devanagari(text: str) -> str:
    """One spelling for what is written in several: nukta dropped, nasal signs made one, vowel length kept."""
    if text.isascii():
        return text
    text = unicodedata.normalize("NFD", text).replace("\u093c", "").replace("ँ", "ं")
    return _NASAL_BEFORE_CONSONANT.sub("ं", text)
