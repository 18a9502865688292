"""The pages behind the dashboard's routes: signing in, the log, and one answer to approve or correct."""

from __future__ import annotations

import logging
from collections.abc import Awaitable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

from fastapi import Request, Response
from fastapi.responses import HTMLResponse, RedirectResponse

from bot.dashboard import views
from bot.dashboard.auth import PATH, Door, ForgedForm, Sessions, TooManyGuesses
from bot.pages import PAGE_HEADERS, Assets, BodyTooLarge, read_body, templates
from bot.store import Store
from bot.tables import StoredAnswer, User

logger = logging.getLogger(__name__)

HERE = Path(__file__).parent
FORM_LIMIT = 128 * 1024  # bytes; the longest correction, URL-encoded Devanagari, is under 40,000
LONGEST_CORRECTION = 4000  # characters
PRIVATE = PAGE_HEADERS | {"Cache-Control": "no-store"}
SIGN_IN = f"{PATH}/sign-in"

Form = dict[str, str]


class NotSignedIn(Exception):
    """The page is for staff only."""


@dataclass(frozen=True, slots=True)
class Visitor:
    """A signed-in user, and the token of the forms shown to them."""

    user: User
    token: str


class StaffPages:
    """The pages, over the store. Every method returns a finished response."""

    def __init__(self, store: Store, sessions: Sessions, assets: Assets) -> None:
        self._store = store
        self._sessions = sessions
        self._door = Door(store)
        self._templates = templates(HERE / "templates")
        self._templates.globals.update(
            asset=assets.url,
            routes=views.ROUTES,
            filters=views.FILTERS,
            languages=views.LANGUAGES,
            ratings=views.RATINGS,
            percent=views.percent,
            moment=views.moment,
            verdict=views.verdict,
            longest=LONGEST_CORRECTION,
        )

    def _render(self, template: str, status: int = 200, **values: Any) -> HTMLResponse:
        html = self._templates.get_template(template).render(values)
        return HTMLResponse(html, status, headers=PRIVATE)

    # ---- signing in and out --------------------------------------------------------------------------------------

    def sign_in_page(self, request: Request, *, problem: str = "", name: str = "", status: int = 200) -> Response:
        """The sign-in form, with a session of its own so that its token is bound to this browser."""
        session = self._sessions.read(request)
        issued = Response()
        if session is None:
            session = self._sessions.begin(issued)
        page = self._render(
            "sign_in.html", status, token=self._sessions.token(session), problem=problem, name=name, user=None
        )
        page.raw_headers.extend(header for header in issued.raw_headers if header[0] == b"set-cookie")
        return page

    async def sign_in(self, request: Request) -> Response:
        form = await self._form(request)
        name = form.get("name", "").strip()
        try:
            address = request.client.host if request.client else "unknown"
            user = await self._door.enter(name, form.get("password", ""), address)
        except TooManyGuesses:
            wait = "Too many attempts. Please wait five minutes and try again."
            return self.sign_in_page(request, problem=wait, name=name, status=429)
        if user is None:
            logger.warning("a sign-in to the dashboard failed")
            wrong = "Name or password is not right. Please try again."
            return self.sign_in_page(request, problem=wrong, name=name, status=401)
        logger.info("user %d signed in to the dashboard", user.id)
        response = RedirectResponse(PATH, 303, headers=PRIVATE)
        self._sessions.begin(response, user)
        return response

    async def sign_out(self, request: Request) -> Response:
        await self._form(request)
        response = RedirectResponse(SIGN_IN, 303, headers=PRIVATE)
        self._sessions.end(response)
        return response

    async def _visitor(self, request: Request) -> Visitor:
        """Whoever is signed in. Raises NotSignedIn."""
        session = self._sessions.read(request)
        user = await self._door.recognise(session)
        if user is None or session is None:
            raise NotSignedIn
        return Visitor(user, self._sessions.token(session))

    async def _form(self, request: Request) -> Form:
        """The fields of a form of ours. Raises ForgedForm or BodyTooLarge."""
        body = await read_body(request, FORM_LIMIT)
        try:
            form = dict(parse_qsl(body.decode(), keep_blank_values=True, max_num_fields=20))
        except ValueError:  # not UTF-8, or too many fields: no browser sends that from our page
            raise ForgedForm from None
        self._sessions.verify(request, self._sessions.read(request), form.get("token", ""))
        return form

    def _refused(self, status: int, title: str, text: str) -> Response:
        return self._render("refused.html", status, title=title, text=text, user=None)

    async def guarded(self, work: Awaitable[Response]) -> Response:
        """The response, or the page that says kindly why there is none."""
        try:
            return await work
        except NotSignedIn:
            return RedirectResponse(SIGN_IN, 303, headers=PRIVATE)
        except ForgedForm:
            text = "This page was open for a long time, or you have signed in elsewhere. Please go back and reload it."
            return self._refused(403, "This form has expired", text)
        except BodyTooLarge:
            return self._refused(413, "That is too much text", "Please go back and shorten it.")

    # ---- the log -------------------------------------------------------------------------------------------------

    async def listing(self, request: Request) -> Response:
        """One page of the log. One row more than shown is read, to know whether there is a next page."""
        visitor = await self._visitor(request)
        listing = views.Listing.of(request.query_params)
        answers = await self._store.answers(
            review=listing.review, route=listing.route or None, limit=views.PAGE_SIZE + 1, offset=listing.offset
        )
        return self._render(
            "answers.html",
            user=visitor.user,
            token=visitor.token,
            listing=listing,
            answers=answers[: views.PAGE_SIZE],
            more=len(answers) > views.PAGE_SIZE,
            tiles=views.tiles(await self._store.counts()),
        )

    async def answer(self, request: Request, answer_id: str) -> Response:
        visitor = await self._visitor(request)
        answer = await self._store.answer(answer_id)
        if answer is None:
            return self._refused(404, "No such answer", "It may have been deleted at a family's request.")
        done = {"approved": "Approved.", "corrected": "Your correction is saved."}
        return await self._answer_page(visitor, answer, done=done.get(request.query_params.get("done", ""), ""))

    async def _answer_page(
        self, visitor: Visitor, answer: StoredAnswer, *, done: str = "", problem: str = "", draft: str | None = None
    ) -> Response:
        """One answer with everything known about it. `draft` is a correction that could not be saved."""
        waiting = await self._store.answers(review=None, limit=2)
        return self._render(
            "answer.html",
            422 if problem else 200,
            user=visitor.user,
            token=visitor.token,
            answer=answer,
            correction=draft if draft is not None else answer.correction or answer.text,
            problem=problem,
            done=done,
            following=next((other.id for other in waiting if other.id != answer.id), None),
        )

    async def approve(self, request: Request, answer_id: str) -> Response:
        visitor = await self._visitor(request)
        await self._form(request)
        return await self._reviewed(answer_id, visitor.user, "approved", None)

    async def correct(self, request: Request, answer_id: str) -> Response:
        visitor = await self._visitor(request)
        form = await self._form(request)
        text = form.get("correction", "").replace("\r\n", "\n").strip()
        answer = await self._store.answer(answer_id)
        if answer is not None and (problem := _problem(text, answer.text)):
            return await self._answer_page(visitor, answer, problem=problem, draft=text)
        return await self._reviewed(answer_id, visitor.user, "corrected", text)

    async def _reviewed(self, answer_id: str, user: User, done: str, correction: str | None) -> Response:
        if await self._store.review(answer_id, by=user.name, correction=correction):
            logger.info("answer %s %s by user %d", answer_id, done, user.id)
        return RedirectResponse(f"{PATH}/answers/{answer_id}?done={done}", 303, headers=PRIVATE)


def _problem(correction: str, answer: str) -> str:
    if not correction:
        return "Write what the answer should have said, or approve it as it is."
    if len(correction) > LONGEST_CORRECTION:
        return f"The correction has {len(correction)} characters; {LONGEST_CORRECTION} is the most. Please shorten it."
    if correction == answer.strip():
        return "This is what the answer already says. Approve it, or change the text first."
    return ""
