"""`sahpathi data`: datasets for training, from what teachers reviewed and from files."""

from __future__ import annotations

import json as encoding
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bot.cli.common import Json, errors, load_settings, out, show, show_json
from bot.cli.data_build import build
from bot.cli.workbench import training
from bot.errors import SetupError

if TYPE_CHECKING:
    from training.pairs.data import Example
    from training.tuning.lengths import Tokens, Words

app = typer.Typer(no_args_is_help=True, help="Datasets for training: build, check, count and compare them.")
app.command()(build)

TEMPLATE = Path(__file__).parents[2] / "training" / "pairs" / "template.jsonl"

Base = Annotated[Path | None, typer.Option(file_okay=False, help="Folder of the base model to count tokens by.")]


@app.command()
def validate(
    files: Annotated[list[Path], typer.Argument(help="JSON Lines files, folders of them, or datasets.")],
    base: Base = None,
    json: Json = False,
) -> None:
    """Name every line that cannot be trained on, by file and number. Exits with 1 when there is any.

    Without --base, length is counted in words.
    """
    with training():
        from training.pairs.data import scan
        from training.pairs.dataset import warning_if_few
        from training.tuning.lengths import too_long

        counter = _counter(base)
        found = scan(*files)
        bad = [(str(one.path), one.line, one.why) for one in found.bad]
        bad += [(str(one.path), one.number, why) for one in found.lines if (why := too_long(one.example, counter))]
    rows = [{"file": file, "line": line, "why": why} for file, line, why in sorted(bad)]
    if json:
        show_json({"examples": len(found.lines), "drafts": found.drafts, "bad": rows})
    elif rows:
        for row in rows:
            out.print(f"{row['file']}:{row['line']}: {row['why']}", markup=False, soft_wrap=True)
    else:
        out.print(f"{len(found.lines)} examples can be trained on.")
    if found.drafts:
        errors.print(f"[yellow]{found.drafts} drafts nobody has approved do not count.[/yellow]")
    _warn(warning_if_few(len(found.lines)))
    if rows:
        raise typer.Exit(1)


@app.command()
def stats(
    dataset: Annotated[list[str], typer.Argument(help="A dataset by its id or folder, or files.")],
    base: Base = None,
    json: Json = False,
) -> None:
    """Count examples, lengths, duplicates, subjects and languages. Tokens are those of the configured base model."""
    settings = load_settings()
    with training():
        from training.pairs.dataset import stats as measured
        from training.pairs.dataset import warning_if_few

        configured = Path(settings.model.base)
        examples = _examples(settings.home / "datasets", *dataset)
        found = measured(examples, _counter(base or (configured if configured.is_dir() else None)))
    if json:
        show_json(asdict(found))
        return
    rows = [
        {"what": what, **dict(zip(("p50", "p95", "max"), spread, strict=True))}
        for what, spread in found.lengths.items()
    ]
    show(rows, {"what": found.unit.capitalize(), "p50": "p50", "p95": "p95", "max": "max"}, as_json=False, empty="")
    counted = [
        {"what": what, "counts": ", ".join(f"{name} {count}" for name, count in counts.items())}
        for what, counts in found.counts.items()
    ]
    counted.append({"what": "examples", "counts": f"{found.examples}, of which {found.dialogues} are dialogues"})
    counted.append({"what": "duplicates", "counts": f"{found.repeated} in the same words, {found.reworded} reworded"})
    counted.append({"what": "passages", "counts": f"{found.without_passages} examples have none of their own"})
    show(counted, {"what": "By", "counts": ""}, as_json=False, empty="")
    _warn(warning_if_few(found.examples))


@app.command()
def diff(
    before: Annotated[str, typer.Argument(help="A dataset by its id or folder, or a file.")],
    after: Annotated[str, typer.Argument(help="Another.")],
    json: Json = False,
) -> None:
    """Questions added, removed and changed from one dataset to another.

    Exits with 1 when a question stands on another side of the split: then scores of the two cannot be compared.
    """
    root = load_settings().home / "datasets"
    with training():
        from training.pairs.dataset import diff as compared

        found = compared(_examples(root, before), _examples(root, after))
    if json:
        show_json(asdict(found))
    else:
        rows = [
            {"change": change, "question": question}
            for change in ("added", "removed", "changed")
            for question in getattr(found, change)
        ]
        rows += [{"change": f"{old} -> {new}", "question": question} for question, old, new in found.moved]
        show(rows, {"change": "Change", "question": "Question"}, as_json=False, empty="They hold the same.")
    if found.moved:
        errors.print(f"[red]{len(found.moved)} questions changed sides: scores cannot be compared.[/red]")
        raise typer.Exit(1)


@app.command()
def template(
    file: Annotated[Path, typer.Argument(dir_okay=False, help="The file to write, such as pairs.jsonl.")],
) -> None:
    """Write a starter file with an example in each shape that is read, to be replaced by your own."""
    _write_new(file, TEMPLATE.read_text(encoding="utf-8"))
    out.print(f"{file} is written. With your own lines in it: sahpathi data validate {file}", soft_wrap=True)


@app.command()
def draft(
    book: Annotated[str, typer.Option(help="Title of the book, as `textbooks list` shows it.")],
    output: Annotated[Path, typer.Option(dir_okay=False, help="The file to write.")] = Path("drafts.jsonl"),
    chapter: Annotated[int | None, typer.Option(min=1, help="Only this chapter.")] = None,
    json: Json = False,
) -> None:
    """Draft question-answer pairs from a book, each with its page. A teacher decides about every one of them.

    Nothing drafted is learned before its line says "approved": true.
    """
    from bot.compose import shelves
    from rag.ingest import read_library

    settings = load_settings()
    with training():
        from training.pairs.drafts import as_draft, drafts

        books, _ = read_library(*shelves(settings))
        wanted = [one for one in books if one.title.casefold() == book.casefold() and chapter in (None, one.chapter)]
        if not wanted:
            raise SetupError(f"There is no book {book!r} with that chapter: `sahpathi textbooks list` names them.")
        found = [example for one in wanted for example in drafts(one)]
    _write_new(output, "".join(encoding.dumps(as_draft(one), ensure_ascii=False) + "\n" for one in found))
    if json:
        show_json({"file": str(output), "chapters": len(wanted), "drafts": len(found)})
    else:
        out.print(
            f"{len(found)} pairs from {len(wanted)} chapters are in {output}. Correct them, write "
            '"approved": true on those that are right, and build: sahpathi data build ' + str(output),
            soft_wrap=True,
        )


def _examples(root: Path, *named: str) -> list[Example]:
    from training.pairs.data import read
    from training.pairs.dataset import find

    return read(*(find(root, name) for name in named))


def _counter(base: Path | None) -> Tokens | Words:
    from training.tuning.lengths import Tokens, Words

    return Tokens(base) if base is not None else Words()


def _write_new(file: Path, text: str) -> None:
    try:
        with file.open("x", encoding="utf-8") as written:
            written.write(text)
    except FileExistsError:
        raise SetupError(f"{file} is there already: name another file, or move it away first.") from None
    except OSError as error:
        raise SetupError(f"{file} cannot be written: {error.strerror}.") from None


def _warn(warning: str) -> None:
    if warning:
        errors.print(f"[yellow]{warning}[/yellow]")
