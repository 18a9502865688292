"""Does an answer hold a fact? Not in the letters of the fact, but in any way of writing the same words and numbers."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence

# One spelling for what books and phones write in several ways: with and without nukta, two signs for a nasal, dashes.
_SAME = str.maketrans(
    {"\u093c": None, "\u0901": "\u0902", "’": "'", "−": "-", "–": "-", "\u200d": None, "\u200c": None}
)
_GROUPED = re.compile(r"(?<=\d),(?=\d)")
_SUM = re.compile(r"\s*([=×÷+/])\s*")
_LETTER = r"[a-z\u0900-\u0963\u0971-\u097f]"  # the danda that ends a sentence is none
_UNITS = tuple(
    (re.compile(rf"(?<!{_LETTER})(?:{spelled})(?!{_LETTER})"), unit)
    for spelled, unit in (
        (r"per ?cent|प्रतिशत|फीसदी", "%"),
        (r"kilomet(?:re|er)s?|कि\.?मी\.?|किलोमीटर", "km"),
        (r"centimet(?:re|er)s?|से\.?मी\.?|सेंटीमीटर", "cm"),
        (r"millimet(?:re|er)s?|मि\.?मी\.?|मिलीमीटर", "mm"),
        (r"met(?:re|er)s?|मी\.?|मीटर", "m"),
        (r"kilograms?|कि\.?ग्रा\.?|किलोग्राम", "kg"),
        (r"grams?|ग्रा\.?|ग्राम", "g"),
        (r"lit(?:re|er)s?|ली\.?|लीटर", "l"),
        (r"rupees?|rs\.?|रुपये|रुपए|रु\.?", "₹"),
        (r"square (?=km|cm|mm|m)|वर्ग (?=km|cm|mm|m)|sq\.? (?=km|cm|mm|m)", "square "),
    )
)
_AMOUNT = re.compile(r"(?<=\d) (?=%|(?:km|cm|mm|m|kg|g|l)\b)")
_RUPEES = re.compile(r"₹ ?(\d[\d.]*)|(\d[\d.]*) ?₹")
_SQUARED = re.compile(r"\b(km|cm|mm|m)2\b")


def key_facts(answer: str, facts: Sequence[str]) -> float:
    """The share of `facts` that occur in `answer`; 1 where none are listed.

    A fact may have alternatives, apart by "|": the words of the page beside those of the reference answer. Case,
    spelling of units, grouping of digits and marks that Hindi is written with and without make no difference. A number
    counts only as a whole: 15 does not hold the fact 5.
    """
    if not facts:
        return 1.0
    told = _even(answer)
    return sum(any(_holds(told, _even(way)) for way in fact.split("|")) for fact in facts) / len(facts)


def _holds(told: str, fact: str) -> bool:
    before = r"(?<!\d)(?<!\d\.)" if fact[:1].isdigit() else ""
    after = r"(?!\d|\.\d)" if fact[-1:].isdigit() else ""
    return re.search(before + re.escape(fact) + after, told) is not None


def _even(text: str) -> str:
    even = unicodedata.normalize("NFC", unicodedata.normalize("NFKD", text.lower()).translate(_SAME))
    even = _GROUPED.sub("", " ".join(even.split()))
    for spelled, unit in _UNITS:
        even = spelled.sub(unit, even)
    even = _RUPEES.sub(lambda found: f"₹{found[1] or found[2]}", even)
    even = _SQUARED.sub(r"square \1", _AMOUNT.sub("", even))
    return _SUM.sub(r"\1", even)
