"""A question as it comes to `POST /api/ask`: read, checked, and turned into an Inbound."""

from __future__ import annotations

import hashlib
import secrets
import uuid
from collections.abc import Callable, Collection
from typing import Annotated, Any, Literal, TypeVar

from fastapi import Request
from pydantic import BaseModel, Field, StringConstraints, ValidationError

from bot.pages import BodyTooLarge, read_body
from bot.ports import Inbound, Kind, Profile

CHANNEL = "web"
BODY_LIMIT = 256 * 1024  # bytes; a question of 20,000 Devanagari characters is 60,000
HELP = {
    "question": "question must be a text.",
    "subject": "subject must be a text.",
    "class_level": "class_level must be a whole number from 1 to 12.",
    "language": "language must be one of en, hi, hinglish.",
    "conversation": "conversation must be 16 to 64 characters of A-Z, a-z, 0-9, _ and -.",
    "answer": "answer must be the id of an answer.",
    "rating": "rating must be up or down.",
}

ConversationId = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]{16,64}$")]
Say = Callable[[str, str], str]


class Refused(Exception):
    """A request we do not serve. `message` is localised where a student can cause it, else English for the caller."""

    def __init__(self, status: int, code: str, message: str, **details: Any) -> None:
        super().__init__(code)
        self.status = status
        self.body = {"error": {"code": code, "message": message, **details}}


class Ask(BaseModel):
    """The body of `POST /api/ask`. Absent or null fields mean "not said"."""

    question: str
    subject: str | None = None
    class_level: Annotated[int, Field(ge=1, le=12, strict=True)] | None = None
    language: Literal["en", "hi", "hinglish"] | None = None
    conversation: ConversationId | None = None


class Rating(BaseModel):
    """The body of `POST /api/feedback`."""

    answer: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{32}$")]
    conversation: ConversationId
    rating: Literal["up", "down"]


Body = TypeVar("Body", bound=BaseModel)


async def read(request: Request, shape: type[Body]) -> Body:
    """The JSON body as `shape`. Raises Refused: 413, 415 or 422, saying what is wrong."""
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
        raise Refused(415, "not_json", "Send JSON, with the header Content-Type: application/json.")
    try:
        return shape.model_validate_json(await read_body(request, BODY_LIMIT))
    except BodyTooLarge:
        raise Refused(413, "body_too_large", f"The body is larger than {BODY_LIMIT // 1024} KiB.") from None
    except ValidationError as error:
        raise _explained(error) from None


def _explained(error: ValidationError) -> Refused:
    first = error.errors(include_url=False, include_input=False)[0]
    if first["type"] == "json_invalid":
        return Refused(422, "malformed_json", f"The body is not valid JSON: {first['msg']}.")
    field = str(first["loc"][0]) if first["loc"] else ""
    return Refused(422, "invalid_field", HELP.get(field, "The body must be a JSON object."), field=field)


def check(ask: Ask, *, max_characters: int, subjects: Collection[str], say: Say) -> None:
    """Refuse what cannot be answered. Raises Refused with 422."""
    language = ask.language or "en"
    if not ask.question.strip():
        raise Refused(422, "empty_question", say("empty_question", language))
    if len(ask.question) > max_characters:
        raise Refused(422, "too_long", say("too_long", language), limit=max_characters)
    if ask.subject is not None and ask.subject not in subjects:
        allowed = sorted(subjects)
        message = f"subject must be one of {', '.join(allowed)}." if allowed else "There are no textbooks yet."
        raise Refused(422, "unknown_subject", message, field="subject", allowed=allowed)


def inbound(ask: Ask, idempotency_key: str | None) -> Inbound:
    """The message to store. A repeated Idempotency-Key within one conversation is the same message. Raises Refused."""
    text = ask.question.strip()
    return Inbound(
        channel=CHANNEL,
        provider_id=uuid.uuid4().hex if idempotency_key is None else _repeatable(idempotency_key, ask.conversation),
        address=ask.conversation or secrets.token_urlsafe(24),
        kind=Kind.COMMAND if text.startswith("/") else Kind.TEXT,
        text=text,
        profile=Profile(ask.class_level, ask.subject, ask.language),
    )


def _repeatable(key: str, conversation: str | None) -> str:
    if not (0 < len(key) <= 100 and key.isascii() and key.isprintable()):
        raise Refused(422, "invalid_idempotency_key", "Idempotency-Key must be 1 to 100 printable ASCII characters.")
    if conversation is None:
        raise Refused(422, "conversation_needed", "Send a conversation along with an Idempotency-Key.")
    return hashlib.sha256(f"{conversation} {key}".encode()).hexdigest()
