"""What every page of the dashboard needs: who visits, what their form says, and a page made from a template."""

from __future__ import annotations

from collections.abc import Awaitable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

from fastapi import Request, Response
from fastapi.responses import HTMLResponse, RedirectResponse
from starlette.datastructures import ImmutableMultiDict

from bot.dashboard import views
from bot.dashboard.auth import PATH, Door, ForgedForm, Sessions
from bot.pages import PAGE_HEADERS, Assets, BodyTooLarge, read_body, templates
from bot.store import Store
from bot.tables import User
from bot.words import CHANNELS, LAYERS, OUTCOMES, category

TEMPLATES = Path(__file__).parent / "templates"
FORM_LIMIT = 128 * 1024  # bytes; the longest correction, URL-encoded Devanagari, is under 40,000
MOST_FIELDS = 256  # a page of what was given up has 200 boxes to tick
PRIVATE = PAGE_HEADERS | {"Cache-Control": "no-store"}
SIGN_IN = f"{PATH}/sign-in"

Form = ImmutableMultiDict[str, str]


class NotSignedIn(Exception):
    """The page is for staff only."""


@dataclass(frozen=True, slots=True)
class Visitor:
    """A signed-in user, and the token of the forms shown to them."""

    user: User
    token: str


class Visits:
    """Between a browser and the pages behind the routes."""

    def __init__(self, store: Store, sessions: Sessions, assets: Assets) -> None:
        self.sessions = sessions
        self.door = Door(store)
        self._templates = templates(TEMPLATES)
        self._templates.globals.update(
            asset=assets.url,
            routes=views.ROUTES,
            channels=CHANNELS,
            category=category,
            outcomes=OUTCOMES,
            layers=LAYERS,
            filters=views.FILTERS,
            languages=views.LANGUAGES,
            ratings=views.RATINGS,
            percent=views.percent,
            moment=views.moment,
            reviewed=views.reviewed,
            held_for=views.held_for,
        )

    async def visitor(self, request: Request) -> Visitor:
        """Whoever is signed in. Raises NotSignedIn."""
        session = self.sessions.read(request)
        user = await self.door.recognise(session)
        if user is None or session is None:
            raise NotSignedIn
        return Visitor(user, self.sessions.token(session))

    async def form(self, request: Request) -> Form:
        """The fields of a form of ours. Raises ForgedForm or BodyTooLarge."""
        body = await read_body(request, FORM_LIMIT)
        try:
            form = Form(parse_qsl(body.decode(), keep_blank_values=True, max_num_fields=MOST_FIELDS))
        except ValueError:  # not UTF-8, or too many fields: no browser sends that from our page
            raise ForgedForm from None
        self.sessions.verify(request, self.sessions.read(request), form.get("token", ""))
        return form

    def render(self, template: str, status: int = 200, **values: Any) -> HTMLResponse:
        """The template filled in, as a page that no browser keeps."""
        html = self._templates.get_template(template).render(values)
        return HTMLResponse(html, status, headers=PRIVATE)

    def refused(self, status: int, title: str, text: str) -> Response:
        """A page that says kindly why there is nothing else to show."""
        return self.render("refused.html", status, title=title, text=text, user=None)

    async def guarded(self, work: Awaitable[Response]) -> Response:
        """The response, or the page that says why there is none."""
        try:
            return await work
        except NotSignedIn:
            return see(SIGN_IN)
        except ForgedForm:
            text = "This page was open for a long time, or you have signed in elsewhere. Please go back and reload it."
            return self.refused(403, "This form has expired", text)
        except BodyTooLarge:
            return self.refused(413, "That is too much text", "Please go back and shorten it.")


def see(address: str) -> Response:
    """A redirect after which reloading sends no form again."""
    return RedirectResponse(address, 303, headers=PRIVATE)
