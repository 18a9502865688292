"""What a student does on the phone, whichever provider carries it."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from pydantic import Base64Bytes, BaseModel, ConfigDict, Field, model_validator
from starlette.routing import BaseRoute

from bot.simulator.config import Provider

_NUMBER = re.compile(r"(?:whatsapp:)?\+?([1-9]\d{6,14})")
_CHAT = re.compile(r"[1-9]\d{0,14}")


class Kind(StrEnum):
    """PRESS: of a button under one of the bot's messages. EDITED: an own message gets another text."""

    TEXT = "text"
    PHOTO = "photo"
    VOICE = "voice"
    STICKER = "sticker"
    CONTACT = "contact"
    LOCATION = "location"
    PRESS = "press"
    EDITED = "edited"


FILES = frozenset({Kind.PHOTO, Kind.VOICE, Kind.STICKER})


class Unsayable(Exception):
    """The provider does not carry this, or the message meant is not there. The words are for the one who asked."""


class Said(BaseModel):
    """One thing said or done. `student`: a chat's number for Telegram, a telephone number for WhatsApp.

    `text` is also the caption of a photo and the new text of an edited message. `message` is the one pressed on or
    edited, `data` the pressed button's. `provider_id` is the id that the service will see: given again, the same
    message is delivered again. `content` is a file, base64.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    provider: Provider
    student: str
    name: str = Field("", max_length=64)
    kind: Kind = Kind.TEXT
    text: str = Field("", max_length=65_536)
    provider_id: str = Field("", max_length=128)
    message: str = Field("", max_length=128)
    data: str = Field("", max_length=256)
    content: Base64Bytes = Field(b"", max_length=8_000_000)
    content_type: str = Field("", max_length=100)

    @model_validator(mode="after")
    def _complete(self) -> Said:
        if self.kind in {Kind.TEXT, Kind.EDITED} and not self.text.strip():
            raise ValueError("nobody can send an empty text")
        if self.kind is Kind.EDITED and not self.message:
            raise ValueError("an edit needs the message that is edited")
        if self.kind is Kind.PRESS and not (self.data or self.text):
            raise ValueError("a press needs the button's data or text")
        if self.provider is Provider.TELEGRAM and self.provider_id and not self.provider_id.isdecimal():
            raise ValueError("Telegram's ids are numbers")
        address(self.provider, self.student)
        return self


@dataclass(frozen=True, slots=True)
class Spoken:
    """What was said is on its way. `message` is its bubble's id; `again` delivers the very same once more."""

    provider_id: str
    message: str
    again: Callable[[], None]


class Line(Protocol):
    """A provider: a server for the service, a line for the students."""

    @property
    def provider(self) -> Provider: ...

    @property
    def refusal_codes(self) -> frozenset[str]:
        """The errors with which it can refuse to deliver to a student."""
        ...

    def routes(self) -> list[BaseRoute]: ...

    def say(self, said: Said) -> Spoken:
        """Raises Unsayable."""
        ...

    def reset(self, *, registered: bool) -> None:
        """Forget what happened, but not which numbers were given away: the service must not meet one twice.

        `registered`: keep the webhook that the service has set; it will not set it again before it restarts.
        """
        ...


def address(provider: Provider, student: str) -> str:
    """How a student is known: a chat's number, or +E.164. Raises ValueError."""
    if provider is Provider.TELEGRAM:
        if _CHAT.fullmatch(student):
            return student
        raise ValueError("a Telegram student is a chat's number, such as 700100200")
    match = _NUMBER.fullmatch(student)
    if match is None:
        raise ValueError("a WhatsApp student is a telephone number, such as +919876543210")
    return f"+{match[1]}"
