"""The curves of a run: training and dev loss over the steps, and the learning rate below them.

Drawn once for a wide page and once for a phone, where the writing of the wide one would be too small to read. On the
page the colours are those of its style sheet, so that they follow the reader's choice of light or dark.
"""

from __future__ import annotations

import io
import math
import re
from collections.abc import Sequence
from itertools import accumulate, pairwise
from typing import TYPE_CHECKING, Any

from training.errors import TrainingError
from training.report.run import Run
from training.report.words import LOSSES

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Size = tuple[float, float]  # width and height in inches

WIDE: Size = (8.4, 5.2)
NARROW: Size = (4.3, 5.0)
POINTS = 400  # at most so many of a curve are drawn: more cannot be told apart

# The variable of the style sheet each colour becomes. Blue and vermilion by Okabe and Ito are told apart by everybody.
SHEET, INK, SOFT, RULE = "#fffdf8", "#1d2a29", "#55645e", "#d9d3c3"
LEARNED, POINT, DEV, WARNING = "#0072b2", "#6db3dd", "#c94a00", "#fbe9c4"
VARIABLES = {
    SHEET: "--sheet", INK: "--ink", SOFT: "--soft", RULE: "--rule",
    LEARNED: "--learned", POINT: "--point", DEV: "--dev", WARNING: "--sun",
}  # fmt: skip

_STYLE: dict[Any, Any] = {  # matplotlib's own names
    "font.family": "sans-serif",
    "font.size": 10,
    "svg.fonttype": "none",  # text stays text: smaller, and it can be searched
    "svg.hashsalt": "sahpathi",  # the same run gives the same file
    "text.color": INK,
    "axes.facecolor": SHEET,
    "axes.edgecolor": SOFT,
    "axes.labelcolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.titlelocation": "left",
    "axes.titlesize": 10,
    "grid.color": RULE,
    "grid.linewidth": 0.7,
    "xtick.color": SOFT,
    "ytick.color": SOFT,
}
_PIXELS = 160  # an inch


def png(run: Run, size: Size) -> bytes:
    """The curves as a PNG. Raises TrainingError when matplotlib is not installed."""
    return _drawn(run, size, "png", {"Software": None})


def svg(run: Run, size: Size) -> str:
    """The curves as an SVG file. Raises TrainingError when matplotlib is not installed."""
    return _drawn(run, size, "svg", dict.fromkeys(("Creator", "Date", "Format", "Type"))).decode()


def inline(drawing: str, name: str) -> str:
    """The SVG as a part of a page: as wide as there is room, in the page's colours, its ids told apart by `name`."""
    element = drawing[drawing.index("<svg") :]
    for colour, variable in VARIABLES.items():
        element = element.replace(colour, f"var({variable})")
    element = re.sub(r'(\bid="|href="#|url\(#)', rf"\g<1>{name}-", element)
    opening = rf'<svg class="{name}" viewBox="\1" aria-hidden="true">'
    return re.sub(r'^<svg[^>]*?viewBox="([^"]*)"[^>]*>', opening, element)


def smoothed(values: Sequence[float]) -> list[float]:
    """At each value the line that fits its neighbours best (least squares), a twentieth of all, five at least.

    A plain mean would bend at both ends. What is no number does not count.
    """
    reach = max(2, len(values) // 40)
    moments = [(1.0, x, x * x, y, x * y) if math.isfinite(y) else (0.0,) * 5 for x, y in enumerate(values)]
    sums = [list(accumulate(column, initial=0.0)) for column in zip(*moments, strict=True)]
    fitted = []
    for index in range(len(values)):
        first, last = max(0, index - reach), min(len(values), index + reach + 1)
        n, x, xx, y, xy = (column[last] - column[first] for column in sums)
        spread = n * xx - x * x
        slope = (n * xy - x * y) / spread if spread > 0 else 0.0
        fitted.append(y / n + slope * (index - x / n) if n else math.nan)
    return fitted


def _drawn(run: Run, size: Size, form: str, metadata: dict[str, Any]) -> bytes:
    try:
        from matplotlib import rc_context
    except ModuleNotFoundError as error:
        raise TrainingError(f"{error.name} is not installed: reports need `pip install 'sahpathi[train]'`") from None
    buffer = io.BytesIO()
    with rc_context(_STYLE):
        _figure(run, size).savefig(buffer, format=form, dpi=_PIXELS, metadata=metadata)
    return buffer.getvalue()


def _figure(run: Run, size: Size) -> Figure:
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    figure = Figure(figsize=size, layout="constrained", facecolor=SHEET)  # without pyplot, which would keep it
    losses, rates = figure.subplots(2, 1, sharex=True, height_ratios=[4, 1])
    _draw_losses(losses, run)
    _draw_rates(rates, run)
    losses.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=6))
    last = max(run.done, *(one.step for one in run.evaluations), 1)
    rates.set_xlim(-last / 60, last * (1 + 1 / 60))
    if losses.get_legend_handles_labels()[1]:
        columns = 5 if size[0] > size[1] else 2
        figure.legend(loc="outside upper left", ncols=columns, frameon=False, columnspacing=1.2, handletextpad=0.5)
    return figure


def _draw_losses(axes: Axes, run: Run) -> None:
    axes.set_title(LOSSES.get(run.started.method, "Loss"), color=SOFT)
    every = max(1, math.ceil(len(run.steps) / POINTS))
    steps = [step.step for step in run.steps][::every]
    values = [step.loss for step in run.steps]
    if run.steps:
        axes.plot(steps, values[::every], ".", color=POINT, markersize=5, label="a training step", alpha=0.8)
        axes.plot(steps, smoothed(values)[::every], color=LEARNED, linewidth=2, label="training, smoothed")
    if run.evaluations:
        measured = [one.step for one in run.evaluations]
        losses = [one.dev_loss for one in run.evaluations]
        axes.plot(measured, losses, "s--", color=DEV, linewidth=1.6, markersize=6, label="dev (held out)")
    for before, one in pairwise(run.evaluations):
        if one.overfitting:
            named = "overfitting" if one is run.overfitting[0] else None
            axes.axvspan(before.step, one.step, color=WARNING, linewidth=0, zorder=0, label=named)
    if not run.steps and not run.evaluations:
        axes.text(0.5, 0.5, "Nothing was measured.", ha="center", va="center", transform=axes.transAxes, color=SOFT)
    _mark_best(axes, run)


def _mark_best(axes: Axes, run: Run) -> None:
    if run.best is None or not math.isfinite(run.best.dev_loss):
        return
    step, loss = run.best.step, run.best.dev_loss
    axes.axvline(step, color=DEV, linewidth=1, linestyle=":")
    axes.plot([step], [loss], "*", color=DEV, markersize=15, markeredgecolor=SHEET, label="best", zorder=5)
    early = step < run.done / 2
    axes.annotate(
        f"step {step}: {loss:.3f}",
        (step, loss),
        xytext=(8 if early else -8, 12),
        textcoords="offset points",
        ha="left" if early else "right",
        color=INK,
        bbox={"facecolor": SHEET, "edgecolor": "none", "alpha": 0.8, "pad": 1},
    )


def _draw_rates(axes: Axes, run: Run) -> None:
    axes.set_title("Learning rate", color=SOFT)
    axes.set_xlabel("step")
    every = max(1, math.ceil(len(run.steps) / POINTS))
    chosen = run.steps[::every]
    axes.plot([one.step for one in chosen], [one.learning_rate for one in chosen], color=SOFT, linewidth=1.6)
    axes.set_ylim(bottom=0)
    axes.locator_params(axis="y", nbins=3)
    axes.yaxis.set_major_formatter(lambda rate, _: f"{rate:g}")
