"""Judges a message with a small model of our own (`inference.moderation`, made by `training.classifiers.safety`).

It is asked about the message as it stands and, where it was disguised, about what was meant. A threshold for each
decision was fitted on messages that training had not seen; they are stored beside the weights.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Protocol

from bot.folding import latin
from bot.language import NAMES, detect
from bot.ports import Action
from bot.safety.finding import Finding, Reading

DISTRESS = "distress"
LANGUAGES: tuple[str, ...] = tuple(NAMES)
FEWEST_WORDS = 3  # "no", "stop", "next one": what is shorter says too little, and is the business of the phrase lists
MOST_MEANT = 3  # of a message that can be undone in more ways than that, the most legible ones are judged


def together(turns: Sequence[str]) -> str:
    """Several messages as one text, as training saw them."""
    return " . ".join(turns)


class Scorer(Protocol):
    """Gives each text a probability for each label; a label is "benign" or "group.category"."""

    @property
    def labels(self) -> Sequence[str]: ...

    def scores(self, texts: Sequence[str]) -> Iterable[Iterable[float]]: ...


@dataclass(frozen=True, slots=True)
class Thresholds:
    """From which probability on a message is held, by the language it is written in.

    `distress` is for the kinds of distress together, `held` for all that is not harmless together: a message that is
    surely not harmless is held, even where it is unclear for what. `turns` is for what only several messages together
    say, in any language.
    """

    distress: Mapping[str, float]
    held: Mapping[str, float]
    turns: float

    @classmethod
    def load(cls, path: Path) -> Thresholds:
        """Raises OSError or ValueError."""
        raw = json.loads(path.read_text(encoding="utf-8"))
        try:
            distress, held = ({name: float(raw[kind][name]) for name in LANGUAGES} for kind in ("distress", "held"))
            return cls(distress, held, float(raw["turns"]))
        except (TypeError, KeyError, ValueError) as error:
            raise ValueError(
                f"{path}: thresholds are numbers: distress and held for each of {', '.join(LANGUAGES)}, and turns"
            ) from error

    def save(self, path: Path) -> None:
        path.write_text(json.dumps(asdict(self), indent=2) + "\n", encoding="utf-8")


@dataclass(frozen=True, slots=True)
class Judge:
    """A model with the thresholds that were fitted for it."""

    scorer: Scorer
    thresholds: Thresholds

    def scores(self, texts: Sequence[str]) -> list[dict[str, float]]:
        """The probability of each label for each text."""
        labels = self.scorer.labels
        return [dict(zip(labels, map(float, row), strict=True)) for row in self.scorer.scores(texts)]


class Classifier:
    """The layer. `serving` gives what judges now; it and the model run on `executor`, which has one thread."""

    name = "classifier"

    def __init__(self, serving: Callable[[], Judge], executor: Executor) -> None:
        self._serving = serving
        self._executor = executor

    async def judge(self, reading: Reading) -> Finding | None:
        """The gravest of what is found in the message, under its disguises, and in the turns up to it."""
        found = await asyncio.get_running_loop().run_in_executor(self._executor, self._judge, reading)
        return max(found, key=lambda one: (one.action is Action.ESCALATE, one.score), default=None)

    def _judge(self, reading: Reading) -> list[Finding]:
        texts = [latin(reading.text), *reading.meant[:MOST_MEANT]]
        texts = [text for text in texts if len(text.split()) >= FEWEST_WORDS]  # an encoded text is one word
        if not texts:
            return []
        turns = [together(reading.earlier), together((*reading.earlier, texts[0]))] if reading.earlier else []
        judge = self._serving()
        asked = [*texts, *turns]
        rows = judge.scores(asked)
        decided = [decide(row, judge.thresholds, detect(text)) for text, row in zip(asked, rows, strict=True)]
        found = [made for made in decided[: len(texts)] if made is not None]
        if turns and decided[-2] is None and (made := decided[-1]) is not None and self._tipped(made, judge):
            found.append(replace(made, layer=f"{self.name} of turns"))
        return found

    @staticmethod
    def _tipped(made: Finding, judge: Judge) -> bool:
        """Whether the newest message is what makes several together harmful: before it nothing was found in them."""
        return made.action is Action.REFUSE and made.score >= judge.thresholds.turns


def decide(probabilities: Mapping[str, float], thresholds: Thresholds, language: str) -> Finding | None:
    """What one text's probabilities come to: distress first, then whatever else is likeliest."""
    groups: dict[str, dict[str, float]] = {DISTRESS: {}}
    for label, value in probabilities.items():
        group, _, category = label.partition(".")
        if category:
            groups.setdefault(group, {})[category] = value
    sums = {group: sum(values.values()) for group, values in groups.items()}
    if sums[DISTRESS] >= thresholds.distress[language]:
        group, score = DISTRESS, sums[DISTRESS]
    elif (score := sum(sums.values())) >= thresholds.held[language]:
        group = max(sums, key=sums.__getitem__)
    else:
        return None
    action = Action.ESCALATE if group == DISTRESS else Action.REFUSE
    return Finding(action, max(groups[group], key=groups[group].__getitem__), Classifier.name, score)
