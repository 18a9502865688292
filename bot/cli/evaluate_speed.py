"""`sahpathi evaluate speed`: how fast each adapter answers on this machine."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bot.cli.common import Json, load_settings, out, progress, show, show_json
from bot.cli.workbench import SHIPPED, Compared, Questions, Split, bench, pairs, spread, training
from bot.errors import SetupError

if TYPE_CHECKING:
    from training.evals.speed import Speed, Timed


def speed(
    adapters: Compared = None,
    questions: Questions = None,
    split: Split = "test",
    limit: Annotated[int, typer.Option(min=1, help="How many questions, spread over all of them.")] = 8,
    rounds: Annotated[int, typer.Option(min=1, help="How often each adapter answers each question.")] = 3,
    longest: Annotated[int, typer.Option(min=1, help="Tokens of an answer at most.")] = 100,
    json: Json = False,
) -> None:
    """Time the answers of adapters, which take turns, with prompts as at serving time. By default: base and current."""
    settings = load_settings()
    with training():
        from bot.compose import shelf
        from inference.prompt import grounded
        from training.evals.speed import measure
        from training.pairs.data import of_split

        examples = spread(of_split(pairs(questions or [SHIPPED]), split), limit)
        with bench(settings, Path(settings.model.base), shelf(settings), examples) as (engine, retrieve, _):
            asked = [(one.question, one.passages or tuple(retrieve(one.question))) for one in examples]
            room = engine.context - longest  # what is too long even with one passage, the tutor quotes
            prompts = [
                grounded(question, passages)
                for question, passages in asked
                if passages and engine.count_tokens(grounded(question, passages[:1])) <= room
            ]
            try:
                with progress("Timing") as bar:
                    found = measure(
                        engine, adapters or ["base", "current"], prompts, rounds=rounds, longest=longest, progress=bar
                    )
            except ValueError as error:
                raise SetupError(f"{error}.") from error
    if json:
        show_json(found.named())
        return
    _show(found)


def _show(found: Timed) -> None:
    columns = {
        "adapter": "Adapter", "first": "First, ms", "answer": "Answer, ms", "tokens": "Tokens", "rate": "Tokens/s",
        "times": "Times", "loaded": "MB",
    }  # fmt: skip
    show([_row(one) for one in found.speeds], columns, as_json=False, empty="No adapter was timed.")
    one = found.speeds[0]
    held, most = (f"{value / 2**20:,.0f} MB" for value in (found.resident, found.peak))
    out.print(
        f"Medians of {one.turns} answers each to prompts of {one.prompt:.0f} tokens, and what nine of ten stay below: "
        f"until the first token, and the whole answer. Times: how long a token takes, beside {one.adapter}. MB: what "
        f"loading it took; the process holds {held}, at most {most}.",
        markup=False,
    )


def _row(one: Speed) -> dict[str, object]:
    return {
        "adapter": one.adapter,
        "first": f"{one.first:,.0f}/{one.first_90:,.0f}",
        "answer": f"{one.answer:,.0f}/{one.answer_90:,.0f}",
        "tokens": f"{one.tokens:.0f}",
        "rate": f"{one.rate:.1f}" if one.rate is not None else None,
        "times": f"{one.times:.2f}",
        "loaded": f"{one.loaded / 2**20:,.0f}",
    }
