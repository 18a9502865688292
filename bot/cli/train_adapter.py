"""`sahpathi train sft`: a LoRA adapter from question-answer pairs, with a record and a report of the run."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bot.cli.common import errors, load_settings, out
from bot.cli.workbench import SHIPPED, bench, found, pairs, section, training

if TYPE_CHECKING:
    from bot.settings import Settings
    from inference.adapters import AdapterCard
    from training.pairs.data import Example
    from training.records.progress import Progress
    from training.records.record import Event
    from training.tuning.sft import SftArguments

logger = logging.getLogger(__name__)


class Shown(StrEnum):
    """How a run is followed: a bar for people, lines of JSON for the program that started it."""

    BAR = "bar"
    JSON = "json"


def sft(
    data: Annotated[
        list[str] | None,
        typer.Option(help="A dataset of `sahpathi data build`, or JSONL files or folders; default: the shipped pairs."),
    ] = None,
    recipe: Annotated[
        str, typer.Option("--recipe", help="A shipped recipe's name (adapter-cpu, classic) or a YAML file.")
    ] = "adapter-cpu",
    subject: Annotated[str | None, typer.Option(help="The subject the adapter is for.")] = None,
    base: Annotated[Path | None, typer.Option(help="Folder of the base model instead of the configured one.")] = None,
    output: Annotated[
        Path | None, typer.Option(help="Folder that receives the adapter; default: the home folder's.")
    ] = None,
    progress: Annotated[Shown, typer.Option(help="A bar, or the run's events as lines of JSON.")] = Shown.BAR,
) -> None:
    """Train a LoRA adapter, score it beside the base model, and register it. Promoting it is a step of its own.

    A run that was stopped goes on when the same command is given again.
    """
    settings = load_settings()
    with training():
        from training.records.record import print_line

        made = found(
            recipe,
            subject=subject,
            base=base or Path(settings.model.base),
            adapters=output or settings.home / "adapters",
            runs=settings.home / "runs",
        )
        arguments = section(made.sft, recipe, "sft")
        examples = _examples(settings, data or [])
        if progress is Shown.JSON:
            card = trained(settings, arguments, examples, on_event=print_line, on_progress=lambda _: None)
            return
        card = trained(settings, arguments, examples)
    out.print(f"Trained {card.id} on {card.examples} examples. To let it answer: sahpathi adapters promote {card.id}")
    out.print("How the run went, with its curves: sahpathi runs report")


def trained(
    settings: Settings,
    arguments: SftArguments,
    examples: list[Example],
    *,
    on_event: Callable[[Event], None] | None = None,
    on_progress: Callable[[Progress], None] | None = None,
) -> AdapterCard:
    """Train, score beside the base model, and draw the report, whatever the end."""
    from inference.adapters import Shelf
    from training.pairs.data import of_split
    from training.promotion.registry import score
    from training.tuning.sft import sft as run

    shelf = Shelf(arguments.adapters)
    with bench(settings, arguments.base, shelf, examples) as (engine, retrieve, check):
        began = time.time()
        try:
            card = run(arguments, examples, retrieve, on_progress, on_event)
        finally:
            report(arguments.runs or arguments.adapters.parent / "runs", began)
        if of_split(examples, "test", "dev"):
            return score(card, engine, shelf, examples, retrieve, check)
    errors.print("[yellow]No example is held out, so the adapter has no scores.[/yellow]")
    return card


def _examples(settings: Settings, names: Sequence[str]) -> list[Example]:
    from training.pairs.dataset import find, warning_if_few

    examples = pairs([find(settings.home / "datasets", name) for name in names] or [SHIPPED])
    if warning := warning_if_few(len(examples)):
        errors.print(f"[yellow]{warning}[/yellow]")
    return examples


def report(runs: Path, began: float) -> None:
    """Draw the report of the run that was written to since then. What goes wrong in it must not cost the adapter."""
    from training.records.runs import written_since
    from training.report import write

    for folder in written_since(runs, began):
        try:
            write(folder)
        except Exception:
            logger.exception("the report of %s could not be drawn", folder.name)
