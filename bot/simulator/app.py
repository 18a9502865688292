"""The simulator as one application: three providers, the control API, and the page that shows the phones."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from fastapi import FastAPI, Request, Response
from starlette.requests import ClientDisconnect
from starlette.types import Receive, Scope, Send

from bot.pages import Assets
from bot.simulator import control
from bot.simulator.cloud.line import CloudLine
from bot.simulator.config import Config, Provider
from bot.simulator.hanging import HangUps
from bot.simulator.said import Line
from bot.simulator.telegram.line import TelegramLine
from bot.simulator.twilio.line import TwilioLine
from bot.simulator.world import World

STATIC = Path(__file__).parent / "static"


class Simulator:
    """The ASGI application. `world` holds all that happened; `close` ends what is still waiting."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self.world = World(config)
        self.lines: Mapping[Provider, Line] = {
            line.provider: line for line in (TelegramLine(self.world), TwilioLine(self.world), CloudLine(self.world))
        }
        self._app = HangUps(_application(self.world, self.lines))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._app(scope, receive, send)

    async def close(self) -> None:
        await self.world.close()


def _application(world: World, lines: Mapping[Provider, Line]) -> FastAPI:
    app = FastAPI(title="Sahpathi's simulator", docs_url=None, redoc_url=None, openapi_url=None)
    app.add_exception_handler(ClientDisconnect, _gone)
    app.include_router(control.routes(world, lines))
    _page(app)
    for line in lines.values():
        app.router.routes.extend(line.routes())
    return app


async def _gone(_request: Request, _error: Exception) -> Response:
    """The caller ended in mid-request, as a service that is killed does: nothing was asked, and nobody is told."""
    return Response(status_code=400)


def _page(app: FastAPI) -> None:
    assets = Assets(STATIC, "/static")

    @app.get("/")
    async def page(request: Request) -> Response:
        return assets.respond(request, "simulator.html")

    @app.get("/static/{name}")
    async def static(request: Request, name: str) -> Response:
        return assets.respond(request, name)
