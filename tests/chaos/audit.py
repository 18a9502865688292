"""Counts what became of every message: from the database, which says what should have been sent, and from the
providers' own record, which says what was."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from sqlalchemy import create_engine, select
from sqlalchemy.orm import Session

from bot.ports import DeliveryState
from bot.store import ANSWERED
from bot.tables import Conversation, InboxMessage, OutboxPart, StoredAnswer
from tests.bot.simulator.driver import Json

CHANNELS = {"telegram": "telegram", "twilio": "whatsapp", "cloud": "cloud"}
ARRIVED = frozenset({DeliveryState.SENT, DeliveryState.DELIVERED, DeliveryState.READ})

Address = tuple[str, str]  # channel, and the digits of the student's number


@dataclass(frozen=True, slots=True)
class Part:
    """A part of an answer as the database has it."""

    id: int
    to: Address
    message_id: int
    text: str
    state: str
    in_doubt: bool
    provider_id: str


@dataclass
class Ledger:
    """Everything of the database that matters here."""

    inbox: dict[tuple[str, str], list[tuple[int, str]]]  # (channel, provider id) -> the rows' ids and states
    answers: Counter[int]  # by message
    parts: list[Part]

    @classmethod
    def read(cls, sql_url: str) -> Ledger:
        engine = create_engine(sql_url)
        inbox: defaultdict[tuple[str, str], list[tuple[int, str]]] = defaultdict(list)
        try:
            with Session(engine) as session:
                for message in session.scalars(select(InboxMessage)):
                    inbox[message.channel, message.provider_id].append((message.id, message.state))
                answers = Counter(session.scalars(select(StoredAnswer.message_id)))
                rows = session.execute(select(OutboxPart, Conversation).join(Conversation).order_by(OutboxPart.id))
                parts = [_part(part, conversation) for part, conversation in rows]
        finally:
            engine.dispose()
        return cls(inbox, answers, parts)


@dataclass
class Account:
    """The counts. `faulty` is empty when every claim holds."""

    messages: int = 0
    answers: int = 0
    parts: int = 0
    deliveries: int = 0
    in_doubt: int = 0  # parts whose sending was cut short once
    doubles: int = 0  # deliveries beyond the first of a part
    lost: list[str] = field(default_factory=list)  # a message without an answer that arrived
    twice: list[str] = field(default_factory=list)  # a message stored or answered twice, or words of no stored answer
    disordered: list[str] = field(default_factory=list)  # a part that arrived before one that precedes it
    doubled_without_doubt: list[str] = field(default_factory=list)
    broken_rules: list[str] = field(default_factory=list)  # of a provider

    @property
    def faulty(self) -> list[str]:
        return [*self.lost, *self.twice, *self.disordered, *self.doubled_without_doubt, *self.broken_rules]


def audit(said: Iterable[tuple[str, str]], deliveries: Sequence[Json], ledger: Ledger) -> Account:
    """`said`: (provider, its id) of every message. `deliveries`: what the providers took, in order."""
    account = Account(
        answers=ledger.answers.total(), parts=len(ledger.parts), deliveries=len(deliveries),
        in_doubt=sum(part.in_doubt for part in ledger.parts),
    )  # fmt: skip
    arrived = _arrivals(deliveries, ledger.parts, account)
    by_message: defaultdict[int, list[Part]] = defaultdict(list)
    for part in ledger.parts:
        by_message[part.message_id].append(part)
    for provider, provider_id in said:
        account.messages += 1
        _message(f"{provider} message {provider_id}", ledger.inbox.get((CHANNELS[provider], provider_id), []),
                 by_message, ledger.answers, arrived, account)  # fmt: skip
    _order(arrived, ledger.parts, account)
    return account


def _message(
    name: str,
    rows: Sequence[tuple[int, str]],
    parts: Mapping[int, Sequence[Part]],
    answers: Counter[int],
    arrived: Mapping[int, Sequence[int]],
    account: Account,
) -> None:
    """One message that a student sent: stored once, answered once, and its answer on the phone."""
    if not rows:
        account.lost.append(f"{name}: not in the inbox")
        return
    if len(rows) > 1:
        account.twice.append(f"{name}: {len(rows)} rows in the inbox")
    message_id, state = rows[0]
    if state != ANSWERED:
        account.lost.append(f"{name}: {state}")
    elif answers[message_id] != 1:
        (account.twice if answers[message_id] else account.lost).append(f"{name}: {answers[message_id]} answers")
    elif not parts[message_id]:
        account.lost.append(f"{name}: an answer without parts")
    for part in parts[message_id]:
        if part.state not in ARRIVED or part.id not in arrived:
            account.lost.append(f"{name}: part {part.id} is {part.state}, with the provider {part.id in arrived}")


def _arrivals(deliveries: Sequence[Json], parts: Sequence[Part], account: Account) -> dict[int, list[int]]:
    """When each part arrived, as places in the providers' record; more than one place is a double.

    The provider's id on record names the delivery that we know of. Another one of the same words to the same student
    is a double of the part that was in doubt there; words of no part at all would be an answer written twice.
    """
    known: dict[tuple[str, str], Part] = {}
    by_student: defaultdict[Address, list[Part]] = defaultdict(list)
    for stored in parts:
        by_student[stored.to].append(stored)
        if stored.provider_id:
            known[stored.to[0], stored.provider_id] = stored
    arrived: defaultdict[int, list[int]] = defaultdict(list)
    for place, call in enumerate(deliveries):
        to = (CHANNELS[call["provider"]], _digits(call["student"]))
        part = known.get((to[0], call["message_id"])) or _same_words(by_student[to], _words(call))
        if part is None:
            account.twice.append(f"a delivery by {call['provider']} whose words are in no stored answer")
            continue
        arrived[part.id].append(place)
        if len(arrived[part.id]) > 1:
            account.doubles += 1
            if not part.in_doubt:
                account.doubled_without_doubt.append(f"part {part.id} arrived twice and was never in doubt")
    return arrived


def _same_words(parts: Sequence[Part], words: str) -> Part | None:
    """The part with these words; one that was in doubt first, for it explains a double."""
    alike = [part for part in parts if words.startswith(part.text)]
    return next((part for part in alike if part.in_doubt), alike[0] if alike else None)


def _order(arrived: Mapping[int, Sequence[int]], parts: Sequence[Part], account: Account) -> None:
    latest: defaultdict[Address, int] = defaultdict(lambda: -1)
    for part in parts:
        if part.id not in arrived:
            continue
        first = arrived[part.id][0]
        if first < latest[part.to]:
            account.disordered.append(f"part {part.id} arrived before an earlier one")
        latest[part.to] = max(latest[part.to], first)


def _part(part: OutboxPart, conversation: Conversation) -> Part:
    to = (conversation.channel, _digits(conversation.address))
    return Part(part.id, to, part.message_id, part.text, part.state, part.in_doubt, part.provider_id or "")


def _words(call: Json) -> str:
    """The words of a call, wherever its provider has them."""
    given = call["parameters"]
    match call["provider"]:
        case "telegram":
            return str(given["text"])
        case "twilio":
            return str(given["Body"])
        case _:
            return str(given["interactive"]["body"]["text"] if "interactive" in given else given["text"]["body"])


def _digits(address: str) -> str:
    return "".join(filter(str.isdigit, address))
