"""`sahpathi users`: who may sign in to the dashboard."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from bot.cli.common import Json, load_settings, out, show
from bot.errors import SetupError

if TYPE_CHECKING:
    from bot.store import Store

app = typer.Typer(no_args_is_help=True, help="Teachers and operators who may sign in.")

T = TypeVar("T")


def with_store(work: Callable[[Store], Awaitable[T]]) -> T:
    """Run `work` on the configured database, brought up to date first."""
    from bot.compose import opened_store

    async def run() -> T:
        async with opened_store(load_settings()) as store:
            return await work(store)

    return asyncio.run(run())


@app.command()
def add(
    name: Annotated[str, typer.Argument(help="The name to sign in with.")],
    role: Annotated[str, typer.Option(help="teacher or operator.")] = "teacher",
) -> None:
    """Add a user. Asks for the password; in a script, pass it on standard input."""
    from bot.dashboard.passwords import hash_password

    if role not in {"teacher", "operator"}:
        raise SetupError(f"There is no role {role!r}: choose teacher or operator.")
    if sys.stdin.isatty():
        password = typer.prompt("Password (10 characters or more)", hide_input=True, confirmation_prompt=True)
    else:
        password = sys.stdin.readline().rstrip("\n")
    hashed = hash_password(password)
    if not with_store(lambda store: store.add_user(name, hashed, role)):
        raise SetupError(f"There is already a user {name!r}.")
    out.print(f"{name} may now sign in at /dashboard as {role}.")


@app.command("list")
def list_users(json: Json = False) -> None:
    """List the users."""
    users = with_store(lambda store: store.users())
    rows = [{"name": user.name, "role": user.role, "since": f"{user.created_at:%Y-%m-%d}"} for user in users]
    columns = {"name": "Name", "role": "Role", "since": "Since"}
    show(rows, columns, as_json=json, empty="Nobody may sign in yet: sahpathi users add NAME")
