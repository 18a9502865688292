"""From tokens to the text a student sees while it is being written: whole characters, and never a stop marker."""

from __future__ import annotations

from collections.abc import Callable, Sequence

Decode = Callable[[list[int]], str]

_INCOMPLETE = "\N{REPLACEMENT CHARACTER}"  # what decoding puts in place of bytes that are not (yet) a character


class Detokeniser:
    """Turns tokens into text as they come, holding back a character until all of its bytes are there.

    A Devanagari letter is three bytes of UTF-8 and may be spread over as many tokens. Only a short window is decoded at
    each step: from the start of the piece before, because some tokenizers write a token differently at the start of a
    text (a leading space is lost), up to the newest token.
    """

    def __init__(self, decode: Decode) -> None:
        self._decode = decode
        self._tokens: list[int] = []
        self._window = 0  # where the window starts
        self._told = 0  # how many tokens have been turned into text

    def push(self, token: int) -> str:
        """The text that this token completes; "" while a character is incomplete."""
        self._tokens.append(token)
        text = self._pending()
        if text.endswith(_INCOMPLETE):
            return ""
        self._window, self._told = self._told, len(self._tokens)
        return text

    def finish(self) -> str:
        """What was held back, without a character that was cut short."""
        text = self._pending().rstrip(_INCOMPLETE)
        self._window = self._told = len(self._tokens)
        return text

    def _pending(self) -> str:
        before = self._decode(self._tokens[self._window : self._told])
        return self._decode(self._tokens[self._window :])[len(before) :]


class StopFilter:
    """Passes text on up to the first stop marker, holding back whatever may still turn out to be the start of one.

    White space around the whole text is dropped, so the pieces joined are exactly the final text. The text counts as
    the beginning of a line: a marker such as "\\nQuestion:" also stops it when it comes first.
    """

    def __init__(self, markers: Sequence[str]) -> None:
        self._markers = tuple(markers)
        self._held = "\n"
        self._started = False
        self.stopped = False

    def push(self, text: str) -> str:
        """What may be shown now. Sets `stopped` when a marker is complete; everything after it is ignored."""
        if self.stopped:
            return ""
        self._held += text
        found = [at for marker in self._markers if (at := self._held.find(marker)) >= 0]
        if found:
            self.stopped = True
            return self._release(min(found), last=True)
        return self._release(len(self._held) - self._doubtful(), last=False)

    def finish(self) -> str:
        """What was held back for a marker that never came."""
        return "" if self.stopped else self._release(len(self._held), last=True)

    def _doubtful(self) -> int:
        """The length of the longest end of the held text that begins some marker."""
        longest = min(len(self._held), max(map(len, self._markers), default=1) - 1)
        ends = range(longest, 0, -1)
        return next((n for n in ends if any(marker.startswith(self._held[-n:]) for marker in self._markers)), 0)

    def _release(self, end: int, *, last: bool) -> str:
        text = self._held[:end]
        if not self._started:
            text = text.lstrip()
        shown = text.rstrip()
        self._started = self._started or bool(shown)
        self._held = "" if last else (text[len(shown) :] + self._held[end:])
        return shown
