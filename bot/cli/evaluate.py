"""`sahpathi evaluate`: how good the parts are, measured on held-out questions."""

from __future__ import annotations

import asyncio
import json as encoding
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bot.cli import evaluate_answers, evaluate_safety, evaluate_same, evaluate_speed, evaluate_tutor
from bot.cli.common import Json, errors, load_settings, out, progress, rounded, show
from bot.cli.workbench import SHIPPED, Questions, Split, pairs, training
from bot.errors import SetupError

if TYPE_CHECKING:
    from bot.settings import Settings
    from rag.fitted import Fitted
    from rag.library import Library
    from training.evals.retrieval import Abstention, Report, Scores
    from training.pairs.data import Example

app = typer.Typer(
    no_args_is_help=True, help="Measure retrieval, answers, speed and the safety filter on what was held out."
)

SHOWN_MISSES = 20
SHOWN_POINTS = 20
app.command()(evaluate_safety.safety)
app.command()(evaluate_safety.fairness)
app.command()(evaluate_answers.answers)
app.command()(evaluate_tutor.tutor)
app.command()(evaluate_same.same)
app.command()(evaluate_speed.speed)


@app.command()
def retrieval(
    questions: Questions = None,
    split: Split = "test",
    fit: Annotated[
        bool,
        typer.Option("--fit", help="First fit what tells an absent answer, and how sure a quote is; store both."),
    ] = False,
    save: Annotated[Path | None, typer.Option(dir_okay=False, help="With --fit: also write it to this file.")] = None,
    corpus: Annotated[
        Path | None,
        typer.Option(exists=True, file_okay=False, help="Ask XQuAD's questions instead, from this corpus folder."),
    ] = None,
    distractors: Annotated[int, typer.Option(min=0, help="With --corpus: paragraphs of prose to hide among.")] = 20_000,
    misses: Annotated[bool, typer.Option("--misses", help="List the questions whose page is not found.")] = False,
    json: Json = False,
) -> None:
    """Score how well the right page is found, by meaning, by words and by both, and how well an absent one is told.

    With --split dev --fit, what tells an absent answer is fitted first: its weights on the train split, its threshold
    on the dev split; then how surely a quote holds the whole answer, on the dev split.
    """
    from training.pairs.data import of_split

    if corpus is not None:
        _yardstick(corpus, distractors, as_json=json)
        return
    if fit and split != "dev":
        raise SetupError("Fit on the dev split: --split dev --fit.")
    with training():
        given = pairs(questions or [SHIPPED])
        asked = of_split(given, split)
        if not asked:
            raise SetupError(f"There are no questions in the split {split!r}.")
        learned = of_split(given, "train") if fit else []
        report, used = asyncio.run(_measured(load_settings(), asked, learned))
        if save is not None:
            save.write_text(used.dumps() + "\n", encoding="utf-8")
    if json:
        print(encoding.dumps(_as_json(report, used, split)))
        return
    _show_scores(report.scores)
    _show_curve(report, used)
    if misses:
        for example in report.missed[:SHOWN_MISSES]:
            out.print(f"{example.question}  [dim]{example.title}, page {example.page}[/dim]")
        if len(report.missed) > SHOWN_MISSES:
            out.print(f"... and {len(report.missed) - SHOWN_MISSES} more")


def _yardstick(corpus: Path, distractors: int, *, as_json: bool) -> None:
    settings = load_settings()
    with training(), tempfile.TemporaryDirectory(prefix="sahpathi-") as folder:
        from training.evals.yardstick import load, measure

        with progress("Asking") as bar:
            scores = asyncio.run(
                measure(
                    load(corpus, distractors), Path(folder), glossary=SHIPPED.parent / "glossary",
                    embedding_model=settings.retrieval.embedding_model, threads=settings.model.threads, progress=bar,
                )
            )  # fmt: skip
    if as_json:
        print(encoding.dumps({"distractors": distractors, "scores": [score.named() for score in scores]}))
    else:
        _show_scores(scores)


def _show_scores(scores: Sequence[Scores]) -> None:
    columns = {
        "row": "Questions", "questions": "n", "side": "Search", "recall_1": "Recall@1", "recall_3": "@3",
        "recall_5": "@5", "mrr_10": "MRR@10", "ndcg_10": "nDCG@10",
    }  # fmt: skip
    show([rounded(score.named()) for score in scores], columns, as_json=False, empty="No question names a page.")


async def _measured(settings: Settings, asked: list[Example], learned: list[Example]) -> tuple[Report, Fitted]:
    """The report, and what decided. `learned` is what to fit that on first; empty for the one in use."""
    from bot.compose import opened_library
    from training.evals.retrieval import measure

    with progress("Indexing") as indexing:
        async with opened_library(settings, progress=indexing) as library:
            if learned:
                await _fit(library, learned, asked)
            with progress("Asking") as bar:
                report = await measure(asked, library.ranked, progress=bar)
            return report, library.fitted


async def _fit(library: Library, learned: list[Example], held_out: list[Example]) -> None:
    """Fit both scores, the second on what is quoted by the first, and store them with the index."""
    from dataclasses import replace

    from rag.certainty import measures
    from training.classifiers.fitted import fit, fit_certainty
    from training.evals.facts import key_facts
    from training.pairs.data import UNANSWERABLE

    told = {}
    with progress("Fitting") as bar:
        for done, example in enumerate((*learned, *held_out), start=1):
            told[example.question] = (example, await library.measures(example.question))
            bar(done, len(learned) + len(held_out))
    known, measured = ([told[e.question] for e in examples] for examples in (learned, held_out))
    await library.calibrate(replace(library.fitted, answerable=fit(known, measured)))
    quoted = []
    with progress("Quoting") as bar:
        for done, example in enumerate(held_out, start=1):
            found = await library.retrieve(example.question)
            quote = await library.quote(example.question, found)
            if quote is not None:
                held = example.kind != UNANSWERABLE and key_facts(quote.text, example.facts) == 1.0
                quoted.append((held, measures(found.confidence, quote)))
            bar(done, len(held_out))
    await library.calibrate(replace(library.fitted, certainty=fit_certainty(quoted)))


def _as_json(report: Report, used: Fitted, split: str) -> dict[str, object]:
    from training.evals.retrieval import at

    return {
        "split": split,
        "threshold": used.answerable.threshold,
        "at_threshold": _point(at(report.curve, used.answerable.threshold)) if report.curve else None,
        "scores": [score.named() for score in report.scores],
        "abstention": [_point(point) for point in report.curve],
        "missed": [{"question": e.question, "title": e.title, "page": e.page} for e in report.missed],
    }


def _show_curve(report: Report, used: Fitted) -> None:
    if not report.curve:
        errors.print("No out-of-book questions among these, so no abstention curve.")
        return
    columns = {
        "threshold": "Threshold", "recognised": "Out of book, recognised", "near": "near misses", "far": "far ones",
        "refused": "In the book, refused",
    }  # fmt: skip
    from training.evals.retrieval import at

    threshold = used.answerable.threshold
    here = at(report.curve, threshold)
    out.print(
        f"\nAbstention at the threshold in use, {threshold:.3f}: recognised {here.recognised:.3f} of what is out\n"
        f"of the book (near {here.near:.3f}, far {here.far:.3f}), refused {here.refused:.3f} of what is in it"
    )
    shown = report.curve[:: max(1, len(report.curve) // SHOWN_POINTS)]
    show([rounded(_point(point)) for point in shown], columns, as_json=False, empty="Nothing near the threshold.")


def _point(point: Abstention) -> dict[str, str | int | float]:
    from dataclasses import asdict

    return {key: round(value, 4) for key, value in asdict(point).items()}
