"""How the Cloud API says no: at once, or later in a message's status.

https://developers.facebook.com/documentation/business-messaging/whatsapp/support/error-codes
"""

from __future__ import annotations

from dataclasses import dataclass

from bot.simulator.config import Json


@dataclass(frozen=True, slots=True)
class Refusal:
    """An error at once. `title` is part of its message, `details` of its error_data."""

    status: int
    code: int
    title: str
    details: str = ""
    subcode: int | None = None
    type: str = "OAuthException"

    def body(self, trace: str) -> Json:
        """The Graph API's error object; `trace` is its fbtrace_id."""
        error: Json = {"message": f"(#{self.code}) {self.title}", "type": self.type, "code": self.code}
        if self.details:
            error["error_data"] = {"messaging_product": "whatsapp", "details": self.details}
        if self.subcode is not None:
            error["error_subcode"] = self.subcode
        return {"error": error | {"fbtrace_id": trace}}


@dataclass(frozen=True, slots=True)
class Failure:
    """An error that a status reports."""

    code: int
    title: str
    details: str

    def body(self) -> Json:
        """One of a status's `errors`."""
        details = {"details": self.details}
        return {"code": self.code, "title": self.title, "message": self.title, "error_data": details}


def missing(details: str) -> Refusal:
    return Refusal(400, 131008, "Required parameter is missing", details)


def wrong(details: str) -> Refusal:
    return Refusal(400, 131009, "Parameter value is not valid", details)


def invalid(details: str) -> Refusal:
    return Refusal(400, 100, "Invalid parameter", details)


BUSY = Refusal(400, 130429, "Rate limit hit", "Cloud API message throughput has been reached.")
PAIR_BUSY = Refusal(400, 131056, "(Business Account, Consumer Account) pair rate limit hit", "Too many messages.")
ILL = Refusal(500, 131000, "Something went wrong", "Something went wrong.")
UNSUPPORTED = Refusal(400, 131051, "Unsupported message type", "This message type is not supported.")
OUTSIDE_WINDOW = Failure(
    131047, "Re-engagement message", "More than 24 hours have passed since the customer last replied to this number."
)
UNDELIVERABLE = Failure(131026, "Message undeliverable", "Message Undeliverable.")

AT_ONCE = {refusal.code: refusal for refusal in (BUSY, PAIR_BUSY)}
LATER = {failure.code: failure for failure in (OUTSIDE_WINDOW, UNDELIVERABLE)}
