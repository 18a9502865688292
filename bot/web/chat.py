"""The chat page and the API behind it: `GET /`, `POST /api/ask`, `GET /api/answers/{message}`, `POST /api/feedback`."""

from __future__ import annotations

import hashlib
import json
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse

from bot.pages import Assets, compressible, templates
from bot.ports import Chapter, Inbound, Live
from bot.store import Accepted, Store
from bot.tables import StoredAnswer
from bot.web.asking import CHANNEL, Ask, Rating, Refused, Say, check, inbound, read
from bot.web.following import PATIENCE_SECONDS, Ended, Event, EventStream, as_json, follow, told

HERE = Path(__file__).parent
RETRY_AFTER = 30  # seconds
EXAMPLES = (  # a word of a chapter's title, and what a student might ask about it
    ("photosynthesis", "What is photosynthesis?"),
    ("fraction", "What are equivalent fractions?"),
    ("constitution", "What is the Preamble?"),
    ("water cycle", "What is evaporation?"),
    ("circuit", "What is an electric circuit?"),
    ("river", "Where does the Ganga begin?"),
    ("sound", "How is sound produced?"),
    ("the cell", "What is a cell?"),
)
SHOWN_EXAMPLES = 4


Admit = Callable[[str, str], Awaitable[bool]]
Chapters = Callable[[], Awaitable[Sequence[Chapter]]]


@dataclass(frozen=True, slots=True)
class Chat:
    """What the routes work with. `patience` is how long a request waits for its answer, in seconds."""

    store: Store
    accept: Callable[[Inbound], Awaitable[Accepted]]
    live: Live
    admit: Admit
    say: Say
    chapters: Chapters
    max_characters: int
    patience: float = PATIENCE_SECONDS

    async def ask(self, request: Request) -> Response:
        """Store a question and wait for its answer. Raises Refused."""
        ask = await read(request, Ask)
        check(
            ask,
            max_characters=self.max_characters,
            subjects={chapter.subject for chapter in await self.chapters()},
            say=self.say,
        )
        message = inbound(ask, request.headers.get("idempotency-key"))
        language = ask.language or "en"
        if not await self.admit(message.address, request.client.host if request.client else "unknown"):
            text = self.say("too_many_questions", language)
            return _error(429, "too_many_questions", text, headers={"Retry-After": str(RETRY_AFTER)})
        accepted = await self.accept(message)
        events = follow(self.store, self.live, accepted.message_id, self.patience)
        if "text/event-stream" in request.headers.get("accept", ""):
            return EventStream(
                told(
                    events,
                    message_id=accepted.message_id,
                    conversation=message.address,
                    language=language,
                    say=self.say,
                )
            )
        return await self._whole(events, accepted.message_id, message.address, language)

    async def _whole(
        self, events: AsyncGenerator[Event, None], message_id: int, conversation: str, language: str
    ) -> Response:
        async with aclosing(events):
            async for item in events:
                if isinstance(item, StoredAnswer):
                    return JSONResponse(as_json(item, conversation))
                if isinstance(item, Ended):
                    status = 504 if item is Ended.STILL_WORKING else 500
                    text = self.say(item.value, language)
                    return _error(status, item.value, text, message_id=message_id, conversation=conversation)
        raise AssertionError("follow() ends with an outcome")

    async def stored(self, message_id: str, conversation: str) -> Response:
        """The answer to a message of this conversation, for a page that was reloaded. Raises Refused with 404."""
        readable = message_id.isascii() and message_id.isdigit() and len(message_id) <= 18  # the database's integer
        answer = await self.store.answer_to(int(message_id)) if readable else None
        if answer is None or answer.conversation_id != await self.store.find_conversation(CHANNEL, conversation):
            raise Refused(404, "no_answer", "There is no such answer in this conversation, or it is not written yet.")
        return JSONResponse(as_json(answer, conversation), headers={"Cache-Control": "no-store"})

    async def rate(self, request: Request) -> Response:
        """Store a thumb. Raises Refused, with 404 for an answer of somebody else."""
        rating = await read(request, Rating)
        conversation_id = await self.store.find_conversation(CHANNEL, rating.conversation)
        thumb = 1 if rating.rating == "up" else -1
        if conversation_id is None or not await self.store.rate(conversation_id, rating.answer, thumb):
            raise Refused(404, "no_answer", "There is no such answer in this conversation.")
        return Response(status_code=204)


def _error(status: int, code: str, message: str, headers: dict[str, str] | None = None, **details: Any) -> Response:
    return JSONResponse({"error": {"code": code, "message": message, **details}}, status, headers)


class Page:
    """The chat page itself. It differs only with the library's chapters and is the same for everybody."""

    def __init__(self, assets: Assets, chapters: Chapters, max_characters: int) -> None:
        self._chapters = chapters
        self._template = templates(HERE / "templates").get_template("chat.html")
        self._fixed = {
            "asset": assets.url,
            "strings": json.loads((HERE / "strings.json").read_text(encoding="utf-8")),
            "max_characters": max_characters,
        }

    async def respond(self, request: Request) -> Response:
        chapters = await self._chapters()
        html = self._template.render(
            self._fixed,
            books=_by_book(chapters),
            examples=examples(chapters),
            classes=sorted({chapter.class_level for chapter in chapters}),
            subjects=sorted({chapter.subject for chapter in chapters}),
        ).encode()
        tag = f'W/"{hashlib.sha256(html).hexdigest()[:16]}"'
        headers = {"ETag": tag, "Cache-Control": "no-cache"}
        if request.headers.get("if-none-match") == tag:
            return Response(status_code=304, headers=headers)
        return compressible(request, html, "text/html; charset=utf-8", headers)


def _by_book(chapters: Sequence[Chapter]) -> list[tuple[str, list[str]]]:
    books: dict[str, list[str]] = {}
    for chapter in sorted(chapters, key=lambda chapter: (chapter.class_level, chapter.book)):
        books.setdefault(chapter.book, []).append(chapter.title)
    return list(books.items())


def examples(chapters: Sequence[Chapter]) -> list[str]:
    """A few questions that these books can answer; the chapters' own titles where we know no better."""
    titles = " / ".join(chapter.title.lower() for chapter in chapters)
    known = [question for word, question in EXAMPLES if word in titles]
    others = [f"Tell me about {chapter.title}" for chapter in chapters] if not known else []
    return (known + others)[:SHOWN_EXAMPLES]


def routes(
    *,
    store: Store,
    accept: Callable[[Inbound], Awaitable[Accepted]],
    live: Live,
    admit: Admit,
    say: Say,
    max_characters: int,
    chapters: Chapters,
    patience: float = PATIENCE_SECONDS,
) -> APIRouter:
    """Routes of the chat page. `admit(conversation, address)` limits; `say(key, language)` localises a reply."""
    router = APIRouter()
    chat = Chat(store, accept, live, admit, say, chapters, max_characters, patience)
    assets = Assets(HERE / "static", "/static")
    page = Page(assets, chapters, max_characters)

    @router.get("/")
    async def index(request: Request) -> Response:
        return await page.respond(request)

    @router.get("/static/{name}")
    async def static(request: Request, name: str) -> Response:
        return assets.respond(request, name)

    @router.post("/api/ask")
    async def ask(request: Request) -> Response:
        return await _answered(chat.ask(request))

    @router.get("/api/answers/{message_id}")
    async def stored(message_id: str, conversation: str = "") -> Response:
        return await _answered(chat.stored(message_id, conversation))

    @router.post("/api/feedback")
    async def feedback(request: Request) -> Response:
        return await _answered(chat.rate(request))

    return router


async def _answered(work: Awaitable[Response]) -> Response:
    try:
        return await work
    except Refused as refusal:
        return JSONResponse(refusal.body, refusal.status)
