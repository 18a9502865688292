"""What a student does in a chat with the bot, turned into updates."""

from __future__ import annotations

import uuid
from collections import OrderedDict

from bot.simulator.config import Json, Provider
from bot.simulator.phones import Bubble, Button, Phone
from bot.simulator.said import FILES, Kind, Said, Spoken, Unsayable
from bot.simulator.telegram import messages
from bot.simulator.telegram.inbox import Inbox, Waiting
from bot.simulator.world import World

MOST_QUERIES = 5_000


class Students:
    """The students' side of every chat."""

    def __init__(self, world: World, inbox: Inbox) -> None:
        self._world = world
        self._inbox = inbox
        self._message_numbers = messages.message_numbers()
        self.queries: OrderedDict[str, tuple[Phone, Button | None]] = OrderedDict()  # presses, by their query's id

    def reset(self) -> None:
        self.queries.clear()

    def next_message(self) -> int:
        return next(self._message_numbers)

    def say(self, said: Said) -> Spoken:
        """See `said.Line`."""
        phone = self._world.phones.get(Provider.TELEGRAM, said.student, said.name)
        number = int(said.provider_id) if said.provider_id else self._inbox.number()
        if said.kind is Kind.PRESS:
            return self._press(phone, said, number)
        if said.kind is Kind.EDITED:
            return self._edit(phone, said, number)
        kept = self._world.files.keep(said.kind, said.content, said.content_type) if said.kind in FILES else None
        bubble = messages.bubble_of(said, self.next_message(), kept)
        phone.show(bubble)
        if not phone.keyboard_stays:
            phone.keyboard = []
        return self._send(phone, bubble, number, {"message": messages.of_student(phone, bubble, kept)})

    def _press(self, phone: Phone, said: Said, number: int) -> Spoken:
        bubble = messages.shown_by(phone, said.message, mine=False)
        if bubble is None:
            raise Unsayable("the message whose button is pressed is not on the phone")
        query_id = str(uuid.uuid4().int >> 65)
        buttons = [button for row in bubble.buttons for button in row]
        pressed = next((button for button in buttons if button.data == said.data), None)
        if pressed is not None:
            pressed.waiting = True
        self._remember(query_id, phone, pressed)
        query = {
            "id": query_id,
            "from": messages.student_user(phone),
            "message": messages.of_bot(self._world.config.telegram, phone, bubble),
            "chat_instance": phone.student,
            "data": said.data,
        }
        return self._send(phone, None, number, {"callback_query": query})

    def _remember(self, query_id: str, phone: Phone, pressed: Button | None) -> None:
        self.queries[query_id] = (phone, pressed)
        if len(self.queries) > MOST_QUERIES:
            self.queries.popitem(last=False)

    def _edit(self, phone: Phone, said: Said, number: int) -> Spoken:
        bubble = messages.shown_by(phone, said.message, mine=True)
        if bubble is None or bubble.kind != Kind.TEXT:
            raise Unsayable("the message that is edited is not a text of the student's")
        self._world.phones.edit(phone, bubble, said.text)
        edited = messages.of_student(phone, bubble, None) | {"edit_date": int(bubble.edited)}
        return self._send(phone, bubble, number, {"edited_message": edited})

    def _send(self, phone: Phone, bubble: Bubble | None, number: int, content: Json) -> Spoken:
        def deliver() -> None:
            waiting = Waiting(
                {"update_id": number} | content,
                phone.student,
                taken=lambda: self._became(phone, bubble, lost=False),
                lost=lambda: self._became(phone, bubble, lost=True),
            )
            self._inbox.add(waiting)

        deliver()
        self._world.phones.touch(phone)
        return Spoken(str(number), bubble.id if bubble else "", deliver)

    def _became(self, phone: Phone, bubble: Bubble | None, *, lost: bool) -> None:
        if bubble is not None:
            error = "the service did not take this message" if lost else ""
            phone.advance(bubble.id, "failed" if lost else "delivered", error)
            self._world.phones.touch(phone)
