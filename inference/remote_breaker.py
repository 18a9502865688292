"""A circuit breaker: a server that keeps failing is left alone for a while, so that nobody waits for it in vain.

Closed, everything passes. After `failures` in a row it opens: everything is turned down at once. When `rest` seconds
are over, one request is let through to try; it closes the breaker, or opens it for another rest.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from inference.errors import EngineTimeout
from inference.remote_wire import RemoteBroken, RemoteBusy, RemoteUnavailable

logger = logging.getLogger(__name__)

FAILURES = (RemoteUnavailable, RemoteBroken, EngineTimeout)


class Attempt:
    """One request on its way. `answered` is set once a piece of an answer has come."""

    def __init__(self) -> None:
        self.answered = False


class Breaker:
    """See the module. `clock` gives seconds that only grow."""

    def __init__(self, *, failures: int = 5, rest: float = 15.0, clock: Callable[[], float] = time.monotonic) -> None:
        if failures < 1 or rest <= 0:
            raise ValueError(f"failures must be 1 or more and rest above 0, got {failures} and {rest}")
        self._limit = failures
        self._rest = rest
        self._clock = clock
        self._failed = 0  # in a row
        self._opened: float | None = None
        self._trying = False

    @property
    def open(self) -> bool:
        """Whether requests are turned down just now."""
        return self._opened is not None and (self._trying or self._clock() < self._opened + self._rest)

    @contextmanager
    def attempt(self) -> Iterator[Attempt]:
        """Around one request. Raises RemoteUnavailable when the breaker is open.

        A refusal is no failure of the server, nor is a full queue. One that is given up by its caller counts as a
        success when something of an answer had come; otherwise it proves nothing, and nor does a refusal.
        """
        if self.open:
            raise RemoteUnavailable("the server failed several times in a row and is left alone for a while")
        trial = self._trying = self._opened is not None
        attempt = Attempt()
        try:
            yield attempt
        except FAILURES as error:
            if not isinstance(error, RemoteBusy):
                self._fail(trial=trial)
            raise
        except BaseException:
            if attempt.answered:
                self._close()
            raise
        else:
            self._close()
        finally:
            if trial:
                self._trying = False

    def _fail(self, *, trial: bool) -> None:
        self._failed += 1
        if trial or (self._opened is None and self._failed >= self._limit):
            logger.warning("the generating server has failed %d times in a row; the book is quoted", self._failed)
            self._opened = self._clock()

    def _close(self) -> None:
        if self._opened is not None:
            logger.info("the generating server answers again")
        self._failed, self._opened = 0, None
