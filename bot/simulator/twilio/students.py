"""The students who write to the number at Twilio."""

from __future__ import annotations

from bot.simulator.config import Provider
from bot.simulator.media import File
from bot.simulator.phones import Bubble, Phone
from bot.simulator.said import FILES, Kind, Said, Spoken, Unsayable
from bot.simulator.twilio import webhooks
from bot.simulator.twilio.messages import Message, Messages, new_sid
from bot.simulator.world import World


class Students:
    """The students' side of every chat."""

    def __init__(self, world: World, messages: Messages) -> None:
        self._world = world
        self._config = world.config
        self._messages = messages

    def say(self, said: Said) -> Spoken:
        """See `said.Line`."""
        if said.kind is Kind.EDITED:
            raise Unsayable("Twilio does not tell the service that a WhatsApp message was edited")
        phone = self._world.phones.get(Provider.TWILIO, said.student, said.name)
        file = self._file(said)
        sid = said.provider_id or new_sid("MM" if file else "SM")
        form = webhooks.incoming(self._config, phone, said, sid, file)
        phone.show(Bubble(sid, mine=True, kind=said.kind, text=form["Body"], media=file.id if file else ""))
        self._messages.add(
            Message(form["AccountSid"], sid, form["From"], form["To"], form["Body"], inbound=True, status="received")
        )

        def deliver() -> None:
            self._world.courier.send(
                webhooks.parcel(
                    self._config,
                    self._config.public + self._config.twilio.webhook_path,
                    form,
                    phone.student,
                    delivered=lambda: self._became(phone, sid, lost=False),
                    given_up=lambda: self._became(phone, sid, lost=True),
                )
            )

        deliver()
        self._world.phones.touch(phone)
        return Spoken(sid, sid, deliver)

    def _file(self, said: Said) -> File | None:
        if said.kind in FILES or said.kind is Kind.CONTACT:
            return self._world.files.keep(said.kind, said.content, said.content_type)
        return None

    def _became(self, phone: Phone, sid: str, *, lost: bool) -> None:
        error = "the service did not take this message; Twilio does not try again" if lost else ""
        phone.advance(sid, "failed" if lost else "delivered", error)
        self._world.phones.touch(phone)
