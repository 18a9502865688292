"""How a run tells how far it is: a value a step, and a rich progress bar that shows it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Progress:
    """One step done. Losses in nats a token; `held_out` is None where it was not measured at this step.

    `utilisation` is the share of the devices' peak arithmetic that went into the model; None where the peak is unknown.
    """

    step: int
    steps: int
    loss: float
    tokens_per_second: float
    held_out: float | None = None
    utilisation: float | None = None


OnProgress = Callable[[Progress], None]


@contextmanager
def reporting(title: str, steps: int, on_progress: OnProgress | None) -> Iterator[OnProgress]:
    """Yield `on_progress`, or a callback that draws a progress bar on standard error when there is none."""
    if on_progress is not None:
        yield on_progress
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[figures]}"),
        TimeRemainingColumn(),
    )
    with Bar(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task(title, total=steps, figures="")
        held_out = ""

        def draw(progress: Progress) -> None:
            nonlocal held_out
            if progress.held_out is not None:
                held_out = f" · held out {progress.held_out:.3f}"
            figures = f"loss {progress.loss:.3f}{held_out} · {progress.tokens_per_second:,.0f} tokens/s"
            if progress.utilisation is not None:
                figures += f" · {progress.utilisation:.0%} of peak"
            bar.update(task, completed=progress.step, figures=figures)

        yield draw
