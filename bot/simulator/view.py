"""What the control API and the page are told, as JSON."""

from __future__ import annotations

import time
from itertools import islice

from bot.simulator.config import Json, Provider
from bot.simulator.phones import Bubble, Button, Phone, Phones
from bot.simulator.record import Call, Record, Violation
from bot.simulator.world import World

LISTED_PHONES = 60
LISTED_VIOLATIONS = 30


def summary(phone: Phone) -> Json:
    """A line in the list of students."""
    last = next(reversed(phone.bubbles.values()), None)
    return {
        "provider": phone.provider,
        "student": phone.student,
        "name": phone.name,
        "last": (last.text or last.kind)[:80] if last else "",
        "at": last.at if last else 0.0,
    }


def transcript(phone: Phone) -> Json:
    """What the phone shows. `typing`: for how many seconds more the bot is seen to be typing.

    `draft`: a message as far as it is written, shown for `draft_for` seconds more.
    """
    return {
        "provider": phone.provider,
        "student": phone.student,
        "name": phone.name,
        "messages": [_bubble(bubble) for bubble in phone.bubbles.values()],
        "keyboard": _buttons(phone.keyboard),
        "typing": max(0.0, phone.typing_until - time.time()),
        "draft": phone.drafted,
        "draft_for": max(0.0, phone.draft_until - time.time()),
        "notice": phone.notice,
    }


def _bubble(bubble: Bubble) -> Json:
    return {
        "id": bubble.id,
        "from": "student" if bubble.mine else "bot",
        "kind": bubble.kind,
        "text": bubble.text,
        "entities": bubble.entities,
        "at": bubble.at,
        "state": bubble.state,
        "edited": bool(bubble.edited),
        "error": bubble.error,
        "buttons": _buttons(bubble.buttons),
        "media": bubble.media,
    }


def _buttons(rows: list[list[Button]]) -> list[list[Json]]:
    return [
        [
            {
                "text": button.text,
                "data": button.data,
                "description": button.description,
                "url": button.url,
                "waiting": button.waiting,
            }
            for button in row
        ]
        for row in rows
    ]


def call(entry: Call) -> Json:
    return {
        "seq": entry.seq,
        "at": entry.at,
        "provider": entry.provider,
        "method": entry.method,
        "student": entry.student,
        "parameters": entry.parameters,
        "outcome": entry.outcome,
        "status": entry.status,
        "message_id": entry.message_id,
        "http": entry.http,
    }


def violation(entry: Violation) -> Json:
    return {
        "seq": entry.seq,
        "at": entry.at,
        "provider": entry.provider,
        "method": entry.method,
        "rule": entry.rule,
        "words": entry.words,
        "found": entry.found,
        "answer": entry.answer,
    }


def stats(phones: Phones, record: Record) -> Json:
    """Counts. `doubles`: texts that a student was given more than once."""
    outcomes: dict[str, dict[str, int]] = {provider: {} for provider in Provider}
    for (provider, outcome), count in record.outcomes.items():
        outcomes[provider][outcome] = count
    return {
        "students": len(phones),
        "calls": record.called,
        "accepted": phones.accepted,
        "violations": record.violated,
        "outcomes": outcomes,
        "doubles": [
            {"provider": provider, "student": student, "text": text, "count": count}
            for (provider, student, text), count in phones.doubles.items()
        ],
    }


def texts(phones: Phones) -> list[Json]:
    """Every text that a student was given, and how often."""
    return [
        {"provider": phone.provider, "student": phone.student, "text": text, "count": count}
        for phone in phones
        for text, count in phone.accepted.items()
    ]


def faults(world: World) -> Json:
    """The faults that are armed, and the students who are refused, by provider."""
    return {
        provider: {
            "faults": [fault.model_dump(mode="json") for fault in world.faults.armed(provider)],
            "refusals": {student: code for (at, student), code in world.faults.refusals.items() if at is provider},
        }
        for provider in Provider
    }


def page(world: World, phone: Phone | None) -> Json:
    """Everything the page shows, with the chat that is open."""
    record = world.record
    return {
        "version": world.phones.version,
        "service": world.config.service,
        "phones": [summary(listed) for listed in islice(world.phones, LISTED_PHONES)],
        "open": transcript(phone) if phone else None,
        "violations": [violation(entry) for entry in islice(reversed(record.violations), LISTED_VIOLATIONS)],
        "faults": faults(world),
        "calls": record.called,
        "accepted": world.phones.accepted,
        "violated": record.violated,
    }
