"""Twilio's REST API as far as messages and the account go, and the students who write to its number."""

from __future__ import annotations

import base64
import hmac

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute, Route

from bot.simulator.config import Json, Provider
from bot.simulator.rules import Broken, check, found
from bot.simulator.said import Said, Spoken
from bot.simulator.twilio import account, rules
from bot.simulator.twilio.messages import API_VERSION, Messages
from bot.simulator.twilio.outbox import Outbox
from bot.simulator.twilio.rules import Refusal
from bot.simulator.twilio.students import Students
from bot.simulator.world import Answer, World, answered

ACCOUNT = f"/{API_VERSION}/Accounts/{{account}}"


class TwilioLine:
    """Twilio as the service and the students meet it."""

    provider = Provider.TWILIO
    refusal_codes = frozenset(map(str, (rules.UNSUBSCRIBED.code, *rules.FAILURES)))

    def __init__(self, world: World) -> None:
        self._world = world
        self._config = world.config
        self._messages = Messages()
        self._outbox = Outbox(world, self._messages)
        self._students = Students(world, self._messages)

    # ---- see said.Line and world.Dialect -------------------------------------------------------------------------

    def routes(self) -> list[BaseRoute]:
        return [
            Route(f"{ACCOUNT}.json", self._account, methods=["GET"]),
            Route(f"{ACCOUNT}/Messages.json", self._create, methods=["POST"]),
            Route(f"{ACCOUNT}/Messages.json", self._list, methods=["GET"]),
            Route(f"{ACCOUNT}/Messages/{{sid}}.json", self._fetch, methods=["GET"]),
            Route(f"{ACCOUNT}/Messages/{{sid}}/Media/{{media}}", self._media, methods=["GET"]),
            Route("/cdn/{media}", self._cdn, methods=["GET"]),
        ]

    def say(self, said: Said) -> Spoken:
        return self._students.say(said)

    def reset(self, *, registered: bool) -> None:
        self._messages.clear()

    def refuse(self, refusal: Refusal | None) -> Answer:
        assert refusal is not None  # noqa: S101  only rules with one are raised
        more = f"https://www.twilio.com/docs/errors/{refusal.code}"
        body = {"code": refusal.code, "message": refusal.message, "more_info": more, "status": refusal.status}
        return Answer(refusal.status, body)

    def rate_limited(self, seconds: float) -> Answer:
        return self.refuse(rules.BUSY)

    def ill(self) -> Answer:
        return self.refuse(rules.ILL)

    # ---- the server ------------------------------------------------------------------------------------------------

    async def _create(self, request: Request) -> Response:
        async with request.form() as form:
            given: Json = {name: str(value) for name, value in form.items()}
            if "MediaUrl" in form:
                given["MediaUrl"] = [str(value) for value in form.getlist("MediaUrl")]
        call = self._world.record.call(Provider.TWILIO, "create", given, request)
        call.student = str(given.get("To", "")).removeprefix("whatsapp:")

        async def work() -> Answer:
            self._authenticate(request)
            self._strangers("create", given, rules.CREATE)
            self._world.overlooked(Provider.TWILIO, "create", check(rules.CREATE_RULES, given))
            return self._outbox.send(call, given)

        return await answered(self._world, self, call, work)

    async def _account(self, request: Request) -> Response:
        call = self._world.record.call(Provider.TWILIO, "account", {"Sid": request.path_params["account"]}, request)

        async def work() -> Answer:
            self._authenticate(request)
            return Answer(200, account.resource(self._config.twilio))

        return await answered(self._world, self, call, work)

    async def _list(self, request: Request) -> Response:
        given: Json = dict(request.query_params)
        call = self._world.record.call(Provider.TWILIO, "list", given, request)

        async def work() -> Answer:
            self._authenticate(request)
            self._strangers("list", given, rules.LIST)
            self._world.overlooked(Provider.TWILIO, "list", check(rules.LIST_RULES, given))
            return Answer(200, self._messages.page(self._config.twilio.sid, given))

        return await answered(self._world, self, call, work)

    async def _fetch(self, request: Request) -> Response:
        sid = request.path_params["sid"]
        call = self._world.record.call(Provider.TWILIO, "fetch", {"Sid": sid}, request)

        async def work() -> Answer:
            self._authenticate(request)
            message = self._messages.find(sid)
            if message is None:
                raise Broken(rules.FOUND, found(sid))
            return Answer(200, message.resource())

        return await answered(self._world, self, call, work)

    async def _media(self, request: Request) -> Response:
        """A redirect to where the file lies, as Twilio does; on another host, so that no honest client takes the
        credentials along."""
        media = request.path_params["media"]
        call = self._world.record.call(Provider.TWILIO, "media", {"Sid": media}, request)

        async def work() -> Answer:
            self._authenticate(request)
            if self._world.files.find(media.removeprefix("ME")) is None:
                raise Broken(rules.FOUND, found(media))
            return Answer(307, {})

        response = await answered(self._world, self, call, work)
        return response if response.status_code != 307 else RedirectResponse(f"{self._config.cdn}/cdn/{media}", 307)

    async def _cdn(self, request: Request) -> Response:
        file = self._world.files.find(request.path_params["media"].removeprefix("ME"))
        if "authorization" in request.headers:
            rule = rules.CDN_CREDENTIALS
            answer = "400 Only one auth mechanism allowed"
            self._world.record.violation(
                Provider.TWILIO, "cdn", rule.name, rule.words, found="an Authorization header", answer=answer
            )
            return Response("<Error><Code>InvalidArgument</Code></Error>", 400, media_type="application/xml")
        if file is None:
            return Response("<Error><Code>NoSuchKey</Code></Error>", 404, media_type="application/xml")
        return Response(file.content, media_type=file.content_type)

    def _authenticate(self, request: Request) -> None:
        """Raises Broken."""
        ours = self._config.twilio
        expected = "Basic " + base64.b64encode(f"{ours.sid}:{ours.auth_token}".encode()).decode("ascii")
        shown = request.headers.get("authorization", "")
        if request.path_params["account"] != ours.sid or not hmac.compare_digest(shown.encode(), expected.encode()):
            raise Broken(rules.AUTHENTICATED)

    def _strangers(self, method: str, given: Json, known: frozenset[str]) -> None:
        for stranger in given.keys() - known:
            self._world.overlooked(Provider.TWILIO, method, [rules.UNKNOWN_PARAMETER], found(stranger))
