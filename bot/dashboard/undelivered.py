"""The page of what was given up: why, what to do, and a form to have it tried again."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass

from fastapi import Request, Response

from bot.dashboard import views
from bot.dashboard.reasons import Reason, reason_for
from bot.dashboard.visits import Visitor, Visits, see
from bot.store import Lost, Store

logger = logging.getLogger(__name__)

SHOWN = 200
AT_ONCE = 10_000  # tried again by one press: the numbers go into one statement, and a database takes only so many


@dataclass(frozen=True, slots=True)
class Group:
    """Messages given up for one reason, the latest first. `errors` is what the store keeps of it, for the operator."""

    reason: Reason
    messages: Sequence[Lost]

    @property
    def errors(self) -> list[str]:
        return sorted({lost.error for lost in self.messages if lost.error})


def grouped(lost: Sequence[Lost]) -> list[Group]:
    """By reason, in the order of the latest of each."""
    found: dict[Reason, list[Lost]] = {}
    for one in lost:
        found.setdefault(reason_for(one.error), []).append(one)
    return [Group(reason, messages) for reason, messages in found.items()]


class UndeliveredPages:
    """The list and its form. Every method returns a finished response."""

    def __init__(self, store: Store, visits: Visits) -> None:
        self._store = store
        self._visits = visits

    async def listing(self, request: Request) -> Response:
        """The latest of what was given up, and how many have just been tried again."""
        visitor = await self._visits.visitor(request)
        return await self._page(visitor, done=_done(request.query_params.get("tried", "")))

    async def try_again(self, request: Request) -> Response:
        """Have the chosen ones tried again, or all."""
        visitor = await self._visits.visitor(request)
        form = await self._visits.form(request)
        every, chosen = "all" in form, set(form.getlist("message"))
        if not every and not chosen:
            return await self._page(visitor, problem="Tick what should be tried again, or try all again.")
        # Only what the list holds: whoever blocked us is not in it, whatever numbers are sent here.
        listed = await self._store.given_up(limit=AT_ONCE)
        wanted = [lost.message_id for lost in listed if every or str(lost.message_id) in chosen]
        tried = await self._store.try_again(wanted)
        logger.info("user %d has %d messages tried again", visitor.user.id, tried)
        return see(f"{views.UNDELIVERED}?tried={tried}")

    async def _page(self, visitor: Visitor, *, done: str = "", problem: str = "") -> Response:
        """One row more than shown is read, to know whether there are more."""
        lost = await self._store.given_up(limit=SHOWN + 1)
        return self._visits.render(
            "undelivered.html",
            422 if problem else 200,
            user=visitor.user,
            token=visitor.token,
            groups=grouped(lost[:SHOWN]),
            shown=SHOWN,
            more=len(lost) > SHOWN,
            late=len(await self._store.late()),
            done=done,
            problem=problem,
        )


def _done(tried: str) -> str:
    """What the form did, from the address it led to; "" for an address it did not lead to."""
    if not (tried.isascii() and tried.isdigit() and len(tried) <= len(str(AT_ONCE))):
        return ""
    if not int(tried):
        return "Nothing was left to be tried again: somebody else may have been quicker."
    return f"{int(tried)} will be tried again within seconds."
