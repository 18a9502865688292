"""The `sahpathi` command. Heavy imports live inside the commands, so that --help answers at once."""

from __future__ import annotations

import os
import sys

import typer

from bot.cli import (
    adapters,
    chat,
    classifiers,
    data,
    doctor,
    evaluate,
    export,
    incidents,
    inference,
    people,
    runs,
    serve,
    simulate,
    textbooks,
    train,
    undelivered,
)
from bot.errors import SahpathiError

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Sahpathi: a tutor for the messaging apps students already have, answering from the school's own books.",
)
app.command()(serve.serve)
app.command()(serve.worker)
app.command()(inference.inference)
app.command()(chat.chat)
app.command()(simulate.simulate)
app.command()(doctor.doctor)
app.add_typer(textbooks.app, name="textbooks")
app.add_typer(data.app, name="data")
app.add_typer(train.app, name="train")
app.add_typer(runs.app, name="runs")
app.add_typer(evaluate.app, name="evaluate")
app.add_typer(adapters.app, name="adapters")
app.add_typer(export.app, name="export")
app.add_typer(classifiers.app, name="classifiers")
app.add_typer(people.app, name="users")
app.add_typer(undelivered.app, name="undelivered")
app.add_typer(incidents.app, name="incidents")


def main() -> None:
    """Run a command. An error of ours is one clear line and exit status 2; Ctrl-C is 130."""
    # Threads of torch that spin while they wait take the cores from each other: measured ten times slower.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    try:
        app()
    except SahpathiError as error:
        print(f"sahpathi: {error}", file=sys.stderr)
        raise SystemExit(2) from None
    except KeyboardInterrupt:
        raise SystemExit(130) from None
