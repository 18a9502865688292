"""`sahpathi evaluate safety` and `fairness`: what the filter hears, refuses and lets through, and for whom."""

from __future__ import annotations

import asyncio
import json as encoding
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bot.cli.common import Json, load_settings, out, progress, rounded, show
from bot.cli.workbench import training, tutor_apart
from bot.settings import PROJECT

if TYPE_CHECKING:
    from bot.settings import Settings
    from training.classifiers.safety_examples import SafetyExample
    from training.evals.safety import Judged


def safety(
    corpus: Annotated[
        Path | None, typer.Option(exists=True, file_okay=False, help="Folder with safety/*.jsonl.xz to add.")
    ] = None,
    split: Annotated[str, typer.Option(help="train, dev or test.")] = "test",
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
        kinds, spent = measure.categories(judged, names), measure.cost(judged)
        ablation = measure.ablation(judged, names) if ablate else []
        if misses is not None:
            lines = (f"{name}\t{outcome}\t{example.text}\n" for name, example, outcome in measure.missed(judged, names))
            misses.write_text("".join(line.replace("\n", " ")[:400] + "\n" for line in lines), encoding="utf-8")
    if json:
        print(
            encoding.dumps(
                {
                    "split": split,
                    "sets": rows,
                    "categories": kinds,
                    "ablation": ablation,
                    "red_team": disguised,
                    "milliseconds": spent,
                }
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
    show([rounded({k: v for k, v in row.items() if v is not None}) for row in rows], columns, as_json=False, empty="")
    show(
        kinds,
        {"label": "Kind", "category": "Category", "n": "n", "held": "Held", "named": "Named so"},
        as_json=False,
        empty="",
    )
    if ablation:
        shown = {key: key for key in ablation[0]}
        show([rounded(row) for row in ablation], shown, as_json=False, empty="")
    if disguised:
        columns = {"disguise": "Disguise", "n": "n", "through": "Came through", "share": "Share"}
        show([rounded(row) for row in disguised], columns, as_json=False, empty="")
    if spent:
        out.print(f"{spent['median']} ms a question, {spent['p95']} ms for the slowest of twenty.")


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
    from bot.ports import Answer, Kind, Turn
    from training.evals.fairness import audit, compare, contested, pairs

    folder = PROJECT / "data" / "safety"
    async with tutor_apart(settings) as tutor:  # greedy, or chance would be taken for prejudice

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
    from bot.cli.safety_bench import judged_by
    from bot.compose import opened_safety
    from bot.ports import Action
    from rag.glossary import EVERYDAY, Glossary
    from training.classifiers.safety_examples import BENIGN
    from training.evals import redteam
    from training.evals.safety import ANSWERED

    async with opened_safety(settings) as screening:
        with progress("Screening") as bar:
            judged = await judged_by(screening, asked, bar)
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
