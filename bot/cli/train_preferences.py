"""`sahpathi train dpo` and `sahpathi train grpo`: adapters from preferences, and from sums that SymPy checks."""

from __future__ import annotations

import asyncio
import inspect
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_type_hints

import typer

from bot.cli.common import Json, errors, load_settings, out, show_json
from bot.cli.data_build import PAGES
from bot.cli.people import with_store
from bot.cli.train_adapter import Shown, report
from bot.cli.workbench import SHIPPED, Retrieve, found, pairs, retrieved, section, training
from bot.errors import SetupError
from bot.ports import Route

if TYPE_CHECKING:
    from bot.settings import Settings
    from bot.tables import StoredAnswer
    from inference.adapters import AdapterCard, Shelf
    from training.tuning.preferences import Logged, Preference

FEW = 100  # fewer preferences than this hardly change a model
FRESH = "fresh"

Recipe = Annotated[str, typer.Option(help="A shipped recipe's name or a YAML file.")]


@dataclass(frozen=True, slots=True)
class Chosen:
    """The options that both commands have."""

    start: Annotated[
        str | None, typer.Option(help='The adapter to go on from; default: the one that answers; "fresh": none.')
    ] = None
    subject: Annotated[str, typer.Option(help="The subject the adapter is for.")] = "general"
    base: Annotated[Path | None, typer.Option(help="Folder of the base model instead of the configured one.")] = None
    output: Annotated[
        Path | None, typer.Option(help="Folder that receives the adapter; default: the home folder's.")
    ] = None
    progress: Annotated[Shown, typer.Option(help="A bar, or the run's events as lines of JSON.")] = Shown.BAR
    json: Json = False


def _with_chosen(command: Callable[..., None]) -> Callable[..., None]:
    """The command, whose `chosen` typer reads as the options of Chosen."""

    def run(**values: Any) -> None:
        chosen = Chosen(**{field.name: values.pop(field.name) for field in fields(Chosen)})
        command(**values, chosen=chosen)

    own = get_type_hints(command, include_extras=True)
    shared = get_type_hints(Chosen, include_extras=True)
    defaults = inspect.signature(command).parameters
    options = {name: (hint, defaults[name].default) for name, hint in own.items() if name not in ("chosen", "return")}
    options |= {field.name: (shared[field.name], field.default) for field in fields(Chosen)}
    run.__signature__ = inspect.Signature(  # type: ignore[attr-defined]  # what inspect.signature reads first
        [
            inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=hint)
            for name, (hint, default) in options.items()
        ]
    )
    run.__annotations__ = {name: hint for name, (hint, _) in options.items()}
    run.__name__, run.__doc__ = command.__name__, command.__doc__
    return run


@_with_chosen
def dpo(
    chosen: Chosen,
    from_log: Annotated[bool, typer.Option("--from-log", help="Corrections and ratings of the log.")] = False,
    votes: Annotated[list[Path] | None, typer.Option(exists=True, help="JSONL files of blind A/B votes.")] = None,
    data: Annotated[
        list[Path] | None, typer.Option(exists=True, help="JSONL files with question, chosen and rejected.")
    ] = None,
    recipe: Recipe = "dpo-cpu",
) -> None:
    """Train an adapter to prefer the better of two answers, and register it. Promoting it is a step of its own.

    A run that was stopped goes on with the same command and data.
    """
    settings = load_settings()
    with training():
        from training.tuning.dpo import dpo as run

        preferences = _preferences(from_log, votes or [], data or [])
        _train(settings, "dpo", recipe, chosen, run, preferences, "preferences")


@_with_chosen
def grpo(
    chosen: Chosen,
    data: Annotated[
        list[Path] | None, typer.Option(exists=True, help="JSONL files or folders of them; default: the shipped pairs.")
    ] = None,
    recipe: Recipe = "grpo",
) -> None:
    """Let an adapter practise on questions whose result SymPy checks, and register it.

    A run that was stopped goes on with the same command and data.
    """
    settings = load_settings()
    with training():
        from training.tuning.grpo import NUMERICAL
        from training.tuning.grpo import grpo as run

        examples = [one for one in pairs(data or [SHIPPED]) if one.kind == NUMERICAL]
        _train(settings, "grpo", recipe, chosen, run, examples, "questions")


def _train(
    settings: Settings,
    method: str,
    recipe: str,
    chosen: Chosen,
    run: Callable[..., AdapterCard],
    material: Sequence[Any],
    what: str,
) -> None:
    """Run one way of training on its material, each with a question, and say what came of it."""
    from training.records.record import print_line

    arguments, shelf = _arguments(settings, recipe, method, chosen)
    retrieve = _passages(settings, [one.question for one in material if not one.passages])
    told: dict[str, Any] = {}
    if chosen.progress is Shown.JSON:
        told = {"on_event": print_line, "on_progress": lambda _: None}
    began = time.time()
    try:
        card = run(arguments, material, retrieve, shelf=shelf, **told)
    finally:
        report(settings.home / "runs", began)
    if chosen.progress is Shown.BAR:
        _tell(card, what, as_json=chosen.json)


def _arguments(settings: Settings, name: str, method: str, chosen: Chosen) -> tuple[Any, Shelf]:
    from bot.compose import shelf
    from inference.adapters import model_sha256

    folder = chosen.base or Path(settings.model.base)
    adapters = shelf(settings)
    start = chosen.start
    if start is None:
        current = adapters.current(chosen.subject, base_sha256=model_sha256(folder))
        start = current.id if current is not None else FRESH
    made = found(
        name,
        base=folder,
        adapters=chosen.output or settings.home / "adapters",
        runs=settings.home / "runs",
        subject=chosen.subject,
        start="" if start == FRESH else start,
    )
    return section(getattr(made, method), name, method), adapters


def _preferences(from_log: bool, votes: Sequence[Path], data: Sequence[Path]) -> list[Preference]:
    from training.tuning.preferences import from_corrections, from_ratings, read, read_votes

    preferences = read(*data)
    if votes:
        voted = read_votes(*votes)
        preferences += voted.preferences
        errors.print(f"Votes: {len(voted.preferences)}, and ties, which say nothing: {voted.ties}.")
    if from_log:
        lessons = with_store(lambda store: store.lessons(PAGES))
        corrected = from_corrections(_logged(lessons.answers))
        rated = from_ratings(_logged(with_store(lambda store: store.rated(PAGES))))
        errors.print(f"From the log: corrections {len(corrected)}, pairs of ratings {len(rated)}.")
        preferences += [*corrected, *rated]
    if not preferences:
        raise SetupError(
            "There are no preferences: correct answers at /dashboard and use --from-log, or give --votes or --data."
        )
    if len(preferences) < FEW:
        errors.print(f"[yellow]Only {len(preferences)} preferences: expect little from fewer than {FEW}.[/yellow]")
    return preferences


def _logged(answers: Sequence[StoredAnswer]) -> list[Logged]:
    """Those that the model wrote from passages: quotations and calculations are not its words."""
    from training.tuning.preferences import Logged

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
    passages = asyncio.run(retrieved(settings, questions)) if questions else {}
    return lambda question: passages.get(question, [])


def _tell(card: AdapterCard, what: str, *, as_json: bool) -> None:
    if as_json:
        show_json({"id": card.id, "examples": card.examples, "scores": dict(card.scores)})
        return
    scores = ", ".join(f"{name} {value:.2f}" for name, value in card.scores.items())
    out.print(f"Trained {card.id} on {card.examples} {what}{': ' + scores if scores else ''}.")
    out.print(f"To let it answer: sahpathi adapters promote {card.id}")
    out.print("How the run went, with its curves: sahpathi runs report")
