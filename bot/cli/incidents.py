"""`sahpathi incidents`: what a person must look at, who looks after it, and how it ended."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bot.cli.common import Json, out, show, show_json
from bot.cli.people import with_store
from bot.errors import SetupError
from bot.words import CHANNELS, OUTCOMES, category, is_distress

if TYPE_CHECKING:
    from bot.store import Case, Store

app = typer.Typer(no_args_is_help=True, help="Children in distress, and what else a person must look at.")

LONGEST_NAME = 80  # characters, as a user of the dashboard may have
NONE_OPEN = "There is no open incident {}: sahpathi incidents list"

Number = Annotated[int, typer.Argument(help="A number from `incidents list`.")]
By = Annotated[str, typer.Option(help="Who you are.")]


@app.command("list")
def list_incidents(
    every: Annotated[bool, typer.Option("--all", help="The closed ones too.")] = False, json: Json = False
) -> None:
    """List the open ones, children in distress first; without anybody's words or number."""
    from bot.store import CLOSED, OPEN

    cases = [case for state in ((OPEN, CLOSED) if every else (OPEN,)) for case in _in(state)]
    columns = {
        "incident": "Incident", "about": "About", "channel": "Channel", "state": "State", "alerts": "Alerts",
        "seen_by": "Looked after by", "created": "When (UTC)",
    }  # fmt: skip
    show([_row(case) for case in cases], columns, as_json=json, empty="There is nothing to look after.")


@app.command("show")
def show_incident(number: Number, json: Json = False) -> None:
    """Show one, with what the student wrote."""
    case = with_store(lambda store: store.incident(number))
    if case is None:
        raise SetupError(f"There is no incident {number}: sahpathi incidents list --all")
    if json:
        show_json(_row(case) | {"question": case.question})
        return
    for line in _lines(case):
        out.print(line, markup=False, soft_wrap=True)


@app.command()
def seen(number: Number, by: By) -> None:
    """Say that you look after it: nobody else is alerted."""
    name = _name(by)
    if not with_store(lambda store: store.see_incident(number, by=name)):
        raise SetupError(f"Incident {number} is not open, or somebody looks after it: sahpathi incidents show {number}")
    out.print(f"You look after incident {number}. Close it with a note: sahpathi incidents close {number}")


@app.command()
def close(
    number: Number,
    note: Annotated[str, typer.Option(help="What was done, in a few words.")],
    by: By,
    false_alarm: Annotated[bool, typer.Option("--false-alarm", help="Nothing was wrong with the child.")] = False,
) -> None:
    """Close one, with a note of what was done. Of a child in distress: the alarm was right, or a false one."""
    name = _name(by)
    if not note.strip():
        raise SetupError('Say in a few words what was done: --note "..."')

    async def closed(store: Store) -> bool:
        case = await store.incident(number)
        if case is None:
            return False
        outcome = _outcome(case, false_alarm=false_alarm)
        return await store.close_incident(number, by=name, note=note, outcome=outcome)

    if not with_store(closed):
        raise SetupError(NONE_OPEN.format(number))
    out.print(f"Incident {number} is closed.")


def _in(state: str) -> list[Case]:
    return with_store(lambda store: store.incidents(state))


def _name(by: str) -> str:
    """Raises SetupError for what is no name."""
    name = by.strip()
    if not name or len(name) > LONGEST_NAME:
        raise SetupError(f"Say who you are, in at most {LONGEST_NAME} characters: --by NAME")
    return name


def _outcome(case: Case, *, false_alarm: bool) -> str | None:
    """Raises SetupError where nobody was alarmed: a filter that failed, or a lost message, is no false alarm."""
    from bot.store import FALSE_ALARM, REAL

    if is_distress(case.category):
        return FALSE_ALARM if false_alarm else REAL
    if false_alarm:
        raise SetupError(f"Incident {case.id} is about no child in distress: close it without --false-alarm.")
    return None


def _row(case: Case) -> dict[str, Any]:
    return {
        "incident": case.id,
        "about": category(case.category).english,
        "category": case.category,
        "channel": case.channel,
        "state": case.state,
        "alerts": len(case.told),
        "seen_by": case.seen_by,
        "closed_by": case.closed_by,
        "note": case.note,
        "outcome": case.outcome,
        "created": _moment(case.created_at),
    }


def _lines(case: Case) -> list[str]:
    """One after another, as a person reads them."""
    lines = [
        f"Incident {case.id}: {category(case.category).english}",
        f"{_moment(case.created_at)} UTC, {CHANNELS.get(case.channel, case.channel)}, {case.state}",
        f"The student wrote: {case.question or 'erased, or nothing'}",
        *([f"From: {case.address}"] if is_distress(case.category) and case.address else []),
        *(f"Told: {alert.contact} at {_moment(alert.at)} UTC" for alert in case.told),
    ]
    if case.seen_at is not None:
        lines.append(f"Looked after by {case.seen_by} since {_moment(case.seen_at)} UTC")
    if case.closed_at is not None:
        how = f"by {case.closed_by}: {case.note}" if case.closed_by else "by itself, when it was tried again"
        lines.append(f"Closed at {_moment(case.closed_at)} UTC {how}")
    if case.outcome is not None:
        lines.append(f"{OUTCOMES[case.outcome]}.")
    return lines


def _moment(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M}"
