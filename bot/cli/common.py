"""What the commands share: logging, tables or JSON on the terminal, a progress bar."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any, Protocol

import typer
from rich.console import Console
from rich.table import Table

if TYPE_CHECKING:
    from bot.settings import Settings

Json = Annotated[bool, typer.Option("--json", help="Print JSON for scripts instead of a table.")]

out = Console(highlight=False)
errors = Console(stderr=True, highlight=False)

# These log bot tokens in URLs, phone numbers, or a line for every request at INFO.
TOO_TALKATIVE = (
    "httpx",
    "httpcore",
    "twilio",
    "telegram",
    "aiohttp",
    "chromadb",
    "sentence_transformers",
    "alembic",
    "taskiq",
)


def load_settings(**given: object) -> Settings:
    """The settings; imported only now, since reading them takes longer than all of --help."""
    from bot.settings import Settings

    return Settings.load(**given)


def log_to_stderr(level: str) -> None:
    """Logging of the whole process. Ours carries ids, never a student's words, name or number."""
    logging.basicConfig(level=level, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    for name in TOO_TALKATIVE:
        logging.getLogger(name).setLevel(max(logging.WARNING, logging.getLogger().level))


def show(rows: Sequence[Mapping[str, Any]], columns: Mapping[str, str], *, as_json: bool, empty: str) -> None:
    """Print rows as a table whose `columns` map a key to its heading, or as JSON; `empty` says what to do first."""
    if as_json:
        print(json.dumps(list(rows), ensure_ascii=False, default=str))
        return
    if not rows:
        out.print(empty)
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    cells = [["" if row.get(key) is None else str(row[key]) for key in columns] for row in rows]
    for heading, column in zip(columns.values(), zip(*cells, strict=True), strict=True):
        # On a narrow screen prose gives way: an id that is cut short cannot be typed into the next command.
        table.add_column(heading, no_wrap=not any(" " in cell for cell in column))
    for row in cells:
        table.add_row(*row)
    out.print(table)


def show_json(value: Mapping[str, Any]) -> None:
    """Print one JSON object, for scripts."""
    print(json.dumps(value, ensure_ascii=False, default=str))


class Bar(Protocol):
    """What a progress bar is fed with; `doing` names what it is at, such as a file."""

    def __call__(self, done: int, total: int, doing: str = "") -> None: ...


@contextmanager
def progress(label: str) -> Iterator[Bar]:
    """A bar to be fed; silent when standard error is not a terminal."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=errors, transient=True, disable=not errors.is_terminal) as bar:
        task = bar.add_task(label, total=None)

        def feed(done: int, total: int, doing: str = "") -> None:
            bar.update(task, completed=done, total=total, description=f"{label} {doing}".strip())

        yield feed


def rounded(row: Mapping[str, Any]) -> dict[str, Any]:
    """A row for a table: three digits after the point."""
    return {key: f"{value:.3f}" if isinstance(value, float) else value for key, value in row.items()}
