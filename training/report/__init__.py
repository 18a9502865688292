"""The report of a training run, drawn from its record: curves, answers before and after, scores, data, time, cost."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from inference.files import write_text
from training.report.curves import NARROW, WIDE, inline, png, svg
from training.report.page import page
from training.report.run import read_run

PAGE, PICTURE, DRAWING = "report.html", "loss.png", "loss.svg"


def write(folder: Path, rupees_per_hour: float | None = None) -> Path:
    """Write loss.png, loss.svg and report.html into the run's folder, each whole or not at all; the page's path.

    The page needs no other file. `rupees_per_hour` is the price of an hour of the machine, None where it is not known.
    A run that goes on, failed or was killed has a report too, which says so. Raises TrainingError.
    """
    run = read_run(folder)
    drawing = svg(run, WIDE)
    _replace(folder / PICTURE, png(run, WIDE))
    write_text(folder / DRAWING, drawing)
    curves = (inline(drawing, "wide"), inline(svg(run, NARROW), "narrow"))
    write_text(folder / PAGE, page(run, curves, rupees_per_hour))
    return folder / PAGE


def _replace(path: Path, content: bytes) -> None:
    """Replace `path` in one step: written aside, renamed."""
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
        Path(temporary).chmod(0o644)  # mkstemp gives 0600
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
