"""Text as extracted, mended; and whether it is text at all.

Hindi books of the 1990s and 2000s were set in fonts that draw Devanagari over the codes of Latin letters (Kruti Dev,
Chanakya, Walkman ...): extracted, they read "fgUnh esa". Such text must never be indexed; it is recognised by the
font's name and by the text itself, and read by OCR instead.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from enum import StrEnum

from rag.words import FUNCTION_WORDS, lexicon, words

LIGATURES = str.maketrans(
    {
        "ﬀ": "ff", "ﬁ": "fi", "ﬂ": "fl", "ﬃ": "ffi", "ﬄ": "ffl", "ﬅ": "st", "ﬆ": "st",
        "\u00a0": " ", "\u00ad": "", "\ufeff": "",
    }
)  # fmt: skip
# NFKC would also turn x² into x2, so only what is listed is mended.
_CONTROLS = re.compile(
    r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\u200b\u200e\u200f\u202a-\u202e\u2060\u2066-\u2069\ud800-\udfff\ufffe\uffff]"
)
_LEGACY_FONT = re.compile(
    r"(?<![a-z])(?:kruti|devlys|chanakya|walkman|shusha|shivaji|4cgandhi|aps-?dv|dv-?ttyogesh|akruti|narad|richa|agra|"
    r"aarti|bhaskar)",
    re.IGNORECASE,
)
_DEVANAGARI = re.compile(r"[\u0900-\u097f]")
_LATIN = re.compile(r"[A-Za-z]")
# A vowel sign that follows no consonant tells that the text was stored as drawn and not as spelled. (A virama at the
# end of a word does not: अर्थात्, and half of Sanskrit.)
_ORPHAN = re.compile(r"(?:^|[\s।,.])[\u093e-\u094d\u0900-\u0903]|[\u093e-\u094d][\u093e-\u094c]|\u25cc")
# The commonest words of Hindi as Kruti Dev and its kin spell them, and as Shusha and Chanakya do.
_LEGACY_WORDS = lexicon(
    "gS gSa gSA gSaA esa ds dh dk dks ls vkSj ;g ,d ugha fd Hkh ij gks gksrk gksrh gksrs Fkk Fkh Fks FkkA bl dj fd;k "
    "tks rks gh og fy, x;k vius ;s lkFk tkrk rFkk ;k }kjk dqN tc lHkh cgqr jgk nks dgk djrs gqvk vki eSa D;k gekjs "
    "hO hOM maoM AaOr nahIM ãñ ãñ´ ãñÐ ×ð´ ·ð¤ ·¤è ·¤æ ·¤æð âð ¥õÚU ¥æñÚ Øã °·¤ Ùãè´"
)
FEWEST_LEGACY_WORDS, LEGACY_WORDS = 3, 0.05  # different ones; and the share of all words that they must have
_ODD_INSIDE = re.compile(r"[A-Za-z][;+=~@#\[\]{}|^<>$\\£¥§¶][A-Za-z]|[A-Z][a-z]+[A-Z]|\b[a-z]+[A-Z]|[¡-¿×][¤À-ÿ]")
ENOUGH_WORDS = 25
# What is asked of a page without those words, such as a glossary. Legacy text has few English function words (running
# English has 0.25 to 0.5 of its words) and many words with a sign or a capital inside; but so have formulas and
# programs. What these lack is a letter for the vowel sign ा, the commonest of all: k in Kruti Dev, æ in Chanakya.
SMALL_WORDS, ODD_WORDS, VOWEL_SIGNS = 0.10, 0.15, 0.07
SMALL_WORDS_NAMED, ODD_WORDS_NAMED = 0.15, 0.03  # where a font's name says the same
BROKEN = 0.04  # share of Devanagari words that are misspelled as no Hindi word can be
ALL_HINDI = 0.5

SUPERSCRIPTS = str.maketrans("0123456789+-−=()n", "⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻⁻⁼⁽⁾ⁿ")
SUBSCRIPTS = str.maketrans("0123456789+-−=()", "₀₁₂₃₄₅₆₇₈₉₊₋₋₌₍₎")


class Kind(StrEnum):
    """What extracted text is."""

    TEXT = "text"
    EMPTY = "empty"
    LEGACY = "legacy"  # Devanagari drawn over Latin codes
    BROKEN = "broken"  # Devanagari in the order of drawing


def mended(text: str) -> str:
    """`text` with ligatures opened, control and invisible marks gone, and Devanagari in its composed form."""
    return unicodedata.normalize("NFC", _CONTROLS.sub("", text.translate(LIGATURES)))


def raised(text: str) -> str | None:
    """`text` as superscript characters; None when Unicode lacks one of them."""
    return _shifted(text, SUPERSCRIPTS)


def lowered(text: str) -> str | None:
    """`text` as subscript characters; None when Unicode lacks one of them."""
    return _shifted(text, SUBSCRIPTS)


def kind(text: str, fonts: frozenset[str] = frozenset()) -> Kind:
    """What a page's text is; `fonts` are the names of the fonts it is set in, where they are known."""
    if not any(character.isalnum() for character in text):
        return Kind.EMPTY
    hindi = [word for word in text.split() if _DEVANAGARI.search(word)]
    if sum(_ORPHAN.search(word) is not None for word in hindi) > max(2.0, BROKEN * len(hindi)):
        return Kind.BROKEN
    others = [word for word in text.split() if not _DEVANAGARI.search(word)]
    named = any(_LEGACY_FONT.search(font) for font in fonts)
    return Kind.LEGACY if others and _is_legacy(others, named) else Kind.TEXT


def _is_legacy(tokens: Sequence[str], named: bool) -> bool:
    telling = [token for token in tokens if token in _LEGACY_WORDS]
    if len(set(telling)) >= FEWEST_LEGACY_WORDS and len(telling) > LEGACY_WORDS * len(tokens):
        return True
    text = " ".join(tokens)
    found = words(text)
    small = sum(word in FUNCTION_WORDS for word in found) / max(1, len(found))
    odd = sum(_ODD_INSIDE.search(token) is not None for token in tokens) / len(tokens)
    if named:
        return small < SMALL_WORDS_NAMED and odd > ODD_WORDS_NAMED
    vowel_signs = sum(letter in "kæ" for letter in text) / max(1, sum(map(str.isalpha, text)))
    return len(found) >= ENOUGH_WORDS and small < SMALL_WORDS and odd > ODD_WORDS and vowel_signs > VOWEL_SIGNS


def language(text: str) -> str:
    """hi where most letters are Devanagari, else en."""
    hindi, latin = len(_DEVANAGARI.findall(text)), len(_LATIN.findall(text))
    return "hi" if hindi > ALL_HINDI * (hindi + latin) else "en"


def _shifted(text: str, table: dict[int, int]) -> str | None:
    return text.translate(table) if text and all(ord(letter) in table for letter in text) else None
