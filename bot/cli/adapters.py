"""`sahpathi adapters`: which LoRA adapters there are, and which one answers."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bot.cli.common import Json, load_settings, out, show
from bot.errors import SetupError

app = typer.Typer(no_args_is_help=True, help="LoRA adapters: list them, choose the one that answers.")


@app.command("list")
def list_adapters(json: Json = False) -> None:
    """List every adapter with its scores; a star marks the one that answers."""
    from bot.compose import shelf

    found = shelf(load_settings())
    rows = []
    for card in found.list():
        current = found.current(card.subject)
        scores = ", ".join(f"{name} {value:.2f}" for name, value in card.scores.items())
        mark = "*" if current is not None and current.id == card.id else ""
        rows.append(
            {
                "current": mark,
                "id": card.id,
                "subject": card.subject,
                "examples": card.examples,
                "created": card.created,
                "scores": card.scores if json else scores,
            }
        )
    headings = ("", "Adapter", "Subject", "Examples", "Made", "Scores")
    columns = dict(zip(("current", "id", "subject", "examples", "created", "scores"), headings, strict=True))
    show(rows, columns, as_json=json, empty="There is no adapter yet: sahpathi train sft")


@app.command()
def promote(adapter: Annotated[str, typer.Argument(help="The adapter's id, from `adapters list`.")]) -> None:
    """Let this adapter answer its subject. A running service uses it from the next question on."""
    from bot.compose import shelf
    from inference.adapters import model_sha256
    from inference.errors import InferenceError

    settings = load_settings()
    found = shelf(settings)
    try:
        card = found.find(adapter)
        base = Path(settings.model.base)
        found.verify(card, model_sha256(base) if base.is_dir() else card.base_sha256)
        found.promote(card)
    except (InferenceError, KeyError) as error:
        raise SetupError(str(error)) from None
    out.print(f"{card.id} now answers {card.subject} questions.")
