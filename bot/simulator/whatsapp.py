"""What WhatsApp itself demands and does, whichever of its providers carries the message."""

from __future__ import annotations

import time
from collections.abc import Sequence

from bot.simulator.phones import Button, Phone, State

WINDOW_SECONDS = 24 * 3600.0
SHOWN: dict[str, State] = {"queued": "sending", "sent": "sent", "delivered": "delivered", "read": "read"}
WINDOW = "A free-form message may be sent within 24 hours of the student's last; after that, a template."


def in_window(phone: Phone) -> bool:
    """Whether the student may be written to freely now."""
    return time.time() - phone.heard <= WINDOW_SECONDS


def label(phone: Phone, message: str, data: str) -> str:
    """The text on the button with this data under a message; the data itself when there is none."""
    button = _button(phone, message, data)
    return button.text if button is not None else data


def description(phone: Phone, message: str, data: str) -> str:
    """The small print of a list's row."""
    button = _button(phone, message, data)
    return button.description if button is not None else ""


def _button(phone: Phone, message: str, data: str) -> Button | None:
    bubble = phone.bubbles.get(message)
    rows = bubble.buttons if bubble is not None else []
    return next((button for row in rows for button in row if button.data == data), None)


def steps(first: Sequence[str], failed: bool) -> tuple[str, ...]:
    """The states that a message goes through."""
    return (*first, "failed") if failed else (*first, "sent", "delivered", "read")
