"""In-memory sides of the ports: real adapters that keep what they are given, so that tests need no mock chains."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass, field

from bot.errors import DeliveryError, GenerationError
from bot.ports import (
    Action,
    Answer,
    Decoding,
    Generation,
    Message,
    Outgoing,
    Passage,
    Quote,
    Retrieval,
    Route,
    Support,
    Turn,
    Verdict,
)


@dataclass
class MemoryChannel:
    """Delivers into a list. `failures` are raised first, one a send; `width` splits long texts."""

    name: str = "memory"
    asks_consent: bool = False
    has_buttons: bool = True
    width: int = 1000
    sent: list[tuple[str, str]] = field(default_factory=list)
    failures: list[DeliveryError | Exception] = field(default_factory=list)
    known: dict[int, str] = field(default_factory=dict)  # what `reconcile` finds at the provider
    parts: list[Outgoing] = field(default_factory=list)
    invites: bool = False  # whether there is a template to invite with
    invited: list[str] = field(default_factory=list)
    refusals: list[DeliveryError] = field(default_factory=list)  # of invitations, raised first
    marks: bool = False  # whether a choice can be shown as taken
    marked: list[tuple[str, str]] = field(default_factory=list)
    previewed: list[tuple[int, str]] = field(default_factory=list)
    previews: int = 0  # how many are borne
    typed: int = 0

    def split(self, text: str) -> list[str]:
        return [text[start : start + self.width] for start in range(0, len(text), self.width)]

    async def send(self, part: Outgoing) -> str:
        if self.failures:
            raise self.failures.pop(0)
        self.sent.append((part.address, part.text))
        self.parts.append(part)
        return f"{self.name}-{len(self.sent)}"

    async def invite(self, address: str) -> bool:
        self.invited.append(address)
        if self.refusals:
            raise self.refusals.pop(0)
        return self.invites

    async def reconcile(self, part: Outgoing) -> str | None:
        return self.known.get(part.id)

    async def mark(self, part: Outgoing, provider_id: str, command: str) -> bool:
        self.marked.append((provider_id, command))
        return self.marks

    async def typing(self, address: str, asked: str) -> None:
        self.typed += 1

    async def preview(self, address: str, number: int, text: str) -> bool:
        if len(self.previewed) < self.previews:
            self.previewed.append((number, text))
            return True
        return False


@dataclass
class EchoTutor:
    """Answers "Re: question"; can be slow, and can fail on a word."""

    delay: float = 0.0
    fail_on: str = ""
    asked: list[str] = field(default_factory=list)

    async def answer(self, turn: Turn, publish: object) -> Answer:
        self.asked.append(turn.text)
        await asyncio.sleep(self.delay)
        if self.fail_on and self.fail_on in turn.text:
            raise RuntimeError("the tutor broke")
        return Answer(f"Re: {turn.text}", Route.QUOTED, "en", confidence=0.9)

    def say(self, key: str, turn: Turn) -> str:
        return f"<{key}>"


@dataclass
class ListGenerator:
    """Streams prepared pieces, then dies if it is told to."""

    pieces: Sequence[str]
    confidence: float = 0.8
    dies: bool = False
    prompts: list[Sequence[Message]] = field(default_factory=list)
    conversations: list[str | None] = field(default_factory=list)
    closed_early: bool = False

    async def stream(
        self,
        messages: Sequence[Message],
        *,
        decoding: Decoding,
        subject: str | None = None,
        adapter: str = "current",
        conversation: str | None = None,
    ) -> AsyncGenerator[str | Generation, None]:
        self.prompts.append(messages)
        self.conversations.append(conversation)
        finished = False
        try:
            for piece in self.pieces:
                yield piece
            if self.dies:
                raise GenerationError("the model process died")
            finished = True
            yield Generation(
                "".join(self.pieces), self.confidence, len(self.pieces), "end", 0.1, "general-000000000000"
            )
        finally:
            self.closed_early = not finished


@dataclass
class MemoryLibrary:
    """Holds passages; supports a sentence that stands in one word for word; quotes the first sentence."""

    passages: tuple[Passage, ...] = ()
    nearby: tuple[str, ...] = ()
    quotable: bool = True
    other_sum: bool = False  # what is quoted is a worked example with other numbers
    beside: str = ""  # a text that holds this is beside the point
    needed: str = ""  # a text without this says too little

    async def retrieve(
        self,
        question: str,
        *,
        class_level: int | None = None,
        subject: str | None = None,
        language: str | None = None,
        k: int = 3,
    ) -> Retrieval:
        return Retrieval(self.passages[:k], self.nearby)

    async def check(self, text: str, passages: Sequence[Passage], question: str) -> list[Support]:
        sentences = [part.strip() + "." for part in text.split(".") if part.strip()]
        found = [next((p for p in passages if sentence in p.text), None) for sentence in sentences]
        return [
            Support(sentence, passage, sentence if passage else "", 0.9 if passage else 0.1)
            for sentence, passage in zip(sentences, found, strict=True)
        ]

    async def answers(self, question: str, text: str, quote: Quote, *, says: float) -> bool:
        return self.needed in text and not (self.beside and self.beside in text)

    def complete(self, text: str) -> int:
        return text.rfind(". ") + 2 if ". " in text else 0

    async def gather(self, question: str, passages: Sequence[Passage], *, language: str | None = None) -> list[str]:
        return [passage.text for passage in passages]

    async def quote(self, question: str, found: Retrieval, *, language: str | None = None) -> Quote | None:
        best = found.passages[0]
        text = best.text.split(".")[0] + "."
        return Quote(text, best, confidence=best.score, other_sum=self.other_sum) if self.quotable else None


@dataclass
class WordSafety:
    """Refuses and escalates on given words; breaks on another."""

    refuse: str = "forbidden"
    escalate: str = "distressed"
    broken: str = "brokenfilter"

    async def screen_question(self, text: str, earlier: Sequence[str] = ()) -> Verdict:
        if self.broken in text:
            raise RuntimeError("the filter broke")
        if self.escalate in text:
            return Verdict(Action.ESCALATE, "self_harm", "distress")
        if self.refuse in text:
            return Verdict(Action.REFUSE, "weapons", "refused.weapons")
        return Verdict(Action.ALLOW)

    screen_answer = screen_question
