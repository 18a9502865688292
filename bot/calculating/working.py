"""How an answer is written: lines of explanation and of sums, and the answer last."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from bot.calculating.numerals import best, bracketed

REPEATING = frozenset({"letters", "reversed", "spelling"})  # kinds whose answers hold words of the question


@dataclass(frozen=True, slots=True)
class Calculated:
    """A computed answer: what the student reads, the bare result, and what kind of computation it was."""

    text: str
    result: str
    kind: str

    @property
    def repeats(self) -> bool:
        """Whether it says words of the student's again, which are to be screened like any answer."""
        return self.kind in REPEATING


@dataclass(slots=True)
class Working:
    """The lines of one answer. `say` gives a sentence in the student's language."""

    say: Callable[..., str]
    money: bool = False
    lines: list[str] = field(default_factory=list)

    def explain(self, key: str, **values: object) -> None:
        """A sentence, or as many as the text has lines."""
        self.lines.append(self.say(key, **values))

    def show(self, line: str) -> None:
        """A line of signs and numbers, the same in every language."""
        self.lines.append(line)

    def done(self, kind: str, result: str, **values: object) -> Calculated:
        """The answer; `values` hold what the language adds to the bare result, as `shown`."""
        shown = values.get("shown", result)
        return Calculated("\n".join([*self.lines, self.say("answer", result=shown)]), result, kind)

    def refuse(self, key: str, kind: str, **values: object) -> Calculated:
        """A computation that has no result: why, and an empty result."""
        self.explain(key, **values)
        return Calculated("\n".join(self.lines), "", kind)

    def amount(self, text: str) -> str:
        """A number, in rupees when the question is about money."""
        if not self.money:
            return text
        return f"−₹{text[1:]}" if text.startswith("−") else f"₹{text}"


def times(*numbers: object) -> str:
    """A product as it is printed, negative factors in brackets."""
    texts = [number if isinstance(number, str) else best(number) for number in numbers]  # type: ignore[arg-type]
    return " × ".join([texts[0], *map(bracketed, texts[1:])])
