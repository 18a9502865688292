"""Brings a message into the few words that the kinds of computation are recognised by.

"15% of 240 kitna hoga?" and "२४० का १५ प्रतिशत कितना है" become "15% of 240" and "240 of 15%". Every word must be known
(data/calculating): one that is not, and the message is no computation. Dates, phone numbers and the like are none.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

from bot.calculating.expression import VULGAR, plain, value
from bot.calculating.numerals import exact
from bot.folding import letters

LONGEST = 200  # characters of a message that can be a computation
_MOST_WORDS = 5  # words of the longest phrase
_DIGITS = 18  # of the longest number

_ABBREVIATED = re.compile(  # ल.स., l.c.m.
    r"(?<=[\u0900-\u0963])\.(?=\s?[\u0900-\u0963]|$)|(?<=\b[a-z])\.(?=[a-z]\b)|(?<=\b[a-z]\.[a-z]\.[a-z])\.|(?<=\b[a-z]\.[a-z])\."
)
_INVISIBLE = re.compile("[\u200b-\u200f\u2060\ufe0e\ufe0f\ufeff]")
_WIDE = {code: code - 0xFEE0 for code in range(0xFF01, 0xFF5F)}
_ONE_FORM = str.maketrans({**dict.fromkeys('‘’“”"`', "'"), **dict.fromkeys("[{", "("), **dict.fromkeys("]}", ")")})
_OURS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f~]")  # signs that mean something below, and no student types
_WORD = re.compile(r"[a-z]+(?:'[a-z]+)?|[\u0900-\u0963\u0970-\u097f]+")
_JOINING = re.compile(r"[ -]?")

_ASKED = re.compile(r"(?:=\s*\??|=\s*_+|[?।.]|(?<![0-9])!)+\s*$")
_NOTHING = "\0"  # stands where a word that only asks stood
_LINKED = re.compile(
    r"=|\b(?:whatpercent|bigger|smaller|ascending|descending|many)\b"
)  # beside these it may stand between
_UNITS_WRITTEN = (  # what words cannot hold
    (re.compile(r"(?<![a-z])km\s?/\s?(?:hr?|hour)(?![a-z])|(?<![a-z])km/?ph(?![a-z])"), " kmph "),
    (re.compile(r"(?<![a-z])m\s?/\s?s(?:ec)?(?![a-z])"), " mps "),
    (re.compile(r"(?:किमी|किलोमीटर)\s?/\s?(?:घंटा|घंटे|घण्टा)"), " kmph "),
    (re.compile(r"(?:मी|मीटर)\s?/\s?(?:से|सेकंड|सेकेंड)(?![\u0900-\u0963])"), " mps "),
    (re.compile(r"°\s?(?:c|celsius)(?![a-z])"), " celsius "),
    (re.compile(r"°\s?(?:f|fahrenheit)(?![a-z])"), " fahrenheit "),
    (re.compile(r"(?<![a-z])([mck]m)(?:²|\^?2)(?![0-9])"), r" sq\1 "),
    (re.compile(r"(?<=[0-9] )m²(?!\s*[-+]|\s*=\s*[0-9])|(?<=[0-9])m²(?!\s*[-+]|\s*=\s*[0-9])"), " sqm "),
    (re.compile(r"(?<![0-9a-z^])m(?:²|\^2)$"), " sqm "),
    (re.compile(r"(?<![a-z])(cm)(?:³|\^?3)(?![0-9])"), r" cu\1 "),
    (re.compile(r"(?<=[0-9] )m³(?!\s*[-+]|\s*=\s*[0-9])|(?<=[0-9])m³(?!\s*[-+]|\s*=\s*[0-9])"), " cum "),
    (re.compile(r"\brs\.?(?=\s*[0-9])|₹"), " rs "),
    (re.compile(r"([0-9])\s?/-"), r"\1 rs "),
)
_NO_SUM = re.compile(
    r"""(?<![0-9.,])(?:
      [0-9]{1,4}([-/.])[0-9]{1,2}\1[0-9]{2,4}        # a date
    | (?:1[0-9]{3}|20[0-9]{2})-(?:[0-9]{2}|[0-9]{4}) # years
    | 0[0-9]+(?!\.)(?:[-\s]?[0-9])*                  # the beginning of a telephone number
    | [0-9]{3,5}[-\s][0-9]{5,8}
    | [0-9]{1,2}:[0-9]{2}\s?(?:am|pm)
    | \+91
    )(?![0-9])""",
    re.VERBOSE,
)
_IDIOM = re.compile(r"(?:24/7|9/11|26/11|7/11|22/7|50-50|50/50|24x7)")
_IN_FORMULA = re.compile(r"(?:[-+*/^=(]\s?|[0-9])[a-z](?![a-z])|(?<![a-z])[a-z](?:\s?[-+*/^=)]|[0-9²³])")
_TIMES = re.compile(r"(?<=[0-9)%])(?:x(?=[0-9(√])|\s+x\s*(?=[0-9(√])|\s+x\s+(?=-[0-9])|\s*x\s+(?=[0-9(√]))")
_TYPED_POWER = re.compile(r"([a-z])([23])(?=\s*[-+=)]|\s*$)")
_NUMBER = r"(?<![0-9],)[0-9]{1,3}(?:,[0-9]{2,3})*,[0-9]{3}(?![0-9]|,[0-9])|[0-9]+"
_MANIFOLD = re.compile(rf"((?:{_NUMBER})(?:\.[0-9]+)?)\s*~([0-9]+)~")


@dataclass(frozen=True, slots=True)
class Message:
    """`text` in known words, numbers, signs and single letters; `told`: a result is plainly asked for."""

    text: str
    told: bool
    worded: bool  # there are words, not only signs
    money: bool
    devanagari: bool  # the student wrote ०-९, and no 0-9

    @property
    def bare(self) -> str:
        """The text without the sign of rupees."""
        return " ".join(word for word in self.text.split(" ") if word != "rs")


@dataclass(frozen=True, slots=True)
class Words:
    """What is known: phrases of folded words, by the words themselves."""

    phrases: dict[tuple[str, ...], str]
    working: frozenset[tuple[str, ...]]
    units: dict[tuple[str, ...], str]

    @classmethod
    def load(cls, folder: Path) -> Words:
        """Reads words.json and units.json of `folder`. Raises ValueError naming the file that cannot be used."""
        try:
            content = _object(folder / "words.json")
            phrases: dict[tuple[str, ...], str] = {}
            for name, held in content["names"].items():
                _enter(phrases, held, f" {name} ")
            _enter(phrases, content["beside"], " ")
            _enter(phrases, content["asking"], _NOTHING)
            _enter(phrases, content["working"], _NOTHING)
            for word, figure in content["figures"].items():
                _enter(phrases, [word], f" {{{int(figure)}}} ")
            for word, times in content["multipliers"].items():
                _enter(phrases, [word], f" ~{int(times)}~ ")
            working = frozenset(folded(phrase) for phrase in content["working"])
            units: dict[tuple[str, ...], str] = {}
            for name, unit in _object(folder / "units.json").items():
                _enter(units, unit["words"], name)
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            raise ValueError(f"{folder} does not hold the words of computations: {error}") from error
        return cls(phrases, working, units)

    def read(self, question: str) -> Message | None:
        """The message in known words; None when one is not known, or when it cannot be a computation."""
        text = written(question)
        if text is None:
            return None
        asked = _ASKED.search(text)
        text, told = (_ASKED.sub("", text), "=" in asked[0]) if asked else (text, False)
        if _NO_SUM.search(text) and not told:
            return None
        text = _letters_and_times(text)
        equation = "=" in text
        parts: list[str] = []
        at = 0
        for word in _WORD.finditer(text):
            if word.start() < at:
                continue
            parts.append(text[at : word.start()])
            found = self._phrase(text, word.start(), equation)
            if found is None:
                return None
            said, at, works = found
            told |= works
            parts.append(said)
        return _message("".join([*parts, text[at:]]), told, question)

    def _phrase(self, text: str, start: int, equation: bool) -> tuple[str, int, bool] | None:
        """What the longest known phrase from `start` on stands for, its end, and whether it asks for a result."""
        runs: list[tuple[str, int]] = []
        at = start
        while len(runs) < _MOST_WORDS and (word := _WORD.match(text, at)):
            runs.append((letters(word[0]), word.end()))
            gap = _JOINING.match(text, word.end())
            at = gap.end() if gap else word.end()
        for count in range(len(runs), 0, -1):
            key = tuple(run for run, _ in runs[:count])
            single = count == 1 and len(key[0]) == 1 and key[0].isascii()
            if single and _IN_FORMULA.search(text, max(0, start - 3), runs[0][1] + 3):
                return key[0], runs[0][1], False
            if (unit := self.units.get(key)) is not None and not single:
                return f" {unit} ", runs[count - 1][1], False
            if (said := self.phrases.get(key)) is not None and not (single and equation):
                return said, runs[count - 1][1], key in self.working
            if single:
                return key[0], runs[0][1], False
        return None


def folded(phrase: str) -> tuple[str, ...]:
    """The words of a phrase as they are looked up."""
    return tuple(letters(phrase).replace("-", " ").split())


def written(question: str) -> str | None:
    """The question in lower case with digits and signs in plain form; None when it is too long."""
    if len(question) > LONGEST:
        return None
    text = _INVISIBLE.sub("", question).translate(_WIDE).translate(_ONE_FORM)
    if _OURS.search(text):
        return None
    text = plain(re.sub(rf"(?<=[0-9०-९])(?=[{VULGAR}])", " ", text.replace("÷", " / ")))  # a spaced / divides
    text = re.sub(f"[{VULGAR}]", lambda sign: str(value(sign[0])), text)
    text = re.sub(r"(?<=[0-9])[^\S\n]*\n\s*(?=[-(0-9A-Za-z])", ", ", text)
    text = " ".join(text.lower().replace("—", " ").replace("&", " and ").replace("?", " ? ").split())
    text = _ABBREVIATED.sub("", text)
    text = re.sub(r"\s*%(?:age)?\s*", " percent ", text)
    text = re.sub(r"(?<![0-9.a-z])\.(?=[0-9])", "0.", text)
    return None if re.search(rf"[0-9]{{{_DIGITS + 1}}}", text) else text


def _letters_and_times(text: str) -> str:
    """Units with signs in them as words; x between numbers as ×; x2 as x² where it must be a letter squared."""
    for pattern, said in _UNITS_WRITTEN:
        text = pattern.sub(said, text)
    found = re.findall(r"(?<![a-z])([a-z])([23]?)(?![a-z0-9])", text)
    plain_letters = {letter for letter, digit in found if not digit} | {letter for letter, digit in found if digit}
    if "=" in text and plain_letters:
        text = _TYPED_POWER.sub(lambda typed: f"{typed[1]}^{typed[2]}", text)
    return _TIMES.sub("*", text) if not ("=" in text and re.search(r"x\^|[0-9]x\s*[-+=]", text)) else text


def _message(text: str, told: bool, question: str) -> Message | None:
    if re.search(rf"[^\s{_NOTHING}]\s*{_NOTHING}[\s{_NOTHING}]*[^\s{_NOTHING}]", text) and not _LINKED.search(text):
        return None  # of "20% of what is 50" and "half of it is 20" less is left than was said
    text = text.replace(_NOTHING, " ").replace("?", " ")
    text = re.sub(r"\{([2-9]0)\}\s*-?\s*\{([1-9])\}", lambda tens: f"{{{int(tens[1]) + int(tens[2])}}}", text)
    text = re.sub(r"\{([0-9]+)\}", r"\1", text)
    text = _MANIFOLD.sub(lambda made: exact(Fraction(made[1].replace(",", "")) * int(made[2])) or "nothing", text)
    text = re.sub(r"~([0-9]+)~(?= +of )", r"\1", text)  # सौ का
    text = re.sub(r"(?<=[0-9)])\s*(?:percent(?![a-z])|%)", "%", text)
    text = re.sub(r"(?<=[a-z][a-z])\s*:|'", " ", text)
    text = re.sub(r"(?<=[0-9])%(?=[0-9])", "% ", text)
    text = " ".join(text.split()).strip(" ,;:")
    if (not re.search(r"[0-9]", text) and "many" not in text) or _IDIOM.fullmatch(text):
        return None
    return Message(
        text,
        told=told,
        worded=_WORD.search(written(question) or "") is not None,
        money=" rs " in f" {text} ",
        devanagari=bool(re.search("[०-९]", question)) and not re.search("[0-9]", question),
    )


def _enter(into: dict[tuple[str, ...], str], held: list[str], said: str) -> None:
    for phrase in held:
        key = folded(phrase)
        if not 0 < len(key) <= _MOST_WORDS or into.setdefault(key, said) != said:
            raise ValueError(f"{phrase!r} stands twice or has not 1 to {_MOST_WORDS} words")


def _object(path: Path) -> dict[str, Any]:
    content = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(content, dict):
        raise TypeError(f"{path.name} is no object")
    return content
