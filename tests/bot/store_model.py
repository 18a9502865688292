"""What the store should hold, kept in plain Python: without SQL, one thing after another.

The model follows what the store promises, not how it does it. It is told the numbers that the database gave (of new
messages, parts, conversations) and whatever else it cannot know.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from bot.errors import Unreachable
from bot.ports import Answer, DeliveryState, Effect, Inbound, StatusUpdate
from bot.store import ANSWERED, BURIED, HELD, WAITING
from bot.store.given_up import INCIDENTS

FORGOTTEN = "(forgotten)"  # in place of an address
SENDING, LATE, FAILED = DeliveryState.SENDING, DeliveryState.WAITING, DeliveryState.FAILED
TO_SEND = (SENDING, LATE)
LONG_AGO = -1.0  # before anybody wrote


@dataclass
class Conversation:
    """A student, and the lease of whoever serves the student."""

    address: str
    token: str | None = None
    leased: bool = False  # false as well once the lease has run out
    consented: bool = False
    asked: bool = False  # for consent, a little while ago
    invited: bool = False  # to write again
    forget_after: int | None = None
    class_level: int | None = None


@dataclass
class Message:
    """A row of the inbox."""

    conversation: int
    provider_id: str
    text: str
    state: str = WAITING
    attempts: int = 0
    due: bool = True
    error: str | None = None
    unwanted: bool = False  # its student has blocked us since
    arrived: float = field(default=0, compare=False)  # by the model's clock


@dataclass
class Part:
    """A row of the outbox."""

    conversation: int
    message: int
    text: str
    state: DeliveryState = SENDING
    started: bool = False
    in_doubt: bool = False
    attempts: int = 0
    due: bool = True
    provider_id: str | None = None
    error: str | None = None
    tried: float = field(default=0, compare=False)  # by the model's clock, when the latest attempt began


@dataclass
class Logged:
    """A row of the log of answers."""

    conversation: int
    question: str
    text: str


@dataclass
class State:
    """All rows by their numbers, answers by the number of their message."""

    conversations: dict[int, Conversation] = field(default_factory=dict)
    messages: dict[int, Message] = field(default_factory=dict)
    parts: dict[int, Part] = field(default_factory=dict)
    answers: dict[int, Logged] = field(default_factory=dict)
    incidents: list[tuple[int, str, str]] = field(default_factory=list)  # (message, category, state), sorted


class Model(State):
    """A state, and what each verb of the store makes of it. Its clock ticks whenever something is dated."""

    def __init__(self) -> None:
        super().__init__()
        self._clock = itertools.count(1)

    # ---- what arrives -----------------------------------------------------------------------------------------------

    def known(self, provider_id: str) -> int | None:
        """The message that a provider repeats, None for a new one."""
        return next((key for key, message in self.messages.items() if message.provider_id == provider_id), None)

    def found(self, address: str) -> int | None:
        """The conversation with an address, None for a student who has not written."""
        return next((key for key, one in self.conversations.items() if one.address == address), None)

    def accept(self, inbound: Inbound, message_id: int, conversation_id: int) -> None:
        self.conversations.setdefault(conversation_id, Conversation(inbound.address))
        message = Message(conversation_id, inbound.provider_id, inbound.text, arrived=next(self._clock))
        self.messages[message_id] = message

    # ---- the lease --------------------------------------------------------------------------------------------------

    def holds(self, conversation_id: int, token: str) -> bool:
        """Whether the token is the last one given; it holds after it has run out, too, until somebody takes over."""
        return self.conversations[conversation_id].token == token

    def lease(self, conversation_id: int, token: str | None, *, lasting: bool) -> None:
        one = self.conversations[conversation_id]
        one.token, one.leased = token, lasting

    def release_all(self) -> None:
        for conversation_id in self.conversations:
            self.lease(conversation_id, None, lasting=False)

    def an_hour_passes(self) -> None:
        for message in self.messages.values():
            message.due = True
        for part in self.parts.values():
            part.tried = part.tried if part.due else next(self._clock)
            part.due = True
        for one in self.conversations.values():
            one.leased = one.asked = False

    # ---- what is to be done -----------------------------------------------------------------------------------------

    def next_message(self, conversation_id: int) -> int | None:
        waiting = [key for key in self._messages_of(conversation_id) if self.messages[key].state == WAITING]
        oldest = min(waiting, default=None)
        return oldest if oldest is not None and self.messages[oldest].due else None

    def next_part(self, conversation_id: int) -> int | None:
        return min((key for key in self._parts_of(conversation_id) if self.parts[key].state in TO_SEND), default=None)

    def is_due(self, part_id: int) -> bool:
        """A part that came too late is due once the student has written."""
        part = self.parts[part_id]
        return self._heard_since(part) if part.state == LATE else part.due

    def _heard_since(self, part: Part) -> bool:
        """Whether the student has written since the latest attempt at this part began."""
        mine = map(self.messages.__getitem__, self._messages_of(part.conversation))
        return any(message.arrived > part.tried for message in mine)

    def neglected(self) -> set[int]:
        return {key for key, one in self.conversations.items() if not one.leased and self._has_work(key)}

    def _has_work(self, conversation_id: int) -> bool:
        if self.to_be_erased(conversation_id):
            return True
        part = self.next_part(conversation_id)
        if part is None:
            return self.next_message(conversation_id) is not None
        to_invite = self.parts[part].state == LATE and not self.conversations[conversation_id].invited
        return self.is_due(part) or to_invite

    # ---- what is answered -------------------------------------------------------------------------------------------

    def reply(self, message_id: int, parts: Mapping[int, str], state: str, error: str | None = None) -> None:
        """Settle a message with the parts of its reply, by number. A buried one is an incident."""
        self._store(message_id, parts)
        message = self.messages[message_id]
        message.state, message.error = state, error
        if state == BURIED:
            self._incident(message_id, "buried_message")

    def answer(self, message_id: int, parts: Mapping[int, str], answer: Answer) -> None:
        message = self.messages[message_id]
        held = answer.effect is Effect.HOLD
        self.reply(message_id, parts, HELD if held else ANSWERED)
        if not held:
            self.answers[message_id] = Logged(message.conversation, message.text, answer.text)
        if answer.profile is not None:
            self.conversations[message.conversation].class_level = answer.profile.class_level
        if answer.incident:
            self._incident(message_id, answer.incident)
        self._take_effect(message_id, answer.effect, asked=bool(parts))

    def _take_effect(self, message_id: int, effect: Effect | None, *, asked: bool) -> None:
        conversation_id = self.messages[message_id].conversation
        one = self.conversations[conversation_id]
        held = [self.messages[key] for key in self._messages_of(conversation_id) if self.messages[key].state == HELD]
        if effect in (Effect.HOLD, Effect.ASK):
            one.asked = one.asked or asked
        if effect is Effect.FORGET:
            one.consented, one.forget_after = False, message_id
        if effect in (Effect.CONSENT, Effect.WITHDRAW):
            one.consented, one.asked = effect is Effect.CONSENT, False
            for message in held:
                message.state = WAITING if one.consented else ANSWERED
                message.text = message.text if one.consented else ""

    def _store(self, message_id: int, parts: Mapping[int, str]) -> None:
        conversation_id = self.messages[message_id].conversation
        for key, text in parts.items():
            self.parts[key] = Part(conversation_id, message_id, text, tried=next(self._clock))

    def defer(self, message_id: int, parts: Mapping[int, str], *, due: bool) -> None:
        self._store(message_id, parts)
        self.messages[message_id].due = due

    def postpone(self, message_id: int, error: str, *, due: bool) -> None:
        message = self.messages[message_id]
        message.attempts, message.due, message.error = message.attempts + 1, due, error

    # ---- what leaves ------------------------------------------------------------------------------------------------

    def starting(self, part_id: int, *, in_doubt: bool, waits: bool) -> None:
        """`waits`: it was too late before, and the student was heard since."""
        part = self.parts[part_id]
        part.started, part.attempts, part.in_doubt = True, part.attempts + 1, part.in_doubt or in_doubt
        part.due, part.tried = True, next(self._clock)
        if waits:
            part.state, self.conversations[part.conversation].invited = SENDING, False

    def sent(self, part_id: int, provider_id: str) -> None:
        part = self.parts[part_id]
        self._name(part, provider_id)
        part.state = DeliveryState.SENT if part.state == SENDING else part.state

    def not_sent(self, part_id: int, error: str, *, due: bool | None, in_doubt: bool) -> None:
        """`due` is None where it is never tried again. Whatever was settled by then stays as it is."""
        part = self.parts[part_id]
        if part.state != SENDING:
            return
        part.error, part.started = error, in_doubt
        if due is None:
            part.state = FAILED
            self._incident(part.message, "undelivered_reply")
        else:
            part.due, part.tried = due, LONG_AGO if due else math.inf

    def too_late(self, part_id: int, error: str) -> None:
        """Whatever was settled by then stays as it is."""
        if self.parts[part_id].state == SENDING:
            self._wait(self.parts[part_id], error)

    def _wait(self, part: Part, error: str) -> None:
        part.state = SENDING if self._heard_since(part) else LATE
        part.started, part.attempts, part.error = False, 0, error

    def inviting(self, conversation_id: int, token: str) -> bool:
        """Whether the student is to be asked to write again; not twice, and by nobody who has lost the lease."""
        one = self.conversations[conversation_id]
        is_told = one.token == token and not one.invited
        one.invited = one.invited or is_told
        return is_told

    def status(self, report: StatusUpdate) -> bool:
        """False where the part is not ours."""
        for key, part in self.parts.items():
            ours = key == report.outbox_id if report.outbox_id is not None else part.provider_id == report.provider_id
            if ours:
                self._reported(part, report)
                return True
        return False

    def _reported(self, part: Part, report: StatusUpdate) -> None:
        if report.outside_window:
            if (part.state, part.provider_id == report.provider_id) in ((SENDING, False), (DeliveryState.SENT, True)):
                self._name(part, report.provider_id)
                self._wait(part, f"OutsideWindow {report.code}")
            return
        self._name(part, report.provider_id)
        order = list(DeliveryState)
        if order.index(report.state) <= order.index(part.state):
            return
        part.state = report.state
        if report.state == FAILED and report.unwanted:
            part.error = f"Unreachable {report.code}"
            self._is_unwanted(part.conversation)
        elif report.state == FAILED:
            part.error = f"PermanentError {report.code}"
            self._incident(part.message, "undelivered_reply")

    def _name(self, part: Part, provider_id: str) -> None:
        """Keep the provider's name for a part, but not where the student is forgotten: it may tell the number."""
        if not self.is_forgotten(part.conversation):
            part.provider_id = provider_id

    # ---- what is given up -------------------------------------------------------------------------------------------

    def blocked(self, conversation_id: int, error: str) -> None:
        for part in map(self.parts.__getitem__, self._parts_of(conversation_id)):
            if part.state in TO_SEND:
                part.state, part.error = FAILED, error
        self._is_unwanted(conversation_id)
        for message in map(self.messages.__getitem__, self._messages_of(conversation_id)):
            if message.state == WAITING:
                message.state, message.error = BURIED, error

    def _is_unwanted(self, conversation_id: int) -> None:
        for key in self._messages_of(conversation_id):
            self.messages[key].unwanted = True

    def given_up(self) -> set[int]:
        """Messages that staff are shown and may have tried again: of nobody who blocked us, of nobody forgotten."""
        buried = {key for key, one in self.messages.items() if one.state == BURIED and not refused(one)}
        failed = {one.message for one in self.parts.values() if one.state == FAILED and not refused(one)}
        return {key for key in buried | failed if self._is_willing(self.messages[key])}

    def late(self) -> set[int]:
        """Messages whose answer waits for the student to write."""
        late = {one.message for one in self.parts.values() if one.state == LATE and not refused(one)}
        return {key for key in late if self._is_willing(self.messages[key])}

    def _is_willing(self, message: Message) -> bool:
        return not message.unwanted and not self.is_forgotten(message.conversation)

    def try_again(self, message_ids: Collection[int]) -> int:
        """How many messages there were to be tried."""
        tried = self.given_up().intersection(message_ids)
        for key in tried:
            message = self.messages[key]
            if message.state == BURIED:
                message.state, message.attempts, message.due, message.error = WAITING, 0, True, None
        for part in self.parts.values():
            if part.message in tried and part.state == FAILED:
                part.state, part.attempts, part.due, part.error, part.started = SENDING, 0, True, None, False
                part.tried = next(self._clock)
        self.incidents = sorted(
            (key, what, "closed" if key in tried and what in INCIDENTS else state)
            for key, what, state in self.incidents
        )
        return len(tried)

    def _incident(self, message_id: int, category: str) -> None:
        self.incidents = sorted([*self.incidents, (message_id, category, "open")])

    # ---- what is forgotten ------------------------------------------------------------------------------------------

    def is_forgotten(self, conversation_id: int) -> bool:
        return self.conversations[conversation_id].address == FORGOTTEN

    def to_be_erased(self, conversation_id: int) -> bool:
        """Whether a student asked for it, and the reply to that has left or comes too late."""
        asked = self.conversations[conversation_id].forget_after is not None
        return asked and all(self.parts[key].state != SENDING for key in self._parts_of(conversation_id))

    def erase(self, conversation_id: int, fresh_id: int | None) -> None:
        """Erase; what was written afterwards moves to the new conversation `fresh_id`, None if there is nothing."""
        old = self.conversations[conversation_id]
        self.conversations[conversation_id] = Conversation(FORGOTTEN, old.token, old.leased)
        later = self._written_after(conversation_id, old.forget_after or 0)
        assert bool(later) == (fresh_id is not None), "a new conversation exactly where there is something to move"
        if fresh_id is not None:
            self.conversations[fresh_id] = Conversation(old.address)
            for key in later:
                self._move(key, fresh_id)
        self._blank(conversation_id)

    def _written_after(self, conversation_id: int, last: int) -> list[int]:
        """Messages still to be answered that came after the one that asked for erasure."""
        states = (WAITING, HELD)
        return [key for key in self._messages_of(conversation_id) if key > last and self.messages[key].state in states]

    def _move(self, message_id: int, conversation_id: int) -> None:
        """To another conversation, with what was replied to it; where nobody has blocked us."""
        self.messages[message_id].conversation, self.messages[message_id].unwanted = conversation_id, False
        for part in self.parts.values():
            if part.message == message_id:
                part.conversation = conversation_id

    def _blank(self, conversation_id: int) -> None:
        for message in map(self.messages.__getitem__, self._messages_of(conversation_id)):
            message.text = ""
            message.state = ANSWERED if message.state in (WAITING, HELD) else message.state
        for part in map(self.parts.__getitem__, self._parts_of(conversation_id)):
            part.text, part.provider_id = "", None
            if part.state == LATE:
                part.state, part.error = FAILED, Unreachable.__name__
        for answer in self.answers.values():
            if answer.conversation == conversation_id:
                answer.question = answer.text = ""

    # ---- rows of a conversation -------------------------------------------------------------------------------------

    def _messages_of(self, conversation_id: int) -> list[int]:
        return [key for key, message in self.messages.items() if message.conversation == conversation_id]

    def _parts_of(self, conversation_id: int) -> list[int]:
        return [key for key, part in self.parts.items() if part.conversation == conversation_id]


def refused(row: Message | Part) -> bool:
    """Whether the student did not want it."""
    return (row.error or "").startswith(Unreachable.__name__)
