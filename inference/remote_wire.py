"""The OpenAI-compatible wire, the client's side: what is sent, what comes back, and what can go wrong on the way.

InferenceError
├── RemoteUnavailable   the server cannot be reached or does not serve now; trying again may help
│   └── RemoteBusy      it has more to do than it takes and says so; also an EngineBusy
├── RemoteRefused       it turned the request down; a setting is wrong
└── RemoteBroken        it failed in the middle of an answer, or sent something that is no answer

A message of these never repeats the server's own words: some servers quote the prompt, which is a child's question.
"""

from __future__ import annotations

import email.utils
import json
import math
import re
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import httpx

from inference.errors import EngineBusy, InferenceError
from inference.generation import Decoding, Message
from inference.prompt import END, END_OF_TEXT, STOP_MARKERS, without_system

OWNER = "sahpathi"  # who owns the models of `sahpathi inference`, by which its clients know it
LONGEST_LINE = 1 << 20  # bytes
DONE = "[DONE]"

# Of the API's four at most. The other two markers are tokens, at which every server ends by itself.
_STOPS = [marker for marker in STOP_MARKERS if marker not in {END, END_OF_TEXT}]
_EXTRAS = ("top_k", "min_p", "chat_template_kwargs")
_UNKNOWN_FIELD = re.compile(
    r"(unknown|unrecogni[sz]ed|unexpected|unsupported|extra|additional)\W+(\w+\W+){0,3}"
    r"(field|parameter|argument|input|propert|key)|extra_forbidden"
)
_TOO_LONG = re.compile(r"context[ _](length|size|window)|maximum context|too (long|many tokens)")
_SLUG = re.compile(r"[A-Za-z][\w.-]{0,63}")


class RemoteUnavailable(InferenceError):
    """The server does not serve now. `wait` is how many seconds it asks to be left alone, where it said so."""

    def __init__(self, message: str, *, wait: float | None = None) -> None:
        super().__init__(message)
        self.wait = wait


class RemoteBusy(RemoteUnavailable, EngineBusy):
    """The server works, and has no place for this request."""


class RemoteRefused(InferenceError):
    """The server turned the request down and will do so again."""


class RemoteBroken(InferenceError):
    """The server failed in the middle of an answer, or sent no answer at all."""


@dataclass(slots=True)
class Dialect:
    """What a server takes, beyond the least that all of them do. Learned from its refusals, each once."""

    own: bool = False  # it is `sahpathi inference`
    extras: bool = True  # fields that OpenAI's API does not have
    logprobs: bool = True
    usage: bool = True
    system: bool = True  # a system line

    def learn(self, said: str) -> bool:
        """Whether a refusal in these words is one that a plainer request avoids; then the next one is plainer."""
        words = said.lower()
        # The precise ones first: "unsupported field: logprobs" is not about our extras.
        for name, told in (
            ("logprobs", "logprobs" in words),
            ("usage", "stream_options" in words),
            ("system", re.search(r"system\W+role|role\W+(\w+\W+)?system", words) is not None),
            ("extras", any(extra in words for extra in _EXTRAS) or _UNKNOWN_FIELD.search(words) is not None),
        ):
            if told and getattr(self, name):
                setattr(self, name, False)
                return True
        return False


def body(
    model: str,
    messages: Sequence[Message],
    decoding: Decoding,
    dialect: Dialect,
    *,
    subject: str | None = None,
    conversation: str | None = None,
) -> dict[str, Any]:
    """The request for one answer.

    The penalty on repetition and the ban on repeated n-grams go to our own server alone: others count the words of the
    prompt too, and would keep the model from the very words of the book it should answer with.
    """
    request: dict[str, Any] = {
        "model": model,
        "messages": list(messages) if dialect.system else without_system(messages),
        "temperature": decoding.temperature,
        "top_p": decoding.top_p,
        "max_tokens": decoding.max_new_tokens,
        "stream": True,
    }
    if decoding.seed is not None:
        request["seed"] = decoding.seed
    if dialect.usage:
        request["stream_options"] = {"include_usage": True}
    if dialect.own:
        own = {
            "top_k": decoding.top_k,
            "repetition_penalty": decoding.repetition_penalty,
            "no_repeat_ngram_size": decoding.no_repeat_ngram,
            "subject": subject,
            "conversation": conversation,
        }
        return request | {name: value for name, value in own.items() if value is not None}
    request["stop"] = list(_STOPS)
    if dialect.logprobs:
        request |= {"logprobs": True, "top_logprobs": 1}  # llama.cpp would tell twenty of each
    if dialect.extras:
        # min_p: llama.cpp has one by default. enable_thinking: a model must not think aloud before a student.
        request |= {"top_k": decoding.top_k, "min_p": 0.0, "chat_template_kwargs": {"enable_thinking": False}}
    return request


@dataclass(frozen=True, slots=True)
class Chunk:
    """One event of an answer. `own` is what only our server says of it, in the last one."""

    text: str = ""
    log_probabilities: tuple[float, ...] = ()
    finish: str = ""  # "stop" or "length", once
    at_stop: bool = False  # a stop string ended it
    tokens: int | None = None
    own: Mapping[str, Any] | None = None


def chunk(data: str) -> Chunk:
    """Read an event's data. Raises RemoteBroken for an error told in it, and for what is no chunk of an answer."""
    try:
        event = json.loads(data)
        if "error" in event:
            raise RemoteBroken(f"the server broke its answer off ({_code(event)}); its own log says why")
        usage, choices = event.get("usage") or {}, event["choices"]
        choice = choices[0] if choices else {}
        logprobs = (choice.get("logprobs") or {}).get("content") or ()
        return Chunk(
            text=str((choice.get("delta") or {}).get("content") or ""),
            log_probabilities=tuple(_log_probability(token["logprob"]) for token in logprobs),
            finish=str(choice.get("finish_reason") or ""),
            at_stop=isinstance(choice.get("stop_reason"), str),  # vLLM's name for it
            tokens=usage.get("completion_tokens"),
            own=event.get(OWNER),
        )
    except (ValueError, KeyError, IndexError, TypeError, AttributeError):
        raise RemoteBroken(
            "the server sent something that is no piece of an answer; is it OpenAI-compatible?"
        ) from None


async def events(response: httpx.Response) -> AsyncGenerator[str, None]:
    """The data of each server-sent event, one line each. Raises RemoteBroken when a line has no end.

    Not httpx's own lines: those also end at U+2028 and its like, which stand in JSON as they are.
    """
    rest = b""
    async for block in response.aiter_bytes():
        *lines, rest = (rest + block).split(b"\n")
        for line in lines:
            if line.startswith(b"data:"):
                yield line[5:].decode("utf-8", "replace").strip()
        if len(rest) > LONGEST_LINE:
            raise RemoteBroken("the server sent a line without end; is it OpenAI-compatible?")


def failure(response: httpx.Response, content: bytes, model: str) -> InferenceError:
    """What a status other than 200 means; `content` is the body that came with it."""
    status, code = response.status_code, _code(_json(content))
    wait = _retry_after(response.headers.get("retry-after"))
    if status == 429 or (status == 503 and wait is not None):
        return RemoteBusy(f"the server is busy ({status}); give it more slots, or ask less of it", wait=wait)
    if status in {502, 503, 504}:
        return RemoteUnavailable(f"the server does not serve now ({status}); its own log says why", wait=wait)
    if status in {401, 403}:
        return RemoteRefused(f"the server wants another key ({status}): set SAHPATHI_GENERATOR_KEY")
    if status == 404:
        return RemoteRefused(
            f"the server knows no model {model!r}, or this is not its address: see SAHPATHI_GENERATOR_MODEL and "
            "SAHPATHI_GENERATOR_URL"
        )
    if status >= 500:
        return RemoteBroken(f"the server failed ({status} {code}); its own log says why")
    return RemoteRefused(f"the server turned the request down ({status} {code}); its own log says why")


def says_too_long(content: bytes) -> bool:
    """Whether a refusal is for a prompt that exceeds the model's context."""
    return _TOO_LONG.search(content[:4096].decode("utf-8", "replace").lower().replace("_", " ")) is not None


def _log_probability(value: float) -> float:
    """At most 0, and finite: llama.cpp's lowest is -3.4e38."""
    return min(0.0, max(float(value), -1e6)) if math.isfinite(float(value)) else -1e6


def _json(content: bytes) -> Any:
    with suppress(ValueError):
        return json.loads(content)
    return None


def _code(told: Any) -> str:
    """The short name of an error, where it has one; never its message."""
    error = told.get("error") if isinstance(told, dict) else None
    names = [error.get("code"), error.get("type")] if isinstance(error, dict) else []
    return next((name for name in names if isinstance(name, str) and _SLUG.fullmatch(name)), "no code")


def _retry_after(value: str | None) -> float | None:
    """Seconds, from seconds or a date (RFC 9110, 10.2.3)."""
    if value is None:
        return None
    with suppress(ValueError):
        return max(0.0, float(value)) if math.isfinite(float(value)) else None
    with suppress(ValueError, TypeError):
        return max(0.0, (email.utils.parsedate_to_datetime(value) - datetime.now(UTC)).total_seconds())
    return None
