"""`sahpathi textbooks`: the books on the shelf and their index."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bot.cli.common import Json, errors, load_settings, out, progress, show, show_json
from bot.errors import IndexBusy, SetupError

if TYPE_CHECKING:
    from bot.settings import Settings

app = typer.Typer(no_args_is_help=True, help="The textbooks that answers come from.")

PATIENCE = 15.0  # seconds until the process that holds the index must have begun our job

Class = Annotated[int | None, typer.Option("--class", min=1, max=12, help="Class of the students, 1 to 12.")]
Board = Annotated[str | None, typer.Option(help="national, or a state such as kerala.")]
Language = Annotated[str | None, typer.Option(help="en, hi, ...")]
Progress = Callable[[int, int], None]


@app.command()
def add(
    paths: Annotated[list[Path], typer.Argument(help="Files, folders of files, or ZIPs of files.")],
    class_level: Class = None,
    subject: Annotated[str | None, typer.Option(help="science, mathematics, history ...")] = None,
    language: Language = None,
    board: Board = None,
    title: Annotated[str | None, typer.Option(help="Title of the book; else the file's own.")] = None,
    json: Json = False,
) -> None:
    """Add textbooks: PDF, EPUB, DOCX, HTML, Markdown, TXT, or a ZIP of chapters. Scanned pages are read by OCR.

    The running service takes them up at once. Exits with 1 when any file could not be used; the others are added.
    """
    from bot.compose import added_books
    from rag.shelf import Added, Facts, Refused, Shelf

    settings = load_settings()
    facts = Facts(class_level, _code(subject, "subject"), _code(language, "language"), _code(board, "board"), title)
    added: list[Added] = []
    refused: list[Refused] = []
    with progress("Reading") as bar:
        for result in Shelf(added_books(settings)).add(paths, facts, lambda name, done, total: bar(done, total, name)):
            (added if isinstance(result, Added) else refused).append(result)  # type: ignore[arg-type]
    indexed = _index(settings) if any(not one.known for one in added) else {}
    rows = [
        {
            "file": one.file, "book": one.book, "chapters": len(one.chapters), "pages": one.pages,
            "state": "was there already" if one.known else "added", "notes": list(one.notes),
        }
        for one in added
    ]  # fmt: skip
    if json:
        show_json({"added": rows, "refused": [asdict(one) for one in refused], "index": indexed})
    else:
        columns = {"file": "File", "book": "Book", "chapters": "Chapters", "pages": "Pages", "state": ""}
        show(rows, columns, as_json=False, empty="Nothing was added.")
        for one in added:
            for note in one.notes:
                errors.print(f"[yellow]{one.file}: {note}[/yellow]")
        for failed in refused:
            errors.print(f"[red]{failed.file} {failed.why}.[/red]")
        _tell(indexed)
    if refused:
        raise typer.Exit(1)


@app.command("list")
def list_books(json: Json = False) -> None:
    """List the chapters that can be read, and say what is wrong with those that cannot."""
    from bot.compose import shelves
    from rag.ingest import read_library

    books, problems = read_library(*shelves(load_settings()))
    rows = [
        {
            "class": book.class_level, "subject": book.subject, "title": book.title, "number": book.chapter,
            "chapter": book.chapter_title, "pages": _pages(book.pages[0].number, book.pages[-1].number),
            "language": book.language, "board": book.board, "source": book.source or "shipped",
        }
        for book in books
    ]  # fmt: skip
    columns = {
        "class": "Class", "subject": "Subject", "title": "Book", "number": "No.", "chapter": "Chapter",
        "pages": "Pages", "language": "Language", "board": "Board", "source": "From",
    }  # fmt: skip
    show(
        rows,
        columns,
        as_json=json,
        empty="No textbooks yet. Add one: sahpathi textbooks add FILE --class 7 --subject science",
    )
    for problem in problems:
        errors.print(f"[yellow]{problem}[/yellow]")
    if problems:
        raise typer.Exit(1)


@app.command()
def remove(
    book: Annotated[str, typer.Argument(help="Title of the book, as `list` shows it.")],
    chapter: Annotated[int | None, typer.Option(min=1, help="Only this chapter.")] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    json: Json = False,
) -> None:
    """Take a book that was added from the shelf, with all its passages."""
    from bot.compose import added_books
    from rag.shelf import Shelf

    settings = load_settings()
    shelf = Shelf(added_books(settings))
    held = shelf.find(book, chapter)
    if not held:
        raise SetupError(
            f"No book called {book!r}{f' with a chapter {chapter}' if chapter else ''} was added here; "
            "`sahpathi textbooks list` names them. The shipped books are left out by setting SAHPATHI_TEXTBOOKS to a "
            "folder of your own."
        )
    title = held[0][1].title
    if not (yes or json) and not typer.confirm(f"Remove {len(held)} chapters of {title}?"):
        raise typer.Exit(1)
    shelf.remove([path for path, _ in held])
    indexed = _index(settings)
    if json:
        show_json({"removed": len(held), "index": indexed})
    else:
        out.print(f"Removed {len(held)} chapters of {title}.")
        _tell(indexed)


@app.command()
def reindex(json: Json = False) -> None:
    """Build the index again: after changing books, or the embedding model. The old one serves until it is done."""
    indexed = _index(load_settings(), rebuild=True)
    if json:
        show_json(indexed)
    else:
        _tell(indexed)


@app.command()
def prepare(
    output: Annotated[
        Path | None, typer.Option(dir_okay=False, help="File to write instead of the shipped one.")
    ] = None,
) -> None:
    """Embed the shipped textbooks ahead, so that a first start need not: for whoever changes their chapters.

    What is missing in the file, or has changed since, is embedded when the index is built.
    """
    from bot.compose import PREPARED, prepared_vectors

    settings = load_settings()
    with progress("Embedding") as bar:
        prepared = prepared_vectors(settings, bar)
    place = output or PREPARED
    prepared.save(place, settings.retrieval.embedding_model)
    out.print(f"{len(prepared):,} vectors are in {place}.")


@app.command()
def search(
    question: Annotated[str, typer.Argument(help="What a student might ask.")],
    class_level: Class = None,
    subject: Annotated[str | None, typer.Option(help="The student's subject.")] = None,
    language: Language = None,
    board: Board = None,
    passages: Annotated[int, typer.Option(min=1, max=20, help="How many passages to show.")] = 3,
    json: Json = False,
) -> None:
    """Show the passages that a question finds. What you say of class, subject, language and board is preferred."""
    if not question.strip():
        raise SetupError("Write a question to search for.")
    wanted = {
        "question": question, "class_level": class_level, "subject": subject, "language": language, "board": board,
        "k": passages,
    }  # fmt: skip

    async def here(settings: Settings, bar: Progress) -> dict[str, Any]:
        from bot.compose import opened_library

        async with opened_library(settings, progress=bar) as library:
            return (await library.retrieve(**wanted)).summary()  # type: ignore[arg-type]

    found = _with_index(load_settings(), here, "search", wanted)
    nearby = "; ".join(found["nearby"])
    empty = f"Nothing in the books answers that. Nearest chapters: {nearby or 'none'}."
    columns = {
        "score": "Relevance", "book": "Book", "chapter": "Chapter", "page": "Page", "language": "Language",
        "text": "Passage",
    }  # fmt: skip
    show(found["passages"], columns, as_json=json, empty=empty)


def _index(settings: Settings, *, rebuild: bool = False) -> dict[str, Any]:
    """Index what changed, here or in the running service."""

    async def here(settings: Settings, bar: Progress) -> dict[str, Any]:
        from bot.compose import opened_library

        async with opened_library(settings, rebuild=rebuild, progress=bar) as library:
            return library.last_report.summary()

    return _with_index(settings, here, "index", {"rebuild": rebuild})


def _with_index(settings: Settings, here: Any, kind: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Do something with the index in this process; where the service has it open, ask the service to."""

    async def run(bar: Progress) -> dict[str, Any]:
        try:
            done: dict[str, Any] = await here(settings, bar)
        except IndexBusy as busy:
            return await _handed_over(settings, kind, arguments, bar, busy)
        return done

    with progress("Indexing") as bar:
        return asyncio.run(run(bar))


async def _handed_over(
    settings: Settings, kind: str, arguments: Mapping[str, Any], bar: Progress, busy: IndexBusy
) -> dict[str, Any]:
    from bot.compose import opened_store
    from bot.jobs import FAILED, Jobs, follow

    async with opened_store(settings) as store:
        jobs = Jobs(store)
        job = await follow(jobs, await jobs.submit(kind, arguments), bar, patience=PATIENCE)
    if job is None:
        raise busy
    if job.state == FAILED:
        raise SetupError(f"The running service could not do it: {job.error}")
    return dict(job.result)


def _tell(indexed: Mapping[str, Any]) -> None:
    if indexed:
        state = "brought up to date" if indexed["rebuilt"] else "up to date"
        out.print(f"The index is {state}: {indexed['chapters']} chapters, {indexed['passages']} passages.")
        for problem in indexed["errors"]:
            errors.print(f"[yellow]left out: {problem}[/yellow]")


def _code(given: str | None, name: str) -> str | None:
    """A subject, language or board as front matter has it. Raises SetupError."""
    from rag.ingest import CODE, LANGUAGE

    if given is None:
        return None
    code = "-".join(given.lower().split())
    if not (LANGUAGE if name == "language" else CODE).fullmatch(code):
        example = {"language": "en or hi", "board": "national or kerala"}.get(name, "science or study-skills")
        raise SetupError(f"--{name} must be a short name such as {example}, not {given!r}.")
    return code


def _pages(first: int, last: int) -> str:
    if not last:
        return "unnumbered"
    return f"{first}-{last}" if last > first else str(first)
