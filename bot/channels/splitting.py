"""Cuts a long reply into parts a provider accepts."""

from __future__ import annotations

import re
import unicodedata
from bisect import bisect_right
from collections.abc import Callable

Measure = Callable[[str], int]

# Places to cut, best first. A full stop after a digit ends no sentence here: it may number a list ("1. Boil water").
_PARAGRAPH = re.compile(r"(?=\n\s*\n)")
_LINE = re.compile(r"(?=\n)")
_SENTENCE = re.compile(r"(?:(?<=[!?।॥…])|(?<=\D\.))[\"'”’)\]]{0,3}(?=\s)")
_WORD = re.compile(r"(?=\s)")

_JOINER = "\u200d"
_VIRAMAS = frozenset(
    "\u094d\u09cd\u0a4d\u0acd\u0b4d\u0bcd\u0c4d\u0ccd\u0d4d"
)  # in Indian scripts a virama joins the consonant after it


def code_units(text: str) -> int:
    """Length in UTF-16 code units, as Telegram counts."""
    return len(text) + sum(character > "\uffff" for character in text)


def split(text: str, limit: int, measure: Measure = len) -> list[str]:
    """Parts of at most `limit` by `measure`, in order; only white space is lost, at the cuts.

    Raises ValueError when not even one character fits.
    """
    parts: list[str] = []
    rest = text.strip()
    while rest:
        room = _fitting(rest, limit, measure)
        cut = len(rest) if room == len(rest) else _cut(rest, room)
        parts.append(rest[:cut].rstrip())
        rest = rest[cut:].lstrip()
    return parts


def _fitting(text: str, limit: int, measure: Measure) -> int:
    """How many characters of `text` fit."""
    if measure(text) <= limit:
        return len(text)
    # Every measure counts a character as one or more, so the answer lies within the first `limit` characters.
    reach = range(min(limit, len(text)) + 1)
    room = bisect_right(reach, limit, key=lambda count: measure(text[:count])) - 1
    if room < 1:
        raise ValueError(f"a limit of {limit} holds no character")
    return room


def _cut(text: str, room: int) -> int:
    """Where to cut within the first `room` characters.

    A good boundary in the second half comes before a better one near the start: parts of similar length read better
    than a lonely first line. But no sentence is broken while one ends anywhere in the part.
    """
    for floor in (room // 2, 0):
        for boundary in (_PARAGRAPH, _LINE, _SENTENCE):
            cut = _last(boundary, text, room)
            if cut > floor:
                return cut
    return _last(_WORD, text, room) or _last_grapheme(text, room)


def _last(boundary: re.Pattern[str], text: str, room: int) -> int:
    # One character more than fits is looked at: white space there is dropped at the cut and needs no room.
    return max((match.end() for match in boundary.finditer(text, 0, room + 1)), default=0)


def _last_grapheme(text: str, room: int) -> int:
    """The last place in the first `room` characters that splits nothing a reader sees as one; `room` if there is none.

    Covers what our students write (Indian scripts, Latin with marks, emoji), not all of Unicode's Annex 29.
    """
    return next((cut for cut in range(room, 0, -1) if not _joined(text, cut)), room)


def _joined(text: str, cut: int) -> bool:
    """Whether the characters around `cut` belong together."""
    before, after = text[cut - 1], text[cut]
    if unicodedata.category(after).startswith("M") or after == _JOINER or before == _JOINER:
        return True  # a vowel sign, an accent, a variation selector, or an emoji made of several
    if "\U0001f3fb" <= after <= "\U0001f3ff":  # a skin tone
        return True
    if before in _VIRAMAS:
        return unicodedata.category(after) == "Lo"
    return _is_flag_half(after) and _flag_halves_before(text, cut) % 2 == 1


def _is_flag_half(character: str) -> bool:
    return "\U0001f1e6" <= character <= "\U0001f1ff"


def _flag_halves_before(text: str, cut: int) -> int:
    count = 0
    while count < cut and _is_flag_half(text[cut - 1 - count]):
        count += 1
    return count
