"""Figures of a run as a person reads them, on a page and in a terminal."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any

NONE = "–"
BARS = "▁▂▃▄▅▆▇█"
METHODS = {
    "sft": "Fine-tuning (SFT)",
    "dpo": "Direct preference optimisation (DPO)",
    "grpo": "Group relative policy optimisation (GRPO)",
}
LOSSES = {
    "sft": "Loss, nats a token",
    "dpo": "Loss, nats a preference",
    "grpo": "Share of wrong answers",
}
LABELS = {
    "dataset_sha256": "Data set (sha256)",
    "tokens": "Tokens an epoch reads",
    "learned_tokens": "Tokens an epoch learns",
    "longest": "Longest, in tokens",
    "dev": "Dev conversations",
    "test": "Held-out conversations",
    "rslora": "rsLoRA",
    "dora": "DoRA",
}
BYTES = frozenset({"memory", "peak_memory"})  # the keys of a record whose values are bytes


def duration(seconds: float) -> str:
    """The two largest of days, hours, minutes and seconds: 2 h 10 min."""
    if not math.isfinite(seconds):
        return NONE
    rest = max(0, round(seconds))
    parts = []
    for name, length in (("d", 86400), ("h", 3600), ("min", 60), ("s", 1)):
        count, rest = divmod(rest, length)
        if count:
            parts.append(f"{count} {name}")
        elif parts:
            break  # an hour and three seconds is an hour
    return " ".join(parts[:2]) or "0 s"


def size(count: float) -> str:
    """Bytes as MB or GB of 1,024."""
    mega = count / 2**20
    return f"{mega / 1024:.1f} GB" if mega >= 1000 else f"{mega:.0f} MB"


def figure(value: float | None, digits: int = 3) -> str:
    return NONE if value is None or not math.isfinite(value) else f"{value:.{digits}f}"


def score(value: float | None) -> str:
    """A count without decimals, a large figure with one, a share or a loss with three."""
    if value is None or not math.isfinite(value):
        return NONE
    if abs(value) > 1 and float(value).is_integer():
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.3f}"


def sentence(text: str) -> str:
    """With a capital letter and a full stop."""
    text = text.strip()
    return f"{text[:1].upper()}{text[1:]}{'' if text.endswith(('.', '!', '?')) else '.'}" if text else ""


def moment(at: str | datetime) -> str:
    """A time, or the ISO 8601 time of a record: 30 Nov 2026, 17:02 UTC."""
    return f"{instant(at) if isinstance(at, str) else at:%-d %b %Y, %H:%M} UTC"


def instant(at: str) -> datetime:
    """The time of a record. Raises ValueError."""
    read = datetime.fromisoformat(at)
    return read if read.tzinfo else read.replace(tzinfo=UTC)


def method(name: str) -> str:
    return METHODS.get(name, name)


def label(key: str) -> str:
    """A key of a record as a heading."""
    return LABELS.get(key) or key.replace("_", " ").strip().capitalize()


def plain(key: str, value: Any) -> str:
    """A value of a record in words."""
    if value is None or value == "":
        return NONE
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int | float) and key in BYTES:
        return size(value)
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {plain(str(name), one)}" for name, one in value.items()) or NONE
    if isinstance(value, Sequence) and not isinstance(value, str):
        return ", ".join(plain(key, one) for one in value) or NONE
    return str(value)


def sparkline(values: Sequence[float], width: int = 60) -> str:
    """The values as a line of bars, at most `width`, each the mean of its share; what is no number is left out."""
    finite = [value for value in values if math.isfinite(value)]
    count = min(width, len(finite))
    bounds = [round(index * len(finite) / count) for index in range(count + 1)] if count else []
    means = [math.fsum(finite[a:b]) / (b - a) for a, b in pairwise(bounds)]
    if not means:
        return ""
    low, high = min(means), max(means)
    scale = (len(BARS) - 1) / (high - low) if high > low else 0.0
    return "".join(BARS[round((mean - low) * scale)] for mean in means)
