"""The students who write to the number at Meta."""

from __future__ import annotations

from collections import OrderedDict

from bot.simulator import whatsapp
from bot.simulator.cloud import webhooks
from bot.simulator.config import Provider
from bot.simulator.phones import Bubble, Phone
from bot.simulator.said import FILES, Kind, Said, Spoken, Unsayable
from bot.simulator.world import World

MOST_IDS = 50_000


class Students:
    """The students' side of every chat."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._config = world.config
        self._wrote: OrderedDict[str, Phone] = OrderedDict()  # by the id of the message

    def reset(self) -> None:
        self._wrote.clear()

    def of(self, message_id: str) -> Phone | None:
        """Who wrote this message."""
        return self._wrote.get(message_id)

    def say(self, said: Said) -> Spoken:
        """See `said.Line`."""
        phone = self._world.phones.get(Provider.CLOUD, said.student, said.name)
        file = self._world.files.keep(said.kind, said.content, said.content_type) if said.kind in FILES else None
        message_id = said.provider_id or webhooks.new_id()
        content = webhooks.message(self._config, phone, said, message_id, file)
        if said.kind is Kind.EDITED:
            self._edit(phone, said)
        else:
            text = said.text or (whatsapp.label(phone, said.message, said.data) if said.kind is Kind.PRESS else "")
            phone.show(Bubble(message_id, mine=True, kind=said.kind, text=text, media=file.id if file else ""))
        self._remember(message_id, phone)
        body = webhooks.from_student(self._config, phone, content)

        def deliver() -> None:
            self._world.courier.send(
                webhooks.parcel(
                    self._config,
                    body,
                    phone.student,
                    delivered=lambda: self._became(phone, message_id, lost=False),
                    given_up=lambda: self._became(phone, message_id, lost=True),
                )
            )

        deliver()
        self._world.phones.touch(phone)
        return Spoken(message_id, message_id, deliver)

    def _edit(self, phone: Phone, said: Said) -> None:
        """Another text for a message. The service only learns that something came that the API does not carry."""
        bubble = phone.bubbles.get(said.message)
        if bubble is None or not bubble.mine or bubble.kind != Kind.TEXT:
            raise Unsayable("the message that is edited is not a text of the student's")
        self._world.phones.edit(phone, bubble, said.text)

    def _remember(self, message_id: str, phone: Phone) -> None:
        self._wrote[message_id] = phone
        if len(self._wrote) > MOST_IDS:
            self._wrote.popitem(last=False)

    def _became(self, phone: Phone, message_id: str, *, lost: bool) -> None:
        error = "the service did not take this message" if lost else ""
        phone.advance(message_id, "failed" if lost else "delivered", error)
        self._world.phones.touch(phone)
