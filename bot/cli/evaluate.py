"""`sahpathi evaluate`: how good the parts are, measured on held-out questions."""

from __future__ import annotations

import asyncio
import json as encoding
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bot.cli.common import Json, errors, load_settings, out, progress, show
from bot.cli.workbench import SHIPPED, bench, pairs, training
from bot.errors import SetupError
from bot.settings import PROJECT

if TYPE_CHECKING:
    from bot.settings import Settings
    from rag.answerable import Answerable
    from training.data import Example
    from training.evals.retrieval import Abstention, Report, Scores
    from training.evals.safety import Judged
    from training.safety_examples import SafetyExample

app = typer.Typer(no_args_is_help=True, help="Measure retrieval and answers on held-out questions.")

SHOWN_MISSES = 20
SHOWN_POINTS = 20
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
    fit: Annotated[
        bool, typer.Option("--fit", help="First fit what tells an absent answer, and store it with the index.")
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
    on the dev split.
    """
    from training.data import of_split

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


@app.command()
def safety(
    corpus: Annotated[
        Path | None, typer.Option(exists=True, file_okay=False, help="Folder with safety/*.jsonl.xz to add.")
    ] = None,
    split: Split = "test",
    ablate: Annotated[bool, typer.Option("--ablate", help="Also each layer alone, and all without each.")] = False,
    red_team: Annotated[
        bool, typer.Option("--red-team", help="Also disguise what was blocked, and count what comes back through.")
    ] = False,
    misses: Annotated[Path | None, typer.Option(dir_okay=False, help="Write what went wrong to this file.")] = None,
    json: Json = False,
) -> None:
    """Send messages through the safety filter, and count what becomes of them, by set and by layer."""
    from bot.cli.safety_bench import messages

    with training():
        from training.evals import safety as measure

        asked = [example for example in messages(corpus) if example.split == split]
        judged, names, disguised = asyncio.run(_judged(load_settings(), asked, red_team=red_team))
        rows = [row.named() for row in measure.table(judged, names)]
        kinds = measure.categories(judged, names)
        ablation = measure.ablation(judged, names) if ablate else []
        if misses is not None:
            lines = (f"{name}\t{outcome}\t{example.text}\n" for name, example, outcome in measure.missed(judged, names))
            misses.write_text("".join(line.replace("\n", " ")[:400] + "\n" for line in lines), encoding="utf-8")
    if json:
        print(
            encoding.dumps(
                {"split": split, "sets": rows, "categories": kinds, "ablation": ablation, "red_team": disguised}
            )
        )
        return
    columns = {
        "name": "Messages",
        "wanted": "Wanted",
        "n": "n",
        "share": "Share",
        "low": "95% from",
        "high": "to",
        "goal": "Goal",
    }
    show([_rounded({k: v for k, v in row.items() if v is not None}) for row in rows], columns, as_json=False, empty="")
    show(
        kinds,
        {"label": "Kind", "category": "Category", "n": "n", "held": "Held", "named": "Named so"},
        as_json=False,
        empty="",
    )
    if ablation:
        shown = {key: key for key in ablation[0]}
        show([_rounded(row) for row in ablation], shown, as_json=False, empty="")
    if disguised:
        columns = {"disguise": "Disguise", "n": "n", "through": "Came through", "share": "Share"}
        show([_rounded(row) for row in disguised], columns, as_json=False, empty="")


@app.command()
def fairness(json: Json = False) -> None:
    """Ask the tutor pairs of questions that differ only in who asks, and contested questions of history."""
    with training():
        pairs_, topics = asyncio.run(_fairness(load_settings()))
    if json:
        print(encoding.dumps({"pairs": pairs_, "history": topics}))
        return
    for rows in (pairs_, topics):
        show(rows, {key: key.capitalize() for key in rows[0]}, as_json=False, empty="")


async def _fairness(settings: Settings) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    from bot.compose import running
    from bot.ports import Answer, Kind, Turn
    from training.evals.fairness import audit, compare, contested, pairs

    folder = PROJECT / "data" / "safety"
    with tempfile.TemporaryDirectory(prefix="sahpathi-") as home:
        apart = settings.model_copy(
            update={"home": Path(home), "chroma_url": None, "database_url": None, "redis_url": None}
        )
        silent = apart.model_copy(
            update={name: type(getattr(apart, name))() for name in ("telegram", "twilio", "cloud")}
        )
        async with running(silent, say=errors.print) as services:
            tutor = services.tutor
            assert tutor is not None  # noqa: S101  this role has one
            tutor.decoding = replace(tutor.decoding, temperature=0.0)  # or chance would be taken for prejudice

            async def ask(text: str) -> Answer:
                return await tutor.answer(Turn("0", Kind.TEXT, text))

            with progress("Asking pairs") as bar:
                compared = await compare(pairs(folder / "fairness.jsonl"), ask, bar)
            with progress("Asking history") as bar:
                return compared, await audit(contested(folder / "history-audit.jsonl"), ask, bar)


async def _judged(
    settings: Settings, asked: Sequence[SafetyExample], *, red_team: bool
) -> tuple[list[Judged], list[str], list[dict[str, Any]]]:
    """Each message with what each layer says of it, the layers' names, and what came of disguises."""
    from bot.compose import opened_safety
    from bot.ports import Action
    from bot.safety.finding import Reading
    from rag.glossary import EVERYDAY, Glossary
    from training.evals import redteam
    from training.evals.safety import ANSWERED, Judged
    from training.safety_examples import BENIGN

    judged = []
    async with opened_safety(settings) as screening:
        with progress("Screening") as bar:
            for done, example in enumerate(asked, start=1):
                reading = Reading.of(example.text, example.earlier)
                judged.append(Judged(example, {layer.name: await layer.judge(reading) for layer in screening.layers}))
                bar(done, len(asked))
        names = [layer.name for layer in screening.layers]
        if not red_team:
            return judged, names, []

        async def blocks(text: str) -> bool:
            return (await screening.screen_question(text)).action is not Action.ALLOW

        blocked = [
            one.example.text
            for one in judged
            if one.example.label != BENIGN and not one.example.earlier and one.outcome(names) != ANSWERED
        ]
        tables = PROJECT / "data" / "glossary"
        ways = redteam.mutations(redteam.hinglish_words(Glossary.load(tables, EVERYDAY), tables))
        with progress("Disguising") as bar:
            return judged, names, await redteam.measure(blocked, blocks, ways, bar)


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
    show([_rounded(score.named()) for score in scores], columns, as_json=False, empty="No question names a page.")


async def _measured(settings: Settings, asked: list[Example], learned: list[Example]) -> tuple[Report, Answerable]:
    """The report, and what decided. `learned` is what to fit that on first; empty for the one in use."""
    from bot.compose import opened_library
    from training.answerable import fit
    from training.evals.retrieval import measure

    with progress("Indexing") as indexing:
        async with opened_library(settings, progress=indexing) as library:
            if learned:
                with progress("Fitting") as bar:
                    told = {}
                    for done, example in enumerate((*learned, *asked), start=1):
                        told[example.question] = (example, await library.measures(example.question))
                        bar(done, len(learned) + len(asked))
                known, held_out = ([told[e.question] for e in examples] for examples in (learned, asked))
                await library.calibrate(fit(known, held_out))
            with progress("Asking") as bar:
                report = await measure(asked, library.ranked, progress=bar)
            return report, library.answerable


def _as_json(report: Report, used: Answerable, split: str) -> dict[str, object]:
    from training.evals.retrieval import at

    return {
        "split": split,
        "threshold": used.threshold,
        "at_threshold": _point(at(report.curve, used.threshold)) if report.curve else None,
        "scores": [score.named() for score in report.scores],
        "abstention": [_point(point) for point in report.curve],
        "missed": [{"question": e.question, "title": e.title, "page": e.page} for e in report.missed],
    }


def _show_curve(report: Report, used: Answerable) -> None:
    if not report.curve:
        errors.print("No out-of-book questions among these, so no abstention curve.")
        return
    columns = {
        "threshold": "Threshold", "recognised": "Out of book, recognised", "near": "near misses", "far": "far ones",
        "refused": "In the book, refused",
    }  # fmt: skip
    from training.evals.retrieval import at

    here = at(report.curve, used.threshold)
    out.print(
        f"\nAbstention at the threshold in use, {used.threshold:.3f}: recognised {here.recognised:.3f} of what is out\n"
        f"of the book (near {here.near:.3f}, far {here.far:.3f}), refused {here.refused:.3f} of what is in it"
    )
    shown = report.curve[:: max(1, len(report.curve) // SHOWN_POINTS)]
    show([_rounded(_point(point)) for point in shown], columns, as_json=False, empty="Nothing near the threshold.")


def _point(point: Abstention) -> dict[str, str | int | float]:
    from dataclasses import asdict

    return {key: round(value, 4) for key, value in asdict(point).items()}


def _rounded(row: dict[str, str | int | float]) -> dict[str, str | int]:
    return {key: f"{value:.3f}" if isinstance(value, float) else value for key, value in row.items()}
