"""The questions the service asks of its database, a verb each. One method is one transaction.

SQLite has one writer: an asyncio lock in front of it keeps eight concurrent writers from queueing inside the driver
(p99 105 ms against 17 ms). Messages that arrive together are committed together (`accept`), so that a durable
acknowledgement costs one fsync for many.
"""

from __future__ import annotations

from bot.store.alarms import Alarms, ReviewedAlarm
from bot.store.arrivals import Accepted, Arrivals
from bot.store.database import connect
from bot.store.given_up import GivenUp, Lost
from bot.store.incidents import CLOSED, FALSE_ALARM, OPEN, REAL, Alert, Case, Incidents, Sight, Sighting
from bot.store.log import APPROVED, CORRECTED, Log
from bot.store.messages import ANSWERED, BURIED, HELD, WAITING, Messages, Work
from bot.store.parts import Parts, Pending
from bot.store.staff import Staff
from bot.store.students import Students
from bot.store.verified import REJECTED, Verified

__all__ = [
    "ANSWERED",
    "APPROVED",
    "BURIED",
    "CLOSED",
    "CORRECTED",
    "FALSE_ALARM",
    "HELD",
    "OPEN",
    "REAL",
    "REJECTED",
    "WAITING",
    "Accepted",
    "Alert",
    "Case",
    "Lost",
    "Pending",
    "ReviewedAlarm",
    "Sight",
    "Sighting",
    "Store",
    "Work",
    "connect",
]


class Store(Arrivals, Messages, Parts, Students, GivenUp, Incidents, Log, Verified, Alarms, Staff):
    """All reading and writing of the database."""

    async def is_due(self, conversation_id: int) -> bool:
        """Whether the conversation holds a message or a part that could be served now."""
        message, pending = await self.next_message(conversation_id), await self.next_part(conversation_id)
        return pending.due if pending else message is not None
