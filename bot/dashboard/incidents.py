"""The pages of what a person must look at: the list, and one to look after and to close with a note."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from fastapi import Request, Response

from bot.dashboard import views
from bot.dashboard.visits import Visitor, Visits, see
from bot.store import CLOSED, FALSE_ALARM, OPEN, REAL, Alert, Case, Store
from bot.words import is_distress

logger = logging.getLogger(__name__)

SHOWN = 100
LONGEST_NOTE = 4000  # characters
DIGITS = 18  # of the largest number that every database takes
DONE = {"seen": "You look after this. Nobody else is alerted.", "closed": "Closed. Thank you for looking after it."}
TOO_LATE = {
    "seen": "Somebody was quicker: this is looked after, or closed.",
    "closed": "Somebody was quicker: this is closed already. Your note was not saved.",
}


@dataclass(frozen=True, slots=True)
class Told:
    """One adult, how often they were told, and when last."""

    address: str
    times: int
    last: datetime


def told(alerts: Sequence[Alert]) -> list[Told]:
    """By adult, in the order in which they were first told."""
    times = Counter(alert.contact for alert in alerts)
    last = {alert.contact: alert.at for alert in alerts}
    return [Told(contact.partition(":")[2], count, last[contact]) for contact, count in times.items()]


def standing(case: Case) -> tuple[str, str]:
    """How it stands: a word for the style sheet, and in words."""
    if case.state == CLOSED:
        return "closed", "Closed"
    if case.seen_at is not None:
        return "seen", f"{case.seen_by} looks after it"
    if is_distress(case.category):
        return "urgent", "Nobody looks after it yet"
    return "open", "Open"


class IncidentPages:
    """The list and one of them. Every method returns a finished response."""

    def __init__(self, store: Store, visits: Visits) -> None:
        self._store = store
        self._visits = visits

    async def listing(self, request: Request) -> Response:
        """The open ones, or those that are closed. One row more than shown is read, to know whether there are more."""
        visitor = await self._visits.visitor(request)
        state = CLOSED if request.query_params.get("show") == CLOSED else OPEN
        cases = await self._store.incidents(state, limit=SHOWN + 1)
        return self._visits.render(
            "incidents.html",
            user=visitor.user,
            token=visitor.token,
            address=views.INCIDENTS,
            show=state,
            cases=[(case, standing(case)) for case in cases[:SHOWN]],
            shown=SHOWN,
            more=len(cases) > SHOWN,
        )

    async def incident(self, request: Request, number: str) -> Response:
        visitor = await self._visits.visitor(request)
        return await self._page(visitor, number, done=DONE.get(request.query_params.get("done", ""), ""))

    async def look_after(self, request: Request, number: str) -> Response:
        """The visitor looks after it: nobody else is alerted."""
        visitor = await self._visits.visitor(request)
        await self._visits.form(request)
        key = _key(number)
        if key is None or not await self._store.see_incident(key, by=visitor.user.name):
            return await self._page(visitor, number, problem=TOO_LATE["seen"], status=409)
        logger.info("incident %d is looked after by user %d", key, visitor.user.id)
        return see(f"{views.INCIDENTS}/{key}?done=seen")

    async def close(self, request: Request, number: str) -> Response:
        """Close it, with a note of what was done, and of a child in distress whether it was right to alert."""
        visitor = await self._visits.visitor(request)
        form = await self._visits.form(request)
        note = form.get("note", "").replace("\r\n", "\n").replace("\0", "").strip()
        outcome = FALSE_ALARM if form.get("outcome") == FALSE_ALARM else REAL
        if problem := _problem(note):
            return await self._page(visitor, number, problem=problem, status=422, draft=note, outcome=outcome)
        case = await self._case(number)
        if case is None or not await self._store.close_incident(
            case.id, by=visitor.user.name, note=note, outcome=outcome if is_distress(case.category) else None
        ):
            return await self._page(visitor, number, problem=TOO_LATE["closed"], status=409)
        logger.info("incident %d closed by user %d", case.id, visitor.user.id)
        return see(f"{views.INCIDENTS}/{case.id}?done=closed")

    async def _case(self, number: str) -> Case | None:
        """The incident of a number in an address."""
        key = _key(number)
        return await self._store.incident(key) if key is not None else None

    async def _page(
        self,
        visitor: Visitor,
        number: str,
        *,
        done: str = "",
        problem: str = "",
        status: int = 200,
        draft: str = "",
        outcome: str = REAL,
    ) -> Response:
        """One incident with everything known about it. `draft` and `outcome` are what could not be saved."""
        case = await self._case(number)
        if case is None:
            return self._visits.refused(404, "No such incident", "Its number may have been mistyped.")
        return self._visits.render(
            "incident.html",
            status,
            user=visitor.user,
            token=visitor.token,
            address=views.INCIDENTS,
            case=case,
            standing=standing(case),
            told=told(case.told),
            distress=is_distress(case.category),
            done=done,
            problem=problem,
            draft=draft,
            outcome=outcome,
            longest=LONGEST_NOTE,
        )


def _key(number: str) -> int | None:
    """The number in an address, None for what is none."""
    return int(number) if number.isascii() and number.isdigit() and len(number) <= DIGITS else None


def _problem(note: str) -> str:
    if not note:
        return "Write in a few words what was done, or will be."
    if len(note) > LONGEST_NOTE:
        return f"The note has {len(note)} characters; {LONGEST_NOTE} is the most. Please shorten it."
    return ""
