"""The providers as local HTTP servers, for tests that drive the real telegram and twilio clients.

Each runs on a free port of 127.0.0.1 in a thread of its own, keeps what it is sent, behaves as its provider documents
and fails on demand:

    with FakeTelegram() as telegram:
        channel = TelegramChannel(telegram.token, secret="s", api_base=telegram.url)
        telegram.fail("sendMessage", 429, retry_after=3)
"""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import Any

import httpx
from starlette.datastructures import FormData
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from twilio.request_validator import RequestValidator

from tests.local_server import TICK, Failure, Json, LocalServer

TOKEN = "123456:TEST-token_of_a_bot"
ACCOUNT_SID = "AC" + "0" * 32
AUTH_TOKEN = "test-auth-token"


class FakeTelegram(LocalServer):
    """The Bot API: getMe, setWebhook, deleteWebhook, getWebhookInfo, getUpdates with real offsets, sendMessage ..."""

    def __init__(self, token: str = TOKEN, username: str = "SahpathiTestBot") -> None:
        super().__init__()
        self.token = token
        self.me: Json = {
            "id": int(token.partition(":")[0]),
            "is_bot": True,
            "first_name": "Sahpathi",
            "username": username,
        }
        self.idle = threading.Event()  # set it to end the open long poll empty-handed
        self._poll = 0
        self.reset()

    def reset(self) -> None:
        super().reset()
        self.calls: list[tuple[str, Json]] = []
        self.webhook: Json = {"url": ""}
        self.updates: list[Json] = []  # not yet confirmed
        self._next_update = 1000
        self._next_message = 1
        self._poll += 1  # ends a poll that is still open

    # ---- what tests do -----------------------------------------------------------------------------------------

    @property
    def sent(self) -> list[Json]:
        """The parameters of every message accepted, in order."""
        return [params for method, params in self.calls if method == "sendMessage" and params.get("accepted")]

    def called(self, method: str) -> list[Json]:
        return [params for name, params in self.calls if name == method]

    def push(self, update: Mapping[str, Any]) -> int:
        """Hold an update for getUpdates, numbered if it is not. Returns its number."""
        self._next_update += 1
        numbered = {"update_id": self._next_update, **update}
        self.updates.append(numbered)
        return int(numbered["update_id"])

    def deliver(self, update: Mapping[str, Any], *, url: str | None = None) -> httpx.Response:
        """Post an update to the registered webhook, or to `url`, as Telegram does."""
        headers = {"X-Telegram-Bot-Api-Secret-Token": self.webhook.get("secret_token", "")}
        with httpx.Client(trust_env=False) as client:
            return client.post(url or self.webhook["url"], json=dict(update), headers=headers)

    def fail(
        self,
        method: str,
        status: int | None,
        *,
        description: str = "made to fail",
        retry_after: int | None = None,
        parameters: Json | None = None,
        times: int = 1,
        accepted: bool = False,
    ) -> None:
        """Fail the next calls of a method: an HTTP status, or None for no answer at all."""
        extra = parameters or ({"retry_after": retry_after} if retry_after is not None else None)
        body = {"ok": False, "error_code": status, "description": description}
        self.fail_next(method, Failure(status, body | ({"parameters": extra} if extra else {}), accepted), times)

    # ---- the server --------------------------------------------------------------------------------------------

    def routes(self) -> Iterable[Route]:
        yield Route("/bot{token}/{method}", self._call, methods=["GET", "POST"])

    async def _call(self, request: Request) -> Response:
        if request.path_params["token"] != self.token:
            return _refuse(401, "Unauthorized")
        method = request.path_params["method"]
        params: Json = {**request.query_params, **{key: str(value) for key, value in (await request.form()).items()}}
        self.calls.append((method, params))
        failure = self.failure(method)
        if failure is None:
            return await self._answer(method, params)
        if failure.accepted:
            await self._answer(method, params)
        return await self.fallen(failure)

    async def _answer(self, method: str, params: Json) -> Response:
        match method:
            case "getMe":
                return _ok(self.me)
            case "setWebhook":
                self.webhook = params
                return _ok(True)
            case "deleteWebhook":
                self.webhook = {"url": ""}
                return _ok(True)
            case "getWebhookInfo":
                return _ok({"has_custom_certificate": False, "pending_update_count": len(self.updates)} | self.webhook)
            case "getUpdates":
                return await self._get_updates(params)
            case "sendMessage":
                return self._send_message(params)
            case "sendChatAction" | "answerCallbackQuery":
                return _ok(True)
            case _:
                return _refuse(404, "Not Found")

    async def _get_updates(self, params: Json) -> Response:
        if self.webhook["url"]:
            return _refuse(409, "Conflict: can't use getUpdates method while webhook is active")
        self._poll += 1
        mine, until = self._poll, time.monotonic() + float(params.get("timeout", 0))
        offset = int(params.get("offset", 0))
        self.updates = [update for update in self.updates if update["update_id"] >= offset]  # confirmed ones are gone
        while not (self.updates or self.idle.is_set() or self.closing.is_set() or time.monotonic() > until):
            if self._poll != mine:
                return _refuse(409, "Conflict: terminated by other getUpdates request")
            await asyncio.sleep(TICK)
        self.idle.clear()
        return _ok(self.updates[:100])

    def _send_message(self, params: Json) -> Response:
        text = params.get("text", "")
        if not text.strip():
            return _refuse(400, "Bad Request: message text is empty")
        if len(text.encode("utf-16-le")) // 2 > 4096:
            return _refuse(400, "Bad Request: message is too long")
        buttons = [button for row in _keyboard(params) for button in row]
        if any(len(button["callback_data"].encode()) > 64 for button in buttons):
            return _refuse(400, "Bad Request: BUTTON_DATA_INVALID")
        params["accepted"] = True
        self._next_message += 1
        chat = {"id": int(params["chat_id"]), "type": "private", "first_name": "Asha"}
        moment = int(datetime.now(UTC).timestamp())
        return _ok({"message_id": self._next_message, "from": self.me, "chat": chat, "date": moment, "text": text})


def _keyboard(params: Json) -> list[list[Json]]:
    markup: Json = json.loads(params.get("reply_markup", "{}"))
    rows: list[list[Json]] = markup.get("inline_keyboard", [])
    return rows


def _ok(result: object) -> Response:
    return JSONResponse({"ok": True, "result": result})


def _refuse(status: int, description: str) -> Response:
    return JSONResponse({"ok": False, "error_code": status, "description": description}, status)


class FakeTwilio(LocalServer):
    """The Messages resource of the REST API, and the signing side of its webhooks."""

    def __init__(self, account_sid: str = ACCOUNT_SID, auth_token: str = AUTH_TOKEN) -> None:
        super().__init__()
        self.account_sid = account_sid
        self.auth_token = auth_token
        self.reset()

    def reset(self) -> None:
        super().reset()
        self.messages: list[Json] = []  # oldest first, as Message resources
        self.calls: list[tuple[str, Json]] = []

    # ---- what tests do -----------------------------------------------------------------------------------------

    @property
    def sent(self) -> list[Json]:
        """The parameters of every message accepted, in order."""
        return [params for method, params in self.calls if method == "create" and params.get("accepted")]

    def fail(
        self, method: str, status: int | None, code: int | None = None, *, times: int = 1, accepted: bool = False
    ) -> None:
        """Fail the next calls of "create" or "list": an HTTP status and Twilio's code, or None for no answer at all."""
        body = {"code": code, "message": "The 'To' number whatsapp:+919876543210 ...", "status": status}
        self.fail_next(method, Failure(status, body, accepted), times)

    def sign(self, url: str, form: Iterable[tuple[str, str]]) -> str:
        """The X-Twilio-Signature of a form posted to `url`, which is the address Twilio knows."""
        return str(RequestValidator(self.auth_token).compute_signature(url, FormData(list(form))))

    def deliver(self, form: Mapping[str, str], *, public_url: str, to: str | None = None) -> httpx.Response:
        """Post a webhook signed for `public_url` as Twilio does; to another address when a proxy stands between."""
        headers = {"X-Twilio-Signature": self.sign(public_url, form.items())}
        with httpx.Client(trust_env=False) as client:
            return client.post(to or public_url, data=dict(form), headers=headers)

    def report(self, sid: str, status: str, *, error_code: str = "", to: str | None = None) -> httpx.Response:
        """Call a sent message's status callback, at the same path of another host, `to`, when given."""
        known = next(message for message in self.messages if message["sid"] == sid)
        form = {
            "MessageSid": sid,
            "SmsSid": sid,
            "MessageStatus": status,
            "SmsStatus": status,
            "AccountSid": self.account_sid,
            "From": known["from"],
            "To": known["to"],
            "ApiVersion": "2010-04-01",
        } | ({"ErrorCode": error_code} if error_code else {})
        public = httpx.URL(known["status_callback"])
        local = to.rstrip("/") + public.raw_path.decode() if to else None
        return self.deliver(form, public_url=str(public), to=local)

    # ---- the server --------------------------------------------------------------------------------------------

    def routes(self) -> Iterable[Route]:
        path = "/2010-04-01/Accounts/{account}/Messages.json"
        yield Route(path, self._create, methods=["POST"])
        yield Route(path, self._list, methods=["GET"])

    async def _create(self, request: Request) -> Response:
        params: Json = {key: str(value) for key, value in (await request.form()).items()}
        self.calls.append(("create", params))
        if (refused := self._refused(request)) is not None:
            return refused
        failure = self.failure("create")
        if failure is not None and not failure.accepted:
            return await self.fallen(failure)
        if len(params.get("Body", "")) > 1600:
            return _twilio_error(400, 21617, "The concatenated message body exceeds the 1600 character limit.")
        message = self._store(params)
        return await self.fallen(failure) if failure is not None else JSONResponse(_public(message), 201)

    async def _list(self, request: Request) -> Response:
        params = dict(request.query_params)
        self.calls.append(("list", params))
        if (refused := self._refused(request)) is not None:
            return refused
        if (failure := self.failure("list")) is not None:
            return await self.fallen(failure)
        wanted = [
            _public(message)
            for message in reversed(self.messages)
            if message["to"] == params.get("To", message["to"])
            and message["from"] == params.get("From", message["from"])
        ]
        size = int(params.get("PageSize", 50))
        return JSONResponse({"messages": wanted[:size], "page": 0, "page_size": size, "next_page_uri": None})

    def _refused(self, request: Request) -> Response | None:
        expected = httpx.BasicAuth(self.account_sid, self.auth_token)
        probe = next(expected.auth_flow(httpx.Request("GET", "http://localhost")))
        if request.headers.get("authorization") == probe.headers["authorization"]:
            return None
        return _twilio_error(401, 20003, "Authenticate")

    def _store(self, params: Json) -> Json:
        params["accepted"] = True
        moment = format_datetime(datetime.now(UTC))
        message = {
            "sid": f"SM{len(self.messages):032x}",
            "account_sid": self.account_sid,
            "body": params.get("Body"),
            "from": params.get("From"),
            "to": params.get("To"),
            "status": "queued",
            "direction": "outbound-api",
            "num_segments": "1",
            "num_media": "0",
            "date_created": moment,
            "date_updated": moment,
            "date_sent": None,
            "error_code": None,
            "error_message": None,
            "api_version": "2010-04-01",
            "uri": "",
            "status_callback": params.get("StatusCallback"),
        }
        self.messages.append(message)
        return message


def _public(message: Json) -> Json:
    """A Message resource does not tell its status callback."""
    return {key: value for key, value in message.items() if key != "status_callback"}


def _twilio_error(status: int, code: int, message: str) -> Response:
    return JSONResponse({"code": code, "message": message, "status": status}, status)
