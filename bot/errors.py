"""Every exception of ours, at a glance. Retry policy is one line: a PermanentError is never retried.

SahpathiError
├── SetupError                 the operator must change something; the message says what. The command exits with 2
│   ├── SettingsError          a malformed or missing setting
│   ├── IndexMismatch          the index was made by another embedding model
│   └── IndexBusy              another process has the embedded index open
├── DeliveryError              talking to a provider failed
│   ├── TransientError         try again later; `retry_after` seconds when the provider named them
│   └── PermanentError         never again: malformed, no such number
│       ├── Unreachable        the student blocked us or unsubscribed: to be left alone
│       └── OutsideWindow      too late for a free reply: no sooner than the student writes again
├── GenerationError            no text could be generated; the tutor quotes the book instead
├── LeaseLost                  another worker owns the conversation now; what we were about to commit must not be
├── ForgedRequest              a webhook whose signature or secret is wrong (403)
└── UnknownShape               a webhook we verified but do not understand (200, counted)
"""

from __future__ import annotations


class SahpathiError(Exception):
    """The root of every exception raised on purpose."""


class SetupError(SahpathiError):
    """The operator must change something; the message says what."""


class SettingsError(SetupError):
    """A malformed or missing setting."""


class IndexMismatch(SetupError):
    """The index was made by another embedding model than the one configured."""


class IndexBusy(SetupError):
    """Another process has the embedded index open: the service, which takes the work as a job, or another command."""


class DeliveryError(SahpathiError):
    """Talking to a provider failed. `code` is the provider's own error code, as text."""

    def __init__(self, message: str, *, code: str = "") -> None:
        super().__init__(message)
        self.code = code


class TransientError(DeliveryError):
    """May succeed later. `retry_after` is in seconds when the provider named a delay.

    `in_doubt`: the provider may have accepted the part all the same (its answer was lost): reconcile before resending.
    """

    def __init__(
        self, message: str, *, code: str = "", retry_after: float | None = None, in_doubt: bool = False
    ) -> None:
        super().__init__(message, code=code)
        self.retry_after = retry_after
        self.in_doubt = in_doubt


class PermanentError(DeliveryError):
    """Will never succeed: never retried, shown to staff."""


class Unreachable(PermanentError):
    """The student blocked us, unsubscribed or is gone: left alone until the student writes again."""


class OutsideWindow(PermanentError):
    """The provider takes free replies only so long after a student's last message; the next one opens the window."""


class GenerationError(SahpathiError):
    """No text could be generated: the engine is missing, died, or ran out of time."""


class LeaseLost(SahpathiError):
    """Another worker holds the conversation's lease; nothing may be committed."""


class ForgedRequest(SahpathiError):
    """A webhook whose signature or secret token is missing or wrong."""


class UnknownShape(SahpathiError):
    """A verified webhook of a kind we do not know. `kind` names it for the counter, never its content."""

    def __init__(self, kind: str) -> None:
        super().__init__(f"unknown webhook kind: {kind}")
        self.kind = kind
