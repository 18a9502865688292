"""What the dashboard's pages show, in words a teacher reads."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import urlencode

from bot.ports import Action, Route
from bot.store import APPROVED, CORRECTED, FALSE_ALARM, REJECTED
from bot.tables import StoredAnswer
from bot.words import REFUSALS, category

PAGE_SIZE = 25
LAST_PAGE = 100_000  # beyond it an offset would no longer fit a database's integer

FILTERS: Mapping[str, tuple[str, str | None]] = {  # in the address -> (in words, Store.answers' `review`)
    "all": ("All", "any"),
    "to-review": ("To review", None),
    "approved": ("Approved", APPROVED),
    "corrected": ("Corrected", CORRECTED),
    "rejected": ("Rejected", REJECTED),
    "false-alarms": ("Wrongly refused", FALSE_ALARM),
}
ROUTES: Mapping[str, str] = {
    Route.VERIFIED: "Checked by a teacher",
    Route.GENERATED: "Written by the model",
    Route.QUOTED: "Quoted from the book",
    Route.CALCULATED: "Calculated",
    Route.SMALLTALK: "Small talk",
    Route.OFF_TOPIC: "Off topic",
    Route.REFUSED: "Refused",
    Route.ESCALATED: "Escalated to an adult",
    Route.NOT_IN_BOOK: "Not in the book",
    Route.COMMAND: "Command",
}
LANGUAGES = {"en": "English", "hi": "Hindi", "hinglish": "Hinglish"}
RATINGS = {1: "👍 helpful", -1: "👎 not helpful", 0: "not rated"}
UNDELIVERED = "/dashboard/undelivered"
INCIDENTS = "/dashboard/incidents"
TRAINING = "/dashboard/training"
TILES = (  # what `Store.counts` and `given_up_counts` count -> in words, whether somebody should act, and where
    ("inbox.answered", "answered", False, ""),
    ("inbox.waiting", "waiting", False, ""),
    ("given_up.unanswered", "given up", True, UNDELIVERED),
    ("given_up.undelivered", "undelivered", True, UNDELIVERED),
    ("incidents.open", "need attention", True, INCIDENTS),
)


@dataclass(frozen=True, slots=True)
class Tile:
    """One number at the top of the list. `address` is the page that says more, "" where there is none."""

    count: int
    label: str
    alarming: bool
    address: str


@dataclass(frozen=True, slots=True)
class Listing:
    """What of the log is looked at: filter, route ("" is any) and page, counted from 1."""

    show: str = "all"
    route: str = ""
    page: int = 1

    @classmethod
    def of(cls, query: Mapping[str, str]) -> Listing:
        """From an address; what we do not know falls back to the whole list."""
        show, route, page = query.get("show", ""), query.get("route", ""), query.get("page", "")
        return cls(
            show if show in FILTERS else "all",
            route if route in ROUTES else "",
            min(max(int(page), 1), LAST_PAGE) if page.isascii() and page.isdigit() and len(page) < 10 else 1,
        )

    @property
    def review(self) -> str | None:
        """What `Store.answers` calls this filter."""
        return FILTERS[self.show][1]

    @property
    def offset(self) -> int:
        return (self.page - 1) * PAGE_SIZE

    def address(self, **changes: str | int) -> str:
        """The list with something changed; a new filter starts at page 1."""
        values = {"show": self.show, "route": self.route, "page": 1} | changes
        return "/dashboard?" + urlencode({key: value for key, value in values.items() if value not in ("", "all", 1)})


def tiles(counts: Mapping[str, int]) -> list[Tile]:
    """For `Store.counts`. A count of nothing neither alarms nor leads anywhere."""
    found = ((counts.get(key, 0), label, alarming, address) for key, label, alarming, address in TILES)
    return [
        Tile(count, label, alarming and count > 0, address if count else "")
        for count, label, alarming, address in found
    ]


def percent(share: float | None) -> str:
    return "–" if share is None else f"{share:.0%}"


def moment(at: datetime) -> str:
    """As a page without scripts shows it."""
    return f"{at:%d %b %Y, %H:%M} UTC"


def reviewed(answer: StoredAnswer) -> str:
    """What staff said of it."""
    if answer.review == APPROVED and answer.route == Route.REFUSED:
        return "Rightly refused"
    said = {
        APPROVED: "Approved",
        CORRECTED: "Corrected",
        REJECTED: "Rejected",
        FALSE_ALARM: "Should have been answered",
    }
    return said.get(answer.review or "", "To review")


def reviewable(answer: StoredAnswer) -> str:
    """What staff may judge: the "answer", the "refusal", the "incident" that it became, or "nothing"."""
    if answer.route == Route.ESCALATED:
        return "incident"
    if answer.route == Route.REFUSED:  # without a verdict: too long, empty, or from before verdicts were kept
        return "refusal" if answer.verdict else "nothing"
    return "answer"


def held_for(verdict: Mapping[str, Any]) -> str:
    """What the safety filter took a text to be about. Some categories are on both lists: "violence", say."""
    code = verdict["category"]
    if verdict["action"] == Action.ESCALATE:
        return category(code).english
    return REFUSALS.get(code, code.replace("_", " ").capitalize())
