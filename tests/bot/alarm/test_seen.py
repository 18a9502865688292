"""An adult says on Telegram that they look after it: once, from their own chat only, and no child's message is touched.

Over the real tutor and worker, on a real SQLite file and on a real PostgreSQL.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

import pytest

from bot.alarm.contacts import contacts
from bot.alarm.seen import Adults, choice, name
from bot.channels.telegram_updates import parse
from bot.errors import LeaseLost
from bot.live import MemoryLive
from bot.ports import Decoding, Inbound, Kind
from bot.replies import Replies
from bot.settings import PROJECT
from bot.store import OPEN, Sight, Sighting, Store, Work
from bot.tutor import Tutor
from bot.tutoring.commands import Commands
from bot.words import DISTRESS
from bot.worker import Patience, Worker
from inference.prompt import grounded
from tests.bot.distress import COMFORT, FAILED_CLOSED, QUESTION, happened, kept
from tests.memory import MemoryChannel, MemoryLibrary, WordSafety

BOTH = pytest.mark.parametrize("database", ["sqlite", "postgresql"], indirect=True)
ASHA, STAFF, STRANGER = "700100900", "-100200300", "700100999"
ADULTS = contacts(f"mailto:meera@school.example, telegram:{ASHA}, telegram:{STAFF}")
PAGE = "https://tutor.school.example/dashboard/incidents"
REPLIES = Replies.load(PROJECT / "data" / "locales")
UNKNOWN_COMMAND = REPLIES.say("unknown_command", "en")


@dataclass
class Bot:
    """The service from the inbox to what it sends on Telegram."""

    store: Store
    safety: WordSafety = field(default_factory=WordSafety)
    channel: MemoryChannel = field(default_factory=lambda: MemoryChannel("telegram", asks_consent=True))
    updates: int = 0

    def __post_init__(self) -> None:
        shelf = MemoryLibrary()
        tutor = Tutor(
            safety=self.safety,
            retriever=shelf,
            grounder=shelf,
            generator=None,
            replies=REPLIES,
            everyday=lambda text: None,
            calculate=lambda text, language: None,
            commands=Commands(REPLIES),
            prompt=grounded,
            decoding=Decoding(),
        )
        quick = Patience(lease=5.0, attempts=2, backoff=0.01)
        channels = {"telegram": self.channel}
        adults = Adults(ADULTS, PAGE)
        self.worker = Worker(self.store, tutor, channels, MemoryLive(), patience=quick, concurrency=4, adults=adults)

    async def hear(self, address: str, text: str, *, update: int | None = None) -> list[str]:
        """What the chat is replied to this."""
        self.updates += 1
        kind = Kind.COMMAND if text.startswith("/") else Kind.TEXT
        message = Inbound("telegram", str(update or self.updates), address, kind, text)
        accepted = await self.store.accept(message)
        before = len(self.channel.sent)
        await self.worker.drain(accepted.conversation_id)
        return [text for _, text in self.channel.sent[before:]]


# ---- what is said --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    ["/seen 12", "/seen12", "/SEEN 12", " /seen  12 ", "/seen@SahpathiBot 12", "/seen: 12", "/seen #12", "/seen १२"],
)
def test_an_adult_names_an_incident_in_any_of_these_forms(text: str) -> None:
    assert Adults(ADULTS).heard("telegram", ASHA, text) == 12


@pytest.mark.parametrize("text", ["/seen", "/seen ", "/seen@SahpathiBot"])
def test_an_adult_may_forget_the_number(text: str) -> None:
    assert Adults(ADULTS).heard("telegram", ASHA, text) == 0


@pytest.mark.parametrize(
    "text",
    ["/seen 12 no, I cannot", "/seen -12", "/seen twelve", "/seenable 12", "/see 12", "seen 12", f"/seen {10**18}"],
)
def test_whatever_else_an_adult_says_is_for_the_tutor(text: str) -> None:
    assert Adults(ADULTS).heard("telegram", ASHA, text) is None


@pytest.mark.parametrize(
    ("channel", "address"),
    [
        ("telegram", STRANGER),
        ("telegram", STAFF.removeprefix("-")),
        ("telegram", "meera@school.example"),
        ("whatsapp", ASHA),
        ("web", ASHA),
    ],
)
def test_nobody_else_is_heard(channel: str, address: str) -> None:
    assert Adults(ADULTS).heard(channel, address, "/seen 12") is None
    assert Adults().heard("telegram", ASHA, "/seen 12") is None


def test_the_button_works_in_a_group_too() -> None:
    update = {
        "update_id": 7,
        "callback_query": {
            "id": "41",
            "from": {"id": int(STRANGER), "is_bot": False, "first_name": "Meera"},
            "chat_instance": "1",
            "data": choice(12).command,
            "message": {"message_id": 5, "date": 0, "chat": {"id": int(STAFF), "type": "group", "title": "Staff"}},
        },
    }
    (pressed,) = parse(update, None)
    assert Adults(ADULTS).heard(pressed.channel, pressed.address, pressed.text) == 12


# ---- what is replied -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("category", DISTRESS)
@pytest.mark.parametrize("page", [PAGE, ""])
def test_what_is_looked_after_is_named_in_both_languages_with_where_to_find_it(category: str, page: str) -> None:
    said = Adults(ADULTS, page).reply(12, Sighting(Sight.TAKEN, category))
    where = f"{PAGE}/12" if page else "sahpathi incidents show 12"
    assert said.count(where) == 2
    for shown in ("Incident 12", "घटना 12", DISTRESS[category].english.lower(), DISTRESS[category].hindi):
        assert shown in said


@BOTH
async def test_an_adult_looks_after_it_and_nobody_else_is_alerted(store: Store) -> None:
    case = await happened(store)
    bot = Bot(store)
    (said,) = await bot.hear(ASHA, f"/seen {case.id}")
    assert said == Adults(ADULTS, PAGE).reply(case.id, Sighting(Sight.TAKEN, "self_harm"))
    assert bot.channel.sent == [(ASHA, said)]
    found = await kept(store, case.id)
    assert (found.state, found.seen_by, found.next_alert_at) == (OPEN, "Telegram 700100900", None)
    assert found.seen_at is not None
    assert await store.alerts_due() == []
    for hidden in (QUESTION, COMFORT, "98765"):
        assert hidden not in said


@BOTH
async def test_it_is_no_question_of_a_student(store: Store) -> None:
    """An adult who never agreed to anything, and a filter that breaks on it: neither stands in between."""
    case = await happened(store)
    logged = [answer.id for answer in await store.answers()]
    assert await Bot(store, WordSafety(broken="")).hear(ASHA, f"/seen {case.id}")
    assert (await kept(store, case.id)).seen_by == name(ASHA)
    assert [answer.id for answer in await store.answers()] == logged
    counts = await store.counts()
    assert ("inbox.waiting" in counts, "inbox.held" in counts, counts["incidents.open"]) == (False, False, 1)


@BOTH
async def test_from_another_chat_it_is_an_unknown_command_and_tells_nothing(store: Store) -> None:
    case = await happened(store)
    before = await kept(store, case.id)
    bot = Bot(store)
    told = [await bot.hear(STRANGER, text) for text in (f"/seen {case.id}", "/seen 999", "/seen", "/weather 1")]
    assert told == [[UNKNOWN_COMMAND]] * 4
    assert await kept(store, case.id) == before
    assert [due.id for due in await store.alerts_due()] == [case.id]


@BOTH
async def test_when_somebody_looks_after_it_already_that_is_said_and_not_who(store: Store) -> None:
    case = await happened(store)
    bot = Bot(store)
    assert await store.see_incident(case.id, by="Meera")
    seen = await kept(store, case.id)
    (said,) = await bot.hear(STAFF, f"/seen {case.id}")
    assert "looked after already" in said
    assert "पहले से" in said
    assert "Meera" not in said
    assert await kept(store, case.id) == seen


@BOTH
async def test_when_it_is_closed_that_is_said(store: Store) -> None:
    case = await happened(store)
    assert await store.close_incident(case.id, by="Meera", note="Spoke with him.")
    closed = await kept(store, case.id)
    (said,) = await Bot(store).hear(ASHA, f"/seen {case.id}")
    assert "closed already" in said
    assert "बंद" in said
    assert "Meera" not in said
    assert await kept(store, case.id) == closed


@BOTH
async def test_a_number_of_no_alert_is_said_to_be_none(store: Store) -> None:
    failed = await happened(store, FAILED_CLOSED)  # an incident, but nobody was alerted
    bot = Bot(store)
    for text in (f"/seen {failed.id}", "/seen 999999999999999999", "/seen 0", "/seen"):
        (said,) = await bot.hear(ASHA, text)
        assert "no alert with this number" in said
        assert "कोई सूचना नहीं" in said
    assert (await kept(store, failed.id)).seen_at is None


# ---- once ----------------------------------------------------------------------------------------------------------


@BOTH
async def test_a_webhook_that_comes_twice_is_answered_once(store: Store) -> None:
    case = await happened(store)
    bot = Bot(store)
    assert len(await bot.hear(ASHA, f"/seen {case.id}", update=41)) == 1
    assert await bot.hear(ASHA, f"/seen {case.id}", update=41) == []
    assert len(bot.channel.sent) == 1


@BOTH
async def test_a_second_press_changes_nothing(store: Store) -> None:
    case = await happened(store)
    bot = Bot(store)
    await bot.hear(ASHA, f"/seen {case.id}")
    first = await kept(store, case.id)
    (said,) = await bot.hear(ASHA, f"/seen {case.id}")
    assert "looked after already" in said
    assert await kept(store, case.id) == first


async def taken(store: Store, address: str, text: str = "/seen") -> tuple[Work, int, str]:
    """An adult's message in a worker's hands: what is to be done, the conversation, the lease."""
    accepted = await store.accept(Inbound("telegram", f"of {address}", address, Kind.COMMAND, text))
    lease = await store.lease(accepted.conversation_id, 30)
    work = await store.next_message(accepted.conversation_id)
    assert lease is not None
    assert work is not None
    return work, accepted.conversation_id, lease


@BOTH
async def test_of_two_adults_who_press_at_once_each_is_told_what_is_true(store: Store) -> None:
    case = await happened(store)
    heard: dict[str, Sighting] = {}

    async def press(address: str) -> None:
        def reply(found: Sighting) -> list[str]:
            heard[address] = found
            return ["Noted."]

        work, conversation, lease = await taken(store, address)
        await store.commit_seen(work, conversation, lease, case.id, name(address), reply)

    await asyncio.gather(*(press(str(number)) for number in range(4)))
    assert sorted(found.sight for found in heard.values()) == [Sight.SEEN] * 3 + [Sight.TAKEN]
    assert {found.category for found in heard.values()} == {"self_harm"}
    (first,) = [address for address, found in heard.items() if found.sight is Sight.TAKEN]
    assert (await kept(store, case.id)).seen_by == f"Telegram {first}"


@BOTH
async def test_all_of_it_is_stored_or_nothing(store: Store) -> None:
    """A worker dies before the commit: the message waits, and the next one finds the incident as it was."""
    case = await happened(store)
    before = await kept(store, case.id)
    work, conversation, lease = await taken(store, ASHA)

    def dies(found: Sighting) -> list[str]:
        assert found.sight is Sight.TAKEN
        raise RuntimeError("killed")

    with pytest.raises(RuntimeError, match="killed"):
        await store.commit_seen(work, conversation, lease, case.id, name(ASHA), dies)
    assert await kept(store, case.id) == before
    assert await store.next_message(conversation) == work
    with pytest.raises(LeaseLost):
        await store.commit_seen(work, conversation, "another's", case.id, name(ASHA), lambda found: ["Noted."])
    assert await kept(store, case.id) == before
    await store.commit_seen(work, conversation, lease, case.id, name(ASHA), lambda found: ["Noted.", "Thank you."])
    assert (await kept(store, case.id)).seen_by == name(ASHA)
    assert await store.next_message(conversation) is None
    pending = await store.next_part(conversation)
    assert pending is not None
    assert (pending.part.text, pending.part.address) == ("Noted.", ASHA)
