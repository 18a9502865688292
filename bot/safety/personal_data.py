"""Finds what tells who or where somebody is: telephone, Aadhaar, PAN, e-mail, address. Masked before it is stored.

Numbers are checked as their issuers check them (python-stdnum, phonenumbers), so that a sum stays a sum: ten digits are
a telephone number only beside a word that speaks of telephones, with a country code, or when they are all that is said.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

PHONE, AADHAAR, PAN, EMAIL, ADDRESS = "phone", "aadhaar", "pan", "email", "address"
REGION = "IN"
NEARBY = 60  # characters
FEW = 12  # letters beside a number that is all that is said: "call", "no. is"

# Nothing personal without one of these; most messages end here, before anything is imported.
_CANDIDATE = re.compile(
    r"@|(?:\d[\s().-]{0,2}){6}|[A-Za-z]{5}\d{4}[A-Za-z]|address|\blive\b|\bpata\b|\bghar\b|\brehta\b|\brehti\b|पता|घर|रहता|रहती|house|flat",
    re.IGNORECASE,
)
_EMAIL = re.compile(r"(?<![\w.+-])[\w.+-]{1,64}@(?!example\.)[\w-]{1,63}(?:\.[\w-]{1,63}){1,4}")
_PAN = re.compile(r"(?<![A-Za-z0-9])[A-Za-z]{5}\d{4}[A-Za-z](?![A-Za-z0-9])")
_TWELVE_DIGITS = re.compile(r"(?<![\d.,])\d{4}([ -]?)\d{4}\1\d{4}(?![\d,]|\.\d)")
_AADHAAR_WORD = re.compile(r"aa?dh?aa?r|uid|आधार", re.IGNORECASE)
_PHONE_WORD = re.compile(
    r"phone|mobile|\bmob\b|whats\s?app|telegram|\bcall\b|\bdial\b|\bcontact\b|\bsms\b|\bmsg\b|"
    r"फोन|फ़ोन|मोबाइल|कॉल|संपर्क|सम्पर्क|व्हाट्सएप|"
    # "my number", "papa ka no", "मेरा नंबर": a number alone is the stuff of sums
    r"\b(?:my|mera|meri|apna|uska|uski|his|her|papa|mummy|didi|bhai|sir)\W{1,3}(?:k[aei]\W{1,3})?(?:number|numbar|num|no)\b|"
    r"(?:मेरा|उसका|उसकी|का|अपना)\s(?:नंबर|नम्बर)",
    re.IGNORECASE,
)
_ARITHMETIC = re.compile(
    r"\s{0,2}[+×÷*/=%^<>]|\s{0,2}-\s{0,2}\d{1,3}(?!\d)|\s{0,2}(?:k?m|cm|mm|k?g|years?|rupees|rs|people|litres?)\b",
    re.IGNORECASE,
)
_BEFORE_ARITHMETIC = re.compile(r"[×÷*/=%^<>₹$]\s{0,2}$")
_HOUSE = (
    r"(?:\b(?:house|h|flat|plot|door|quarter|qtr|makaan|makan)\b|मकान|फ्लैट|क्वार्टर)\.?\s{0,2}"
    r"(?:no|number|num|नंबर|नं)?\.?\s{0,2}[:#-]?\s{0,2}"
    r"\d{1,5}(?:[/-]?\w{1,4}){0,2}(?:\s{0,2},[^.?!\n।]{0,120})?"
)
_MY_ADDRESS = (
    r"(?:\b(?:my|our|home|ghar)\s(?:home\s)?address\b|\b(?:mera|hamara|ghar)\s(?:ka\s)?pata\b|(?:मेरा|हमारा|घर का)\sपता)"
    r"(?!\s(?:nahi|नहीं|nhi))[^.?!\n।]{3,160}"
)
_PIN_CODE = r"\bpin\s?(?:code)?\s{0,2}[:-]?\s{0,2}[1-9]\d{2}\s?\d{3}(?!\d)"
_I_LIVE = (
    r"\bi\s(?:live|stay)\s(?:at|in|near|behind|opposite)\s[^.?!\n]{0,80}"
    r"\b(?:street|road|lane|gali|nagar|colony|sector|ward|mohalla|apartment|society|(?<!\ba\s)(?<!the\s)(?<!our\s)village)\b[^.?!\n]{0,60}"
)
_PLACES = tuple(re.compile(pattern, re.IGNORECASE) for pattern in (_HOUSE, _MY_ADDRESS, _PIN_CODE, _I_LIVE))


@dataclass(frozen=True, slots=True)
class Found:
    """Where in a text something personal stands, and what it is."""

    start: int
    end: int
    kind: str


def find(text: str, *, alone: bool = True) -> list[Found]:
    """Everything personal in a text, in order, none overlapping another.

    `alone`: ten digits with hardly a word beside them are a telephone number; in an answer they are a result.
    """
    if not _CANDIDATE.search(text):
        return []
    kept: list[Found] = []
    for found in sorted(_all(text, alone), key=lambda one: (one.start, -one.end)):
        if not kept or found.start >= kept[-1].end:
            kept.append(found)
    return kept


def mask(text: str) -> str:
    """The text with [phone], [address] and so on in place of what is personal."""
    pieces, end = [], 0
    for found in find(text):
        pieces += [text[end : found.start], f"[{found.kind}]"]
        end = found.end
    return "".join([*pieces, text[end:]])


def _all(text: str, alone: bool) -> Iterator[Found]:
    yield from (Found(*match.span(), EMAIL) for match in _EMAIL.finditer(text))
    for pattern in _PLACES:
        yield from (
            Found(match.start(), match.start() + len(match.group().rstrip()), ADDRESS)
            for match in pattern.finditer(text)
        )
    yield from _identities(text)
    yield from _phones(text, alone)


def _identities(text: str) -> Iterator[Found]:
    from stdnum.in_ import aadhaar, pan

    for match in _PAN.finditer(text):
        if pan.is_valid(match.group()):
            yield Found(*match.span(), PAN)
    for match in _TWELVE_DIGITS.finditer(text):
        if _is_sum(text, match.start(), match.end()):
            continue
        # One digit in ten passes the check by chance; a number that is called Aadhaar is one, slip or not.
        if _spoken_of(_AADHAAR_WORD, text, match.start(), match.end()) or (
            match.group(1) and aadhaar.is_valid(match.group())
        ):
            yield Found(*match.span(), AADHAAR)


def _phones(text: str, alone: bool) -> Iterator[Found]:
    import phonenumbers

    for match in phonenumbers.PhoneNumberMatcher(text, REGION, leniency=phonenumbers.Leniency.VALID):
        has_code = match.raw_string.lstrip().startswith("+")
        if has_code or (not _is_sum(text, match.start, match.end) and _is_called(text, match.start, match.end, alone)):
            yield Found(match.start, match.end, PHONE)


def _is_called(text: str, start: int, end: int, alone: bool) -> bool:
    beside = sum(c.isalpha() for c in text[:start] + text[end:])
    return (alone and beside <= FEW) or _spoken_of(_PHONE_WORD, text, start, end)


def _is_sum(text: str, start: int, end: int) -> bool:
    return bool(_ARITHMETIC.match(text, end) or _BEFORE_ARITHMETIC.search(text, max(0, start - 4), start))


def _spoken_of(word: re.Pattern[str], text: str, start: int, end: int) -> bool:
    return word.search(text, max(0, start - NEARBY), end + NEARBY) is not None
