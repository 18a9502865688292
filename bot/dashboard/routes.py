"""Where teachers read the logged answers, approve them or write what they should have said: /dashboard."""

from __future__ import annotations

from pathlib import Path

from fastapi import APIRouter, Request, Response

from bot.dashboard.auth import PATH, Sessions
from bot.dashboard.staff import StaffPages
from bot.pages import Assets
from bot.store import Store


def routes(*, store: Store, secret: str, public_https: bool) -> APIRouter:
    """Routes under /dashboard. `secret` signs cookies and forms; `public_https` keeps the cookie to https."""
    router = APIRouter(prefix=PATH)
    assets = Assets(Path(__file__).parent / "static", f"{PATH}/static")
    pages = StaffPages(store, Sessions(secret, secure=public_https), assets)

    @router.get("/static/{name}")
    async def static(request: Request, name: str) -> Response:
        return assets.respond(request, name)

    @router.get("/sign-in")
    async def sign_in_page(request: Request) -> Response:
        return pages.sign_in_page(request)

    @router.post("/sign-in")
    async def sign_in(request: Request) -> Response:
        return await pages.guarded(pages.sign_in(request))

    @router.post("/sign-out")
    async def sign_out(request: Request) -> Response:
        return await pages.guarded(pages.sign_out(request))

    @router.get("")
    async def listing(request: Request) -> Response:
        return await pages.guarded(pages.listing(request))

    @router.get("/answers/{answer_id}")
    async def answer(request: Request, answer_id: str) -> Response:
        return await pages.guarded(pages.answer(request, answer_id))

    @router.post("/answers/{answer_id}/approve")
    async def approve(request: Request, answer_id: str) -> Response:
        return await pages.guarded(pages.approve(request, answer_id))

    @router.post("/answers/{answer_id}/correct")
    async def correct(request: Request, answer_id: str) -> Response:
        return await pages.guarded(pages.correct(request, answer_id))

    return router
