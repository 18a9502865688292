"""What the service sends through the Cloud API: taken, shown on the phone, and reported on."""

from __future__ import annotations

import asyncio
import time

from bot.simulator import whatsapp
from bot.simulator.cloud import errors, rules, webhooks
from bot.simulator.cloud.errors import Failure
from bot.simulator.cloud.objects import at, kind_of
from bot.simulator.config import Json, Provider
from bot.simulator.phones import Bubble, Button, Phone
from bot.simulator.record import Call
from bot.simulator.rules import Broken, Refused, found
from bot.simulator.said import address
from bot.simulator.world import Answer, World

TYPING_SECONDS = 25.0


class Outbox:
    """Messages on their way to the students, and the read marks on theirs."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._config = world.config

    def send(self, call: Call, params: Json) -> Answer:
        """Raises Broken or Refused."""
        to = str(params.get("to") or params["recipient"])
        student = call.student = address(Provider.CLOUD, to.rpartition(".")[2])
        phone = self._world.phones.get(Provider.CLOUD, student)
        code = self._world.faults.refusals.get((Provider.CLOUD, student), "")
        if code and int(code) in errors.AT_ONCE:
            raise Refused(errors.AT_ONCE[int(code)])
        for replied in at(params, "context.message_id"):
            if str(replied) not in phone.bubbles:
                raise Broken(rules.CONTEXT_KNOWN, found(replied))
        failure = errors.LATER[int(code)] if code else self._outside(phone, params)
        bubble = _bubble(params)
        self._world.accept(phone, bubble, call)
        self._world.courier.run(self._live(phone, bubble.id, str(params.get("biz_opaque_callback_data", "")), failure))
        contact = {"input": to, "wa_id": student.removeprefix("+")} if "to" in params else {"input": to, "user_id": to}
        body = {"messaging_product": "whatsapp", "contacts": [contact], "messages": [{"id": bubble.id}]}
        return Answer(200, body, bubble.id)

    def mark(self, call: Call, params: Json, phone: Phone | None) -> Answer:
        """The student's message is read, and so are those before it; perhaps an answer is being written."""
        message_id = str(params["message_id"])
        if phone is None or message_id not in phone.bubbles:
            raise Broken(rules.MESSAGE_KNOWN, found(message_id))
        call.student, call.message_id = phone.student, message_id
        for bubble_id, bubble in phone.bubbles.items():
            if bubble.mine:
                phone.advance(bubble_id, "read")
            if bubble_id == message_id:
                break
        if "typing_indicator" in params:
            phone.typing_until = time.time() + TYPING_SECONDS
        self._world.phones.touch(phone)
        return Answer(200, {"success": True})

    def _outside(self, phone: Phone, params: Json) -> Failure | None:
        """How a message that comes too late will fail."""
        if kind_of(params) == "template" or whatsapp.in_window(phone):
            return None
        self._world.overlooked(Provider.CLOUD, "messages", [rules.IN_WINDOW], f"a message to {phone.student}")
        return errors.OUTSIDE_WINDOW

    async def _live(self, phone: Phone, message_id: str, data: str, failure: Failure | None) -> None:
        """Take a message through its states, each of them reported."""
        for state in whatsapp.steps((), failed=failure is not None):
            await asyncio.sleep(self._config.pace.receipt)
            phone.advance(message_id, whatsapp.SHOWN.get(state, "failed"), failure.title if failure else "")
            self._world.phones.touch(phone)
            if state in self._config.receipts or state == "failed":
                report = webhooks.status(phone, message_id, state, data, failure)
                body = webhooks.envelope(self._config, {"statuses": [report]})
                self._world.courier.send(webhooks.parcel(self._config, body, message_id))


def _bubble(params: Json) -> Bubble:
    """What the phone shows. A template's words lie with Meta, so its name and parameters stand for it."""
    kind = kind_of(params)
    match kind:
        case "text":
            text = params["text"]["body"]
        case "interactive":
            paths = ("interactive.header.text", "interactive.body.text", "interactive.footer.text")
            text = "\n\n".join(value for path in paths for value in at(params, path))
        case _:
            values = [str(value) for value in at(params, "template.components[].parameters[].text")]
            text = f"[template {params['template']['name']}] {', '.join(values)}".strip()
    bubble = Bubble(webhooks.new_id(), mine=False, kind="text", text=text, state="sending")
    bubble.markup = {"type": (at(params, "interactive.type") or [kind])[0]}
    bubble.buttons = _buttons(params)
    return bubble


def _buttons(params: Json) -> list[list[Button]]:
    replies = at(params, "interactive.action.buttons[].reply")
    rows = at(params, "interactive.action.sections[].rows[]")
    return [[Button(item["title"], item["id"], item.get("description", ""))] for item in (*replies, *rows)]
