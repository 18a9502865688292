"""The Cloud API's server: /<version>/<phone number id>/messages, and the files that students send."""

from __future__ import annotations

import hmac
import json
import secrets

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from bot.simulator.cloud import errors, rules
from bot.simulator.cloud.errors import Refusal
from bot.simulator.cloud.objects import is_mark, strangers
from bot.simulator.cloud.outbox import Outbox
from bot.simulator.cloud.students import Students
from bot.simulator.config import Json, Provider
from bot.simulator.rules import Broken, check, found
from bot.simulator.said import Said, Spoken
from bot.simulator.world import Answer, World, answered


class CloudLine:
    """Meta's Cloud API as the service and the students meet it."""

    provider = Provider.CLOUD
    refusal_codes = frozenset(map(str, (*errors.AT_ONCE, *errors.LATER)))

    def __init__(self, world: World) -> None:
        self._world = world
        self._config = world.config
        self._outbox = Outbox(world)
        self._students = Students(world)

    # ---- see said.Line and world.Dialect -------------------------------------------------------------------------

    def routes(self) -> list[BaseRoute]:
        return [
            Route("/v{version:float}/{number}/messages", self._messages, methods=["POST"]),
            Route("/v{version:float}/{media}", self._media, methods=["GET"]),
            Route("/lookaside/{media}", self._file, methods=["GET"]),
        ]

    def say(self, said: Said) -> Spoken:
        return self._students.say(said)

    def reset(self, *, registered: bool) -> None:
        self._students.reset()

    def refuse(self, refusal: Refusal | None) -> Answer:
        assert refusal is not None  # noqa: S101  every rule here has one
        return Answer(refusal.status, refusal.body("A" + secrets.token_urlsafe(16)))

    def rate_limited(self, seconds: float) -> Answer:
        return self.refuse(errors.BUSY)

    def ill(self) -> Answer:
        return self.refuse(errors.ILL)

    # ---- the server ------------------------------------------------------------------------------------------------

    async def _messages(self, request: Request) -> Response:
        try:
            given = json.loads(await request.body())
        except ValueError:
            given = None
        params: Json = given if isinstance(given, dict) else {}
        call = self._world.record.call(Provider.CLOUD, "read" if is_mark(params) else "messages", params, request)
        call.student = str(params.get("to", ""))

        async def work() -> Answer:
            self._authorize(request)
            if request.path_params["number"] != self._config.cloud.phone_number_id:
                raise Broken(rules.NUMBER_OURS, found(request.path_params["number"]))
            if not isinstance(given, dict):
                raise Broken(rules.READABLE)
            self._check(call.method, params)
            if is_mark(params):
                return self._outbox.mark(call, params, self._students.of(str(params["message_id"])))
            return self._outbox.send(call, params)

        return await answered(self._world, self, call, work)

    def _check(self, method: str, params: Json) -> None:
        """Raises Broken."""
        for place, field in strangers(params):
            raise Broken(rules.stranger(place, field), found(field))
        known = (*rules.EVERY_CALL, *(rules.MARK if is_mark(params) else rules.MESSAGE))
        self._world.overlooked(Provider.CLOUD, method, check(known, params))

    def _authorize(self, request: Request) -> None:
        """Raises Broken."""
        shown = request.headers.get("authorization", "")
        expected = f"Bearer {self._config.cloud.access_token}"
        if not hmac.compare_digest(shown.encode(), expected.encode()):
            raise Broken(rules.AUTHORIZED)

    async def _media(self, request: Request) -> Response:
        """Where a file lies, and what it is."""
        media = request.path_params["media"]
        call = self._world.record.call(Provider.CLOUD, "media", {"id": media}, request)

        async def work() -> Answer:
            self._authorize(request)
            file = self._world.files.find(media)
            if file is None:
                raise Broken(rules.NUMBER_OURS, found(media))
            described = {"id": file.id, "mime_type": file.content_type, "sha256": file.sha256}
            place = {"url": f"{self._config.base_url}/lookaside/{file.id}", "file_size": len(file.content)}
            return Answer(200, {"messaging_product": "whatsapp"} | described | place)

        return await answered(self._world, self, call, work)

    async def _file(self, request: Request) -> Response:
        """The file itself. Unlike Twilio, Meta wants to see the token here too."""
        try:
            self._authorize(request)
        except Broken as broken:
            rule = broken.rule
            self._world.record.violation(
                Provider.CLOUD, "file", rule.name, rule.words, found="no access token", answer="401"
            )
            return JSONResponse(self.refuse(rule.refusal).body, 401)
        file = self._world.files.find(request.path_params["media"])
        return Response(file.content, media_type=file.content_type) if file else Response(status_code=404)
