"""What training and evaluation stand on: question-answer pairs, the engine, and retrieval as at serving time."""

from __future__ import annotations

import asyncio
import logging
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from bot.cli.common import errors, log_to_stderr
from bot.errors import SetupError

if TYPE_CHECKING:
    from bot.settings import Settings
    from bot.tutor import Tutor
    from inference.adapters import Shelf
    from inference.engine import Engine
    from rag.library import Library
    from training.evals.answers import Check
    from training.pairs.data import Example
    from training.recipe import Recipe

T = TypeVar("T")
Retrieve = Callable[[str], list[str]]

SHIPPED = Path(__file__).parents[2] / "data" / "qa"

# What every suite of `sahpathi evaluate` that asks questions is told.
Questions = Annotated[
    list[Path] | None,
    typer.Option("--questions", exists=True, help="JSONL files or folders of them; default: the shipped pairs."),
]
Compared = Annotated[
    list[str] | None, typer.Argument(help='Ids, "current" or "base"; the first is what others are compared with.')
]
Split = Annotated[str, typer.Option(help="train, dev or test.")]
Limit = Annotated[int, typer.Option(min=0, help="Ask at most so many, spread over all of them; 0: all.")]


@contextmanager
def training() -> Iterator[None]:
    """Logging, and the training package's errors as one clear line."""
    log_to_stderr("WARNING")
    logging.getLogger("training").setLevel(logging.INFO)
    try:
        from training.errors import TrainingError
    except ModuleNotFoundError as error:
        raise SetupError(f"{error.name} is not installed: training needs `pip install 'sahpathi[train]'`.") from None
    from inference.errors import InferenceError
    from rag.errors import RagError

    try:
        yield
    except ModuleNotFoundError as error:
        raise SetupError(f"{error.name} is not installed: training needs `pip install 'sahpathi[train]'`.") from None
    except (TrainingError, InferenceError, RagError) as error:
        raise SetupError(str(error)) from error


def pairs(places: Sequence[Path]) -> list[Example]:
    from training.pairs.data import read

    files = [file for place in places for file in (sorted(place.glob("*.jsonl")) if place.is_dir() else [place])]
    if not files:
        raise SetupError(f"There are no .jsonl files in {', '.join(map(str, places))}.")
    return read(*files)


def found(name: str, **overrides: object) -> Recipe:
    """The recipe of that name or file; `overrides` as `training.recipe.recipe` takes them."""
    from training.recipe import recipe

    return recipe(name, **overrides)


def section(arguments: T | None, recipe: str, name: str) -> T:
    """What a recipe says of one way of training. Raises SetupError when it says nothing."""
    if arguments is None:
        raise SetupError(f"The recipe {recipe} has no section {name!r}.")
    return arguments


def spread(examples: Sequence[T], most: int) -> list[T]:
    """At most so many (0: all), spread evenly over them: always the same ones."""
    if not 0 < most < len(examples):
        return list(examples)
    return [examples[place * len(examples) // most] for place in range(most)]


@contextmanager
def bench(
    settings: Settings, base: Path, shelf: Shelf, examples: Sequence[Example]
) -> Iterator[tuple[Engine, Retrieve, Check]]:
    """The engine, retrieval and grounding check that examples are learned and scored with, as at serving time."""
    from bot.settings import PROJECT
    from inference.engine import Engine
    from rag.embed import Embedder
    from rag.ground import Grounding
    from training.evals.answers import by_grounding

    questions = [example.question for example in examples if not example.passages]
    passages = asyncio.run(retrieved(settings, questions)) if questions else {}
    engine = Engine(base, shelf, threads=settings.model.threads)
    embedder = Embedder(settings.retrieval.embedding_model, glossary=PROJECT / "data" / "glossary")
    check = by_grounding(Grounding(embedder))
    yield engine, lambda question: passages.get(question, []), check


@asynccontextmanager
async def tutor_apart(settings: Settings) -> AsyncIterator[Tutor]:
    """The tutor as it is served, with an index of its own: the service may be using the other one.

    It decodes greedily, so that a second run says the same.
    """
    from bot.books import Books
    from bot.compose import opened_tutor, shelves
    from bot.replies import Replies
    from bot.settings import PROJECT

    with tempfile.TemporaryDirectory(prefix="sahpathi-") as home:
        apart = settings.model_copy(update={"home": Path(home), "chroma_url": None})
        replies = Replies.load(PROJECT / "data" / "locales", settings.helplines.model_dump())
        async with opened_tutor(apart, Books(partial(shelves, settings)), replies, errors.print) as opened:
            opened.tutor.decoding = replace(opened.tutor.decoding, temperature=0.0)
            yield opened.tutor


async def retrieved(settings: Settings, questions: Sequence[str]) -> dict[str, list[str]]:
    """What a model is given to read on each question, from an index of its own: the service may be using the other."""
    from bot.compose import opened_library

    with tempfile.TemporaryDirectory(prefix="sahpathi-") as folder:
        apart = settings.model_copy(update={"home": Path(folder), "chroma_url": None})
        async with opened_library(apart) as library:
            return {question: await given(library, question) for question in questions}


async def given(library: Library, question: str) -> list[str]:
    """What a model is given to read on a question, as the tutor gives it."""
    return await library.gather(question, (await library.retrieve(question)).passages)
