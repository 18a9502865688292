"""Undoes disguises: a text in every form in which it is to be screened.

Spaced-out letters are joined, digits read as letters, stretched words shortened; base64, hexadecimal, rot13, escapes
and reversed text are opened. Look-alike letters, invisible characters and accents are the business of folding.
"""

from __future__ import annotations

import base64
import binascii
import codecs
import html
import re
import unicodedata
from collections.abc import Iterator, Mapping
from urllib.parse import unquote

from bot.folding import clean, letters, split, words
from bot.safety.legible import legibility, segmented

_DEPTH = 2  # an encoded text inside an encoded text is opened, a third layer is not

# "1" reads as i or as l, so there are two readings.
_LEET = str.maketrans("013456789@$!|+€£", "oieasgtbgasiitel")
_LEET_L = str.maketrans("013456789@$!|+€£", "oleasgtbgasiltel")

_REPEATED = re.compile(r"(.)\1{2,}")
_BASE64 = re.compile(r"[A-Za-z0-9+/_-]{12,}={0,2}")
_HEX = re.compile(r"(?:[0-9a-fA-F]{2}[\s:,]?){8,}")
_ESCAPED = re.compile(r"%[0-9a-fA-F]{2}|&#?\w{1,8};|\\[ux][0-9a-fA-F]{2,4}")

# A form is what was meant when more of its letters than of the plain text's stand in known words, by this share, or
# when it had to be decoded and this share of it is known. Of our harmless messages 99 in 100 are known to more than
# 0.37; reversed or turned by rot13, to less than 0.35.
_MORE_LEGIBLE, _LEGIBLE = 0.15, 0.4
_LONGEST_WORD = 14  # letters: a longer one, once joined, is a sentence spaced out without gaps between its words


def views(text: str) -> tuple[str, ...]:
    """Every distinct form to be screened, the plain one first."""
    return tuple(forms(text))


def forms(text: str) -> dict[str, bool]:
    """Every distinct form to be screened, the plain one first, and whether it had to be decoded."""
    found: dict[str, bool] = {}
    _collect(text, found, _DEPTH)
    return found


def meant(found: Mapping[str, bool]) -> tuple[str, ...]:
    """Of what `forms` found, that which the writer of a disguised text meant, the most legible first; else ()."""
    plain, *others = found
    if not others:
        return ()
    legible = {form: legibility(form) for form in others}
    more = legibility(plain) + _MORE_LEGIBLE
    chosen = [form for form, share in legible.items() if share >= (_LEGIBLE if found[form] else more)]
    return tuple(sorted(chosen, key=legible.__getitem__, reverse=True))


def _collect(text: str, found: dict[str, bool], depth: int) -> None:
    folded = letters(text)
    plain = split(folded)
    decoded = depth < _DEPTH
    joined = _join_spaced_letters(folded)
    candidates = [folded, joined, _REPEATED.sub(r"\1", folded), _REPEATED.sub(r"\1\1", folded)]
    candidates += [_leet(form, table) for table in (_LEET, _LEET_L) for form in (folded, joined)]
    for candidate in candidates:
        found.setdefault(split(candidate), decoded)
    if depth:
        for hidden in _hidden(text, plain):
            _collect(hidden, found, depth - 1)


def _leet(text: str, table: dict[int, int]) -> str:
    """Digits and signs read as letters, only in words that hold a letter: 20 stays 20."""
    return " ".join(
        word.rstrip("!").translate(table) if any(c.isalpha() for c in word) else word for word in text.split()
    )


def _join_spaced_letters(text: str) -> str:
    """ "b o m b", "b.o.m.b" and "b-o-m-b" become "bomb". Two or more spaces keep words apart."""
    groups = []
    for group in re.split(r"\s{2,}", text.strip()):
        joined: list[str] = []
        run: list[str] = []
        for piece in re.split(r"[\s.\-_*·•~,/|]", group):
            if _is_one_letter(piece):
                run.append(piece)
                continue
            joined += _as_word(run)
            run = []
            joined.append(piece)
        groups.append(" ".join(joined + _as_word(run)) if joined else "".join(_as_word(run)))
    return " ".join(groups)


def _is_one_letter(piece: str) -> bool:
    """A letter with its vowel signs, or such a sign by itself."""
    return bool(piece) and sum(unicodedata.category(c)[0] != "M" for c in piece) <= 1


def _as_word(run: list[str]) -> list[str]:
    if len(run) < 3:
        return run
    joined = "".join(run)
    return [segmented(joined) if len(joined) > _LONGEST_WORD else joined]


def _hidden(text: str, plain: str) -> Iterator[str]:
    """What the text says when decoded. Each reading is offered only when it makes sense."""
    text = clean(text)
    if _ESCAPED.search(text):
        yield _unescape(text)
    for token in _BASE64.findall(text):
        yield from _readable(_from_base64(token))
    for token in _HEX.findall(text):
        yield from _readable(_from_hex(token))
    enough = legibility(plain) + _MORE_LEGIBLE
    yield from (other for other in (codecs.decode(text, "rot13"), text[::-1]) if legibility(words(other)) >= enough)


def _unescape(text: str) -> str:
    """Undoes percent, HTML and backslash escapes."""
    plain = re.sub(r"\\[ux]([0-9a-fA-F]{2,4})", lambda match: chr(int(match.group(1), 16)), text)
    return html.unescape(unquote(plain, errors="replace")).encode("utf-8", "replace").decode()


def _from_base64(token: str) -> bytes:
    body = token.rstrip("=").replace("-", "+").replace("_", "/")
    try:
        return base64.b64decode(body + "=" * (-len(body) % 4), validate=True)
    except binascii.Error:
        return b""


def _from_hex(token: str) -> bytes:
    return bytes.fromhex(re.sub(r"[\s:,]", "", token))


def _readable(raw: bytes) -> Iterator[str]:
    """The bytes as text when they are text: UTF-8, and nearly all of it printable."""
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError:
        return
    if len(text) >= 6 and sum(c.isprintable() or c == "\n" for c in text) >= 0.9 * len(text):
        yield text
