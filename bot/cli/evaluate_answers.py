"""`sahpathi evaluate answers`: adapters beside each other on held-out questions, as a table, JSON or HTML."""

from __future__ import annotations

import json as encoding
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape
from rich.table import Table as Grid

from bot.cli.common import Json, load_settings, out, progress
from bot.cli.workbench import SHIPPED, Compared, Limit, Questions, Split, bench, pairs, spread, training
from bot.errors import SetupError

if TYPE_CHECKING:
    from training.evals.table import Cell, Line, Table


def answers(
    adapters: Compared = None,
    questions: Questions = None,
    split: Split = "test",
    limit: Limit = 0,
    html: Annotated[Path | None, typer.Option(dir_okay=False, help="Also write the table to this HTML file.")] = None,
    json: Json = False,
) -> None:
    """Score the answers of adapters on held-out questions, before any quoting. By default: base and current."""
    settings = load_settings()
    with training():
        from bot.cli.adapter_bench import answering
        from bot.compose import shelf
        from training.evals.answers import answered, by_engine
        from training.evals.table import Run, table
        from training.evals.table import html as as_html
        from training.pairs.data import of_split

        examples = spread(of_split(pairs(questions or [SHIPPED]), split), limit)
        if not examples:
            raise SetupError(f"There are no examples in the split {split!r}.")
        runs = []
        with bench(settings, Path(settings.model.base), shelf(settings), examples) as (engine, retrieve, check):
            for adapter in adapters or ["base", "current"]:
                with progress(f"Asking {adapter}") as bar:
                    rows = answered(examples, retrieve, by_engine(engine, adapter), check, progress=bar)
                runs.append(Run(adapter, rows))
        made = table(runs)
    if html is not None:
        notes = {
            "Questions": f"{len(examples)} of the {split} split, and up to 20 again with another chapter's passages",
            "Base model": engine.base_sha256[:12],
            "current": answering(settings, engine.shelf, "general"),
            "Seconds": "one adapter after the other; `sahpathi evaluate speed` compares them turn by turn",
        }
        html.write_text(as_html(made, "Answers on held-out questions", notes), encoding="utf-8")
    if json:
        print(encoding.dumps(made.named(), ensure_ascii=False))
    else:
        _show(made)


def _show(made: Table) -> None:
    grid = Grid(box=None, pad_edge=False, header_style="bold")
    for heading in ("", "n", *made.runs):
        grid.add_column(heading, justify="left" if not heading else "right")
    for line in made.lines:
        grid.add_row(line.measure, str(line.n), *(_cell(line, cell) for cell in line.cells))
    grid.add_row("expected calibration error", "", *("" if one is None else f"{one.ece:.3f}" for one in made.sure))
    out.print(grid)
    if len(made.runs) > 1:
        out.print(
            f"Means with 95% intervals; below, the difference to {made.runs[0]} on the same questions, with a star "
            "where it is more than chance."
        )


def _cell(line: Line, cell: Cell | None) -> str:
    if cell is None:
        return ""
    mean, interval, gain = line.shown(cell)
    below = f"\n{gain}{'*' if cell.sure else ''}" if gain else ""
    return escape(f"{mean} {interval}{below}")
