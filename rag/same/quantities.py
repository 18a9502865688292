"""The numbers, units and formulas of a question, taken out of its words: what must agree to the letter.

`read` gives each in one spelling: "2x + 3 = 11" is "2x+3=11", 20 percent is "20%", the tenth and 10th are "#10".
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_SIGNS = str.maketrans(
    {"²": "^2", "³": "^3", "−": "-", "–": "-", "×": "*", "÷": "/", "⁄": "/", "Ω": "ohm", "ω": "ohm", "√": " √"}
    | {chr(0x966 + digit): str(digit) for digit in range(10)}
)
# As students write units, and the one that each is taken for.
UNITS = {
    spelled: unit
    for unit, spellings in {
        "%": "% percent percentage प्रतिशत फीसदी pratishat",
        "": "° degree degrees डिग्री",  # of an angle, where most leave it out
        "c": "°c celsius",
        "kg": "kg kgs kilogram kilograms किलोग्राम किग्रा",
        "g": "g gm gms gram grams ग्राम",
        "km": "km kms kilometre kilometres kilometer kilometers किलोमीटर किमी",
        "m": "m metre metres meter meters मीटर",
        "cm": "cm cms centimetre centimetres centimeter centimeters सेंटीमीटर सेमी",
        "mm": "mm millimetre millimetres मिलीमीटर",
        "m/s": "m/s मी/से",
        "km/h": "km/h kmph",
        "v": "v volt volts वोल्ट",
        "a": "a amp amps ampere amperes एम्पियर",
        "ohm": "ohm ohms ओम",
        "n": "n newton newtons न्यूटन",
        "j": "j joule joules जूल",
        "w": "w watt watts वाट",
        "hz": "hz hertz हर्ट्ज़",
        "l": "l litre litres liter liters लीटर",
        "s": "sec secs second seconds सेकंड",
        "rs": "rs rupee rupees rupaye rupye रुपये रुपए रुपया",
    }.items()
    for spelled in spellings.split()
}
_UNIT = "|".join(sorted(map(re.escape, UNITS), key=len, reverse=True))
_LETTER = r"[^\W\d_]|[\u0900-\u0963]"
_THOUSANDS = re.compile(r"(?<![\d,.])\d{1,3}(?:,\d{2,3})*,\d{3}(?![\d,])")
_LIST = re.compile(r"\(?\s*-?\d+(?:\.\d+)?(?:\s*,\s*-?\d+(?:\.\d+)?)+\s*\)?")
_OPERAND = r"[(√]*(?:\d+(?:\.\d+)?[a-z]?|(?<![^\W\d_])[a-z])(?![^\W_])(?:\s*\^\s*\(?-?\w+\)?)?\)*"
_FORMULA = re.compile(rf"(?<![\w.])-?\s*{_OPERAND}(?:(?:\s*[-+*/=<>]\s*)-?\s*{_OPERAND})+")
_ROOT_OR_POWER = re.compile(r"√\s*\d+(?:\.\d+)?|(?<!\w)[\da-z]+\^\(?-?\w+\)?")
_MONEY = re.compile(r"(?:₹|(?<!\w)(?:rs\.?|inr|रु\.?))\s*(\d+(?:\.\d+)?)")
_MEASURED = re.compile(rf"((?<![\w)])-)?(\d+(?:\.\d+)?)\s*({_UNIT})(?!{_LETTER}|\d|/|(?<=\s[nas])\s+\d)")
_ORDINAL = re.compile(r"(?<![\w.])(\d+)\s*-?(?:st|nd|rd|th|va|wa|vi|wan|van|वाँ|वां|वीं|वी|वा|वें)(?!\w|[\u0900-\u0963])")
_NUMBER = re.compile(r"((?<![\w)])-)?\d+(?:\.\d+)?")


@dataclass(frozen=True, slots=True)
class Quantities:
    """`formulas` in their order, `numbers` in theirs; `letters` are the variables that the formulas name."""

    formulas: tuple[str, ...]
    numbers: tuple[str, ...]
    letters: frozenset[str]


def read(text: str) -> tuple[Quantities, str]:
    """The quantities of a text in small letters, and the text without them."""
    formulas: list[str] = []
    numbers: list[tuple[int, str]] = []

    def formula(match: re.Match[str]) -> str:
        formulas.append(re.sub(r"[\s]", "", match[0]))
        return " " * len(match[0])

    def number(match: re.Match[str]) -> str:
        numbers.append((match.start(), _spelled(match[0])))
        return " " * len(match[0])

    def measured(match: re.Match[str]) -> str:
        numbers.append((match.start(), (match[1] or "") + _plain(match[2]) + UNITS[match[3]]))
        return " " * len(match[0])

    def ordinal(match: re.Match[str]) -> str:
        numbers.append((match.start(), "#" + match[1]))
        return " " * len(match[0])

    def money(match: re.Match[str]) -> str:
        numbers.append((match.start(), _plain(match[1]) + "rs"))
        return " " * len(match[0])

    text = _THOUSANDS.sub(lambda match: match[0].replace(",", ""), text.translate(_SIGNS))
    for pattern, taken in (
        (_ORDINAL, ordinal), (_MONEY, money), (_MEASURED, measured), (_LIST, formula), (_FORMULA, formula),
        (_ROOT_OR_POWER, formula), (_NUMBER, number),
    ):  # fmt: skip
        text = pattern.sub(taken, text)
    letters = frozenset(letter for one in formulas for letter in re.findall(r"[a-z]", one))
    listed = tuple(one.strip("()") if "," in one else one for one in formulas)
    return Quantities(listed, tuple(found for _, found in sorted(numbers)), letters), text


def _spelled(number: str) -> str:
    return ("-" if number.startswith("-") else "") + _plain(number.lstrip("-"))


def _plain(digits: str) -> str:
    return f"{float(digits):g}" if len(digits) < 15 else digits
