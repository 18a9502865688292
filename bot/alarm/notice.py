"""What an adult is told of a child in distress: that it happened, where to look, and what to do.

It travels by e-mail or Telegram and may lie open on a desk. So it holds nothing the child wrote, and no name or number.
"""

from __future__ import annotations

from dataclasses import dataclass

from bot.store import Case
from bot.words import CHANNELS, category

BY_PAGE = """\
A child needs an adult today. The safety filter heard: {english}.
Incident {number}, {when}, on {channel}.

1. Open it: {address}
2. Press “I look after it”, so that nobody else is alerted.
3. Speak with the child today.
4. Close it with a note of what was done.

एक बच्चे को आज किसी बड़े की ज़रूरत है। विषय: {hindi}।
घटना {number}, {when}, {channel} पर।

1. इसे खोलें: {address}
2. “I look after it” दबाएँ, ताकि किसी और को सूचना न जाए।
3. आज ही बच्चे से बात करें।
4. क्या किया गया, यह लिखकर इसे बंद करें।
"""
BY_COMMAND = """\
A child needs an adult today. The safety filter heard: {english}.
Incident {number}, {when}, on {channel}.

1. Open it on the server: sahpathi incidents show {number}
2. Say that you look after it, so that nobody else is alerted: sahpathi incidents seen {number} --by NAME
3. Speak with the child today.
4. Close it with a note of what was done: sahpathi incidents close {number} --by NAME --note "..."

एक बच्चे को आज किसी बड़े की ज़रूरत है। विषय: {hindi}।
घटना {number}, {when}, {channel} पर।

1. सर्वर पर इसे खोलें: sahpathi incidents show {number}
2. बताएँ कि आप इसे देख रहे हैं, ताकि किसी और को सूचना न जाए: sahpathi incidents seen {number} --by NAME
3. आज ही बच्चे से बात करें।
4. क्या किया गया, यह लिखकर इसे बंद करें: sahpathi incidents close {number} --by NAME --note "..."
"""


@dataclass(frozen=True, slots=True)
class Notice:
    """One alert. `number` is that of the incident."""

    number: int
    subject: str
    text: str


def about(case: Case, page: str = "") -> Notice:
    """In English and Hindi. `page` is the address of the incidents' page, "" where it cannot be reached from outside.

    The time is that of the server's time zone.
    """
    kind = category(case.category)
    text = (BY_PAGE if page else BY_COMMAND).format(
        number=case.id,
        english=kind.english.lower(),
        hindi=kind.hindi,
        when=f"{case.created_at.astimezone():%Y-%m-%d %H:%M %Z}",
        channel=CHANNELS.get(case.channel, case.channel),
        address=f"{page}/{case.id}",
    )
    return Notice(case.id, f"Sahpathi: a child needs an adult today · एक बच्चे को मदद चाहिए ({case.id})", text)
