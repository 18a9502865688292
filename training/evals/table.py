"""A table of runs, as papers print them: a row a measure, a column a run, with intervals; also as one HTML file."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from html import escape
from typing import Any

from training.evals.answers import Answered, of_kind, reliability
from training.evals.bootstrap import Interval, mean, paired
from training.evals.calibration import Calibration
from training.evals.reading import aksharas_a_word, words_a_sentence

STYLE = """\
:root { color-scheme: light dark; --ink: #1a1a1a; --soft: #595959; --rule: #b8b8b8; --paper: #fff; --mark: #1f5fa8 }
@media (prefers-color-scheme: dark) {
  :root { --ink: #ececec; --soft: #a8a8a8; --rule: #555; --paper: #161616; --mark: #7db4f0 }
}
body {
  font: 16px/1.45 system-ui, "Noto Sans", "Noto Sans Devanagari", sans-serif; margin: 2rem auto; max-width: 62rem;
  padding: 0 1rem; color: var(--ink); background: var(--paper)
}
h1 { font-size: 1.5rem; margin: 0 0 .25rem }
h2 { font-size: 1.1rem; margin: 2rem 0 .25rem }
.scroll { overflow-x: auto; margin: 1rem 0 }
table {
  width: 100%; border: solid var(--ink); border-width: 2px 0; border-collapse: collapse;
  font-variant-numeric: tabular-nums
}
thead { border-bottom: 1px solid var(--ink) }
tbody tr + tr { border-top: 1px solid color-mix(in srgb, var(--rule) 45%, transparent) }
th, td { padding: .4rem 0 .4rem 1.5rem; text-align: right; vertical-align: top; white-space: nowrap }
th:first-child { min-width: 8.5rem; padding-left: 0; text-align: left; font-weight: normal; white-space: normal }
small, .note { color: var(--soft); font-size: .8125rem }
td small, th small { display: block }
.sure { color: var(--ink); font-weight: bold }
figure { display: inline-block; margin: .75rem .9rem .75rem 0; max-width: 100% }
svg { max-width: 100%; height: auto; font-size: 12px; fill: var(--soft) }
@media print { body { margin: 0 } figure, tr { break-inside: avoid } }
"""
UP, DOWN, NEITHER = "higher is better", "lower is better", ""


@dataclass(frozen=True, slots=True)
class Measure:
    """One row: what to take of an answer (None: not of this measure), of which questions, and to how many digits."""

    name: str
    good: str
    absent: bool
    value: Callable[[Answered], float | None]
    digits: int = 3


MEASURES = (
    Measure("key facts", UP, False, lambda one: one.key_facts),
    Measure("supported sentences", UP, False, lambda one: one.grounded),
    Measure("first sentence supported", UP, False, lambda one: float(one.shown)),
    Measure("said not to be in the book, though it is", DOWN, False, lambda one: float(one.abstained)),
    Measure("said not to be in the book, rightly", UP, True, lambda one: float(one.abstained)),
    Measure("words an answer", NEITHER, False, lambda one: float(one.words), 1),
    Measure("words a sentence", DOWN, False, lambda one: words_a_sentence(one.text), 1),
    Measure("school grade of the language, English", DOWN, False, lambda one: one.grade, 1),
    Measure("aksharas a word, Hindi", DOWN, False, lambda one: aksharas_a_word(one.text), 2),
    Measure("seconds an answer", DOWN, False, lambda one: one.seconds, 2),
)


@dataclass(frozen=True, slots=True)
class Run:
    """What one adapter, or the base model, answered."""

    name: str
    rows: Sequence[Answered]


@dataclass(frozen=True, slots=True)
class Cell:
    """A run's mean, and its difference to the first run on the questions that both have a value for."""

    mean: Interval
    difference: Interval | None = None

    @property
    def sure(self) -> bool:
        """Whether the difference is more than chance."""
        return self.difference is not None and (self.difference.better or self.difference.worse)


@dataclass(frozen=True, slots=True)
class Line:
    """One measure of all runs, in their order; None where a run has no such answers. `n` is of the first run."""

    measure: str
    good: str
    n: int
    cells: tuple[Cell | None, ...]
    digits: int = 3

    def shown(self, cell: Cell) -> tuple[str, str, str]:
        """The mean, its interval, and the difference to the first run with its own; "" for what there is none of."""
        gain = cell.difference
        interval = f"[{self._figure(cell.mean.low)}, {self._figure(cell.mean.high)}]"
        if gain is None:
            return self._figure(cell.mean.mean), interval, ""
        low, high = (self._figure(value, sign=True) for value in (gain.low, gain.high))
        return self._figure(cell.mean.mean), interval, f"{self._figure(gain.mean, sign=True)} [{low}, {high}]"

    def _figure(self, value: float, *, sign: bool = False) -> str:
        near = round(value, self.digits) or 0.0  # not "-0.000"
        return f"{near:{'+' if sign and near else ''}.{self.digits}f}".replace("-", "\u2212")


@dataclass(frozen=True, slots=True)
class Table:
    """Runs side by side, the first being what the others are compared with."""

    runs: tuple[str, ...]
    lines: tuple[Line, ...]
    sure: tuple[Calibration | None, ...]

    def named(self) -> dict[str, Any]:
        """For JSON: intervals as {mean, low, high}, the reliability plot as its bins."""
        return {
            "runs": list(self.runs),
            "measures": [asdict(line) for line in self.lines],
            "calibration": [one.named() if one is not None else None for one in self.sure],
        }


def table(runs: Sequence[Run]) -> Table:
    """Raises ValueError for none."""
    if not runs:
        raise ValueError("there are no runs to compare")
    lines = [_line(measure, runs) for measure in MEASURES]
    return Table(
        tuple(run.name for run in runs),
        tuple(line for line in lines if any(line.cells)),
        tuple(reliability(run.rows) for run in runs),
    )


def html(made: Table, title: str, notes: Mapping[str, str]) -> str:
    """One file with nothing outside it: the table, and a reliability plot a run. `notes` are lines below the title."""
    heads = "".join(f'<th scope="col">{escape(name)}</th>' for name in made.runs)
    body = "\n".join(_html_line(line) for line in made.lines)
    ece = "".join(f"<td>{one.ece:.3f}</td>" if one else "<td>–</td>" for one in made.sure)
    plots = "\n".join(_plot(name, one) for name, one in zip(made.runs, made.sure, strict=True) if one is not None)
    said = "<br>".join(f"{escape(name)}: {escape(value)}" for name, value in notes.items())
    compared = (
        f" Below them the difference to {escape(made.runs[0])}, on the same questions; bold where its interval does "
        "not hold zero."
    )
    reliability = (
        '<h2>Reliability</h2>\n<p class="note">Of answers with a confidence of 0.7, seven in ten should be right: '
        "every key fact and nothing unsupported, or saying rightly that it is not in the book. A circle is a tenth of "
        f"the scale, its area the number of answers; on the line they are as sure as they are right.</p>\n{plots}"
    )
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>{escape(title)}</title><style>
{STYLE}</style></head><body>
<h1>{escape(title)}</h1>
<p class="note">{said}</p>
<div class="scroll"><table>
<thead><tr><th scope="col"></th><th scope="col">n</th>{heads}</tr></thead><tbody>
{body}
<tr><th scope="row">expected calibration error<small>{DOWN}</small></th><td></td>{ece}</tr>
</tbody></table></div>
<p class="note">Means with 95% bootstrap intervals.{compared if len(made.runs) > 1 else ""}</p>
{reliability if plots else ""}
</body></html>
"""


def _line(measure: Measure, runs: Sequence[Run]) -> Line:
    values = [_values(measure, run.rows) for run in runs]
    cells = [_cell(values[0] if place else None, held) for place, held in enumerate(values)]
    return Line(measure.name, measure.good, len(values[0]), tuple(cells), measure.digits)


def _values(measure: Measure, rows: Sequence[Answered]) -> dict[str, float]:
    found = ((one.key, measure.value(one)) for one in of_kind(rows, absent=measure.absent))
    return {key: value for key, value in found if value is not None}


def _cell(first: Mapping[str, float] | None, held: Mapping[str, float]) -> Cell | None:
    if not held:
        return None
    both = [key for key in held if key in first] if first is not None else []
    difference = paired([first[key] for key in both], [held[key] for key in both]) if first and both else None
    return Cell(mean([*held.values()]), difference)


def _html_line(line: Line) -> str:
    cells = "".join(_html_cell(line, cell) for cell in line.cells)
    return f'<tr><th scope="row">{escape(line.measure)}<small>{line.good}</small></th><td>{line.n}</td>{cells}</tr>'


def _html_cell(line: Line, cell: Cell | None) -> str:
    if cell is None:
        return "<td>–</td>"
    mean_, interval, gain = line.shown(cell)
    text = f"{mean_}<small>{interval}</small>"
    if gain:
        text += f'<small class="sure">{gain}</small>' if cell.sure else f"<small>{gain}</small>"
    return f"<td>{text}</td>"


def _plot(name: str, sure: Calibration, size: int = 240) -> str:
    """Confidence to the right, share right upwards; a circle a bin, its area by the number of answers."""
    most = max(one.n for one in sure.bins)
    circles = "".join(
        f'<circle cx="{one.confidence * size:.1f}" cy="{(1 - one.right) * size:.1f}" '
        f'r="{3 + 9 * (one.n / most) ** 0.5:.1f}">'
        f"<title>{one.n} answers: confidence {one.confidence:.2f}, right {one.right:.2f}</title></circle>"
        for one in sure.bins
        if one.n
    )
    ticks = "".join(
        f'<line x1="{place * size}" y1="{size}" x2="{place * size}" y2="{size + 5}"/><line x1="-5" y1="{place * size}" '
        f'x2="0" y2="{place * size}"/>'
        for place in (0, 0.5, 1)
    )
    figures = "".join(
        f'<text x="{place * size}" y="{size + 20}" text-anchor="middle">{place:g}</text>'
        f'<text x="-9" y="{(1 - place) * size + 4}" text-anchor="end">{place:g}</text>'
        for place in (0, 0.5, 1)
    )
    return (
        f'<figure><svg width="{size + 62}" height="{size + 54}" viewBox="-48 -12 {size + 62} {size + 54}" role="img" '
        f'aria-label="Reliability of {escape(name)}"><g fill="none" stroke="var(--rule)">'
        f'<rect width="{size}" height="{size}"/><line x1="0" y1="{size}" x2="{size}" y2="0" stroke-dasharray="4"/>'
        f'{ticks}</g>{figures}<text x="{size / 2}" y="{size + 38}" text-anchor="middle">confidence</text>'
        f'<text transform="translate(-34 {size / 2}) rotate(-90)" text-anchor="middle">share right</text>'
        f'<g fill="var(--mark)" fill-opacity=".75">{circles}</g></svg>'
        f"<figcaption><small>{escape(name)}: {sure.n} answers, ECE {sure.ece:.3f}</small></figcaption></figure>"
    )
