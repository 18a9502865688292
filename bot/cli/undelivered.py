"""`sahpathi undelivered`: what could not be answered or sent, and one command to try it again."""

from __future__ import annotations

from typing import Annotated

import typer

from bot.cli.common import Json, out, show
from bot.cli.people import with_store
from bot.errors import SetupError

app = typer.Typer(no_args_is_help=True, help="Messages without an answer and answers that did not arrive.")


@app.command("list")
def list_undelivered(json: Json = False) -> None:
    """List them, the latest first, and answers that wait for a student; without anybody's words or number."""
    lost = [*with_store(lambda store: store.given_up()), *with_store(lambda store: store.late())]
    rows = [
        {
            "message": one.message_id,
            "channel": one.channel,
            "what": one.what,
            "error": one.error,
            "received": f"{one.received_at:%Y-%m-%d %H:%M}",
        }
        for one in lost
    ]
    columns = {"message": "Message", "channel": "Channel", "what": "What", "error": "Why", "received": "Received (UTC)"}
    show(rows, columns, as_json=json, empty="Everything was answered and delivered.")


@app.command()
def retry(
    messages: Annotated[list[int] | None, typer.Argument(help="Numbers from `undelivered list`.")] = None,
    every: Annotated[bool, typer.Option("--all", help="All that are listed.")] = False,
) -> None:
    """Answer or send them again. The running service takes them up within seconds."""
    if not messages and not every:
        raise SetupError("Name the messages to try again, or pass --all: sahpathi undelivered list")
    chosen = messages or [one.message_id for one in with_store(lambda store: store.given_up())]
    tried = with_store(lambda store: store.try_again(chosen))
    if messages and not tried:
        raise SetupError("None of these is waiting to be tried again: sahpathi undelivered list")
    out.print(f"{tried} to be tried again." if tried else "There is nothing to try again.")
