"""An answer of another server as it comes in, and the Generation that it makes."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from inference.generation import Generation
from inference.prompt import STOP_MARKERS
from inference.remote_models import Choice
from inference.remote_wire import DONE, Chunk, RemoteBroken, RemoteUnavailable, chunk
from inference.text import StopFilter

UNKNOWN_CONFIDENCE = 0.5  # of a server that tells no probabilities: neither sure nor unsure


@dataclass(slots=True)
class Reading:
    """An answer as it comes in, and what it turns out to be."""

    choice: Choice
    started: float
    finished: bool = False
    _markers: StopFilter = field(default_factory=lambda: StopFilter(STOP_MARKERS))
    _text: list[str] = field(default_factory=list)
    _log_probabilities: list[float] = field(default_factory=list)
    _pieces: int = 0
    _tokens: int | None = None
    _finish: str = ""
    _own: Mapping[str, Any] | None = None

    def take(self, data: str | None) -> Chunk:
        """Note one event; None is the stream's end. Raises RemoteUnavailable or RemoteBroken when it is cut short."""
        if data is None or data == DONE:
            if not self._finish:
                if self._pieces == 0:
                    raise RemoteUnavailable("the server ended its answer before it had begun")
                raise RemoteBroken("the server ended its answer in the middle; its own log says why")
            self.finished = True
            return Chunk()
        told = chunk(data)
        self._log_probabilities += told.log_probabilities
        self._pieces += bool(told.text)
        self._tokens = told.tokens if told.tokens is not None else self._tokens
        self._finish = "marker" if told.at_stop else (told.finish or self._finish)
        self._own = told.own or self._own
        return told

    def show(self, told: Chunk) -> str:
        """What may be shown of it now; ends the reading at a marker."""
        shown = self._markers.push(told.text)
        self.finished = self.finished or self._markers.stopped
        self._text.append(shown)
        return shown

    def rest(self) -> str:
        """What was held back."""
        self._text.append(self._markers.finish())
        return self._text[-1]

    def generation(self) -> Generation:
        """The whole answer.

        Confidence is what our own server says, else the geometric mean of the probabilities that were told, else
        UNKNOWN_CONFIDENCE. Tokens likewise, at the last the number of pieces.
        """
        own = self._own or {}
        known = self._log_probabilities
        confidence = math.exp(sum(known) / len(known)) if known else UNKNOWN_CONFIDENCE
        stopped_by = {"length": "length", "marker": "marker"}.get(self._finish, "end")
        tokens = self._tokens if self._tokens is not None else (len(known) or self._pieces)
        return Generation(
            text="".join(self._text),
            confidence=float(own.get("confidence", confidence)),
            tokens=tokens,
            stopped_by="marker" if self._markers.stopped else str(own.get("stopped_by", stopped_by)),
            seconds=time.monotonic() - self.started,
            adapter=own.get("adapter") if own else self.choice.adapter,
        )
