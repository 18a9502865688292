"""`sahpathi evaluate tutor`: what students get, every layer on, beside what the pairs say they should."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bot.cli.common import Json, load_settings, out, progress, rounded, show, show_json
from bot.cli.workbench import SHIPPED, Limit, Questions, Split, pairs, spread, training, tutor_apart
from bot.errors import SetupError

if TYPE_CHECKING:
    from bot.settings import Settings
    from training.evals.tutor import Report, Served
    from training.pairs.data import Example


def tutor(
    questions: Questions = None,
    split: Split = "test",
    limit: Limit = 0,
    misses: Annotated[Path | None, typer.Option(dir_okay=False, help="Write what fell short to this file.")] = None,
    json: Json = False,
) -> None:
    """Ask held-out questions as students do, and score what is sent: route, key facts, page, language, time."""
    settings = load_settings()
    with training():
        from training.evals.tutor import report
        from training.pairs.data import of_split

        examples = of_split(pairs(questions or [SHIPPED]), split)
        if not examples:
            raise SetupError(f"There are no questions in the split {split!r}.")
        served = asyncio.run(_served(settings, spread(examples, limit)))
        made = report(served)
    if misses is not None:
        misses.write_text("\n".join(_miss(one) for one in served if _short(one)) + "\n", encoding="utf-8")
    if json:
        show_json({"split": split, **made.named()})
    else:
        _show(made)


async def _served(settings: Settings, examples: list[Example]) -> list[Served]:
    from bot.ports import Answer, Kind, Turn
    from training.evals.tutor import serve

    async with tutor_apart(settings) as tutor:

        async def ask(example: Example) -> Answer:
            return await tutor.answer(Turn("0", Kind.TEXT, example.question))

        with progress("Asking") as bar:
            return await serve(examples, ask, bar)


def _show(made: Report) -> None:
    rows: list[dict[str, Any]] = []
    for row in made.rows:
        shown = {"name": row.name, "n": row.n, "facts": row.key_facts.mean, "given": row.given, "cited": row.cited}
        spread = f"±{(row.key_facts.high - row.key_facts.low) / 2:.3f}"
        rows.append({**shown, "spread": spread, "language": row.language, "answered": row.answered})
    columns = {
        "name": "In the book", "n": "n", "facts": "Facts", "spread": "95%", "answered": "Answered", "given": "Then",
        "cited": "Page", "language": "Language",
    }  # fmt: skip
    show([rounded(row) for row in rows], columns, as_json=False, empty="No question is in the book.")
    out.print(
        "Facts: key facts in the reply, 0 where there is none; Then: in those answered; Page: the page named\n"
        "is one that answers; Language: the question's own (Hinglish may be answered in English)"
    )
    out.print()
    told: list[dict[str, Any]] = [{"name": one.name, "n": one.n, "share": str(one.share)} for one in made.told]
    show(told, {"name": "Out of the book", "n": "n", "share": "Told so"}, as_json=False, empty="All are in the book.")
    out.print()
    for route, (n, facts) in made.routes.items():
        out.print(f"{route}: {n} answers, key facts {facts:.3f}")
    p50, p95 = made.milliseconds
    out.print(f"An answer takes {p50:.0f} ms at the median, {p95:.0f} ms at the 95th percentile")
    if made.grade is not None:
        out.print(f"English answers read at school grade {made.grade:.1f}")
    if made.sure is not None:
        out.print(f"Expected calibration error {made.sure.ece:.3f} over {made.sure.n} answers")


def _short(one: Served) -> bool:
    """Whether it fell short of what its pair asks: a fact missing, or an answer to what no book here holds."""
    from training.pairs.data import UNANSWERABLE

    return one.answers if one.example.kind == UNANSWERABLE else one.key_facts < 1.0


def _miss(one: Served) -> str:
    wanted = "; ".join(one.example.facts) or "(not in the book)"
    return f"{one.route.value}\t{one.example.question}\t{wanted}\t{' '.join(one.text.split())}"
