"""How an adult says "I look after it" on Telegram: by the button under an alert, or by "/seen 12".

It comes through the same inbox as a child's question, and is none: it is heard before the safety filter, consent and
the log, and only from the chats that the settings name. From every other chat it is a command that we do not know.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from bot.alarm.contacts import TELEGRAM, Contact
from bot.ports import Choice
from bot.store import Sight, Sighting
from bot.words import CHANNELS, category

BUTTON = "I look after it"
UNDER = """\
“I look after it” works here too: press it under this message.
“I look after it” इस संदेश के नीचे भी दबा सकते हैं।
"""
TAKEN = """\
Thank you. Incident {number} is looked after now: {english}. Nobody else is alerted.
{open_it}: {address}
Speak with the child today, and close it with a note of what was done.

धन्यवाद। घटना {number} को अब देखा जा रहा है: {hindi}। किसी और को सूचना नहीं जाएगी।
{open_hindi}: {address}
आज ही बच्चे से बात करें, और क्या किया गया, यह लिखकर इसे बंद करें।
"""
SEEN = """\
Incident {number} is looked after already. Nobody else is alerted.

घटना {number} को पहले से देखा जा रहा है। किसी और को सूचना नहीं जाएगी।
"""
CLOSED = """\
Incident {number} is closed already.

घटना {number} पहले ही बंद हो चुकी है।
"""
UNKNOWN = """\
There is no alert with this number. Write the number that stands in the alert, as in: /seen 12

इस संख्या की कोई सूचना नहीं है। सूचना में लिखी घटना की संख्या लिखें, जैसे: /seen 12
"""
REPLIES = {Sight.TAKEN: TAKEN, Sight.SEEN: SEEN, Sight.CLOSED: CLOSED, Sight.UNKNOWN: UNKNOWN}

# Nothing may follow the number: "/seen 12 no, I cannot" must not end the alarm.
_SEEN = re.compile(r"/seen(?:@\w+)?[\s:#]*(\d{0,18})", re.IGNORECASE)  # every database takes 18 digits


def choice(number: int) -> Choice:
    """The button under an alert."""
    return Choice(BUTTON, f"/seen {number}")


def name(address: str) -> str:
    """Who is kept as looking after it: the chat, since a message tells us no more."""
    return f"{CHANNELS[TELEGRAM]} {address}"


class Adults:
    """The chats of those whom the alarm tells, and what they are replied. `page` is that of the incidents, or ""."""

    def __init__(self, adults: Iterable[Contact] = (), page: str = "") -> None:
        self._chats = frozenset(adult.address for adult in adults if adult.kind == TELEGRAM)
        self._page = page

    def heard(self, channel: str, address: str, text: str) -> int | None:
        """The incident that an adult says they look after, 0 where they name none. None for whatever else is said."""
        if channel != TELEGRAM or address not in self._chats or not (said := _SEEN.fullmatch(text.strip())):
            return None
        return int(said[1] or 0)  # int reads Devanagari digits too

    def reply(self, number: int, found: Sighting) -> str:
        """What became of it, in English and Hindi. Names nobody: a group reads it."""
        kind = category(found.category)
        return REPLIES[found.sight].format(
            number=number,
            english=kind.english.lower(),
            hindi=kind.hindi,
            open_it="Open it" if self._page else "Open it on the server",
            open_hindi="इसे खोलें" if self._page else "सर्वर पर इसे खोलें",
            address=f"{self._page}/{number}" if self._page else f"sahpathi incidents show {number}",
        )
