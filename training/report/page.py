"""The page of a run: HTML that needs no other file, made from a template."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from training.records.record import now
from training.report import words
from training.report.run import COMPLETE, EARLY, FAILED, INTERRUPTED, RUNNING, Run
from training.report.words import duration, figure, label, plain, score, size

BEST = "best_step"  # on the card among the scores, and no score
UP, DOWN = "higher is better", "lower is better"
# The scores of adapters' cards, see training.evals.answers.Scores: in words, and which way is better.
MEASURES: Mapping[str, tuple[str, str]] = {
    "dev_loss": ("Loss on the dev split", DOWN),
    "held_out_loss": ("Loss on held-out answers", DOWN),
    "key_facts": ("Key facts that answers hold", UP),
    "grounded": ("Sentences that the passages support", UP),
    "shown": ("Answers shown rather than quoted", UP),
    "shown_key_facts": ("Key facts in what is shown", UP),
    "refused": ("Answerable, but said not to be in the book", DOWN),
    "refused_rightly": ("Not in the passages, and said so", UP),
    "ece": ("Error of the confidences (ECE)", DOWN),
    "words": ("Words an answer", ""),
    "grade": ("School grade of the language", ""),
    "questions": ("Questions", ""),
    "absent": ("Questions the passages do not answer", ""),
    "preference_accuracy": ("Preferred answer is the likelier", UP),
    "preference_margin": ("How much likelier it is, in nats", UP),
    "preference_gained": ("Preferences whose margin grew", UP),
    "right": ("Right results", UP),
}
STATES = {
    RUNNING: "Still running",
    COMPLETE: "Complete",
    EARLY: "Ended early",
    INTERRUPTED: "Interrupted",
    FAILED: "Failed",
}


@dataclass(frozen=True, slots=True)
class Score:
    """One measure, of the base model and of the adapter. `verdict` is better, worse or ""."""

    name: str
    direction: str
    base: float | None
    adapter: float | None

    @property
    def change(self) -> float | None:
        return None if self.base is None or self.adapter is None else self.adapter - self.base

    @property
    def difference(self) -> str:
        """The change with its sign; "" where there is none."""
        return f"{'+' if self.change > 0 else '−'}{score(abs(self.change))}" if self.change else ""

    @property
    def verdict(self) -> str:
        if not self.change or not self.direction:
            return ""
        return "better" if (self.change > 0) == (self.direction == UP) else "worse"


@dataclass(frozen=True, slots=True)
class Answers:
    """One question with the base model's answer, the adapter's and the one wanted. None where there is none yet."""

    question: str
    base: str | None
    adapter: str | None
    wanted: str


@dataclass(frozen=True, slots=True)
class Count:
    """A share of the data, such as a subject. `share` in per cent of the largest."""

    name: str
    count: int
    share: int


def page(run: Run, curves: tuple[str, str], rupees_per_hour: float | None) -> str:
    """The HTML. `curves` as SVG elements: for a wide page, for a narrow one."""
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals.update(words=words, duration=duration, figure=figure, label=label, plain=plain, size=size)
    data = run.started.data
    return environment.get_template("report.html").render(
        run=run,
        state=STATES.get(run.state, run.state),
        curves=[Markup(curve) for curve in curves],  # noqa: S704  # matplotlib's, of numbers alone
        scores=scores(run.finished.scores if run.finished is not None else {}),
        answers=answers(run),
        counts={name: _counted(value) for name, value in data.items() if isinstance(value, Mapping) and value},
        data={name: value for name, value in data.items() if not isinstance(value, Mapping)},
        rate=rupees_per_hour,
        cost=cost(run, rupees_per_hour),
        on_accelerator=str(run.started.hardware.get("device", "cpu")).partition(":")[0] != "cpu",
        made=now(),
    )


def scores(found: Mapping[str, float]) -> list[Score]:
    """The measures in the order of the card, each beside that of the model before: `base_x`, `x_base` or `x_before`."""
    names = dict.fromkeys(
        name.removeprefix("base_").removesuffix("_base").removesuffix("_before") for name in found if name != BEST
    )
    made = []
    for name in names:
        words_, direction = MEASURES.get(name, (label(name), ""))
        base = next((found[one] for one in (f"base_{name}", f"{name}_base", f"{name}_before") if one in found), None)
        made.append(Score(words_, direction, base, found.get(name)))
    return made


def answers(run: Run) -> list[Answers]:
    """The fixed questions, with the base model's answers and those of the weights that the adapter has."""
    base = {one.question: one.answer for one in run.base.samples} if run.base else {}
    trained = {one.question: one.answer for one in run.trained.samples} if run.trained else {}
    asked = {one.question: one.wanted for of in (run.base, run.trained) if of for one in of.samples}
    return [Answers(question, base.get(question), trained.get(question), wanted) for question, wanted in asked.items()]


def cost(run: Run, rupees_per_hour: float | None) -> str | None:
    """In rupees; None where the price or the time is not known."""
    if rupees_per_hour is None or run.seconds is None:
        return None
    return f"₹{rupees_per_hour * run.seconds / 3600:,.2f}"


def _counted(counts: Mapping[str, Any]) -> list[Count]:
    numbers = {str(name): count for name, count in counts.items() if isinstance(count, int)}
    most = max(numbers.values(), default=0)
    ordered = sorted(numbers.items(), key=lambda item: -item[1])
    return [Count(name, count, round(100 * count / most) if most else 0) for name, count in ordered]
