"""The students' phones: what each of them shows, in order, edits applied."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal

from bot.simulator.config import Json, Provider

MOST_PHONES = 20_000
MOST_BUBBLES = 300  # on one phone
MOST_TEXTS = 1_000  # counted on one phone
MOST_DOUBLES = 20_000

State = Literal["sending", "sent", "delivered", "read", "failed"]
RANKS: dict[State, int] = {"sending": 0, "sent": 1, "delivered": 2, "read": 3, "failed": 4}


@dataclass(slots=True)
class Button:
    """`data` goes back to the bot on a press; without it a press says the text. `waiting`: the bot owes an answer."""

    text: str
    data: str = ""
    description: str = ""
    url: str = ""
    waiting: bool = False


@dataclass(slots=True)
class Bubble:
    """A message on a phone. `mine`: the student's own. `markup`: what its provider keeps beside the text."""

    id: str
    mine: bool
    kind: str
    text: str
    at: float = field(default_factory=time.time)
    state: State = "sent"
    edited: float = 0.0  # when, 0 for never
    error: str = ""
    buttons: list[list[Button]] = field(default_factory=list)
    entities: list[Json] = field(default_factory=list)
    markup: Json = field(default_factory=dict)
    media: str = ""


@dataclass(slots=True)
class Phone:
    """One student's side of one chat. `heard` is when the student last wrote; 0 for never."""

    provider: Provider
    student: str
    name: str
    bubbles: OrderedDict[str, Bubble] = field(default_factory=OrderedDict)
    accepted: OrderedDict[str, int] = field(default_factory=OrderedDict)
    keyboard: list[list[Button]] = field(default_factory=list)
    keyboard_stays: bool = True
    typing_until: float = 0.0
    draft: str = ""  # of a message being written, and until when it is shown
    draft_until: float = 0.0
    heard: float = 0.0
    notice: str = ""

    def show(self, bubble: Bubble) -> None:
        """Put a bubble at the end. The bot's ends its typing."""
        self.bubbles[bubble.id] = bubble
        if len(self.bubbles) > MOST_BUBBLES:
            self.bubbles.popitem(last=False)
        if bubble.mine:
            self.heard = bubble.at
        else:
            self.typing_until = self.draft_until = 0.0

    def advance(self, message_id: str, state: State, error: str = "") -> None:
        """A later state of a bubble; an earlier one that comes late changes nothing."""
        bubble = self.bubbles.get(message_id)
        if bubble is not None and RANKS[state] > RANKS[bubble.state]:
            bubble.state, bubble.error = state, error

    def count(self, text: str, by: int = 1) -> int:
        """How often the phone was given this text, after `by` times more."""
        times = self.accepted.pop(text, 0) + by
        if times > 0:
            self.accepted[text] = times
        if len(self.accepted) > MOST_TEXTS:
            self.accepted.popitem(last=False)
        return times

    @property
    def typing(self) -> bool:
        return self.typing_until > time.time()

    @property
    def drafted(self) -> str:
        """What is seen of a message being written."""
        return self.draft if self.draft_until > time.time() else ""


class Phones:
    """All phones, the one used last at the end; the one unused longest is thrown away when there are too many."""

    def __init__(self) -> None:
        self.version = 0  # grows with every change that a page might show
        self.accepted = 0
        self.doubles: OrderedDict[tuple[Provider, str, str], int] = OrderedDict()  # texts accepted more than once
        self._phones: OrderedDict[tuple[Provider, str], Phone] = OrderedDict()

    def __len__(self) -> int:
        return len(self._phones)

    def __iter__(self) -> Iterator[Phone]:
        """Latest used first."""
        return reversed(self._phones.values())

    def find(self, provider: Provider, student: str) -> Phone | None:
        return self._phones.get((provider, student))

    def get(self, provider: Provider, student: str, name: str = "") -> Phone:
        """The student's phone, a new one where there is none."""
        key = (provider, student)
        phone = self._phones.get(key)
        if phone is None:
            phone = self._phones[key] = Phone(provider, student, name or student)
            if len(self._phones) > MOST_PHONES:
                self._phones.popitem(last=False)
        if name:
            phone.name = name
        self.touch(phone)
        return phone

    def touch(self, phone: Phone) -> None:
        """Something changed on this phone."""
        self.changed()
        key = (phone.provider, phone.student)
        if key in self._phones:
            self._phones.move_to_end(key)

    def changed(self) -> None:
        self.version += 1

    def accept(self, phone: Phone, bubble: Bubble) -> None:
        """Show a message of the bot's and count its text."""
        phone.show(bubble)
        self.accepted += 1
        self._count(phone, bubble.text, 1)
        self.touch(phone)

    def edit(self, phone: Phone, bubble: Bubble, text: str) -> None:
        """Another text for a message. It counts as that text from now on: what matters is what is left to read."""
        if not bubble.mine:
            self._count(phone, bubble.text, -1)
            self._count(phone, text, 1)
        bubble.text, bubble.edited = text, time.time()
        self.touch(phone)

    def _count(self, phone: Phone, text: str, by: int) -> None:
        times = phone.count(text, by)
        key = (phone.provider, phone.student, text)
        self.doubles.pop(key, None)
        if times > 1:
            self.doubles[key] = times
        if len(self.doubles) > MOST_DOUBLES:
            self.doubles.popitem(last=False)
