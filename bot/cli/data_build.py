"""`sahpathi data build`: the log and files in, a dataset out."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bot.cli.common import Bar, Json, errors, load_settings, out, progress, show, show_json
from bot.cli.people import with_store
from bot.cli.workbench import SHIPPED, pairs, training
from bot.errors import IndexBusy

if TYPE_CHECKING:
    from bot.settings import Settings
    from rag.library import Library
    from rag.passage import Passage
    from training.pairs.curate import Candidate
    from training.pairs.dataset import Card, Source

ABOUT_ITSELF = SHIPPED.parent / "qa-self"
PAGES = ("web", "console")  # channels where the school has asked for consent before, and not we
OFTEN = 5  # questions asked again and again that are shown
CONTRADICTIONS = 20  # shown in full


def build(
    files: Annotated[
        list[Path] | None, typer.Argument(exists=True, help="JSON Lines files, folders of them, or datasets.")
    ] = None,
    from_log: Annotated[
        bool, typer.Option("--from-log/--no-log", help="Take the answers that teachers reviewed.")
    ] = True,
    shipped: Annotated[bool, typer.Option("--shipped", help="Take the shipped question-answer pairs too.")] = False,
    about_itself: Annotated[
        bool, typer.Option("--self/--no-self", help="Take the pairs that say who the tutor is.")
    ] = True,
    output: Annotated[
        Path | None,
        typer.Option(file_okay=False, help="Folder that receives it; default: the home folder's."),
    ] = None,
    name: Annotated[str, typer.Option(help="What to call it; the folder is named by its hash.")] = "",
    passages: Annotated[
        int, typer.Option(min=0, max=10, help="Passages an example, hard negatives among them; 0 looks none up.")
    ] = 3,
    keep_contradictions: Annotated[
        bool, typer.Option("--keep-contradictions", help="Keep answers that contradict each other.")
    ] = False,
    json: Json = False,
) -> None:
    """Make a dataset of reviewed answers and of files: masked, each question once, on a side that never changes.

    Only students who agreed are in it, and nothing of those who are forgotten.
    """
    settings = load_settings()
    with training():
        from rag.embed import Embedder
        from training.pairs.curate import curate, placed, with_passages
        from training.pairs.data import of_split
        from training.pairs.dataset import Made, warning_if_few, write
        from training.pairs.sameness import Remembering
        from training.pairs.splits import LEDGER

        found, sources, notes = _gathered(
            [*(files or []), *([SHIPPED] if shipped else []), *([ABOUT_ITSELF] if about_itself else [])],
            from_log=from_log,
        )
        embedder = Remembering(Embedder(settings.retrieval.embedding_model, threads=settings.model.threads))
        with progress("Comparing") as bar:
            curated = curate(found, embedder, keep_contradictions=keep_contradictions, on_progress=bar)
        kept, index = curated.candidates, ""
        if passages:
            ranked, index = _looked_up(settings, kept, passages)
            kept = [
                replace(one, example=with_passages(one.example, ranked.get(one.example.question, ()), passages))
                for one in kept
            ]
        held_out = of_split(pairs([SHIPPED]), "test", "dev")
        made = Made(name, sources, curated.removed, curated.masks, curated.contradictions, notes, index)
        home = settings.home / "datasets"
        with progress("Splitting") as bar:
            place = partial(placed, kept, embedder, held_out=held_out, on_progress=bar)
            card, folder = write(output or home, place, made, ledger=home / LEDGER)
    if json:
        show_json(asdict(card) | {"folder": str(folder)})
    else:
        _tell(card, folder)
    if warning := warning_if_few(card.examples):
        errors.print(f"[yellow]{warning}[/yellow]")


def _gathered(files: Sequence[Path], *, from_log: bool) -> tuple[list[Candidate], list[Source], dict[str, Any]]:
    """Everything that is to be looked at, where it came from, and what else is worth knowing."""
    from training.errors import DatasetError
    from training.pairs.curate import Candidate
    from training.pairs.data import dataset_sha256, scan
    from training.pairs.dataset import Source
    from training.pairs.from_log import LOG, asked_often, candidates

    found: list[Candidate] = []
    sources: list[Source] = []
    notes: dict[str, Any] = {}
    scanned = scan(*files)
    if scanned.bad:
        raise DatasetError(scanned.bad)
    for path in dict.fromkeys(line.path for line in scanned.lines):
        lines = [line for line in scanned.lines if line.path == path]
        found += [Candidate(line.example, path.name, line.decided) for line in lines]
        sources.append(_source(path, len(lines)))
    if from_log:
        lessons = with_store(lambda store: store.lessons(PAGES))
        taught = candidates(lessons)
        found += taught
        sources.append(Source(LOG, dataset_sha256(one.example for one in taught), len(taught)))
        often = asked_often(lessons.asked, [one.example for one in taught])
        notes = {"liked": lessons.liked, "withheld": lessons.withheld, "asked_often": [asdict(one) for one in often]}
    return found, sources, notes | {"drafts": scanned.drafts}


def _source(path: Path, count: int) -> Source:
    from inference.files import sha256_of
    from training.pairs.dataset import Source

    return Source(path.name, sha256_of([path]), count)


def _looked_up(settings: Settings, kept: Sequence[Candidate], count: int) -> tuple[dict[str, Sequence[Passage]], str]:
    """What the books hold on each question that wants passages, best first, and the fingerprint of the index.

    From the index in use; while the service has it open, from one of our own.
    """
    from training.pairs.curate import wants_passages

    questions = list(dict.fromkeys(one.example.question for one in kept if wants_passages(one.example, count)))
    if not questions:
        return {}, ""
    with progress("Looking up passages") as bar:
        try:
            return asyncio.run(_ranked(settings, questions, bar))
        except IndexBusy:
            with tempfile.TemporaryDirectory(prefix="sahpathi-") as folder:
                apart = settings.model_copy(update={"home": Path(folder), "chroma_url": None})
                return asyncio.run(_ranked(apart, questions, bar))


async def _ranked(settings: Settings, questions: Sequence[str], bar: Bar) -> tuple[dict[str, Sequence[Passage]], str]:
    from bot.compose import opened_library

    library: Library
    async with opened_library(settings, progress=bar) as library:
        found: dict[str, Sequence[Passage]] = {}
        for done, question in enumerate(questions, start=1):
            found[question] = (await library.ranked(question)).passages
            bar(done, len(questions))
        return found, library.fingerprint


def _tell(card: Card, folder: Path) -> None:
    rows = [
        {"what": what, "counts": ", ".join(f"{one} {count}" for one, count in counts.items())}
        for what, counts in card.counts.items()
    ]
    for what, done in (("left out", card.filters), ("masked", card.masks)):
        rows.append({"what": what, "counts": ", ".join(f"{one} {count}" for one, count in done.items()) or "nothing"})
    show(rows, {"what": "By", "counts": f"{card.examples} examples"}, as_json=False, empty="")
    for said in card.contradictions[:CONTRADICTIONS]:
        errors.print(f"[yellow]Contradictory ({said['why']}):[/yellow]")
        for one in said["said"]:
            errors.print(f"  {one['source']}: {one['question']} -> {one['answer']}", markup=False, soft_wrap=True)
    if len(card.contradictions) > CONTRADICTIONS:
        errors.print(f"... and {len(card.contradictions) - CONTRADICTIONS} more, in {folder / 'card.json'}")
    if liked := card.notes.get("liked"):
        errors.print(f"{liked} answers have a thumb up and no review: a thumb is no proof, so they are not learned.")
    if withheld := card.notes.get("withheld"):
        errors.print(f"{withheld} reviewed answers are of students who have not agreed: they are not learned.")
    waiting = [one for one in card.notes.get("asked_often", ()) if not one["taught"]]
    for one in waiting[:OFTEN]:
        errors.print(f"Asked {one['times']} times and never reviewed: {one['question']}", markup=False, soft_wrap=True)
    out.print(f"The dataset is in {folder}. To train on it: sahpathi train sft --data {folder}", soft_wrap=True)
