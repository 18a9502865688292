"""`sahpathi classifiers`: the safety classifiers trained here, and which one screens."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

from bot.cli.common import Json, errors, load_settings, out, show
from bot.errors import SetupError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from inference.classifiers import ClassifierCard, ClassifierShelf

app = typer.Typer(no_args_is_help=True, help="Safety classifiers: list them, choose the one that screens.")


@app.command("list")
def list_classifiers(json: Json = False) -> None:
    """List those trained here and the shipped one; a star marks the one that screens."""
    from inference.classifiers import SHIPPED

    with _shelf() as shelf:
        current = shelf.current
        rows = [
            {
                "current": "*" if card.id == current else "",
                "id": card.id,
                "messages": card.messages,
                "reviewed": card.reviewed,
                "created": card.created,
                "gate": "passed" if card.passed else "failed",
                **({"sets": card.sets} if json else {}),
            }
            for card in shelf.list()
        ]
    rows.append({"current": "*" if current == SHIPPED else "", "id": SHIPPED})
    names = ("", "Classifier", "Messages", "Reviewed here", "Made", "Gate")
    columns = dict(zip(("current", "id", "messages", "reviewed", "created", "gate"), names, strict=True))
    show([dict.fromkeys(columns, "") | row for row in rows], columns, as_json=json, empty="")


@app.command("show")
def show_classifier(classifier: Annotated[str, typer.Argument(help="Its id, from `classifiers list`.")]) -> None:
    """Show how one did at the gate: each set of held-out messages, with the one in use then, and with this one."""
    with _shelf() as shelf:
        show_gate(shelf.find(classifier))


@app.command()
def promote(
    classifier: Annotated[str, typer.Argument(help='Its id, from `classifiers list`, or "shipped".')],
    by: Annotated[str, typer.Option(help="Who you are; it is kept in the history.")],
    reason: Annotated[str, typer.Option(help="Why, where the gate said no; it is kept too.")] = "",
) -> None:
    """Let this classifier screen. A running service uses it from the next message on."""
    from inference.classifiers import SHIPPED

    with _shelf() as shelf:
        card = None if classifier == SHIPPED else shelf.find(classifier)
        if card is not None and not card.passed and not reason.strip():
            show_gate(card)
            raise SetupError(
                f"{classifier} did worse than the one in use. To use it all the same, say why: --reason TEXT"
            )
        shelf.promote(classifier, by=by, reason=reason.strip())
    out.print(f"{classifier} screens now. To take that back: sahpathi classifiers rollback")


@app.command()
def rollback() -> None:
    """Take back the last promotion. A running service follows at the next message."""
    with _shelf() as shelf:
        taken, now = shelf.current, shelf.rollback()
    out.print(f"{taken} is taken back; {now} screens again.")


def show_gate(card: ClassifierCard) -> None:
    """The table of a card, and what to do with it."""
    columns = {
        "name": "Messages", "n": "n", "before": "In use", "after": "This one", "lost": "Lost", "gained": "Gained",
        "verdict": "",
    }  # fmt: skip
    rows = [
        {
            **one,
            "before": f"{one['before']:.3f}",
            "after": f"{one['after']:.3f}",
            "verdict": "" if one["passed"] else "worse",
        }
        for one in card.sets
    ]
    show(rows, columns, as_json=False, empty="No message was held out: it was compared with nothing.")
    if card.passed:
        out.print(
            f"No set came out worse than chance allows. To use it: sahpathi classifiers promote {card.id} --by NAME"
        )
    else:
        errors.print(f"[yellow]{card.id} did worse than {card.compared_with}; it is kept, and not used.[/yellow]")


@contextmanager
def _shelf() -> Iterator[ClassifierShelf]:
    """Raises SetupError for what the shelf refuses, and where the settings name a folder of their own."""
    from bot.compose import classifiers
    from inference.errors import ModerationRefused

    settings = load_settings()
    try:
        yield classifiers(settings)
    except ModerationRefused as error:
        raise SetupError(str(error)) from None
    if settings.safety.classifier is not None:
        errors.print(
            f"[yellow]SAHPATHI_SAFETY__CLASSIFIER names {settings.safety.classifier}, which is used instead.[/yellow]"
        )
