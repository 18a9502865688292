"""Units changed into others of their kind: 2.5 kg into g, 72 km/h into m/s, 98.6 °F into °C; ratios of quantities."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from bot.calculating.averages import ratio
from bot.calculating.numerals import best, bracketed, decimal, fraction, mixed, rounded, value, whole
from bot.calculating.reading import Message
from bot.calculating.working import Calculated, Working

_AMOUNT = r"[0-9,]+(?:\.[0-9]+)?(?: [0-9]+/[0-9]+|/[0-9]+)?"
_QUANTITY = rf"-?(?:{_AMOUNT}) ?[a-z]+|rs [0-9,]+(?:\.[0-9]+)?"
_ONE = re.compile(rf"(-?)({_AMOUNT}) ?([a-z]+)|(rs) ([0-9,]+(?:\.[0-9]+)?)")
_QUANTITIES = rf"(?:{_QUANTITY})(?:(?: and)? (?:{_QUANTITY})){{0,2}}"
_INTO = re.compile(
    rf"(?:convert )?(?P<from>{_QUANTITIES})(?: (?:to|in|into|ko|of|as|=|convert|many|decimal))+ ?(?P<to>[a-z]+)"
    r"(?: (?:in|to|convert|many|into|of|decimal))*"
    rf"|(?:many )?(?P<to2>[a-z]+) (?:in|make|=) (?P<from2>{_QUANTITIES})"
    rf"|(?P<from3>{_QUANTITIES}) = (?:many )?(?P<to3>[a-z]+)"
    rf"|convert (?P<from4>{_QUANTITIES}) (?P<to4>[a-z]+)(?: (?:in|to))*"
    r"|many (?P<to5>[a-z]+) (?:in|make) (?P<unit>[a-z]+)"
)
_RATIO = re.compile(
    rf"ratio (?:of |between )?({_QUANTITY}) (?:to|and|in|se) ({_QUANTITY})"
    rf"|({_QUANTITY}) (?:and|to|in|se) ({_QUANTITY}) (?:(?:of|between|in) )?ratio"
)
_COUNTED = re.compile(
    r"([0-9,]+(?:\.[0-9]+)?) (?:in|=|of|to) (?:many )?~([0-9]+)~(?: in)?"
    r"|many ~([0-9]+)~ (?:in|make) ([0-9,]+(?:\.[0-9]+)?)"
)
_LARGEST = Fraction(10**15)
_SHIFTS = {"celsius": Fraction(0), "fahrenheit": Fraction(32), "kelvin": Fraction(27315, 100)}  # what 0 °C reads
_COLDEST = Fraction(-27315, 100)  # °C
_SCHOOL = 273  # what schoolbooks add to °C


@dataclass(frozen=True, slots=True)
class Unit:
    """`factor` times the unit that its kind is measured in; `sign` as it is printed, `hi` in Devanagari."""

    name: str
    measures: str
    factor: Fraction
    sign: str
    hi: str


class Units:
    """Reads what is about units. Keeps nothing; share one."""

    def __init__(self, folder: Path) -> None:
        """Raises ValueError naming the file when it is malformed."""
        path = folder / "units.json"
        try:
            self._units = {
                name: Unit(name, one["measures"], Fraction(one["factor"]), one["sign"], one["hi"])
                for name, one in json.loads(path.read_text(encoding="utf-8")).items()
            }
            self._letters = {
                word: name
                for name, one in json.loads(path.read_text(encoding="utf-8")).items()
                for word in one["words"]
                if len(word) == 1 and word.isascii()
            }
        except (KeyError, TypeError, AttributeError, ValueError, ZeroDivisionError) as error:
            raise ValueError(f"{path} does not hold units: {error}") from error

    def read(self, message: Message, working: Working, language: str) -> Calculated | None:
        """The quantity in the unit that is asked for, or the ratio of two quantities."""
        text = message.text
        if found := _COUNTED.fullmatch(text):
            return _counted(Fraction((found[1] or found[4]).replace(",", "")), int(found[2] or found[3]), working)
        if found := _RATIO.fullmatch(text):
            return self._ratio(found[1] or found[3], found[2] or found[4], working, language)
        found = _INTO.fullmatch(text)
        if found is None:
            return None
        groups: Mapping[str, str | None] = found.groupdict()
        into = self._unit(next(text for name, text in groups.items() if name.startswith("to") and text))
        if groups["unit"]:
            unit = self._unit(groups["unit"])
            parts = [(Fraction(1), unit)] if unit else []
        else:
            parts = self._quantities(next(text for name, text in groups.items() if name.startswith("from") and text))
        if into is None or not parts or any(unit.measures != into.measures for _, unit in parts):
            return None
        if len({unit.name for _, unit in parts}) < len(parts) or any(abs(number) > _LARGEST for number, _ in parts):
            return None
        if parts == [(parts[0][0], into)]:
            return None
        if into.measures == "temperature":
            return _temperature(*parts[0], into, working) if len(parts) == 1 else None
        if any(number < 0 for number, _ in parts):
            return None
        return _changed(parts, into, working, language)

    def _unit(self, word: str) -> Unit | None:
        return self._units.get(self._letters.get(word, word))

    def _quantities(self, text: str) -> list[tuple[Fraction, Unit]]:
        """The quantities that stand one after another; none when one of them is no quantity."""
        found: list[tuple[Fraction, Unit]] = []
        for part in _ONE.finditer(re.sub(r"\band\b", " ", text)):
            number = value(part[2] or part[5])
            unit = self._unit(part[3] or part[4])
            if number is None or unit is None:
                return []
            found.append((-number if part[1] else number, unit))
        return found

    def _ratio(self, first: str, second: str, working: Working, language: str) -> Calculated | None:
        parts = [*self._quantities(first), *self._quantities(second)]
        if len(parts) != 2 or parts[0][1].measures != parts[1][1].measures or parts[0][1].measures == "temperature":
            return None
        smaller = min((unit for _, unit in parts), key=lambda unit: unit.factor)
        if parts[0][1] != parts[1][1]:
            working.explain("ratio.same_unit")
            for number, unit in parts:
                if unit != smaller:
                    result = number * unit.factor / smaller.factor
                    working.show(f"{said(number, unit, language)} = {said(result, smaller, language)}")
        return ratio([number * unit.factor / smaller.factor for number, unit in parts], working)


def said(number: Fraction, unit: Unit, language: str) -> str:
    """2.5 kg; ₹40; in Hindi 2.5 किलोग्राम."""
    shown = decimal(number) or fraction(number)
    if unit.name == "rs":
        return f"₹{shown}"
    return f"{shown} {unit.hi if language == 'hi' else unit.sign}"


def _changed(parts: list[tuple[Fraction, Unit]], into: Unit, working: Working, language: str) -> Calculated:
    total = sum((number * unit.factor / into.factor for number, unit in parts), Fraction(0))
    for number, unit in parts:
        if unit != into:
            _one(number, unit, into, working, language)
    if len(parts) > 1:
        each = [number * unit.factor / into.factor for number, unit in parts]
        working.show(f"{' + '.join(_number(one) for one in each)} = {_number(total)}")
    exact = decimal(total)
    shown = (
        said(total, into, language)
        if exact
        else f"{mixed(total)} ≈ {said(Fraction(rounded(total).replace(',', '')), into, language)}"
    )
    return working.done("units", exact or fraction(total), shown=shown)


def _number(number: Fraction) -> str:
    return decimal(number) or fraction(number)


def _one(number: Fraction, unit: Unit, into: Unit, working: Working, language: str) -> None:
    ratio_of = unit.factor / into.factor
    if unit.measures == "speed":
        working.explain("units.speed")
        working.show(f"{best(number)} × {bracketed(fraction(ratio_of))} = {_number(number * ratio_of)}")
    elif ratio_of >= 1:
        working.explain("units.is", one=said(Fraction(1), unit, language), many=said(ratio_of, into, language))
        if number != 1:
            working.show(f"{_number(number)} × {_number(ratio_of)} = {_number(number * ratio_of)}")
    else:
        working.explain("units.is", one=said(Fraction(1), into, language), many=said(1 / ratio_of, unit, language))
        working.show(f"{_number(number)} ÷ {_number(1 / ratio_of)} = {_number(number * ratio_of)}")


def _kelvin(number: Fraction, into: Unit, working: Working) -> Calculated:
    """As schoolbooks have it, by 273; and exactly."""
    up = into.name == "kelvin"
    school = number + _SCHOOL if up else number - _SCHOOL
    exact = number - _COLDEST if up else number + _COLDEST
    working.explain("units.kelvin")
    working.show(f"{_number(number)} {'+' if up else '−'} {_SCHOOL} = {_number(school)}")
    shown = working.say(
        "units.kelvin.exactly", school=f"{_number(school)} {into.sign}", exact=f"{_number(exact)} {into.sign}"
    )
    return working.done("units", _number(school), shown=shown)


def _counted(number: Fraction, by: int, working: Working) -> Calculated | None:
    """How many lakh (100000) there are in a number."""
    result = number / by
    if number > _LARGEST or decimal(result) is None:
        return None
    working.show(f"{_number(number)} ÷ {whole(by)} = {_number(result)}")
    return working.done("units", _number(result))


def _temperature(number: Fraction, unit: Unit, into: Unit, working: Working) -> Calculated | None:
    celsius = (number - _SHIFTS[unit.name]) * unit.factor
    if celsius < _COLDEST:
        return working.refuse("too_cold", "units")
    if {unit.name, into.name} == {"celsius", "kelvin"}:
        return _kelvin(number, into, working)
    result = celsius / into.factor + _SHIFTS[into.name]
    a, shown = _number(number), decimal(result) or rounded(result)
    match unit.name, into.name:
        case "celsius", "fahrenheit":
            working.show("°F = °C × 9/5 + 32")
            working.show(f"{a} × 9/5 + 32 = {_number(number * Fraction(9, 5))} + 32 = {shown}")
        case "fahrenheit", "celsius":
            working.show("°C = (°F − 32) × 5/9")
            working.show(
                f"({a} − 32) × 5/9 = {bracketed(_number(number - 32))} × 5/9 = {shown}"
                if decimal(result)
                else f"({a} − 32) × 5/9 ≈ {shown}"
            )
        case "fahrenheit", "kelvin":
            working.show(
                f"K = (°F − 32) × 5/9 + 273.15\n({a} − 32) × 5/9 + 273.15 {'=' if decimal(result) else '≈'} {shown}"
            )
        case _:
            working.show(
                f"°F = (K − 273.15) × 9/5 + 32\n({a} − 273.15) × 9/5 + 32 {'=' if decimal(result) else '≈'} {shown}"
            )
    return working.done(
        "units",
        decimal(result) or fraction(result),
        shown=f"{shown} {into.sign}" if decimal(result) else f"≈ {shown} {into.sign}",
    )
