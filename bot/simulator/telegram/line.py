"""The Bot API's server: /bot<token>/<method> and /file/bot<token>/<path>."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Mapping

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from bot.simulator.config import Json, Provider
from bot.simulator.phones import Bubble, Phone
from bot.simulator.record import Call
from bot.simulator.rules import Broken, Refused, check, found
from bot.simulator.said import Said, Spoken
from bot.simulator.telegram import keyboards, messages, reading, rules
from bot.simulator.telegram.formatting import trim
from bot.simulator.telegram.inbox import Inbox
from bot.simulator.telegram.methods import METHODS
from bot.simulator.telegram.rules import Refusal
from bot.simulator.telegram.student import Students
from bot.simulator.world import Answer, World, answered

TYPING_SECONDS = 5.0
DRAFT_SECONDS = 30.0

Method = Callable[[Call, Json], Awaitable[Answer]]


class TelegramLine:
    """Telegram as the service and the students meet it."""

    provider = Provider.TELEGRAM
    refusal_codes = frozenset({str(rules.BLOCKED.status)})

    def __init__(self, world: World) -> None:
        self._world = world
        self._inbox = Inbox(world)
        self._students = Students(world, self._inbox)
        self._methods: Mapping[str, Method] = {
            "getMe": self._get_me,
            "setWebhook": self._set_webhook,
            "deleteWebhook": self._delete_webhook,
            "getWebhookInfo": self._webhook_info,
            "getUpdates": self._get_updates,
            "sendMessage": self._send_message,
            "sendMessageDraft": self._send_draft,
            "editMessageText": self._edit_text,
            "editMessageReplyMarkup": self._edit_markup,
            "sendChatAction": self._chat_action,
            "answerCallbackQuery": self._answer_query,
            "setMyCommands": self._set_commands,
            "getFile": self._get_file,
        }

    # ---- see said.Line and world.Dialect -------------------------------------------------------------------------

    def routes(self) -> list[BaseRoute]:
        return [
            Route("/bot{token}/{method}", self._call, methods=["GET", "POST"]),
            Route("/file/bot{token}/{path:path}", self._file, methods=["GET"]),
        ]

    def say(self, said: Said) -> Spoken:
        return self._students.say(said)

    def reset(self, *, registered: bool) -> None:
        self._inbox.reset()
        if not registered:
            self._inbox.unregister()
        self._students.reset()

    def refuse(self, refusal: Refusal | None) -> Answer:
        assert refusal is not None  # noqa: S101  only rules with one are raised
        body: Json = {"ok": False, "error_code": refusal.status, "description": refusal.description}
        if refusal.retry_after is not None:
            body["parameters"] = {"retry_after": refusal.retry_after}
        return Answer(refusal.status, body)

    def rate_limited(self, seconds: float) -> Answer:
        wait = max(1, round(seconds))
        return self.refuse(Refusal(429, f"Too Many Requests: retry after {wait}", wait))

    def ill(self) -> Answer:
        return self.refuse(rules.ILL)

    # ---- the server ------------------------------------------------------------------------------------------------

    async def _call(self, request: Request) -> Response:
        name = next((name for name in METHODS if name.lower() == request.path_params["method"].lower()), "")
        given = await reading.given(request)
        call = self._world.record.call(Provider.TELEGRAM, name or request.path_params["method"], given, request)
        call.student = str(given.get("chat_id", ""))

        async def work() -> Answer:
            if request.path_params["token"] != self._world.config.telegram.token:
                raise Broken(rules.UNAUTHORIZED)
            if not name:
                raise Broken(rules.UNKNOWN_METHOD, request.path_params["method"])
            return await self._methods[name](call, self._checked(name, given))

        return await answered(self._world, self, call, work)

    def _checked(self, name: str, given: Json) -> Json:
        """The parameters, read. Raises Broken."""
        for stranger in given.keys() - {field.name for field in METHODS[name]}:
            self._world.overlooked(Provider.TELEGRAM, name, [rules.UNKNOWN_PARAMETER], found(stranger))
        params = reading.read(name, given)
        self._world.overlooked(Provider.TELEGRAM, name, check(rules.RULES.get(name, ()), params))
        return params

    async def _file(self, request: Request) -> Response:
        file = self._world.files.find(request.path_params["path"].rpartition("/")[2].partition(".")[0])
        if request.path_params["token"] != self._world.config.telegram.token or file is None:
            return JSONResponse({"ok": False, "error_code": 404, "description": "Not Found"}, 404)
        return Response(file.content, media_type="application/octet-stream")

    # ---- methods ---------------------------------------------------------------------------------------------------

    async def _get_me(self, call: Call, params: Json) -> Answer:
        groups = {"can_join_groups": True, "can_read_all_group_messages": False, "supports_inline_queries": False}
        return _ok(messages.bot_user(self._world.config.telegram) | groups)

    async def _set_webhook(self, call: Call, params: Json) -> Answer:
        self._inbox.set_webhook(params)
        return _ok(True)

    async def _delete_webhook(self, call: Call, params: Json) -> Answer:
        self._inbox.set_webhook({"drop_pending_updates": params.get("drop_pending_updates", False)})
        return _ok(True)

    async def _webhook_info(self, call: Call, params: Json) -> Answer:
        return _ok(self._inbox.webhook_info())

    async def _get_updates(self, call: Call, params: Json) -> Answer:
        self._inbox.allow(params.get("allowed_updates"))
        return _ok(await self._inbox.get(params.get("offset", 0), params.get("limit", 100), params.get("timeout", 0)))

    async def _send_message(self, call: Call, params: Json) -> Answer:
        phone = self._chat(params)
        reply = params.get("reply_parameters", {})
        answers_nothing = "message_id" in reply and str(reply["message_id"]) not in phone.bubbles
        if answers_nothing and not reply.get("allow_sending_without_reply"):
            raise Broken(rules.REPLY_KNOWN, found(reply["message_id"]))
        text, entities = trim(params["text"], params.get("entities", ()))
        bubble = Bubble(str(self._students.next_message()), mine=False, kind="text", text=text, state="delivered")
        bubble.entities = entities
        self._put_markup(phone, bubble, keyboards.markup(params))
        self._world.accept(phone, bubble, call)
        return _ok(messages.of_bot(self._world.config.telegram, phone, bubble))

    async def _send_draft(self, call: Call, params: Json) -> Answer:
        phone = self._chat(params)
        phone.draft, _ = trim(params.get("text", ""), params.get("entities", ()))
        phone.draft_until = time.time() + DRAFT_SECONDS
        self._world.phones.touch(phone)
        return _ok(True)

    async def _edit_text(self, call: Call, params: Json) -> Answer:
        return self._edited(call, params, *trim(params["text"], params.get("entities", ())))

    async def _edit_markup(self, call: Call, params: Json) -> Answer:
        return self._edited(call, params, None, [])

    async def _chat_action(self, call: Call, params: Json) -> Answer:
        phone = self._chat(params)
        phone.typing_until = time.time() + TYPING_SECONDS
        self._world.phones.touch(phone)
        return _ok(True)

    async def _answer_query(self, call: Call, params: Json) -> Answer:
        asked = self._students.queries.get(params["callback_query_id"])
        if asked is None:
            raise Broken(rules.QUERY_KNOWN, found(params["callback_query_id"]))
        phone, pressed = asked
        call.student = phone.student
        if pressed is not None:
            pressed.waiting = False
        phone.notice = params.get("text", "")
        self._world.phones.touch(phone)
        return _ok(True)

    async def _set_commands(self, call: Call, params: Json) -> Answer:
        return _ok(True)  # no phone here has a menu to show them in

    async def _get_file(self, call: Call, params: Json) -> Answer:
        file = self._world.files.find(params["file_id"])
        if file is None:
            raise Broken(rules.FILE_KNOWN, found(params["file_id"]))
        described = {"file_id": file.id, "file_unique_id": file.id[:16], "file_size": len(file.content)}
        return _ok(described | {"file_path": f"files/{file.name}"})

    # ---- chats -----------------------------------------------------------------------------------------------------

    def _chat(self, params: Json) -> Phone:
        """The phone that a call is for. Raises Broken or Refused."""
        student = str(params["chat_id"])
        phone = self._world.phones.find(Provider.TELEGRAM, student)
        if phone is None:
            raise Broken(rules.CHAT_KNOWN, found(student))
        if (Provider.TELEGRAM, student) in self._world.faults.refusals:
            raise Refused(rules.BLOCKED)
        return phone

    def _edited(self, call: Call, params: Json, text: str | None, entities: list[Json]) -> Answer:
        if "inline_message_id" in params:
            raise Broken(rules.MESSAGE_KNOWN, found(params["inline_message_id"]))
        phone = self._chat(params)
        bubble = messages.shown_by(phone, str(params["message_id"]), mine=False)
        if bubble is None:
            raise Broken(rules.MESSAGE_KNOWN, found(params["message_id"]))
        markup = keyboards.markup(params)
        same = text is None or (text == bubble.text and entities == bubble.entities)
        if same and keyboards.rows(markup) == keyboards.rows(bubble.markup):
            raise Broken(rules.NOT_MODIFIED)
        if text is not None:
            bubble.entities = entities
            self._world.phones.edit(phone, bubble, text)
        self._put_markup(phone, bubble, markup)
        call.message_id = bubble.id
        self._world.phones.touch(phone)
        return _ok(messages.of_bot(self._world.config.telegram, phone, bubble))

    def _put_markup(self, phone: Phone, bubble: Bubble, markup: Json) -> None:
        bubble.markup = markup
        bubble.buttons = keyboards.shown(markup)
        if "keyboard" in markup:
            phone.keyboard = keyboards.shown(markup, "keyboard")
            phone.keyboard_stays = not markup.get("one_time_keyboard", False)
        elif "remove_keyboard" in markup:
            phone.keyboard = []


def _ok(result: object) -> Answer:
    return Answer(200, {"ok": True, "result": result})
