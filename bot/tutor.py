"""One turn, readable from top to bottom: safety, commands, everyday, sums, recall, retrieve, write, check, answer.

What a student sees is fixed text, a sentence that a passage supports, or a sentence of the book itself. Generated text
is checked sentence by sentence while it is written; a sentence is shown only once it has passed (decision 0004).
"""

from __future__ import annotations

import logging
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Protocol

from bot.calculating.working import Calculated
from bot.errors import GenerationError
from bot.language import detect
from bot.ports import (
    Action,
    Answer,
    Decoding,
    Generator,
    Grounder,
    Kind,
    Message,
    Passage,
    Quote,
    Retrieval,
    Retriever,
    Route,
    Safety,
    Source,
    Turn,
    Verdict,
)
from bot.proof import UNSAFE, Draft, Proof, screened
from bot.replies import Replies

logger = logging.getLogger(__name__)

Publish = Callable[[str], Awaitable[None]]
CAUTION_BELOW = 0.5
UNREADABLE = frozenset({"photo", "voice", "sticker", "document", "video", "location", "contact"})


class ConsentDesk(Protocol):
    """Answers whoever has not agreed yet."""

    def respond(self, turn: Turn, text: str) -> Answer: ...


class Commands(Protocol):
    """What the tutor needs of `bot.tutoring.commands.Commands`."""

    @property
    def consent(self) -> ConsentDesk: ...

    def run(self, turn: Turn) -> Answer: ...

    def behind(self, text: str) -> str | None: ...


class Recall(Protocol):
    """Answers that are at hand: `bot.recall.recall.Recall`."""

    async def find(self, question: str, turn: Turn, language: str, decoding: Decoding) -> Answer | None: ...

    def keep(
        self, question: str, turn: Turn, language: str, decoding: Decoding, answer: Answer, topic: str | None
    ) -> None: ...


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


@dataclass(slots=True)
class Tutor:
    """Answers one turn. Holds no state of its own between turns but `decoding`, which the console may change.

    `prompt` builds the model's messages from question and passages (inference.prompt.grounded); `everyday` recognises a
    greeting or an off-topic request and names route and reply; `calculate` works out what is a computation and nothing
    else (bot.calculating), given the message and a language; `commands` runs slash commands and asks for consent. What
    is written is shown where it has the share `says` of the content words that the book would be quoted with.
    """

    safety: Safety
    retriever: Retriever
    grounder: Grounder
    generator: Generator | None  # None: always quote
    replies: Replies
    everyday: Callable[[str], tuple[Route, str] | None]
    calculate: Callable[[str, str], Calculated | None]
    commands: Commands
    prompt: Callable[[str, Sequence[str]], list[Message]]
    decoding: Decoding
    recall: Recall | None = None  # None: every question is answered from the book
    passages: int = 3
    says: float = 0.8
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
            verdict = await screened(self.safety.screen_question, self._own_words(turn, question), turn.earlier)
        if verdict.action is not Action.ALLOW:
            return self._declined(verdict, language, watch)
        if len(question) > self.longest_question:  # after the screening: a child in distress may write at length
            return self._fixed("too_long", Route.REFUSED, language, watch)
        if (told := self._told(turn, question)) is not None:
            return told
        if (met := await self._without_the_book(question, turn, language, watch)) is not None:
            return met
        with watch.stage("retrieve"):
            found = await self.retriever.retrieve(
                question,
                class_level=turn.profile.class_level,
                subject=turn.profile.subject,
                language=_books(turn),
                k=self.passages,
            )
        if not found.passages:
            return self._not_in_book(found, language, watch)
        return await self._from_book(question, turn, found, language, watch, publish)

    async def _without_the_book(self, question: str, turn: Turn, language: str, watch: Watch) -> Answer | None:
        """The reply to what no page has to be looked up for: small talk, a sum, what has been answered before."""
        if (met := self.everyday(question)) is not None:
            route, key = met
            return self._fixed(key, route, language, watch)
        with watch.stage("calculate"):
            computed = self.calculate(turn.text, language)  # with its line breaks: they part two equations
        if computed is not None:
            return await self._computed(computed, language, watch)
        if not any(character.isalnum() for character in question):
            return self._fixed("rephrase", Route.SMALLTALK, language, watch)
        return await self._at_hand(question, turn, language, watch)

    async def _at_hand(self, question: str, turn: Turn, language: str, watch: Watch) -> Answer | None:
        """What a teacher answered to the same question, or we did a moment ago; screened like any answer."""
        if self.recall is None:
            return None
        with watch.stage("recall"):
            found = await self.recall.find(question, turn, language, self.decoding)
        if found is None:
            return None
        with watch.stage("screen"):
            verdict = await screened(self.safety.screen_answer, found.text)
        return replace(found, timings=watch.timings()) if verdict.action is Action.ALLOW else None

    def _own_words(self, turn: Turn, question: str) -> str:
        """What the student says beyond our own words: nothing of a button's, of a command what follows its name."""
        if turn.kind is Kind.COMMAND:
            return question.partition(" ")[2]
        return question if self.commands.behind(question) is None else ""

    def _told(self, turn: Turn, question: str) -> Answer | None:
        """The reply to a command or a word of the menu, and to whoever has not agreed yet."""
        if turn.kind is Kind.COMMAND:
            return self.commands.run(turn)
        if (command := self.commands.behind(question)) is not None:
            return self.commands.run(replace(turn, text=command))
        return None if turn.consented else self.commands.consent.respond(turn, question)

    def say(self, key: str, turn: Turn) -> str:
        """A fixed reply in the language of the turn."""
        return self.replies.say(key, turn.profile.language or detect(turn.text))

    async def _computed(self, computed: Calculated, language: str, watch: Watch) -> Answer:
        if computed.repeats:
            with watch.stage("screen"):
                verdict = await screened(self.safety.screen_answer, computed.text)
            if verdict.action is not Action.ALLOW:
                return self._fixed("rephrase", Route.REFUSED, language, watch, verdict=verdict)
        return Answer(computed.text, Route.CALCULATED, language, timings=watch.timings())

    async def _from_book(
        self, question: str, turn: Turn, found: Retrieval, language: str, watch: Watch, publish: Publish
    ) -> Answer:
        with watch.stage("quote"):
            quote = await self.grounder.quote(question, found, language=_books(turn))
            if quote is None:
                return self._not_in_book(found, language, watch)
            if quote.other_sum:
                return await self._another_sum(quote, language, watch)
            gathered = await self.grounder.gather(question, found.passages, language=_books(turn))
        draft, lasting = None, True
        try:
            draft = await self._write(question, turn, found.passages, gathered, quote, watch, publish)
        except GenerationError as error:
            logger.warning("no text generated (%s); quoting the book", type(error.__cause__ or error).__name__)
            lasting = False
        text = draft.text if draft else quote.text
        if (withheld := await self._withheld(text, language, watch)) is not None:
            return withheld
        sources = _sources(draft, quote)
        confidence = draft.confidence if draft else quote.confidence
        answer = Answer(
            text=text,
            route=Route.GENERATED if draft else Route.QUOTED,
            language=language,
            confidence=round(confidence, 3),
            sources=sources,
            adapter=draft.generation.adapter if draft else None,
            caution=self.replies.say("caution", language) if confidence < CAUTION_BELOW else "",
            source_line=self._source_line(sources, language),
            passages=tuple(gathered),
            decoding=self.decoding if draft else None,
            timings=watch.timings(),
        )
        if self.recall is not None and lasting:  # a quote for want of the model is not kept
            self.recall.keep(question, turn, language, self.decoding, answer, self._topic(turn, found.passages))
        return answer

    async def _write(
        self,
        question: str,
        turn: Turn,
        passages: Sequence[Passage],
        gathered: Sequence[str],
        quote: Quote,
        watch: Watch,
        publish: Publish,
    ) -> Draft | None:
        """What the model writes that may be shown, shown while it is written; None when the book must be quoted.

        Raises GenerationError.
        """
        if self.generator is None:
            return None
        messages = self.prompt(question, gathered)
        stream = self.generator.stream(
            messages,
            decoding=self.decoding,
            subject=self._topic(turn, passages),
            conversation=turn.conversation,
        )
        proof = Proof(self.grounder, self.safety, question, passages, quote, publish, self.says)
        with watch.stage("write"):
            return await proof.read(stream)

    def _topic(self, turn: Turn, passages: Sequence[Passage]) -> str:
        """The subject whose adapter writes: the student's, else that of the best passage."""
        return turn.profile.subject or passages[0].subject

    def _declined(self, verdict: Verdict, language: str, watch: Watch) -> Answer:
        route = Route.ESCALATED if verdict.action is Action.ESCALATE else Route.REFUSED
        failed_closed = verdict is UNSAFE
        incident = verdict.category if failed_closed or route is Route.ESCALATED else ""
        return self._fixed(verdict.reply, route, language, watch, incident=incident, verdict=verdict)

    async def _another_sum(self, quote: Quote, language: str, watch: Watch) -> Answer:
        """The book's worked example for a sum with other numbers. It shows the way; its result is not the answer."""
        if (withheld := await self._withheld(quote.text, language, watch)) is not None:
            return withheld
        sources = _sources(None, quote)
        return Answer(
            text=self.replies.say("another_sum", language, example=quote.text),
            route=Route.NOT_IN_BOOK,
            language=language,
            sources=sources,
            source_line=self._source_line(sources, language),
            timings=watch.timings(),
        )

    async def _withheld(self, text: str, language: str, watch: Watch) -> Answer | None:
        """What is said in place of a text from the book or the model that may not be shown; None where it may."""
        with watch.stage("screen"):
            verdict = await screened(self.safety.screen_answer, text)
        if verdict.action is Action.ALLOW:
            return None
        return self._fixed("safety_error", Route.REFUSED, language, watch, incident="unsafe_answer", verdict=verdict)

    def _not_in_book(self, found: Retrieval, language: str, watch: Watch) -> Answer:
        if found.nearby:
            text = self.replies.say("not_in_book", language, nearby="; ".join(found.nearby))
        else:
            text = self.replies.say("not_in_book_empty", language)
        return Answer(text, Route.NOT_IN_BOOK, language, timings=watch.timings())

    def _fixed(
        self,
        key: str,
        route: Route,
        language: str,
        watch: Watch,
        *,
        incident: str = "",
        verdict: Verdict | None = None,
    ) -> Answer:
        text = self.replies.say(key, language)
        return Answer(text, route, language, timings=watch.timings(), incident=incident, verdict=verdict)

    def _source_line(self, sources: Sequence[Source], language: str) -> str:
        places = dict.fromkeys((source.book, source.chapter, source.page) for source in sources)
        return "\n".join(
            self.replies.say(
                "source" if page else "source_unpaged", language, book=book, chapter=chapter, page=str(page)
            )
            for book, chapter, page in places
        )


def _books(turn: Turn) -> str | None:
    """The language of the books to prefer; None is that of the question."""
    return "hi" if turn.profile.language == "hi" else None


def _unsupported(kind: str) -> str:
    return f"unsupported.{kind if kind in UNREADABLE else 'other'}"


def _sources(draft: Draft | None, quote: Quote) -> tuple[Source, ...]:
    """Each page once, with the sentences of it that the answer rests on."""
    if draft is None:
        return (Source(quote.passage.book, quote.passage.chapter, quote.passage.page, quote.text),)
    quotes: dict[tuple[str, str, int], list[str]] = {}
    for passage, evidence in draft.evidence:
        place = quotes.setdefault((passage.book, passage.chapter, passage.page), [])
        if evidence not in place:
            place.append(evidence)
    return tuple(Source(book, chapter, page, " ".join(texts)) for (book, chapter, page), texts in quotes.items())
