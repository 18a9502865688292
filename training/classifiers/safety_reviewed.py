"""What staff said of alarms and refusals, as messages to learn from and to be judged by."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Protocol

from training.classifiers.safety_examples import (
    BENIGN,
    CATEGORIES,
    DISTRESS,
    HARMFUL,
    JAILBREAK,
    LANGUAGES,
    SafetyExample,
)

REVIEWED = "reviewed"


class Alarm(Protocol):
    """An incident or a refusal that staff judged: `bot.store.ReviewedAlarm`."""

    @property
    def key(self) -> str: ...

    @property
    def text(self) -> str: ...

    @property
    def language(self) -> str: ...

    @property
    def category(self) -> str: ...

    @property
    def escalated(self) -> bool: ...

    @property
    def right(self) -> bool: ...


def from_reviews(alarms: Iterable[Alarm]) -> list[SafetyExample]:
    """One message each. By the hash of its words, so that it stays where it is, one in five is held out to judge by."""
    return [
        SafetyExample(
            alarm.text,
            *_label(alarm),
            alarm.language if alarm.language in LANGUAGES else "en",
            alarm.key,
            _split(alarm.text),
            REVIEWED,
        )
        for alarm in alarms
    ]


def _label(alarm: Alarm) -> tuple[str, str]:
    if not alarm.right:
        return BENIGN, "near_miss"
    label = DISTRESS if alarm.escalated else JAILBREAK if alarm.category in CATEGORIES[JAILBREAK] else HARMFUL
    return label, alarm.category if alarm.category in CATEGORIES[label] else ""


def _split(text: str) -> str:
    share = int(hashlib.sha256(text.strip().lower().encode()).hexdigest(), 16) % 10
    return "test" if share < 2 else "dev" if share < 3 else "train"
