"""Messages as the Bot API writes them: the bot's own, and what a student does."""

from __future__ import annotations

import itertools
import secrets

from bot.simulator.config import Json, TelegramBot
from bot.simulator.media import File
from bot.simulator.phones import Bubble, Phone
from bot.simulator.rules import code_units
from bot.simulator.said import FILES, Kind, Said

PATNA = {"latitude": 25.5941, "longitude": 85.1376}
RAVI = {"phone_number": "+919800000000", "first_name": "Ravi"}


def message_numbers() -> itertools.count[int]:
    """Ids for messages, from where another run is unlikely to have been."""
    return itertools.count(1 + secrets.randbelow(1_000_000_000))


def bot_user(bot: TelegramBot) -> Json:
    return {"id": bot.id, "is_bot": True, "first_name": bot.name, "username": bot.username}


def chat(phone: Phone) -> Json:
    return {"id": int(phone.student), "type": "private", "first_name": phone.name}


def student_user(phone: Phone) -> Json:
    return {"id": int(phone.student), "is_bot": False, "first_name": phone.name, "language_code": "en"}


def of_bot(bot: TelegramBot, phone: Phone, bubble: Bubble) -> Json:
    """A message of the bot's, as it stands now."""
    message = {
        "message_id": int(bubble.id),
        "from": bot_user(bot),
        "chat": chat(phone),
        "date": int(bubble.at),
        "text": bubble.text,
    }
    entities: Json = {"entities": bubble.entities} if bubble.entities else {}
    inline: Json = {"reply_markup": bubble.markup} if "inline_keyboard" in bubble.markup else {}
    edited: Json = {"edit_date": int(bubble.edited)} if bubble.edited else {}
    return message | entities | inline | edited


def of_student(phone: Phone, bubble: Bubble, file: File | None) -> Json:
    """A message of the student's. `file` is what a photo, voice note or sticker consists of."""
    message: Json = {
        "message_id": int(bubble.id),
        "from": student_user(phone),
        "chat": chat(phone),
        "date": int(bubble.at),
    }
    return message | _content(bubble, file)


def _content(bubble: Bubble, file: File | None) -> Json:
    caption = {"caption": bubble.text} if bubble.text else {}
    match bubble.kind, file:
        case Kind.PHOTO, File():
            return {"photo": [_described(file) | {"width": 1280, "height": 960}]} | caption
        case Kind.VOICE, File():
            return {"voice": _described(file) | {"duration": 3, "mime_type": file.content_type}}
        case Kind.STICKER, File():
            shape = {"type": "regular", "width": 512, "height": 512, "is_animated": False, "is_video": False}
            return {"sticker": _described(file) | shape | {"emoji": "👍"}}
        case Kind.CONTACT, _:
            return {"contact": RAVI}
        case Kind.LOCATION, _:
            return {"location": PATNA}
        case _:
            return {"text": bubble.text} | _commands(bubble.text)


def _commands(text: str) -> Json:
    """The entity of a command at the beginning."""
    word = text.split(maxsplit=1)[0]
    if not word.startswith("/") or len(word) < 2:
        return {}
    return {"entities": [{"type": "bot_command", "offset": 0, "length": code_units(word)}]}


def _described(file: File) -> Json:
    return {"file_id": file.id, "file_unique_id": file.id[:16], "file_size": len(file.content)}


def bubble_of(said: Said, number: int, file: File | None) -> Bubble:
    """What the student sees of the own message."""
    caption = "" if said.kind in FILES - {Kind.PHOTO} else said.text
    return Bubble(str(number), mine=True, kind=said.kind, text=caption, media=file.id if file else "")


def shown_by(phone: Phone, bubble_id: str, *, mine: bool) -> Bubble | None:
    """A bubble on the phone, if it is whose it should be."""
    bubble = phone.bubbles.get(bubble_id)
    return bubble if bubble is not None and bubble.mine is mine else None
