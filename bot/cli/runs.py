"""`sahpathi runs`: the training runs there were, what each came to, and the one that goes on."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bot.cli.common import Json, errors, load_settings, out, show, show_json
from bot.cli.workbench import training
from bot.errors import SetupError

if TYPE_CHECKING:
    from collections.abc import Callable

    from training.records.record import Event
    from training.report.run import Run

app = typer.Typer(no_args_is_help=True, help="Training runs: list them, look at one, write its report, follow it.")

EMPTY = "There is no training run yet: sahpathi train sft"
ENDED_WELL = frozenset({"complete", "early"})

Which = Annotated[
    str | None, typer.Argument(metavar="[RUN]", help="A name from `runs list`, or a run's folder; default: the last.")
]


@app.command("list")
def list_runs(json: Json = False) -> None:
    """List every run, the last one first. Exits with 1 when a record could not be read; the others are listed."""
    rows, unread = [], []
    with training():
        from training.errors import TrainingError
        from training.report.run import folders, read_run

        for folder in reversed(folders(_root())):
            try:
                rows.append(_row(read_run(folder)))
            except TrainingError as error:
                unread.append(str(error))
    columns = {
        "run": "Run", "started": "When (UTC)", "subject": "Subject", "method": "Method", "steps": "Steps",
        "dev_loss": "Dev loss", "state": "State", "adapter": "Adapter",
    }  # fmt: skip
    shown = rows if json else [row | {"steps": f"{row['step']}/{row['steps']}"} for row in map(_rounded, rows)]
    show(shown, columns, as_json=json, empty=EMPTY)
    for line in unread:
        errors.print(line, markup=False, soft_wrap=True)
    if unread:
        raise typer.Exit(1)


@app.command("show")
def show_run(run: Which = None, json: Json = False) -> None:
    """Show one: its curve, what was measured, and the answers of the base model and the adapter."""
    with training():
        from training.report.page import answers
        from training.report.run import read_run
        from training.report.text import lines

        found = read_run(_folder(run))
        if json:
            show_json(_details(found, answers(found)))
            return
        for line in lines(found):
            out.print(line, markup=False, soft_wrap=True)


@app.command()
def report(
    run: Which = None,
    rupees_per_hour: Annotated[
        float | None, typer.Option(min=0, help="What an hour of the machine costs: electricity, or the cloud's price.")
    ] = None,
    open_it: Annotated[bool, typer.Option("--open", help="Show it in the browser.")] = False,
) -> None:
    """Write a run's report anew (report.html, loss.png, loss.svg) and print where the page is."""
    with training():
        from training.report import write

        page = write(_folder(run), rupees_per_hour).resolve()
    print(page)
    if open_it and typer.launch(page.as_uri()) != 0:
        errors.print("No browser could be started here; copy the file to where there is one.")


@app.command()
def follow(run: Which = None, json: Json = False) -> None:
    """Follow a run in another process until it ends. Exits with 1 when it failed or was interrupted."""
    with training():
        from training.report.follow import follow as events
        from training.report.run import read_run

        folder = _folder(run)
        if json:
            for line, _ in events(folder):
                print(line, flush=True)
        else:
            with _live() as draw:
                for _, event in events(folder):
                    draw(event)
        ended = read_run(folder)
    if ended.finished is None:
        errors.print(f"The run has no end: {ended.why}.", soft_wrap=True)
    if ended.state not in ENDED_WELL:
        raise typer.Exit(1)


@contextmanager
def _live() -> Iterator[Callable[[Event], None]]:
    """A bar with the time left, the losses and the speed; above it a line for all that is not a step."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    from training.records.record import Evaluation, Finished, Started, Step
    from training.report.text import event_line
    from training.report.words import duration

    texts = (TextColumn("{task.fields[figures]}"), TextColumn("{task.fields[left]}"))
    with Progress(BarColumn(), MofNCompleteColumn(), *texts, console=out, disable=not out.is_terminal) as bar:
        task = bar.add_task("", total=None, figures="", left="")
        dev = ""

        def draw(event: Event) -> None:
            nonlocal dev
            if isinstance(event, Step):
                figures = f"loss {event.loss:.3f}{dev} · {event.tokens_per_second:,.0f} tokens/s"
                left = f"{duration(event.seconds_left)} left"
                bar.update(task, completed=event.step, total=event.steps, figures=figures, left=left)
                return
            if isinstance(event, Started):
                bar.update(task, total=event.steps)
            elif isinstance(event, Evaluation):
                dev = f" · dev {event.dev_loss:.3f}"
            elif isinstance(event, Finished):
                bar.update(task, left="")
            out.print(event_line(event), markup=False, soft_wrap=True)

        yield draw


def _root() -> Path:
    return Path(load_settings().home) / "runs"


def _folder(name: str | None) -> Path:
    """The run's folder. Raises SetupError."""
    from training.records.record import RECORD
    from training.report.run import folders

    root = _root()
    if name is None:
        found = folders(root)
        if not found:
            raise SetupError(EMPTY)
        return found[-1]
    for folder in (root / name, Path(name)):
        if (folder / RECORD).is_file():
            return folder
    raise SetupError(f"There is no run {name}: sahpathi runs list")


def _row(run: Run) -> dict[str, Any]:
    finished, last = run.finished, run.evaluations[-1] if run.evaluations else None
    return {
        "run": run.name,
        "started": run.started.at,
        "subject": run.started.subject,
        "method": run.started.method,
        "step": run.done,
        "steps": run.started.steps,
        "dev_loss": last.dev_loss if last else None,
        "state": run.state,
        "adapter": finished.adapter if finished else None,
    }


def _rounded(row: dict[str, Any]) -> dict[str, Any]:
    from training.report.words import figure, instant

    return row | {"started": f"{instant(row['started']):%Y-%m-%d %H:%M}", "dev_loss": figure(row["dev_loss"])}


def _details(run: Run, answers: list[Any]) -> dict[str, Any]:
    """Everything but the steps, which `runs follow --json` gives."""
    from dataclasses import asdict

    parts = {"started": run.started, "finished": run.finished, "best": run.best}
    rows = {"evaluations": run.evaluations, "notes": run.notes, "answers": answers}
    return (
        _row(run)
        | {"why": run.why, "seconds": run.seconds, "tokens_per_second": run.tokens_per_second}
        | {name: asdict(part) if part is not None else None for name, part in parts.items() if name != "started"}
        | {name: dict(getattr(run.started, name)) for name in ("arguments", "hardware", "data")}
        | {name: [asdict(one) for one in found] for name, found in rows.items()}
    )
