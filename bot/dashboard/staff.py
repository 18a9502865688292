"""The pages behind the dashboard's routes: signing in, the log, and one answer to approve or correct."""

from __future__ import annotations

import logging

from fastapi import Request, Response

from bot.dashboard import views
from bot.dashboard.auth import PATH, TooManyGuesses
from bot.dashboard.visits import SIGN_IN, Visitor, Visits, see
from bot.store import Store
from bot.tables import StoredAnswer, User

logger = logging.getLogger(__name__)

LONGEST_CORRECTION = 4000  # characters
DONE = {
    "approved": "Approved.",
    "corrected": "Your correction is saved.",
    "rejected": "Noted: it is not given again.",
    "retracted": "The verdict is taken back.",
    "rightly-refused": "Noted: rightly refused.",
    "wrongly-refused": "Noted: it should have been answered.",
}


class StaffPages:
    """The pages, over the store. Every method returns a finished response."""

    def __init__(self, store: Store, visits: Visits) -> None:
        self._store = store
        self._visits = visits

    # ---- signing in and out --------------------------------------------------------------------------------------

    def sign_in_page(self, request: Request, *, problem: str = "", name: str = "", status: int = 200) -> Response:
        """The sign-in form, with a session of its own so that its token is bound to this browser."""
        sessions = self._visits.sessions
        session = sessions.read(request)
        issued = Response()
        if session is None:
            session = sessions.begin(issued)
        page = self._visits.render(
            "sign_in.html", status, token=sessions.token(session), problem=problem, name=name, user=None
        )
        page.raw_headers.extend(header for header in issued.raw_headers if header[0] == b"set-cookie")
        return page

    async def sign_in(self, request: Request) -> Response:
        form = await self._visits.form(request)
        name = form.get("name", "").strip()
        try:
            address = request.client.host if request.client else "unknown"
            user = await self._visits.door.enter(name, form.get("password", ""), address)
        except TooManyGuesses:
            wait = "Too many attempts. Please wait five minutes and try again."
            return self.sign_in_page(request, problem=wait, name=name, status=429)
        if user is None:
            logger.warning("a sign-in to the dashboard failed")
            wrong = "Name or password is not right. Please try again."
            return self.sign_in_page(request, problem=wrong, name=name, status=401)
        logger.info("user %d signed in to the dashboard", user.id)
        response = see(PATH)
        self._visits.sessions.begin(response, user)
        return response

    async def sign_out(self, request: Request) -> Response:
        await self._visits.form(request)
        response = see(SIGN_IN)
        self._visits.sessions.end(response)
        return response

    # ---- the log -------------------------------------------------------------------------------------------------

    async def listing(self, request: Request) -> Response:
        """One page of the log. One row more than shown is read, to know whether there is a next page."""
        visitor = await self._visits.visitor(request)
        listing = views.Listing.of(request.query_params)
        answers = await self._store.answers(
            review=listing.review, route=listing.route or None, limit=views.PAGE_SIZE + 1, offset=listing.offset
        )
        return self._visits.render(
            "answers.html",
            user=visitor.user,
            token=visitor.token,
            listing=listing,
            answers=answers[: views.PAGE_SIZE],
            more=len(answers) > views.PAGE_SIZE,
            tiles=views.tiles(await self._store.counts() | await self._store.given_up_counts()),
        )

    async def answer(self, request: Request, answer_id: str) -> Response:
        visitor = await self._visits.visitor(request)
        answer = await self._store.answer(answer_id)
        if answer is None:
            return self._visits.refused(404, "No such answer", "It may have been deleted at a family's request.")
        return await self._answer_page(visitor, answer, done=DONE.get(request.query_params.get("done", ""), ""))

    async def _answer_page(
        self, visitor: Visitor, answer: StoredAnswer, *, done: str = "", problem: str = "", draft: str | None = None
    ) -> Response:
        """One answer with everything known about it. `draft` is a correction that could not be saved."""
        reviewable = views.reviewable(answer)
        waiting = await self._store.answers(review=None, limit=2)
        return self._visits.render(
            "answer.html",
            422 if problem else 200,
            user=visitor.user,
            token=visitor.token,
            answer=answer,
            reviewable=reviewable,
            alarm=await self._store.alarm_of(answer.message_id) if reviewable == "incident" else None,
            correction=draft if draft is not None else answer.correction or answer.text,
            longest=LONGEST_CORRECTION,
            problem=problem,
            done=done,
            following=next((other.id for other in waiting if other.id != answer.id), None),
        )

    async def approve(self, request: Request, answer_id: str) -> Response:
        visitor = await self._visits.visitor(request)
        await self._visits.form(request)
        kept = await self._store.review(answer_id, by=visitor.user.name)
        return self._reviewed(answer_id, visitor.user, "approved", kept=kept)

    async def correct(self, request: Request, answer_id: str) -> Response:
        visitor = await self._visits.visitor(request)
        form = await self._visits.form(request)
        text = form.get("correction", "").replace("\r\n", "\n").strip()
        answer = await self._store.answer(answer_id)
        if answer is not None and (problem := _problem(text, answer.text)):
            return await self._answer_page(visitor, answer, problem=problem, draft=text)
        kept = await self._store.review(answer_id, by=visitor.user.name, correction=text)
        return self._reviewed(answer_id, visitor.user, "corrected", kept=kept)

    async def reject(self, request: Request, answer_id: str) -> Response:
        """Say that it is wrong, where there is no better answer at hand."""
        visitor = await self._visits.visitor(request)
        await self._visits.form(request)
        kept = await self._store.reject(answer_id, by=visitor.user.name)
        return self._reviewed(answer_id, visitor.user, "rejected", kept=kept)

    async def retract(self, request: Request, answer_id: str) -> Response:
        """Take a verdict back, as if nobody had looked."""
        visitor = await self._visits.visitor(request)
        await self._visits.form(request)
        kept = await self._store.retract_review(answer_id)
        return self._reviewed(answer_id, visitor.user, "retracted", kept=kept)

    async def judge_refusal(self, request: Request, answer_id: str, *, right: bool) -> Response:
        """Say whether the safety filter was right not to let this be answered."""
        visitor = await self._visits.visitor(request)
        await self._visits.form(request)
        kept = await self._store.review_refusal(answer_id, by=visitor.user.name, right=right)
        return self._reviewed(answer_id, visitor.user, "rightly-refused" if right else "wrongly-refused", kept=kept)

    def _reviewed(self, answer_id: str, user: User, done: str, *, kept: bool) -> Response:
        if not kept:
            text = "It may have been deleted at a family's request, or cannot be judged in this way."
            return self._visits.refused(404, "No such answer to review", text)
        logger.info("answer %s %s by user %d", answer_id, done, user.id)
        return see(f"{PATH}/answers/{answer_id}?done={done}")


def _problem(correction: str, answer: str) -> str:
    if not correction:
        return "Write what the answer should have said, or approve it as it is."
    if len(correction) > LONGEST_CORRECTION:
        return f"The correction has {len(correction)} characters; {LONGEST_CORRECTION} is the most. Please shorten it."
    if correction == answer.strip():
        return "This is what the answer already says. Approve it, or change the text first."
    return ""
