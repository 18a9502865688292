"""`sahpathi train dpo` and `sahpathi train grpo`: adapters from preferences, and from sums that SymPy checks."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bot.cli.common import Json, errors, load_settings, out, show_json
from bot.cli.data_build import PAGES
from bot.cli.people import with_store
from bot.cli.workbench import SHIPPED, Retrieve, pairs, retrieved, training
from bot.errors import SetupError
from bot.ports import Route

if TYPE_CHECKING:
    from bot.settings import Settings
    from bot.tables import StoredAnswer
    from inference.adapters import AdapterCard, Shelf
    from training.preferences import Logged, Preference

FEW = 100  # fewer preferences than this hardly change a model
FRESH = "fresh"

Start = Annotated[
    str | None, typer.Option(help='The adapter to go on from; default: the one that answers; "fresh": none.')
]
Subject = Annotated[str, typer.Option(help="The subject the adapter is for.")]
Base = Annotated[Path | None, typer.Option(help="Folder of the base model instead of the configured one.")]
Output = Annotated[Path | None, typer.Option(help="Folder that receives the adapter; default: the home folder's.")]


def dpo(
    from_log: Annotated[bool, typer.Option("--from-log", help="Corrections and ratings of the log.")] = False,
    votes: Annotated[list[Path] | None, typer.Option(exists=True, help="JSONL files of blind A/B votes.")] = None,
    data: Annotated[
        list[Path] | None, typer.Option(exists=True, help="JSONL files with question, chosen and rejected.")
    ] = None,
    recipe: Annotated[str, typer.Option(help="A shipped recipe's name or a YAML file.")] = "dpo-cpu",
    start: Start = None,
    subject: Subject = "general",
    base: Base = None,
    output: Output = None,
    json: Json = False,
) -> None:
    """Train an adapter to prefer the better of two answers, and register it. Promoting it is a step of its own."""
    settings = load_settings()
    with training():
        from training.dpo import dpo as run

        found = _preferences(from_log, votes or [], data or [])
        arguments, shelf = _arguments(settings, recipe, "dpo", start, subject, base, output)
        retrieve = _passages(settings, [one.question for one in found if not one.passages])
        card = run(arguments, found, retrieve, shelf=shelf)
    _tell(card, "preferences", as_json=json)


def grpo(
    data: Annotated[
        list[Path] | None, typer.Option(exists=True, help="JSONL files or folders of them; default: the shipped pairs.")
    ] = None,
    recipe: Annotated[str, typer.Option(help="A shipped recipe's name or a YAML file.")] = "grpo",
    start: Start = None,
    subject: Subject = "general",
    base: Base = None,
    output: Output = None,
    json: Json = False,
) -> None:
    """Let an adapter practise on questions whose result SymPy checks, and register it."""
    settings = load_settings()
    with training():
        from training.grpo import NUMERICAL
        from training.grpo import grpo as run

        examples = [one for one in pairs(data or [SHIPPED]) if one.kind == NUMERICAL]
        arguments, shelf = _arguments(settings, recipe, "grpo", start, subject, base, output)
        retrieve = _passages(settings, [one.question for one in examples if not one.passages])
        card = run(arguments, examples, retrieve, shelf=shelf)
    _tell(card, "questions", as_json=json)


def _arguments(
    settings: Settings,
    name: str,
    section: str,
    start: str | None,
    subject: str,
    base: Path | None,
    output: Path | None,
) -> tuple[Any, Shelf]:
    from bot.compose import shelf
    from inference.adapters import model_sha256
    from training.recipe import recipe

    folder = base or Path(settings.model.base)
    found = shelf(settings)
    if start is None:
        current = found.current(subject, base_sha256=model_sha256(folder))
        start = current.id if current is not None else FRESH
    made = recipe(
        name,
        base=folder,
        adapters=output or settings.home / "adapters",
        subject=subject,
        start="" if start == FRESH else start,
    )
    arguments = getattr(made, section)
    if arguments is None:
        raise SetupError(f"The recipe {name} has no section {section!r}.")
    return arguments, found


def _preferences(from_log: bool, votes: Sequence[Path], data: Sequence[Path]) -> list[Preference]:
    from training.preferences import from_corrections, from_ratings, read, read_votes

    found = read(*data)
    if votes:
        voted = read_votes(*votes)
        found += voted.preferences
        errors.print(f"Votes: {len(voted.preferences)}, and ties, which say nothing: {voted.ties}.")
    if from_log:
        lessons = with_store(lambda store: store.lessons(PAGES))
        corrected = from_corrections(_logged(lessons.answers))
        rated = from_ratings(_logged(with_store(lambda store: store.rated(PAGES))))
        errors.print(f"From the log: corrections {len(corrected)}, pairs of ratings {len(rated)}.")
        found += [*corrected, *rated]
    if not found:
        raise SetupError(
            "There are no preferences: correct answers at /dashboard and use --from-log, or give --votes or --data."
        )
    if len(found) < FEW:
        errors.print(f"[yellow]Only {len(found)} preferences: expect little from fewer than {FEW}.[/yellow]")
    return found


def _logged(answers: Sequence[StoredAnswer]) -> list[Logged]:
    """Those that the model wrote from passages: quotations and calculations are not its words."""
    from training.preferences import Logged

    return [
        Logged(
            question=answer.question,
            passages=tuple(answer.passages),
            text=answer.text,
            subject=answer.subject or "general",
            language=answer.language,
            correction=answer.correction,
            approved=answer.review == "approved",
            rating=answer.rating,
        )
        for answer in answers
        if answer.route == Route.GENERATED and answer.passages
    ]


def _passages(settings: Settings, questions: Sequence[str]) -> Retrieve:
    found = asyncio.run(retrieved(settings, questions)) if questions else {}
    return lambda question: found.get(question, [])


def _tell(card: AdapterCard, what: str, *, as_json: bool) -> None:
    if as_json:
        show_json({"id": card.id, "examples": card.examples, "scores": dict(card.scores)})
        return
    scores = ", ".join(f"{name} {value:.2f}" for name, value in card.scores.items())
    out.print(f"Trained {card.id} on {card.examples} {what}{': ' + scores if scores else ''}.")
    out.print(f"To let it answer: sahpathi adapters promote {card.id}")
