"""What the service sends through Twilio: taken, shown on the phone, and reported on."""

from __future__ import annotations

import asyncio

from bot.simulator import whatsapp
from bot.simulator.config import Json, Provider
from bot.simulator.phones import Bubble, Phone
from bot.simulator.record import Call
from bot.simulator.rules import Broken, Refused, found
from bot.simulator.twilio import rules, webhooks
from bot.simulator.twilio.messages import Message, Messages, new_sid
from bot.simulator.twilio.rules import Failure
from bot.simulator.world import Answer, World


class Outbox:
    """Messages on their way to the students."""

    def __init__(self, world: World, messages: Messages) -> None:
        self._world = world
        self._config = world.config
        self._messages = messages

    def send(self, call: Call, given: Json) -> Answer:
        """Raises Broken or Refused."""
        if given.get("From", self._config.twilio.sender) != self._config.twilio.sender:
            raise Broken(rules.SENDER_OURS, found(given["From"]))
        student = given["To"].removeprefix("whatsapp:")
        phone = self._world.phones.get(Provider.TWILIO, student)
        code = self._world.faults.refusals.get((Provider.TWILIO, student), "")
        if code == str(rules.UNSUBSCRIBED.code):
            raise Refused(rules.UNSUBSCRIBED)
        failure = rules.FAILURES.get(int(code)) if code else self._outside(phone, given)
        message = self._message(given)
        self._messages.add(message)
        self._world.accept(phone, _bubble(message, given), call)
        self._world.courier.run(self._live(message, phone, failure))
        return Answer(201, message.resource(), message.sid)

    def _message(self, given: Json) -> Message:
        callback = given.get("StatusCallback", "")
        if callback and not self._config.known(callback):
            self._world.overlooked(Provider.TWILIO, "create", [rules.CALLBACK_OURS], found(callback))
            callback = ""
        return Message(
            self._config.twilio.sid,
            new_sid("SM"),
            given.get("From", self._config.twilio.sender),
            given["To"],
            given.get("Body", ""),
            callback=callback,
            media=len(given.get("MediaUrl", ())),
            service=given.get("MessagingServiceSid"),
        )

    def _outside(self, phone: Phone, given: Json) -> Failure | None:
        """How a message that comes too late will fail."""
        if "ContentSid" in given or whatsapp.in_window(phone):
            return None
        self._world.overlooked(Provider.TWILIO, "create", [rules.IN_WINDOW], f"a message to {phone.student}")
        return rules.OUTSIDE_WINDOW

    async def _live(self, message: Message, phone: Phone, failure: Failure | None) -> None:
        """Take a message through its states, each of them reported."""
        for status in whatsapp.steps(("queued",), failed=failure is not None):
            if status != "queued":
                await asyncio.sleep(self._config.pace.receipt)
            message.become(status)
            if status == "failed" and failure is not None:
                message.error_code, message.error_message = failure.code, failure.message
            phone.advance(message.sid, whatsapp.SHOWN.get(status, "failed"), message.error_message or "")
            self._world.phones.touch(phone)
            if message.callback and (status in self._config.receipts or status == "failed"):
                form = webhooks.report(self._config, message)
                self._world.courier.send(webhooks.parcel(self._config, message.callback, form, message.sid))


def _bubble(message: Message, given: Json) -> Bubble:
    """What the phone shows. A template's words lie with Twilio, so its number and variables stand for it."""
    template = f"[template {given['ContentSid']}] {given.get('ContentVariables', '')}" if "ContentSid" in given else ""
    media = f"[{message.media} file(s)]" if message.media else ""
    text = "\n".join(filter(None, (message.body, template, media)))
    return Bubble(message.sid, mine=False, kind="text", text=text, state="sending")
