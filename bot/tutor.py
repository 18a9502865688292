"""One turn, readable from top to bottom: safety -> commands -> everyday -> retrieve -> write -> check -> answer.

What a student sees is fixed text, a sentence that a passage supports, or a sentence of the book itself. Generated text
is checked sentence by sentence while it is written; a sentence is shown only once it has passed (decision 0004).
"""

from __future__ import annotations

import logging
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import aclosing, contextmanager
from dataclasses import dataclass, field

from bot.errors import GenerationError
from bot.language import detect
from bot.ports import (
    Action,
    Answer,
    Decoding,
    Generation,
    Generator,
    Grounder,
    Kind,
    Message,
    Passage,
    Profile,
    Quote,
    Retrieval,
    Retriever,
    Route,
    Safety,
    Source,
    Support,
    Turn,
    Verdict,
)
from bot.replies import Replies

logger = logging.getLogger(__name__)

Publish = Callable[[str], Awaitable[None]]
CAUTION_BELOW = 0.5
UNREADABLE = frozenset({"photo", "voice", "sticker", "document", "video", "location", "contact"})
UNSAFE = Verdict(Action.REFUSE, "safety_error", "safety_error")


async def unheard(piece: str) -> None:
    """Publish to nobody: for channels that show finished answers only."""


@dataclass(slots=True)
class Watch:
    """Milliseconds by stage; a stage entered twice adds up."""

    spent: dict[str, float] = field(default_factory=dict)
    began: float = field(default_factory=time.perf_counter)

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        start = time.perf_counter()
        try:
            yield
        finally:
            self.spent[name] = self.spent.get(name, 0.0) + (time.perf_counter() - start) * 1000.0

    def timings(self) -> dict[str, float]:
        total = (time.perf_counter() - self.began) * 1000.0
        return {name: round(spent, 1) for name, spent in {**self.spent, "total": total}.items()}


@dataclass(frozen=True, slots=True)
class Draft:
    """What the model wrote and the passages support: leading sentences only, so that the text still hangs together."""

    supports: tuple[Support, ...]
    generation: Generation

    @property
    def text(self) -> str:
        return " ".join(support.sentence for support in self.supports)

    @property
    def confidence(self) -> float:
        """The model's own certainty, never above how well its weakest sentence is supported."""
        return min(self.generation.confidence, *(support.score for support in self.supports))


@dataclass(slots=True)
class Tutor:
    """Answers one turn. Holds no state of its own between turns but `decoding`, which the console may change.

    `prompt` builds the model's messages from question and passages (inference.prompt.grounded); `everyday` recognises a
    greeting or an off-topic request and names route and reply; `command` runs a slash command.
    """

    safety: Safety
    retriever: Retriever
    grounder: Grounder
    generator: Generator | None  # None: always quote
    replies: Replies
    everyday: Callable[[str], tuple[Route, str] | None]
    command: Callable[[Turn], Answer]
    prompt: Callable[[str, Sequence[str]], list[Message]]
    decoding: Decoding
    passages: int = 3
    longest_question: int = 2000

    async def answer(self, turn: Turn, publish: Publish = unheard) -> Answer:
        """Answer one turn. Pieces of a generated answer go to `publish` once they are checked."""
        watch = Watch()
        language = turn.profile.language or detect(turn.text)
        if turn.kind is Kind.UNSUPPORTED:
            return self._fixed(_unsupported(turn.text), Route.SMALLTALK, language, watch)
        question = " ".join(turn.text.split())
        if not question:
            return self._fixed("empty_question", Route.REFUSED, language, watch)
        with watch.stage("screen"):
            verdict = await self._screen(self.safety.screen_question, question)
        if verdict.action is not Action.ALLOW:
            return self._declined(verdict, language, watch)
        if len(question) > self.longest_question:  # after the screening: a child in distress may write at length
            return self._fixed("too_long", Route.REFUSED, language, watch)
        if turn.kind is Kind.COMMAND:
            return self.command(turn)
        if (met := self.everyday(question)) is not None:
            route, key = met
            return self._fixed(key, route, language, watch)
        if not any(character.isalnum() for character in question):
            return self._fixed("rephrase", Route.SMALLTALK, language, watch)
        with watch.stage("retrieve"):
            found = await self.retriever.retrieve(
                question, class_level=turn.profile.class_level, subject=turn.profile.subject, k=self.passages
            )
        if not found.passages:
            return self._not_in_book(found, language, watch)
        return await self._from_book(question, turn.profile, found, language, watch, publish)

    def say(self, key: str, turn: Turn) -> str:
        """A fixed reply in the language of the turn."""
        return self.replies.say(key, turn.profile.language or detect(turn.text))

    async def _from_book(
        self, question: str, profile: Profile, found: Retrieval, language: str, watch: Watch, publish: Publish
    ) -> Answer:
        draft = await self._write(question, profile, found.passages, watch, publish)
        quote = None
        if draft is None:
            with watch.stage("ground"):
                quote = await self.grounder.quote(question, found.passages)
            if quote is None:
                return self._not_in_book(found, language, watch)
        text = draft.text if draft else quote.text if quote else ""
        with watch.stage("screen"):
            verdict = await self._screen(self.safety.screen_answer, text)
        if verdict.action is not Action.ALLOW:
            return self._fixed("safety_error", Route.REFUSED, language, watch, incident="unsafe_answer")
        sources = _sources(draft, quote)
        confidence = draft.confidence if draft else quote_confidence(quote)
        return Answer(
            text=text,
            route=Route.GENERATED if draft else Route.QUOTED,
            language=language,
            confidence=round(confidence, 3),
            sources=sources,
            adapter=draft.generation.adapter if draft else None,
            caution=self.replies.say("caution", language) if confidence < CAUTION_BELOW else "",
            source_line=self._source_line(sources, language),
            passages=tuple(passage.text for passage in found.passages),
            decoding=self.decoding if draft else None,
            timings=watch.timings(),
        )

    async def _write(
        self, question: str, profile: Profile, passages: Sequence[Passage], watch: Watch, publish: Publish
    ) -> Draft | None:
        """Generate, and keep the leading sentences that are supported and safe; None when not even the first one is."""
        if self.generator is None:
            return None
        try:
            with watch.stage("write"):
                return await self._write_checked(self.generator, question, profile, passages, publish)
        except GenerationError as error:
            logger.warning("no text generated (%s); quoting the book", type(error.__cause__ or error).__name__)
            return None

    async def _write_checked(
        self, generator: Generator, question: str, profile: Profile, passages: Sequence[Passage], publish: Publish
    ) -> Draft | None:
        messages = self.prompt(question, [passage.text for passage in passages])
        stream = generator.stream(messages, decoding=self.decoding, subject=profile.subject or passages[0].subject)
        kept: list[Support] = []
        pending, open_ = "", True
        async with aclosing(stream) as pieces:
            async for piece in pieces:
                if isinstance(piece, Generation):
                    if open_:
                        open_ = await self._keep(pending, passages, question, kept, publish)
                    return Draft(tuple(kept), piece) if kept else None
                if not open_:
                    continue  # the rest is not shown; its Generation still tells how sure the model was
                pending += piece
                cut = self.grounder.complete(pending)
                if cut:
                    complete, pending = pending[:cut], pending[cut:]
                    open_ = await self._keep(complete, passages, question, kept, publish)
                    if not kept:
                        return None
        return None

    async def _keep(
        self, text: str, passages: Sequence[Passage], question: str, kept: list[Support], publish: Publish
    ) -> bool:
        """Check the sentences of `text`, append and publish them until one fails. False when one did."""
        if not text.strip():
            return True
        for support in await self.grounder.check(text, passages, question):
            if support.passage is None:
                return False
            if (await self._screen(self.safety.screen_answer, support.sentence)).action is not Action.ALLOW:
                return False
            await publish((" " if kept else "") + support.sentence)
            kept.append(support)
        return True

    async def _screen(self, screen: Callable[[str], Awaitable[Verdict]], text: str) -> Verdict:
        """The verdict; an error inside the filter means unsafe."""
        try:
            return await screen(text)
        except Exception:  # fails closed, whatever broke
            logger.exception("the safety filter failed")
            return UNSAFE

    def _declined(self, verdict: Verdict, language: str, watch: Watch) -> Answer:
        route = Route.ESCALATED if verdict.action is Action.ESCALATE else Route.REFUSED
        failed_closed = verdict is UNSAFE
        incident = verdict.category if failed_closed or route is Route.ESCALATED else ""
        return self._fixed(verdict.reply, route, language, watch, incident=incident)

    def _not_in_book(self, found: Retrieval, language: str, watch: Watch) -> Answer:
        if found.nearby:
            text = self.replies.say("not_in_book", language, nearby="; ".join(found.nearby))
        else:
            text = self.replies.say("not_in_book_empty", language)
        return Answer(text, Route.NOT_IN_BOOK, language, timings=watch.timings())

    def _fixed(self, key: str, route: Route, language: str, watch: Watch, *, incident: str = "") -> Answer:
        return Answer(self.replies.say(key, language), route, language, timings=watch.timings(), incident=incident)

    def _source_line(self, sources: Sequence[Source], language: str) -> str:
        places = dict.fromkeys((source.book, source.chapter, source.page) for source in sources)
        return "\n".join(
            self.replies.say("source", language, book=book, chapter=chapter, page=str(page))
            for book, chapter, page in places
        )


def _unsupported(kind: str) -> str:
    return f"unsupported.{kind if kind in UNREADABLE else 'other'}"


def quote_confidence(quote: Quote | None) -> float:
    """How sure we are that a quote answers: the passage's similarity to the question. To be calibrated."""
    return min(1.0, max(0.0, quote.passage.score)) if quote else 0.0


def _sources(draft: Draft | None, quote: Quote | None) -> tuple[Source, ...]:
    if quote is not None:
        return (Source(quote.passage.book, quote.passage.chapter, quote.passage.page, quote.text),)
    pairs = [(s.passage, s.evidence) for s in draft.supports if s.passage is not None] if draft else []
    quotes: dict[tuple[str, str, int], list[str]] = {}
    for passage, evidence in pairs:
        place = quotes.setdefault((passage.book, passage.chapter, passage.page), [])
        if evidence not in place:
            place.append(evidence)
    return tuple(Source(book, chapter, page, " ".join(texts)) for (book, chapter, page), texts in quotes.items())
