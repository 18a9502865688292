"""`sahpathi evaluate same`: whether two questions mean the same, told for verified answers and the answer cache."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bot.cli.common import Json, load_settings, out, progress, rounded, show, show_json
from bot.cli.workbench import training
from bot.errors import SetupError
from bot.settings import PROJECT

if TYPE_CHECKING:
    from bot.settings import Settings
    from rag.embed import Vectors
    from rag.same import Reader
    from training.evals.same import Row

QUESTIONS = PROJECT / "data" / "same"
THRESHOLD = "threshold.json"
FITTED_ON = ("train", "dev")


def same(
    questions: Annotated[
        Path, typer.Option("--questions", exists=True, file_okay=False, help="Folder of JSONL files of groups.")
    ] = QUESTIONS,
    split: Annotated[str, typer.Option(help="train, dev or test.")] = "test",
    fit: Annotated[bool, typer.Option("--fit", help="First fit the threshold on train and dev, and store it.")] = False,
    vector: Annotated[bool, typer.Option("--vector", help="Also what the embedding alone would tell.")] = False,
    json: Json = False,
) -> None:
    """Score which questions are taken for one, by language, and which near misses are, by what they differ in."""
    with training():
        from inference.files import write_text
        from rag.same import Threshold
        from training.classifiers.same import fit as fitted
        from training.classifiers.same import load
        from training.evals.same import by_vector, measure, repeated

        groups = load(questions)
        asked = [group for group in groups if group.split == split]
        if not asked:
            raise SetupError(f"There are no questions in the split {split!r}; use train, dev or test.")
        reader, fitting = _reader(), [group for group in groups if group.split in FITTED_ON]
        if fit:
            write_text(questions / THRESHOLD, fitted(fitting, reader).dumps() + "\n")
        try:
            threshold = Threshold.load(questions / THRESHOLD)
        except (OSError, ValueError) as error:
            raise SetupError(f"{questions / THRESHOLD} cannot be used; fit one with --fit: {error}") from error
        with progress("Comparing") as bar:
            rows = measure(asked, reader, threshold, bar)
        if vector:
            rows += by_vector(fitting, asked, _embedding(load_settings()))
        cached = repeated(asked, reader, threshold).named()
    if json:
        named = [row.named() for row in rows]
        show_json({"split": split, "threshold": threshold.least, "pairs": named, "cache": cached})
        return
    _show(rows)
    out.print(
        f"\nAsked one after the other, {cached['hits']} of {cached['questions']} questions were answered from the "
        f"cache, {cached['false']} of them wrongly. Threshold {threshold.least:.2f}."
    )


def _show(rows: list[Row]) -> None:
    columns = {
        "judge": "Told by", "pairs": "Pairs", "kind": "Of", "n": "n", "hits": "Taken for one", "share": "Share",
        "low": "95% from", "high": "to",
    }  # fmt: skip
    shown = [rounded(row.named() | {"kind": row.kind or "all"}) for row in rows]
    show(shown, columns, as_json=False, empty="There are no pairs.")


def _reader() -> Reader:
    from rag.same import Reader

    return Reader.load(PROJECT / "data" / "glossary", QUESTIONS)


def _embedding(settings: Settings) -> Callable[[Sequence[str]], Vectors]:
    """What makes vectors of questions, with their Hindi put into English word by word."""
    from rag.embed import Embedder
    from rag.gloss import Gloss

    embedder = Embedder(settings.retrieval.embedding_model, threads=settings.model.threads)
    gloss = Gloss.load(PROJECT / "data" / "glossary", embedder.knows)
    return lambda texts: embedder.embed([gloss.english(text) for text in texts])
