"""Where teachers review the logged answers and look after incidents, and operators train from them: /dashboard."""

from __future__ import annotations

from pathlib import Path

from fastapi import APIRouter, Request, Response

from bot.dashboard.auth import PATH, Sessions
from bot.dashboard.incidents import IncidentPages
from bot.dashboard.staff import StaffPages
from bot.dashboard.training import TrainingPages
from bot.dashboard.undelivered import UndeliveredPages
from bot.dashboard.visits import Visits
from bot.pages import Assets
from bot.store import Store
from bot.training_jobs import Training


def routes(*, store: Store, secret: str, public_https: bool, training: Training) -> APIRouter:
    """Routes under /dashboard. `secret` signs cookies and forms; `public_https` keeps the cookie to https."""
    router = APIRouter(prefix=PATH)
    assets = Assets(Path(__file__).parent / "static", f"{PATH}/static")
    visits = Visits(store, Sessions(secret, secure=public_https), assets)
    pages = StaffPages(store, visits)
    _add_answers(router, pages, visits)
    _add_undelivered(router, UndeliveredPages(store, visits), visits)
    _add_incidents(router, IncidentPages(store, visits), visits)
    _add_training(router, TrainingPages(training, visits), visits)

    @router.get("/static/{name}")
    async def static(request: Request, name: str) -> Response:
        return assets.respond(request, name)

    @router.get("/sign-in")
    async def sign_in_page(request: Request) -> Response:
        return pages.sign_in_page(request)

    @router.post("/sign-in")
    async def sign_in(request: Request) -> Response:
        return await visits.guarded(pages.sign_in(request))

    @router.post("/sign-out")
    async def sign_out(request: Request) -> Response:
        return await visits.guarded(pages.sign_out(request))

    return router


def _add_answers(router: APIRouter, pages: StaffPages, visits: Visits) -> None:
    @router.get("")
    async def listing(request: Request) -> Response:
        return await visits.guarded(pages.listing(request))

    @router.get("/answers/{answer_id}")
    async def answer(request: Request, answer_id: str) -> Response:
        return await visits.guarded(pages.answer(request, answer_id))

    @router.post("/answers/{answer_id}/approve")
    async def approve(request: Request, answer_id: str) -> Response:
        return await visits.guarded(pages.approve(request, answer_id))

    @router.post("/answers/{answer_id}/correct")
    async def correct(request: Request, answer_id: str) -> Response:
        return await visits.guarded(pages.correct(request, answer_id))

    @router.post("/answers/{answer_id}/reject")
    async def reject(request: Request, answer_id: str) -> Response:
        return await visits.guarded(pages.reject(request, answer_id))

    @router.post("/answers/{answer_id}/retract")
    async def retract(request: Request, answer_id: str) -> Response:
        return await visits.guarded(pages.retract(request, answer_id))

    @router.post("/answers/{answer_id}/rightly-refused")
    async def rightly_refused(request: Request, answer_id: str) -> Response:
        return await visits.guarded(pages.judge_refusal(request, answer_id, right=True))

    @router.post("/answers/{answer_id}/wrongly-refused")
    async def wrongly_refused(request: Request, answer_id: str) -> Response:
        return await visits.guarded(pages.judge_refusal(request, answer_id, right=False))


def _add_undelivered(router: APIRouter, pages: UndeliveredPages, visits: Visits) -> None:
    @router.get("/undelivered")
    async def undelivered(request: Request) -> Response:
        return await visits.guarded(pages.listing(request))

    @router.post("/undelivered")
    async def try_again(request: Request) -> Response:
        return await visits.guarded(pages.try_again(request))


def _add_incidents(router: APIRouter, pages: IncidentPages, visits: Visits) -> None:
    @router.get("/incidents")
    async def incidents(request: Request) -> Response:
        return await visits.guarded(pages.listing(request))

    @router.get("/incidents/{number}")
    async def incident(request: Request, number: str) -> Response:
        return await visits.guarded(pages.incident(request, number))

    @router.post("/incidents/{number}/seen")
    async def seen(request: Request, number: str) -> Response:
        return await visits.guarded(pages.look_after(request, number))

    @router.post("/incidents/{number}/close")
    async def close(request: Request, number: str) -> Response:
        return await visits.guarded(pages.close(request, number))


def _add_training(router: APIRouter, pages: TrainingPages, visits: Visits) -> None:
    @router.get("/training")
    async def training(request: Request) -> Response:
        return await visits.guarded(pages.overview(request))

    @router.post("/training/build")
    async def build(request: Request) -> Response:
        return await visits.guarded(pages.build(request))

    @router.post("/training/train")
    async def train(request: Request) -> Response:
        return await visits.guarded(pages.train(request))

    @router.post("/training/stop")
    async def stop(request: Request) -> Response:
        return await visits.guarded(pages.stop(request))

    @router.get("/training/runs/{name}/report")
    async def report(request: Request, name: str) -> Response:
        return await visits.guarded(pages.report(request, name))
