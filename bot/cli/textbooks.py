"""`sahpathi textbooks`: the books on the shelf and their index."""

from __future__ import annotations

import asyncio
from typing import Annotated

import typer

from bot.cli.common import Json, errors, load_settings, out, progress, show
from bot.errors import SetupError

app = typer.Typer(no_args_is_help=True, help="The textbooks that answers come from.")


@app.command("list")
def list_books(json: Json = False) -> None:
    """List the chapters that can be read, and say what is wrong with those that cannot."""
    from rag.ingest import read_library

    books, problems = read_library(load_settings().textbooks)
    rows = [
        {
            "class": book.class_level, "subject": book.subject, "title": book.title, "chapter": book.chapter_title,
            "pages": f"{book.pages[0].number}-{book.pages[-1].number}", "language": book.language,
        }
        for book in books
    ]  # fmt: skip
    columns = {
        "class": "Class", "subject": "Subject", "title": "Book", "chapter": "Chapter", "pages": "Pages",
        "language": "Language",
    }  # fmt: skip
    show(rows, columns, as_json=json, empty="No textbooks: set SAHPATHI_TEXTBOOKS to a folder of Markdown chapters.")
    for problem in problems:
        errors.print(f"[yellow]{problem}[/yellow]")
    if problems:
        raise typer.Exit(1)


@app.command()
def reindex() -> None:
    """Build the index again: after changing books, or the embedding model."""

    async def run() -> str:
        from bot.compose import opened_library

        settings = load_settings()
        with progress("Indexing textbooks") as bar:
            async with opened_library(settings, rebuild=True, progress=bar) as library:
                return library.fingerprint

    out.print(f"The index is built: {asyncio.run(run())}")


@app.command()
def search(
    question: Annotated[str, typer.Argument(help="What a student might ask.")],
    class_level: Annotated[int | None, typer.Option("--class", min=1, max=12, help="The student's class.")] = None,
    subject: Annotated[str | None, typer.Option(help="The student's subject.")] = None,
    passages: Annotated[int, typer.Option(min=1, max=20, help="How many passages to show.")] = 3,
    json: Json = False,
) -> None:
    """Show the passages that a question finds, with their similarity."""
    from bot.compose import opened_library
    from bot.ports import Retrieval

    if not question.strip():
        raise SetupError("Write a question to search for.")

    async def run() -> Retrieval:
        async with opened_library(load_settings()) as library:
            return await library.retrieve(question, class_level=class_level, subject=subject, k=passages)

    found = asyncio.run(run())
    rows = [
        {"score": f"{p.score:.2f}", "book": p.book, "chapter": p.chapter, "page": p.page, "text": p.text}
        for p in found.passages
    ]
    nearby = "; ".join(found.nearby)
    empty = f"Nothing in the books answers that. Nearest chapters: {nearby or 'none'}."
    columns = {"score": "Score", "book": "Book", "chapter": "Chapter", "page": "Page", "text": "Passage"}
    show(rows, columns, as_json=json, empty=empty)
