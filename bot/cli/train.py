"""`sahpathi train`: tokenizer, base model, adapters and the safety classifier.

The recipes under training/recipes hold every argument; the options here are those that differ from run to run.
"""

from __future__ import annotations

import asyncio
import tempfile
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bot.cli.classifiers import show_gate
from bot.cli.common import Json, load_settings, out, progress, show
from bot.cli.people import with_store
from bot.cli.train_adapter import sft, trained
from bot.cli.train_preferences import dpo, grpo
from bot.cli.workbench import SHIPPED, found, pairs, section, training
from bot.errors import SetupError

if TYPE_CHECKING:
    from bot.settings import Settings
    from inference.classifiers import ClassifierCard
    from training.classifiers.safety_arguments import SafetyArguments
    from training.classifiers.safety_examples import SafetyExample
    from training.evals.safety import Judged

app = typer.Typer(no_args_is_help=True, help="Make the tokenizer, the base model, adapters and the safety classifier.")
app.command()(sft)
app.command()(dpo)
app.command()(grpo)

Corpus = Annotated[
    Path | None, typer.Option(exists=True, file_okay=False, help="Folder with prose/*.jsonl[.xz] to add.")
]
BaseRecipe = Annotated[
    str, typer.Option("--recipe", help="A shipped recipe's name (base-cpu, pretrain-10m) or a YAML file.")
]
Output = Annotated[Path | None, typer.Option(help="Folder that receives the model instead of the recipe's.")]


@app.command()
def tokenizer(recipe: BaseRecipe = "base-cpu", corpus: Corpus = None, output: Output = None) -> None:
    """Train the tokenizer of the base model."""
    with training():
        from training.base.tokenizer import train_tokenizer

        arguments = section(found(recipe, corpus=corpus, output=output).tokenizer, recipe, "tokenizer")
        train_tokenizer(arguments)
        out.print(f"The tokenizer is in {arguments.output}.")


@app.command()
def pack(
    recipe: BaseRecipe = "base-cpu",
    corpus: Corpus = None,
    output: Output = None,
    processes: Annotated[int, typer.Option(min=0, help="How many work on it; 0: one a processor.")] = 0,
    json: Json = False,
) -> None:
    """Turn the text for pretraining into tokens on disk. `pretrain` does so too, where it was not done."""
    with training():
        from training.base.pretrain import packed_text

        arguments = section(found(recipe, corpus=corpus, output=output).pretrain, recipe, "pretrain")
        with progress("Packing") as bar:
            packed = packed_text(arguments, bar, processes)
        rows = [asdict(source) for source in packed.sources]
    columns = {"name": "source", "documents": "documents", "learned": "tokens", "kept_back": "held back"}
    show(rows, columns, as_json=json, empty="There is no text.")


@app.command()
def pretrain(recipe: BaseRecipe = "base-cpu", corpus: Corpus = None, output: Output = None) -> None:
    """Train the base model on the textbooks. A run that was stopped goes on where it was."""
    with training():
        from training.base.pretrain import packed_text
        from training.base.pretrain import pretrain as run

        arguments = section(found(recipe, corpus=corpus, output=output).pretrain, recipe, "pretrain")
        with progress("Packing") as bar:
            packed_text(arguments, bar)
        out.print(run(arguments).summary())


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
        from training.classifiers.safety_reviewed import from_reviews

        arguments = section(found(recipe).safety, recipe, "safety")
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
    from bot.cli.safety_bench import WRAPPERS, probabilities, read_as_served
    from bot.safety.classifier import Thresholds
    from inference.classifiers import THRESHOLDS
    from rag.embed import packaged
    from training.classifiers.safety import train
    from training.classifiers.safety_thresholds import fit
    from training.classifiers.safety_variants import varied, wrappers

    if not fit_only:
        forms = list(varied(examples, arguments.repeat, wrappers(WRAPPERS), arguments.seed))
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
def everything(recipe: BaseRecipe = "pretrain-10m", adapter_recipe: str = "adapter-cpu", corpus: Corpus = None) -> None:
    """Remake what is shipped: tokenizer, base model and general adapter, into the folders the recipes name.

    The shipped base model was made with a corpus: name its folder, or it learns from the textbooks alone.
    """
    tokenizer(recipe, corpus, None)
    pretrain(recipe, corpus, None)
    with training():
        from inference.adapters import Shelf

        settings = load_settings()
        base = section(found(recipe).pretrain, recipe, "pretrain").output
        arguments = section(found(adapter_recipe, base=base, runs=settings.home / "runs").sft, adapter_recipe, "sft")
        card = trained(settings, arguments, pairs([SHIPPED]))
        Shelf(arguments.adapters).promote(card, by="sahpathi train all")
    out.print(f"{card.id} is trained and promoted in {arguments.adapters}.")
