"""What `sahpathi inference` takes as a request for an answer, and in what form it says no.

The fields are those of OpenAI's chat completions. What would change the answer and is not done here is refused, so that
nobody relies on it; what would not is passed over. Beyond them: top_k, repetition_penalty, no_repeat_ngram_size, and
the `subject` and `conversation` by which the model "current" finds its adapter.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from inference.generation import Decoding, Message

# Fields that are taken as long as they ask for what happens anyway.
_NEUTRAL: Mapping[str, tuple[Any, ...]] = {
    "n": (1,),
    "logprobs": (False,),
    "top_logprobs": (0,),
    "presence_penalty": (0,),
    "frequency_penalty": (0,),
    "logit_bias": ({},),
    "tools": ([],),
    "tool_choice": ("none", "auto"),
    "response_format": ({"type": "text"},),
    "modalities": (["text"],),
}
_PASSED_OVER = {"user", "metadata", "store", "service_tier", "safety_identifier", "prompt_cache_key"}


class ApiError(Exception):
    """A request that is answered with an error in OpenAI's form."""

    def __init__(
        self, status: int, message: str, code: str, *, param: str | None = None, retry_after: int | None = None
    ) -> None:
        super().__init__(message)
        self.status = status
        self.retry_after = retry_after
        kind = "invalid_request_error" if status < 500 else "server_error"
        self.body = {"error": {"message": message, "type": kind, "param": param, "code": code}}

    @property
    def headers(self) -> dict[str, str]:
        return {} if self.retry_after is None else {"Retry-After": str(self.retry_after)}


class _Part(BaseModel):
    type: Literal["text"]
    text: str


class _Message(BaseModel):
    role: Literal["system", "developer", "user", "assistant"]
    content: str | list[_Part]

    def text(self) -> str:
        return self.content if isinstance(self.content, str) else "".join(part.text for part in self.content)


class _StreamOptions(BaseModel):
    include_usage: bool = False


class ChatRequest(BaseModel):
    """A request for one answer, as it came."""

    model_config = ConfigDict(extra="forbid")

    model: str
    messages: list[_Message] = Field(min_length=1)
    temperature: float | None = Field(None, ge=0, le=2)
    top_p: float | None = Field(None, gt=0, le=1)
    top_k: int | None = Field(None, ge=0)
    repetition_penalty: float | None = Field(None, ge=1, le=2)
    no_repeat_ngram_size: int | None = Field(None, ge=0)
    max_tokens: int | None = Field(None, ge=1)
    max_completion_tokens: int | None = Field(None, ge=1)
    stop: str | list[str] | None = Field(None, max_length=256)
    seed: int | None = Field(None, ge=0, lt=2**63)
    stream: bool | None = None
    stream_options: _StreamOptions | None = None
    subject: str | None = Field(None, max_length=64)
    conversation: str | None = Field(None, max_length=64)

    @property
    def usage_wanted(self) -> bool:
        return self.stream_options is not None and self.stream_options.include_usage

    @property
    def stops(self) -> tuple[str, ...]:
        given = [self.stop] if isinstance(self.stop, str) else self.stop or []
        return tuple(stop for stop in given if stop)

    def decoding(self, usual: Decoding) -> Decoding:
        """How to decode: what was asked for, and the rest as usual here."""
        asked: dict[str, Any] = {
            "temperature": self.temperature,
            "top_p": self.top_p,
            "top_k": self.top_k,
            "repetition_penalty": self.repetition_penalty,
            "no_repeat_ngram": self.no_repeat_ngram_size,
            "max_new_tokens": self.max_completion_tokens or self.max_tokens,
            "seed": self.seed,
        }
        return replace(usual, **{name: value for name, value in asked.items() if value is not None})

    def turns(self) -> list[Message]:
        """The messages in the one form that every chat template takes: a system line, then user and tutor by turns.

        Neighbours of the same role are joined. Raises ApiError when a user's turn is missing at the start or the end.
        """
        system = [message.text() for message in self.messages if message.role in {"system", "developer"}]
        turns = [Message(role="system", content="\n\n".join(system))] if system else []
        spoken = [message for message in self.messages if message.role in {"user", "assistant"}]
        for message in spoken:
            if turns and turns[-1]["role"] == message.role:
                turns[-1]["content"] += f"\n\n{message.text()}"
            else:
                turns.append(Message(role=message.role, content=message.text()))
        if not spoken or spoken[0].role != "user" or spoken[-1].role != "user":
            raise ApiError(400, "the first and the last turn must be the user's", "invalid_value", param="messages")
        return turns


def parsed(raw: bytes) -> ChatRequest:
    """The request in a body. Raises ApiError, whose message never repeats what a student wrote."""
    try:
        given = json.loads(raw)
    except ValueError:
        raise ApiError(400, "the body must be JSON", "invalid_json") from None
    if not isinstance(given, dict):
        raise ApiError(400, "the body must be a JSON object", "invalid_json")
    for name, harmless in _NEUTRAL.items():
        value = given.pop(name, None)
        if value is not None and value not in harmless:
            raise ApiError(400, f"{name} is not supported here", "unsupported_parameter", param=name)
    try:
        return ChatRequest.model_validate({name: value for name, value in given.items() if name not in _PASSED_OVER})
    except ValidationError as error:
        first = error.errors(include_input=False, include_context=False, include_url=False)[0]
        param = ".".join(str(part) for part in first["loc"])
        unknown = first["type"] == "extra_forbidden"
        told = f"unknown field {param}" if unknown else f"{param}: {first['msg']}"
        raise ApiError(400, told, "unknown_parameter" if unknown else "invalid_value", param=param) from None
