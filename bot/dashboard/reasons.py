"""Why a message was given up, in words of staff: what the store keeps is an exception's class and a provider's code."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Reason:
    """What went wrong, and what to do about it; a sentence or two each."""

    why: str
    remedy: str


# What providers say. Twilio: https://www.twilio.com/docs/api/errors; its codes have five digits, 1xxxx to 6xxxx.
# Meta: https://developers.facebook.com/documentation/business-messaging/whatsapp/support/error-codes; six digits, or
# the few below 400 that all its interfaces share. 400 to 599 are statuses of HTTP, from any of the three.
CODES: tuple[tuple[Collection[int], Reason], ...] = (
    (
        {63016, 131047},
        Reason(
            "More than 24 hours had passed since the student last wrote; after that, WhatsApp takes no free reply.",
            "Try again once the student has written again. Until then it fails in the same way.",
        ),
    ),
    (
        {401, 20003, 63001, 0, 190},
        Reason(
            "The messaging service does not know us: the account SID or the token is wrong, or the token has expired.",
            "The operator corrects it in the settings and restarts Sahpathi. Then try all again.",
        ),
    ),
    (
        {403, 3, 10, *range(200, 300), 131005},
        Reason(
            "The messaging service does not allow our account to send this.",
            "The operator looks into the account's permissions with the messaging service. Then try all again.",
        ),
    ),
    (
        {10001, 20005, 368, 131031, 131042},
        Reason(
            "Our account with the messaging service is suspended, locked or not paid for.",
            "The operator settles this with the messaging service. Then try all again.",
        ),
    ),
    (
        {404, 20404, 21212, 21603, 21606, 63007, 63008, 33, 133010},
        Reason(
            "The messaging service does not know the account or the number that we send from.",
            "The operator compares both with what the service shows, corrects the settings and tries all again.",
        ),
    ),
    (
        {63015, 21608, 131030},
        Reason(
            "A trial account sends only to numbers that were registered with it, and this student's is not.",
            "The operator registers the number with the messaging service, or moves to a full account. Then try again.",
        ),
    ),
    (
        {408, 425, 429, 14107, 20429, 63018, 63038, 4, 80007, 130429, 131048, 131056, 133016},
        Reason(
            "More was sent at once, or in one day, than the messaging service allows.",
            "Try again in an hour, or tomorrow. If it comes often, the operator asks for a higher limit.",
        ),
    ),
    (
        {21211, 21614, 63003, 63024, 131026},
        Reason(
            "The student cannot be reached at this number: it does not exist, or is not on WhatsApp any more.",
            "Try again only after the student has written again.",
        ),
    ),
    (
        {21610},
        Reason(
            "The student has sent STOP and does not want to be written to.",
            "Leave it. The student is answered again after writing START.",
        ),
    ),
    (
        {63032, 130472, 131049},
        Reason(
            "WhatsApp chose not to show this to the student for now.",
            "Try again tomorrow.",
        ),
    ),
    (
        {400, 21617, 21619, 63005, 63013, 63021, 100, 131008, 131009, 131051},
        Reason(
            "The messaging service did not accept this message: not its text, or not the chat it was meant for.",
            "Trying again rarely helps. Tell the operator, with the message's number.",
        ),
    ),
    (
        {*range(500, 600), 63012, 1, 2, 131000, 131016, 131057, 2494100},
        Reason(
            "The messaging service was out of order, although this was tried many times.",
            "Try again in an hour.",
        ),
    ),
)

# What a message without an answer, or a part without a known code, leaves behind: the name of an exception's class.
CLASSES: tuple[tuple[Collection[str], Reason], ...] = (
    (
        {"TransientError"},
        Reason(
            "The messaging service could not be reached, although this was tried many times.",
            "The operator looks at the server's connection to the internet. Then try again.",
        ),
    ),
    (
        {"GenerationError"},
        Reason(
            "The model could not write an answer.",
            "The operator runs “sahpathi doctor”, which says whether the model is there. Then try again.",
        ),
    ),
    (
        {"TimeoutError"},
        Reason(
            "It took too long.",
            "Try again when fewer students are asking.",
        ),
    ),
    (
        {"OperationalError", "InterfaceError", "InternalError"},
        Reason(
            "The database could not be used.",
            "The operator looks whether the disk is full and the database is running. Then try again.",
        ),
    ),
    (
        {"MemoryError", "OutOfMemoryError"},
        Reason(
            "The server had too little memory.",
            "Try again when fewer students are asking. If it comes often, the operator chooses a smaller model.",
        ),
    ),
    (
        {"ConnectError", "ConnectTimeout", "ReadError", "ReadTimeout", "RemoteProtocolError"},
        Reason(
            "A part of Sahpathi that runs apart, such as the search in the books, could not be reached.",
            "The operator runs “sahpathi doctor”, which says which one. Then try again.",
        ),
    ),
)
UNRECORDED = Reason("The reason was not recorded.", "Try again. If it comes back, tell the operator.")

_BY_CODE = {str(code): reason for codes, reason in CODES for code in codes}
_BY_CLASS = {name: reason for names, reason in CLASSES for name in names}


def reason_for(error: str) -> Reason:
    """The reason behind `store.Lost.error`: "Class", "Class code", a provider's bare code, or nothing."""
    if not error:
        return UNRECORDED
    name, _, code = error.partition(" ")
    if name.isdigit():  # a provider's later report brings its code alone
        name, code = "", name
    known = _BY_CODE.get(code) if code else _BY_CLASS.get(name)
    if known is not None:
        return known
    if code:
        return Reason(
            f"The messaging service refused it, with its error {code}.",
            "The operator looks this error up with the messaging service. Trying again helps once its cause is gone.",
        )
    return Reason(
        f"An error that Sahpathi does not expect: {name}.",
        "Try again. If it comes back, tell the operator: the log has more, under the message's number.",
    )
