"""`sahpathi evaluate`: how good the parts are, measured on held-out questions."""

from __future__ import annotations

import asyncio
import json as encoding
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bot.cli.common import Json, errors, load_settings, out, progress, show
from bot.cli.workbench import SHIPPED, bench, pairs, training
from bot.errors import SetupError

if TYPE_CHECKING:
    from bot.settings import Settings
    from training.data import Example
    from training.evals.retrieval import Abstention, Report

app = typer.Typer(no_args_is_help=True, help="Measure retrieval and answers on held-out questions.")

SHOWN_MISSES = 20
Questions = Annotated[
    list[Path] | None,
    typer.Option("--questions", exists=True, help="JSONL files or folders of them; default: the shipped pairs."),
]
Split = Annotated[str, typer.Option(help="train, dev or test.")]


@app.command()
def answers(
    adapter: Annotated[str, typer.Argument(help='An adapter\'s id, "current" or "base".')] = "current",
    questions: Questions = None,
    split: Split = "test",
    json: Json = False,
) -> None:
    """Score the answers of an adapter on held-out questions, before any quoting."""
    settings = load_settings()
    with training():
        from bot.compose import shelf
        from training.data import of_split

        examples = of_split(pairs(questions or [SHIPPED]), split)
        if not examples:
            raise SetupError(f"There are no examples in the split {split!r}.")
        with bench(settings, Path(settings.model.base), shelf(settings), examples) as (engine, retrieve, check):
            from training.evals.answers import by_engine
            from training.evals.answers import evaluate as score

            scores = score(examples, retrieve, by_engine(engine, adapter), check).named()
    rows = [{"score": name, "value": value} for name, value in scores.items()]
    show(rows, {"score": "Score", "value": adapter}, as_json=json, empty="")


@app.command()
def retrieval(
    questions: Questions = None,
    split: Split = "test",
    fit: Annotated[bool, typer.Option("--fit", help="Store the threshold that these questions give.")] = False,
    misses: Annotated[bool, typer.Option("--misses", help="List the questions whose page is not found.")] = False,
    json: Json = False,
) -> None:
    """Score how well the right page is found, by meaning, by words and by both, and how well an absent one is told.

    Use --split dev --fit to fit the threshold: one fitted on the test split would flatter itself.
    """
    from training.data import of_split

    if fit and split == "test":
        raise SetupError("Fit on another split than test: --split dev --fit.")
    with training():
        asked = of_split(pairs(questions or [SHIPPED]), split)
        if not asked:
            raise SetupError(f"There are no questions in the split {split!r}.")
        report, used = asyncio.run(_measured(load_settings(), asked, fit=fit))
    if json:
        print(encoding.dumps(_as_json(report, used, split)))
        return
    columns = {
        "row": "Questions", "questions": "n", "side": "Search", "recall_1": "Recall@1", "recall_3": "@3",
        "recall_5": "@5", "mrr_10": "MRR@10", "ndcg_10": "nDCG@10",
    }  # fmt: skip
    show(
        [_rounded(score.named()) for score in report.scores], columns, as_json=False, empty="No question names a page."
    )
    _show_curve(report, used)
    if misses:
        for example in report.missed[:SHOWN_MISSES]:
            out.print(f"{example.question}  [dim]{example.title}, page {example.page}[/dim]")
        if len(report.missed) > SHOWN_MISSES:
            out.print(f"... and {len(report.missed) - SHOWN_MISSES} more")


async def _measured(settings: Settings, asked: list[Example], *, fit: bool) -> tuple[Report, float]:
    from bot.compose import opened_library
    from training.evals.retrieval import fitted, measure

    with progress("Indexing") as indexing:
        async with opened_library(settings, progress=indexing) as library:
            with progress("Asking") as bar:
                report = await measure(asked, library.ranked, progress=bar)
            if fit:
                await library.calibrate(fitted(report.curve).threshold)
            return report, library.found_at


def _as_json(report: Report, used: float, split: str) -> dict[str, object]:
    return {
        "split": split,
        "found_at": used,
        "scores": [score.named() for score in report.scores],
        "abstention": [_point(point) for point in report.curve],
        "missed": [{"question": e.question, "title": e.title, "page": e.page} for e in report.missed],
    }


def _show_curve(report: Report, used: float) -> None:
    if not report.curve:
        errors.print("No out-of-book questions among these, so no abstention curve.")
        return
    columns = {
        "threshold": "Threshold", "recognised": "Out of book, recognised", "near": "near misses", "far": "far ones",
        "refused": "In the book, refused",
    }  # fmt: skip
    out.print(f"\nAbstention; the threshold in use is {used:.2f}")
    shown = [point for point in report.curve if abs(point.threshold - used) <= 0.101]
    show([_rounded(_point(point)) for point in shown], columns, as_json=False, empty="Nothing near the threshold.")


def _point(point: Abstention) -> dict[str, str | int | float]:
    from dataclasses import asdict

    return {key: round(value, 4) for key, value in asdict(point).items()}


def _rounded(row: dict[str, str | int | float]) -> dict[str, str | int]:
    return {key: f"{value:.3f}" if isinstance(value, float) else value for key, value in row.items()}
