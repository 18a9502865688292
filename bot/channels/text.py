"""What every messaging channel does to a text it receives."""

from __future__ import annotations


def storable(text: str) -> str:
    """The text without what no database takes: NUL, and halves of surrogate pairs (shown as the replacement sign).

    Otherwise one such message could never be committed, and its provider would deliver it again for ever.
    """
    whole = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return whole.replace("\0", "")
