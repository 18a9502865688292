"""What every messaging channel does to a text it receives."""

from __future__ import annotations

import re

_TONE = "[\U0001f3fb-\U0001f3ff]?\ufe0f?"
_THUMB = re.compile(f"(?:(?P<up>(?:👍{_TONE})+)|(?:👎{_TONE})+)")


def storable(text: str) -> str:
    """The text without what no database takes: NUL, and halves of surrogate pairs (shown as the replacement sign).

    Otherwise one such message could never be committed, and its provider would deliver it again for ever.
    """
    whole = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return whole.replace("\0", "")


def thumb(text: str) -> str | None:
    """The word up or down when the text is nothing but that emoji, in any skin tone, any number of times; else None."""
    found = _THUMB.fullmatch(text.strip())
    if found is None:
        return None
    return "up" if found["up"] else "down"
