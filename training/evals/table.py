"""A table of runs, as papers print them: a row a measure, a column a run, with intervals; also as one HTML file."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from html import escape
from typing import Any

from training.evals.answers import Answered, of_kind, reliability
from training.evals.bootstrap import Interval, mean, paired
from training.evals.calibration import Calibration

STYLE = """\
body { font: 16px/1.5 Georgia, serif; margin: 2rem auto; max-width: 60rem; padding: 0 1rem; color: #111 }
table { border-collapse: collapse; border-top: 2px solid; border-bottom: 2px solid; font-variant-numeric: tabular-nums }
thead { border-bottom: 1px solid }
th, td { padding: .25rem .9rem; text-align: right; vertical-align: top }
th:first-child { text-align: left; font-weight: normal }
small { color: #555; display: block }
.sure { font-weight: bold }
figure { display: inline-block; margin: 1rem 2rem 0 0 }
caption { text-align: left }
"""
UP, DOWN, NEITHER = "higher is better", "lower is better", ""


@dataclass(frozen=True, slots=True)
class Measure:
    """One row: what to take of an answer (None: not of this measure), and of which questions."""

    name: str
    good: str
    absent: bool
    value: Callable[[Answered], float | None]


MEASURES = (
    Measure("key facts", UP, False, lambda one: one.key_facts),
    Measure("supported sentences", UP, False, lambda one: one.grounded),
    Measure("first sentence supported", UP, False, lambda one: float(one.shown)),
    Measure("said not to be in the book, though it is", DOWN, False, lambda one: float(one.abstained)),
    Measure("said not to be in the book, rightly", UP, True, lambda one: float(one.abstained)),
    Measure("words", NEITHER, False, lambda one: float(one.words)),
    Measure("reading grade", DOWN, False, lambda one: one.grade),
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


@dataclass(frozen=True, slots=True)
class Line:
    """One measure of all runs, in their order; None where a run has no such answers. `n` is of the first run."""

    measure: str
    good: str
    n: int
    cells: tuple[Cell | None, ...]


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
    """One file with nothing outside it: the table, and a reliability plot a run. `notes` are lines of the caption."""
    heads = "".join(f'<th scope="col">{escape(name)}</th>' for name in made.runs)
    body = "\n".join(_html_line(line) for line in made.lines)
    ece = "".join(f"<td>{one.ece:.3f}</td>" if one else "<td>–</td>" for one in made.sure)
    plots = "\n".join(_plot(name, one) for name, one in zip(made.runs, made.sure, strict=True) if one is not None)
    caption = "<br>".join(f"{escape(name)}: {escape(value)}" for name, value in notes.items())
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title><style>
{STYLE}</style></head><body>
<h1>{escape(title)}</h1>
<table><caption><small>{caption}</small></caption>
<thead><tr><th scope="col"></th><th scope="col">n</th>{heads}</tr></thead><tbody>
{body}
<tr><th scope="row">expected calibration error<small>{DOWN}</small></th><td></td>{ece}</tr>
</tbody></table>
<p><small>Means with 95% bootstrap intervals. Below them the difference to {escape(made.runs[0])}, on the same
questions; bold where its interval does not hold zero.</small></p>
{plots}
</body></html>
"""


def _line(measure: Measure, runs: Sequence[Run]) -> Line:
    values = [_values(measure, run.rows) for run in runs]
    cells = [_cell(values[0] if place else None, held) for place, held in enumerate(values)]
    return Line(measure.name, measure.good, len(values[0]), tuple(cells))


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
    cells = "".join(_html_cell(cell) for cell in line.cells)
    return f'<tr><th scope="row">{escape(line.measure)}<small>{line.good}</small></th><td>{line.n}</td>{cells}</tr>'


def _html_cell(cell: Cell | None) -> str:
    if cell is None:
        return "<td>–</td>"
    text = f"{cell.mean.mean:.3f}<small>[{cell.mean.low:.3f}, {cell.mean.high:.3f}]</small>"
    if (gain := cell.difference) is not None:
        mark = ' class="sure"' if gain.better or gain.worse else ""
        text += f"<small{mark}>{gain.mean:+.3f} [{gain.low:+.3f}, {gain.high:+.3f}]</small>"
    return f"<td>{text}</td>"


def _plot(name: str, sure: Calibration, size: int = 220) -> str:
    """Confidence to the right, share right upwards; a circle a bin, its area by the number of answers."""
    most = max(one.n for one in sure.bins)
    circles = "".join(
        f'<circle cx="{one.confidence * size:.1f}" cy="{(1 - one.right) * size:.1f}" '
        f'r="{3 + 9 * (one.n / most) ** 0.5:.1f}">'
        f"<title>{one.n} answers: confidence {one.confidence:.2f}, right {one.right:.2f}</title></circle>"
        for one in sure.bins
        if one.n
    )
    return (
        f'<figure><svg width="{size + 24}" height="{size + 24}" viewBox="-12 -12 {size + 24} {size + 24}" role="img" '
        f'aria-label="Reliability of {escape(name)}"><rect width="{size}" height="{size}" fill="none" stroke="#999"/>'
        f'<line x1="0" y1="{size}" x2="{size}" y2="0" stroke="#999" stroke-dasharray="4"/>'
        f'<g fill="#1f5fa8" fill-opacity=".7">{circles}</g></svg>'
        f"<figcaption><small>{escape(name)}: confidence (to the right) against right answers; n = {sure.n}, "
        f"ECE {sure.ece:.3f}</small></figcaption></figure>"
    )
