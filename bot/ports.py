"""The words the parts of the service speak to each other in: frozen values, and the protocols that carry them.

Everything here is plain data or a Protocol with at least two real implementations (two of the product's, or the
product's and the tests' in-memory one). Value types of `rag` and `inference` reach the rest of `bot` through here.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

from inference.generation import Decoding, Generation, Message
from rag.passage import Passage, Quote, Retrieval, Support

__all__ = [
    "Action",
    "Answer",
    "Channel",
    "Chapter",
    "Choice",
    "Decoding",
    "DeliveryState",
    "Effect",
    "Generation",
    "Generator",
    "Grounder",
    "HttpRequest",
    "Inbound",
    "Kind",
    "Live",
    "Message",
    "Outgoing",
    "Passage",
    "Profile",
    "Quote",
    "Retrieval",
    "Retriever",
    "Route",
    "Safety",
    "Source",
    "StatusUpdate",
    "Support",
    "Turn",
    "Verdict",
    "Webhook",
]


class Kind(StrEnum):
    """What a student sent."""

    TEXT = "text"
    COMMAND = "command"  # text that starts with "/"
    FEEDBACK = "feedback"  # a thumb on an answer; `text` is "up" or "down"
    UNSUPPORTED = "unsupported"  # a picture, voice note, sticker ...; `text` names the kind


class Route(StrEnum):
    """How an answer came about. Part of the public API."""

    VERIFIED = "verified"
    GENERATED = "generated"
    QUOTED = "quoted"
    CALCULATED = "calculated"
    SMALLTALK = "smalltalk"
    OFF_TOPIC = "off_topic"
    REFUSED = "refused"
    ESCALATED = "escalated"
    NOT_IN_BOOK = "not_in_book"
    COMMAND = "command"


class Action(StrEnum):
    """What the safety filter says should happen."""

    ALLOW = "allow"
    REFUSE = "refuse"
    ESCALATE = "escalate"


class Effect(StrEnum):
    """What an answer does to the conversation, in the transaction that stores it."""

    HOLD = "hold"  # the question waits for consent; nothing is logged
    ASK = "ask"  # the reply asks for consent
    CONSENT = "consent"  # the student agreed: what waited is answered now
    WITHDRAW = "withdraw"  # no consent, or no longer: what waited is erased
    FORGET = "forget"  # erase all texts and the address once the reply has left


class DeliveryState(StrEnum):
    """Where one outgoing part stands. `SENDING` after a crash means in doubt.

    `WAITING`: refused as too late, see `errors.OutsideWindow`; to be sent when the student writes again.
    """

    SENDING = "sending"
    SENT = "sent"
    DELIVERED = "delivered"
    READ = "read"
    WAITING = "waiting"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Profile:
    """What a student told us about the lesson. `language` is en, hi or hinglish; None means as the student writes."""

    class_level: int | None = None
    subject: str | None = None
    language: str | None = None


@dataclass(frozen=True, slots=True)
class Inbound:
    """One message as a channel received it. `provider_id` is unique within its channel: we deduplicate by it."""

    channel: str
    provider_id: str
    address: str  # where a reply goes: a chat id, "whatsapp:+91...", a browser's conversation id
    kind: Kind
    text: str
    answer_id: str | None = None  # for feedback: the answer it is about; None means the latest one
    profile: Profile = Profile()  # hints sent along with this one question


@dataclass(frozen=True, slots=True)
class Turn:
    """Everything the tutor is given to answer one message. `id` is the inbox id, used in logs and live tokens."""

    id: str
    kind: Kind
    text: str
    profile: Profile = Profile()
    consented: bool = True  # False until a student of a messaging channel has agreed
    consent_asked: bool = False  # and was asked a little while ago: not to be asked again
    earlier: tuple[str, ...] = ()  # what the student asked and was answered just before, oldest first
    conversation: str | None = None  # its number: one conversation is always answered by the same adapter


@dataclass(frozen=True, slots=True)
class Choice:
    """Something to press, or to pick by its number: what is read, and the command it stands for."""

    label: str
    command: str  # "/class 7", at most 64 bytes


@dataclass(frozen=True, slots=True)
class Source:
    """Where an answer stands in the book. Always taken from a retrieved passage, never from the model."""

    book: str
    chapter: str
    page: int
    quote: str


@dataclass(frozen=True, slots=True)
class Answer:
    """The tutor's reply to one turn, ready to be stored and sent."""

    text: str
    route: Route
    language: str
    confidence: float | None = None  # 0..1; None where no model and no book was asked
    sources: tuple[Source, ...] = ()
    adapter: str | None = None
    caution: str = ""  # the localised "I'm not very sure ..." line, or ""
    source_line: str = ""  # the localised source, as messaging channels print it, or ""
    passages: tuple[str, ...] = ()  # the texts the model was shown, kept for the training log
    decoding: Decoding | None = None
    timings: Mapping[str, float] = field(default_factory=dict)  # milliseconds by stage
    profile: Profile | None = None  # the new profile when a command changed it
    incident: str = ""  # a category for staff to look at, or ""
    choices: tuple[Choice, ...] = ()  # offered under the reply
    menu: tuple[str, ...] = ()  # words to keep ready beside the keyboard, where the channel can
    effect: Effect | None = None
    verdict: Verdict | None = None  # of the safety filter, where it refused or escalated

    def message(self) -> str:
        """The whole reply as a messaging channel sends it: text, caution, source."""
        return "\n\n".join(part for part in (self.text, self.caution, self.source_line) if part)


@dataclass(frozen=True, slots=True)
class Verdict:
    """The safety filter's word on a text. `reply` is the key of the localised reply when it is not allowed.

    `layer` is the part of the filter that said so, and `score` how sure it was, from 0 to 1.
    """

    action: Action
    category: str = ""
    reply: str = ""
    layer: str = ""
    score: float = 0.0


@dataclass(frozen=True, slots=True)
class Outgoing:
    """One part of a reply, already stored as "sending". `id` is the outbox row's and travels in callback URLs."""

    id: int
    address: str
    text: str
    choices: tuple[Choice, ...] = ()
    menu: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class StatusUpdate:
    """A provider's report on one outgoing part, by our outbox id where the callback carried it.

    `outside_window`: it failed for being too late (`errors.OutsideWindow`). `unwanted`: because the student wants
    nothing from us or is gone (`errors.Unreachable`).
    """

    provider_id: str
    state: DeliveryState
    outbox_id: int | None = None
    code: str = ""
    outside_window: bool = False
    unwanted: bool = False


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """What a channel needs of an HTTP request to verify and parse it. Header names are lower case."""

    path_query: str  # "/webhooks/whatsapp?x=1", as sent
    headers: Mapping[str, str]
    body: bytes
    form: tuple[tuple[str, str], ...] = ()  # decoded fields of a form body, in order


@dataclass(frozen=True, slots=True)
class Chapter:
    """A chapter the library holds, for the empty page and the choices of class and subject."""

    book: str
    title: str
    class_level: int
    subject: str


class Channel(Protocol):
    """A way to reach a student: telegram, whatsapp, web, console."""

    @property
    def name(self) -> str: ...

    @property
    def asks_consent(self) -> bool:
        """Whether a student must agree before the first answer; not where staff or the local page ask."""
        ...

    @property
    def has_buttons(self) -> bool:
        """Whether choices can be pressed; where not, the channel numbers them and a number is taken for one."""
        ...

    def split(self, text: str) -> list[str]:
        """Cut a reply into parts the provider accepts, at sentence boundaries, in order."""
        ...

    async def send(self, part: Outgoing) -> str:
        """Hand one part to the provider and return its id for it. Raises TransientError or PermanentError."""
        ...

    async def invite(self, address: str) -> bool:
        """Ask a student to write again, where free text would come too late. False where the channel cannot.

        Raises TransientError or PermanentError.
        """
        ...

    async def reconcile(self, part: Outgoing) -> str | None:
        """Ask the provider whether a part in doubt was accepted: its id if so, None if not or if nobody can tell."""
        ...

    async def mark(self, part: Outgoing, provider_id: str, command: str) -> bool:
        """Show on a part already sent which of its choices was taken. False where the channel cannot."""
        ...

    async def typing(self, address: str, asked: str) -> None:
        """Show that an answer is being written. Best effort: never raises a DeliveryError.

        `asked` is the provider's id of the message that is answered.
        """
        ...

    async def preview(self, address: str, number: int, text: str) -> bool:
        """Show an answer as far as it is written, in place of an earlier preview of the same number.

        What is shown goes by itself when the answer is sent, or does not come. False where the channel cannot, or the
        provider wants no more of it for now. Best effort: never raises a DeliveryError.
        """
        ...


class Webhook(Protocol):
    """The receiving side of a channel that is called by its provider."""

    def receive(self, request: HttpRequest) -> list[Inbound]:
        """Verify and parse. Raises ForgedRequest or UnknownShape; an empty list is a shape we know and ignore."""
        ...


class Safety(Protocol):
    """Screens what comes in and what goes out. Anything raised here counts as unsafe.

    `earlier` is what the same student asked just before, oldest first.
    """

    async def screen_question(self, text: str, earlier: Sequence[str] = ()) -> Verdict: ...

    async def screen_answer(self, text: str) -> Verdict: ...


class Retriever(Protocol):
    """Finds passages of the school's books."""

    async def retrieve(
        self,
        question: str,
        *,
        class_level: int | None = None,
        subject: str | None = None,
        language: str | None = None,
        k: int = 3,
    ) -> Retrieval: ...


class Grounder(Protocol):
    """Checks an answer against passages, and quotes them when there is nothing better."""

    async def check(self, text: str, passages: Sequence[Passage], question: str) -> list[Support]:
        """One Support a sentence of `text`, in order."""
        ...

    async def answers(self, question: str, text: str, quote: Quote, *, says: float) -> bool:
        """Whether a text bears on the question about as well as `quote`, the book's own best sentences.

        It must also have the share `says` of the quote's content words.
        """
        ...

    def complete(self, text: str) -> int:
        """How much of a growing text, in characters, is whole sentences."""
        ...

    async def gather(self, question: str, passages: Sequence[Passage], *, language: str | None = None) -> list[str]:
        """What of the passages bears on the question, a text for each, best first: what a model is given to read."""
        ...

    async def quote(self, question: str, found: Retrieval, *, language: str | None = None) -> Quote | None:
        """The few sentences of what was found that answer best, from one passage; None when none is close enough.

        `language` is that of the books to prefer, as for `Retriever.retrieve`; None is that of the question.
        """
        ...


class Generator(Protocol):
    """Writes text. Yields pieces as they come, then exactly one Generation. Closing the iterator early stops the work.

    `adapter` is "current" (the one promoted for `subject`, or its canary where that takes this `conversation`), "base"
    (none) or an adapter id. Raises GenerationError.
    """

    def stream(
        self,
        messages: Sequence[Message],
        *,
        decoding: Decoding,
        subject: str | None = None,
        adapter: str = "current",
        conversation: str | None = None,
    ) -> AsyncGenerator[str | Generation, None]: ...


class Live(Protocol):
    """Carries pieces of an answer from the worker that writes it to the page that shows it; it may lose them."""

    async def publish(self, message_id: str, piece: str) -> None: ...

    async def finish(self, message_id: str) -> None:
        """Say that the answer is stored."""
        ...

    def subscribe(self, message_id: str) -> AsyncGenerator[str, None]:
        """Pieces from now on, until the answer is finished."""
        ...
