"""What Twilio's documentation demands of a WhatsApp message, and how its API says no.

https://www.twilio.com/docs/messaging/api/message-resource and https://www.twilio.com/docs/api/errors. Parameters and
fields are named as there; a rule is named by its parameter and the error's number.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from operator import itemgetter
from urllib.parse import urlsplit

from bot.simulator.rules import Params, Rule
from bot.simulator.whatsapp import WINDOW

LONGEST_BODY = 1600
MOST_MEDIA = 10
LARGEST_PAGE = 1000

CREATE = frozenset(
    {
        "To", "StatusCallback", "ApplicationSid", "MaxPrice", "ProvideFeedback", "Attempt", "ValidityPeriod",
        "ForceDelivery", "ContentRetention", "AddressRetention", "SmartEncoded", "PersistentAction", "TrafficType",
        "ShortenUrls", "ScheduleType", "SendAt", "SendAsMms", "ContentVariables", "RiskCheck", "From", "FallbackFrom",
        "MessagingServiceSid", "Body", "MediaUrl", "ContentSid",
    }
)  # fmt: skip
LIST = frozenset({"To", "From", "DateSent", "DateSent<", "DateSent>", "PageSize", "Page", "PageToken"})
RESOURCE = frozenset(
    {
        "body", "num_segments", "direction", "from", "to", "date_updated", "price", "error_message", "uri",
        "account_sid", "num_media", "status", "messaging_service_sid", "sid", "date_sent", "date_created", "error_code",
        "price_unit", "api_version", "subresource_uris",
    }
)  # fmt: skip

_ADDRESS = re.compile(r"whatsapp:\+[1-9]\d{6,14}")
_CONTENT_SID = re.compile("HX[0-9a-fA-F]{32}")
_HOST = re.compile(r"[A-Za-z0-9.-]+")


@dataclass(frozen=True, slots=True)
class Refusal:
    """How Twilio says no at once."""

    status: int
    code: int
    message: str


def bad(code: int, message: str) -> Refusal:
    return Refusal(400, code, message)


@dataclass(frozen=True, slots=True)
class Failure:
    """How Twilio says no later: the message's error, which its status callback reports."""

    code: int
    message: str


UNSUBSCRIBED = bad(21610, "Attempt to send to unsubscribed recipient")
BUSY = Refusal(429, 20429, "Too Many Requests")
ILL = Refusal(500, 20500, "An internal server error has occurred")
OUTSIDE_WINDOW = Failure(63016, "Failed to send freeform message because you are outside the allowed window.")
FAILURES = {
    failure.code: failure
    for failure in (
        OUTSIDE_WINDOW,
        Failure(63018, "Rate limit exceeded for Channel"),
        Failure(63024, "Invalid message recipient"),
        Failure(63003, "Channel could not find To address"),
    )
}

R = Rule[Refusal]

AUTHENTICATED = R("20003", "The account's SID and auth token are given by basic authentication.",
                  Refusal(401, 20003, "Authenticate"))  # fmt: skip
FOUND = R("20404", "The resource exists.", Refusal(404, 20404, "The requested resource was not found"))
SENDER_OURS = R("From: 63007", "From is a sender of the account's.",
                bad(63007, "Twilio could not find a Channel with the specified From address"))  # fmt: skip
UNKNOWN_PARAMETER = R("Message parameters", "Only documented parameters mean anything; Twilio ignores others.")
CALLBACK_OURS = R("StatusCallback", "The callback is at the service's public address, all that the simulator calls.")
IN_WINDOW = R("63016", WINDOW)
CDN_CREDENTIALS = R(
    "Media: redirect",
    "The account's credentials go to Twilio only, never to the host that a media URL redirects to.",
    bad(0, "Only one auth mechanism allowed"),
)


def _absolute(url: str) -> bool:
    parts = urlsplit(url)
    return parts.scheme in {"http", "https"} and bool(_HOST.fullmatch(parts.hostname or ""))


def _variables(params: Params) -> bool:
    if "ContentVariables" not in params:
        return True
    try:
        return "ContentSid" in params and isinstance(json.loads(params["ContentVariables"]), dict)
    except ValueError:
        return False


def _has_content(params: Params) -> bool:
    return any(params.get(name) for name in ("Body", "MediaUrl", "ContentSid"))


CREATE_RULES: tuple[R, ...] = (
    R("To: 21604", "To is required.", bad(21604, "A 'To' phone number is required."), lambda params: "To" in params),
    R(
        "To: 21211",
        "To is a channel address: whatsapp: and a number in E.164 format.",
        bad(21211, "Invalid 'To' Phone Number"),
        lambda params: bool(_ADDRESS.fullmatch(params["To"])),
        itemgetter("To"),
    ),
    R(
        "From: 21603",
        "From or MessagingServiceSid is required.",
        bad(21603, "A 'From' phone number is required."),
        lambda params: "From" in params or "MessagingServiceSid" in params,
    ),
    R(
        "From: 21212",
        "From is a channel address: whatsapp: and a number in E.164 format.",
        bad(21212, "Invalid 'From' Phone Number"),
        lambda params: "From" not in params or bool(_ADDRESS.fullmatch(params["From"])),
        itemgetter("From"),
    ),
    R(
        "Body: 21619",
        "Body, MediaUrl or ContentSid is required.",
        bad(21619, "A text message body or media urls must be specified."),
        _has_content,
    ),
    R(
        "Body: 21617",
        "Up to 1,600 characters.",
        bad(21617, "The concatenated message body exceeds the 1600 character limit"),
        lambda params: len(params.get("Body", "")) <= LONGEST_BODY,
        itemgetter("Body"),
    ),
    R(
        "MediaUrl: 21623",
        "At most 10 media files.",
        bad(21623, "Number of media files exceeds allowed limit"),
        lambda params: len(params.get("MediaUrl", ())) <= MOST_MEDIA,
    ),
    R(
        "StatusCallback: 21609",
        "An absolute URL with a valid hostname; underscores are not allowed.",
        bad(21609, "The StatusCallback URL is not a valid URL"),
        lambda params: "StatusCallback" not in params or _absolute(params["StatusCallback"]),
        itemgetter("StatusCallback"),
    ),
    R(
        "ContentSid: 21655",
        "The SID of a content template: HX and 32 hexadecimal digits.",
        bad(21655, "The ContentSid is Invalid"),
        lambda params: "ContentSid" not in params or bool(_CONTENT_SID.fullmatch(params["ContentSid"])),
        itemgetter("ContentSid"),
    ),
    R(
        "ContentVariables: 21656",
        "A JSON object, and together with ContentSid only.",
        bad(21656, "The ContentVariables Parameter is invalid"),
        _variables,
        itemgetter("ContentVariables"),
    ),
)
LIST_RULES: tuple[R, ...] = (
    R(
        "PageSize: 20006",
        "1 to 1000.",
        bad(20006, "Page size must be between 1 and 1000"),
        lambda params: (
            params.get("PageSize", "50").isdigit() and 1 <= int(params.get("PageSize", "50")) <= LARGEST_PAGE
        ),
    ),
)
