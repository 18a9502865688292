"""What providers post, as they document it, in our own values: tests/payloads/<provider>/<name>.json.

What the service has to make of each of them stands in tests/payloads/expected/<provider>.json: the messages ("inbound")
and reports ("reports") that it brings, or the kind under which it is counted as unknown; nothing where it is known and
ignored. "path" is where it is posted, if not where the provider's messages go.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

Json = dict[str, Any]
FOLDER = Path(__file__).parent
PROVIDERS = ("telegram", "whatsapp", "cloud")  # "whatsapp" is Twilio's, "cloud" Meta's own


def payload(name: str) -> Json:
    """The payload "telegram/text", say."""
    return _read(f"{name}.json")


def names(provider: str) -> list[str]:
    """The payloads of a provider."""
    return sorted(file.stem for file in (FOLDER / provider).glob("*.json"))


def expected(provider: str) -> dict[str, Json]:
    """What is expected of each of them."""
    return _read(f"expected/{provider}.json")


def _read(path: str) -> Json:
    content: Json = json.loads((FOLDER / path).read_text(encoding="utf-8"))
    return content
