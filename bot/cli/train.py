"""`sahpathi train`: tokenizer, base model, adapters and the safety classifier.

The recipes under training/recipes hold every argument; the options here are those that differ from run to run.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from bot.cli.classifiers import show_gate
from bot.cli.common import errors, load_settings, out, progress
from bot.cli.people import with_store
from bot.cli.workbench import SHIPPED, bench, pairs, training
from bot.errors import SetupError

if TYPE_CHECKING:
    from bot.settings import Settings
    from bot.tables import StoredAnswer
    from inference.adapters import AdapterCard
    from inference.classifiers import ClassifierCard
    from training.data import Example
    from training.evals.safety import Judged
    from training.recipe import Recipe
    from training.safety_arguments import SafetyArguments
    from training.safety_examples import SafetyExample
    from training.sft import SftArguments

T = TypeVar("T")
Retrieve = Callable[[str], list[str]]

app = typer.Typer(no_args_is_help=True, help="Make the tokenizer, the base model and adapters.")

FEW = 50  # fewer reviewed answers than this hardly teach anything

Corpus = Annotated[
    Path | None, typer.Option(exists=True, file_okay=False, help="Folder with prose/*.jsonl[.xz] to add.")
]
BaseRecipe = Annotated[str, typer.Option("--recipe", help="A shipped recipe's name (base-cpu, base) or a YAML file.")]
AdapterRecipe = Annotated[str, typer.Option("--recipe", help="A shipped recipe's name (adapter-cpu) or a YAML file.")]
Output = Annotated[Path | None, typer.Option(help="Folder that receives the model instead of the recipe's.")]


@app.command()
def tokenizer(recipe: BaseRecipe = "base-cpu", corpus: Corpus = None, output: Output = None) -> None:
    """Train the tokenizer of the base model."""
    with training():
        from training.tokenizer import train_tokenizer

        arguments = _section(_recipe(recipe, corpus=corpus, output=output).tokenizer, recipe, "tokenizer")
        train_tokenizer(arguments)
        out.print(f"The tokenizer is in {arguments.output}.")


@app.command()
def pretrain(recipe: BaseRecipe = "base-cpu", corpus: Corpus = None, output: Output = None) -> None:
    """Train the base model on the textbooks. A run that was stopped goes on where it was."""
    with training():
        from training.pretrain import pretrain as run

        arguments = _section(_recipe(recipe, corpus=corpus, output=output).pretrain, recipe, "pretrain")
        report = run(arguments)
        out.print(
            f"{report.parameters / 1e6:.1f} million parameters, {report.tokens:,} tokens in {report.seconds:.0f} s; "
            f"loss {report.plain_loss:.2f} on held-out text, {report.grounded_loss:.2f} on grounded answers."
        )


@app.command()
def sft(
    data: Annotated[
        list[Path] | None, typer.Option(exists=True, help="JSONL files or folders of them; default: the shipped pairs.")
    ] = None,
    from_log: Annotated[bool, typer.Option("--from-log", help="Add the answers that teachers reviewed.")] = False,
    log_only: Annotated[bool, typer.Option("--log-only", help="Train on the reviewed answers alone.")] = False,
    recipe: AdapterRecipe = "adapter-cpu",
    subject: Annotated[str | None, typer.Option(help="The subject the adapter is for.")] = None,
    base: Annotated[Path | None, typer.Option(help="Folder of the base model instead of the configured one.")] = None,
    output: Annotated[
        Path | None, typer.Option(help="Folder that receives the adapter; default: the home folder's.")
    ] = None,
) -> None:
    """Train a LoRA adapter, score it beside the base model, and register it. Promoting it is a step of its own."""
    settings = load_settings()
    with training():
        made = _recipe(
            recipe,
            subject=subject,
            base=base or Path(settings.model.base),
            adapters=output or settings.home / "adapters",
        )
        arguments = _section(made.sft, recipe, "sft")
        examples = [] if log_only else pairs(data or [SHIPPED])
        if from_log or log_only:
            examples += _reviewed()
        card = _adapter(settings, arguments, examples)
    out.print(f"Trained {card.id} on {card.examples} examples. To let it answer: sahpathi adapters promote {card.id}")


@app.command()
def safety(
    recipe: Annotated[str, typer.Option("--recipe", help="A shipped recipe's name or a YAML file.")] = "safety-cpu",
    corpus: Annotated[
        Path | None, typer.Option(exists=True, file_okay=False, help="Folder with safety/*.jsonl.xz to add.")
    ] = None,
    from_log: Annotated[
        bool, typer.Option("--from-log/--shipped-only", help="Learn also from the alarms and refusals staff judged.")
    ] = True,
    output: Annotated[
        Path | None, typer.Option(help="Folder that receives it, as the shipped one is made: no gate, no promotion.")
    ] = None,
    fit_only: Annotated[
        bool, typer.Option("--fit-only", help="Fit the thresholds of the classifier in --output, and train nothing.")
    ] = False,
) -> None:
    """Train the safety classifier, fit its thresholds, and compare it with the one in use.

    It screens nobody until it is promoted: sahpathi classifiers promote.
    """
    if fit_only and output is None:
        raise SetupError("--fit-only needs --output: the folder of the classifier whose thresholds are to be fitted.")
    settings = load_settings()
    with training():
        from bot.cli.safety_bench import messages
        from training.safety_reviewed import from_reviews

        arguments = _section(_recipe(recipe).safety, recipe, "safety")
        reviewed = from_reviews(with_store(lambda store: store.reviewed_alarms())) if from_log and not output else []
        examples = messages(corpus, reviewed, apart=True)
        if output is not None:
            _classifier(replace(arguments, output=output), examples, fit_only=fit_only)
            out.print(f"The classifier is in {output}. What it comes to: sahpathi evaluate safety")
            return
        card = _candidate(settings, arguments, examples, len(reviewed), with_corpus=corpus is not None)
    show_gate(card)


def _classifier(arguments: SafetyArguments, examples: list[SafetyExample], *, fit_only: bool = False) -> None:
    """Train into `arguments.output` and fit the thresholds."""
    from bot.cli.safety_bench import probabilities, read_as_served
    from bot.safety.classifier import Thresholds
    from inference.classifiers import THRESHOLDS
    from rag.embed import packaged
    from training.safety import train
    from training.safety_thresholds import fit
    from training.safety_variants import varied, wrappers

    if not fit_only:
        forms = list(varied(examples, arguments.repeat, wrappers(arguments.wrappers), arguments.seed))
        run = train(arguments, packaged(), forms, read_as_served())
        losses = ", ".join(f"{loss:.3f}" for loss in run.losses)
        out.print(f"Trained on {run.examples:,} messages in {run.seconds:.0f} s; losses on the dev split {losses}.")
    held = [example for example in examples if example.split == "dev"]
    fitted = fit(list(zip(held, probabilities(arguments.output, held), strict=True)))
    Thresholds(fitted.distress, fitted.held, fitted.turns).save(arguments.output / THRESHOLDS)
    for language, distress in fitted.distress.items():
        out.print(f"Thresholds for {language}: distress {distress:.2f}, anything {fitted.held[language]:.2f}.")
    out.print(f"Threshold for several turns together: {fitted.turns:.2f}.")


def _candidate(
    settings: Settings,
    arguments: SafetyArguments,
    examples: list[SafetyExample],
    reviewed: int,
    *,
    with_corpus: bool,
) -> ClassifierCard:
    """Train one beside the one in use, send every held-out message through both, and put it on the shelf."""
    from bot.compose import classifiers
    from training.evals.safety import against

    shelf = classifiers(settings)
    shelf.root.mkdir(parents=True, exist_ok=True)
    asked = [example for example in examples if example.split == "test"]
    with tempfile.TemporaryDirectory(dir=shelf.root, prefix=".making-") as folder:
        made = Path(folder) / "classifier"
        _classifier(replace(arguments, output=made), examples)
        in_use = shelf.folder(shelf.current)
        (before, layers), (after, _) = (asyncio.run(_judged_with(settings, place, asked)) for place in (in_use, made))
        compared = against(before, after, layers)
        return shelf.add(
            made,
            messages=sum(example.split == "train" for example in examples),
            reviewed=reviewed,
            corpus=with_corpus,
            compared_with=shelf.current,
            passed=all(one.passed for one in compared),
            sets=[one.named() for one in compared],
        )


async def _judged_with(
    settings: Settings, classifier: Path, asked: list[SafetyExample]
) -> tuple[list[Judged], list[str]]:
    """What the filter says of each message with this classifier, and the names of its layers."""
    from bot.cli.safety_bench import judged_by
    from bot.compose import opened_safety

    chosen = settings.safety.model_copy(update={"classifier": classifier})
    async with opened_safety(settings.model_copy(update={"safety": chosen})) as screening:
        with progress(f"Screening with {classifier.name}") as bar:
            return await judged_by(screening, asked, bar), [layer.name for layer in screening.layers]


@app.command("all")
def everything(recipe: BaseRecipe = "base-cpu", adapter_recipe: str = "adapter-cpu", corpus: Corpus = None) -> None:
    """Remake what is shipped: tokenizer, base model and general adapter, into the folders the recipes name."""
    tokenizer(recipe, corpus, None)
    pretrain(recipe, corpus, None)
    with training():
        from inference.adapters import Shelf

        arguments = _section(_recipe(adapter_recipe).sft, adapter_recipe, "sft")
        card = _adapter(load_settings(), arguments, pairs([SHIPPED]))
        Shelf(arguments.adapters).promote(card)
    out.print(f"{card.id} is trained and promoted in {arguments.adapters}.")


def _recipe(name: str, **overrides: object) -> Recipe:
    from training.recipe import recipe

    return recipe(name, **overrides)


def _section(arguments: T | None, recipe: str, name: str) -> T:
    if arguments is None:
        raise SetupError(f"The recipe {recipe} has no section {name!r}.")
    return arguments


def _reviewed() -> list[Example]:
    from training.from_log import Reviewed, from_log

    def row(answer: StoredAnswer) -> Reviewed:
        text = answer.correction or answer.text
        return Reviewed(answer.question, tuple(answer.passages), text, answer.subject or "general", answer.language)

    answers = with_store(lambda store: store.reviewed())
    if not answers:
        raise SetupError("No answer has been reviewed yet: approve or correct some at /dashboard first.")
    if len(answers) < FEW:
        errors.print(f"[yellow]Only {len(answers)} reviewed answers: expect little from fewer than {FEW}.[/yellow]")
    return from_log([row(answer) for answer in answers if answer.passages])


def _adapter(settings: Settings, arguments: SftArguments, examples: list[Example]) -> AdapterCard:
    """Train, then score beside the base model."""
    from inference.adapters import Shelf
    from training.data import of_split
    from training.registry import score
    from training.sft import sft as run

    shelf = Shelf(arguments.adapters)
    with bench(settings, arguments.base, shelf, examples) as (engine, retrieve, check):
        card = run(arguments, examples, retrieve)
        if of_split(examples, "test", "dev"):
            return score(card, engine, shelf, examples, retrieve, check)
    errors.print("[yellow]No example is held out, so the adapter has no scores.[/yellow]")
    return card
